//! Base paths from `servers`: absolute and relative URLs, and their variables.

use serde_json::Value;

use super::template::PathTemplate;

/// Base paths that one list of servers may expand to; variables beyond it stay templated.
const MAX_EXPANSIONS: usize = 32;

/// A path prefix of every template of a path item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath {
    /// As text, without a trailing slash; empty where there is none.
    pub text: String,
    /// Parsed for the route table.
    pub template: PathTemplate,
}

// === impl BasePath ===

impl BasePath {
    /// The base path that adds nothing.
    pub fn none() -> Self {
        Self { text: String::new(), template: PathTemplate::empty() }
    }

    /// Reads a path such as `/v1`; `None` where it is not readable as one.
    pub fn parse(path: &str) -> Option<Self> {
        let trimmed = path.trim_end_matches('/');
        if trimmed.is_empty() {
            return Some(Self::none());
        }
        let text = if trimmed.starts_with('/') { trimmed.into() } else { format!("/{trimmed}") };
        let template = PathTemplate::parse(&text).ok()?;
        Some(Self { text, template })
    }
}

/// The base paths of a `servers` array, without repeats. An absent or empty array, and one of
/// which nothing is readable, is the one server `/` (OpenAPI 3.1 §4.8.1).
///
/// A variable with an `enum` takes each of its values; one without takes its default
/// and for any other single segment, where it is one. URLs are read after variables have their
/// values, which may hold the host, a port, slashes or the whole origin.
pub fn base_paths(servers: Option<&Value>) -> Vec<BasePath> {
    let mut found: Vec<BasePath> = Vec::new();
    for server in servers.and_then(Value::as_array).into_iter().flatten() {
        let Some(url) = server.get("url").and_then(Value::as_str) else { continue };
        for url in expand(url, server.get("variables")) {
            if let Some(base) = BasePath::parse(&path_of(&url))
                && !found.iter().any(|other| other.text == base.text)
            {
                found.push(base);
            }
        }
    }
    if found.is_empty() {
        found.push(BasePath::none());
    }
    found
}

/// The path of an absolute or relative server URL.
fn path_of(url: &str) -> String {
    let without_scheme = match authority_of(url) {
        Some((_, end)) => &url[end..],
        None => url,
    };
    let end = without_scheme.find(['?', '#']).unwrap_or(without_scheme.len());
    resolve_dots(&without_scheme[..end])
}

/// Where host and port begin and end; `None` in a relative URL.
fn authority_of(url: &str) -> Option<(usize, usize)> {
    let start = match url.find("://") {
        Some(at) => at + 3,
        None => url.starts_with("//").then_some(2)?,
    };
    let length = url[start..].find(['/', '?', '#']).unwrap_or(url.len() - start);
    Some((start, start + length))
}

/// Resolves against the root, where the document is taken to be (RFC 3986 §5.2.4).
fn resolve_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            other => kept.push(other),
        }
    }
    let mut text = String::with_capacity(path.len() + 1);
    for segment in kept {
        text.push('/');
        text.push_str(segment);
    }
    text
}

/// The URLs that a server's URL stands for.
fn expand(url: &str, variables: Option<&Value>) -> Vec<String> {
    let mut urls = vec![url.to_owned()];
    let Some(variables) = variables.and_then(Value::as_object) else { return urls };
    let mut left: Vec<(String, &Value)> =
        variables.iter().map(|(name, variable)| (format!("{{{name}}}"), variable)).collect();
    // From the left, so that it is known of each whether it is in host or path.
    left.sort_by_key(|(token, _)| url.find(token.as_str()).unwrap_or(usize::MAX));
    for (token, variable) in left {
        if !urls.iter().any(|url| url.contains(&token)) {
            continue;
        }
        let mut values = values_of(variable, &token);
        let names_host = urls.iter().all(|url| is_before_path(url, &token));
        if names_host && !values.iter().any(|value| value.contains('/')) {
            values.truncate(1);
        }
        if urls.len() * values.len() > MAX_EXPANSIONS {
            continue;
        }
        urls = urls
            .iter()
            .flat_map(|url| values.iter().map(|value| url.replace(&token, value)))
            .collect();
    }
    urls
}

