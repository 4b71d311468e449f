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
/// and for any other single segment.
pub fn base_paths(servers: Option<&Value>) -> Vec<BasePath> {
    let mut found: Vec<BasePath> = Vec::new();
    for server in servers.and_then(Value::as_array).into_iter().flatten() {
        let Some(url) = server.get("url").and_then(Value::as_str) else { continue };
        for path in expand(path_of(url), server.get("variables")) {
            if let Some(base) = BasePath::parse(&path)
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

/// The path of an absolute or relative server URL, variables unexpanded.
fn path_of(url: &str) -> String {
    let without_scheme = match url.split_once("://") {
        Some((_, rest)) => after_authority(rest),
        None => match url.strip_prefix("//") {
            Some(rest) => after_authority(rest),
            None => url,
        },
    };
    let end = without_scheme.find(['?', '#']).unwrap_or(without_scheme.len());
    resolve_dots(&without_scheme[..end])
}

/// What follows host and port.
fn after_authority(rest: &str) -> &str {
    rest.find('/').map_or("", |at| &rest[at..])
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

fn expand(path: String, variables: Option<&Value>) -> Vec<String> {
    let mut paths = vec![path];
    let Some(variables) = variables.and_then(Value::as_object) else { return paths };
    for (name, variable) in variables {
        let token = format!("{{{name}}}");
        if !paths.iter().any(|path| path.contains(&token)) {
            continue;
        }
        let mut values: Vec<String> = variable
            .get("enum")
            .and_then(Value::as_array)
            .map(|all| all.iter().filter_map(scalar).collect())
            .unwrap_or_default();
        if values.is_empty() {
            values.extend(variable.get("default").and_then(scalar));
            values.push(token.clone());
        }
        if paths.len() * values.len() > MAX_EXPANSIONS {
            continue;
        }
        paths = paths
            .iter()
            .flat_map(|path| values.iter().map(|value| path.replace(&token, value)))
            .collect();
    }
    paths
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
    fn expansions_are_bounded() {
        let values: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
        let servers =
            json!([{"url": "/{v}", "variables": {"v": {"enum": values, "default": "0"}}}]);
        assert_eq!(texts(&servers), ["/{v}"]);
    }
}