/// The values of a variable. One without an `enum` stands for any other segment too, unless its
/// default is plainly no segment.
fn values_of(variable: &Value, token: &str) -> Vec<String> {
    let listed = variable.get("enum").and_then(Value::as_array);
    let mut values: Vec<String> =
        listed.map(|all| all.iter().filter_map(scalar).collect()).unwrap_or_default();
    if values.is_empty() {
        let default = variable.get("default").and_then(scalar);
        let is_segment = default.as_deref().is_none_or(|default| {
            !default.is_empty() && !default.starts_with('/') && !default.contains("://")
        });
        values.extend(default);
        if is_segment {
            values.push(token.to_owned());
        }
    }
    values
}

/// Whether a variable is in the scheme, the host or the port.
fn is_before_path(url: &str, token: &str) -> bool {
    let end = authority_of(url).map_or(0, |(_, end)| end);
    url.find(token).is_none_or(|at| at < end)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn texts(servers: &Value) -> Vec<String> {
        base_paths(Some(servers)).into_iter().map(|base| base.text).collect()
    }

    #[test]
    fn trap_t10_absolute_relative_and_absent_servers() {
        let servers = json!([
            {"url": "https://api.example.com/v1/"}, {"url": "//h:8/v2"}, {"url": "v3"},
            {"url": "./a/../v4?x#y"}, {"url": "https://example.com"}, {"url": "/v1"}
        ]);
        assert_eq!(texts(&servers), ["/v1", "/v2", "/v3", "/v4", ""]);
        assert_eq!(base_paths(None), vec![BasePath::none()]);
        assert_eq!(texts(&json!([])), [""]);
    }

    #[test]
    fn trap_t10_variables_take_their_values() {
        let servers = json!([{
            "url": "https://{host}/{stage}/{tenant}",
            "variables": {
                "host": {"default": "a"},
                "stage": {"enum": ["dev", "prod"], "default": "dev"},
                "tenant": {"default": "acme/x"}
            }
        }]);
        assert_eq!(
            texts(&servers),
            ["/dev/acme/x", "/dev/{tenant}", "/prod/acme/x", "/prod/{tenant}"]
        );
    }

    #[test]
    fn variables_may_hold_the_slash_the_host_the_port_or_the_whole_origin() {
        let server = |url: &str, default: &str| {
            texts(&json!([{"url": url, "variables": {"x": {"default": default}}}]))
        };
        assert_eq!(server("{x}/namf-comm/v1", "https://example.com"), ["/namf-comm/v1"]);
        assert_eq!(server("{x}/v1", "https://example.com/root"), ["/root/v1"]);
        assert_eq!(server("{x}/v1", "//example.com:8080"), ["/v1"]);
        assert_eq!(server("https://example.com{x}", "/v2"), ["/v2"]);
        assert_eq!(server("https://example.com{x}", ""), [""]);
        assert_eq!(server("https://example.com:{x}/v2", "8443"), ["/v2"]);
        assert_eq!(server("https://{x}/v2", "example.com/tenant"), ["/tenant/v2", "/v2"]);
        assert_eq!(server("{x}", "https://example.com"), [""]);
        assert_eq!(server("{x}://example.com/v2", "https"), ["/v2"]);
    }

    #[test]
    fn a_host_of_many_values_leaves_room_for_the_path() {
        let hosts: Vec<String> = (0..100).map(|n| format!("h{n}")).collect();
        let servers = json!([{"url": "https://{host}/{stage}", "variables": {
            "host": {"enum": hosts, "default": "h0"}, "stage": {"enum": ["a", "b"], "default": "a"}
        }}]);
        assert_eq!(texts(&servers), ["/a", "/b"]);
    }

    #[test]
    fn expansions_are_bounded() {
        let values: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let servers =
            json!([{"url": "/{v}", "variables": {"v": {"enum": values, "default": "0"}}}]);
        assert_eq!(texts(&servers), ["/{v}"]);
    }
}
