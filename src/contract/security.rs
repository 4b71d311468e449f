//! Security requirements, ready to be looked for in a request.
//!
//! Invariants: only presence and form of a credential are validated, never whether it is
//! right; a scheme that cannot be validated (a client certificate, an unknown type) never makes a
//! request invalid and is a lint instead; `{}` among the alternatives makes all optional.

use std::sync::Arc;

use serde_json::Value;

/// The alternatives of one `security` array; any one of them is enough.
#[derive(Debug, Clone, Default)]
pub struct SecurityPlan {
    /// Each alternative needs all of its credentials. None at all: no credential is needed.
    pub alternatives: Vec<Vec<Credential>>,
    /// Pointer to the `security` array in the document.
    pub pointer: Arc<str>,
}

/// One credential that an alternative asks for.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Name of the scheme in the document.
    pub scheme: Arc<str>,
    /// What to look for.
    pub kind: CredentialKind,
}

/// What a credential looks like on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialKind {
    /// A header field of this name with some value.
    HeaderKey(Arc<str>),
    /// A query parameter of this name with some value.
    QueryKey(Arc<str>),
    /// A cookie of this name with some value.
    CookieKey(Arc<str>),
    /// `Authorization: Basic` with Base64 (RFC 7617).
    Basic,
    /// `Authorization: Bearer` with a token (RFC 6750); OAuth 2.0 and OpenID Connect too.
    Bearer,
    /// `Authorization: Digest` with parameters (RFC 7616).
    Digest,
    /// `Authorization` with this scheme (RFC 9110 §11.6.2).
    OtherHttp(Arc<str>),
    /// Something that the messages do not show.
    Unenforceable,
    /// The document does not declare the scheme.
    Undeclared,
}

// === impl CredentialKind ===

impl CredentialKind {
    /// Where a request carries it, in words.
    pub fn form(&self) -> String {
        match self {
            Self::HeaderKey(name) => format!("header {name:?}"),
            Self::QueryKey(name) => format!("query parameter {name:?}"),
            Self::CookieKey(name) => format!("cookie {name:?}"),
            Self::Basic => "header \"Authorization\" with the scheme Basic".to_owned(),
            Self::Bearer => "header \"Authorization\" with the scheme Bearer".to_owned(),
            Self::Digest => "header \"Authorization\" with the scheme Digest".to_owned(),
            Self::OtherHttp(scheme) => {
                format!("header \"Authorization\" with the scheme {scheme}")
            }
            Self::Unenforceable | Self::Undeclared => {
                "something that messages do not show".to_owned()
            }
        }
    }
}

// === impl SecurityPlan ===

impl SecurityPlan {
    /// Reads a `security` array. `scheme` finds a security scheme by its name, references
    /// followed. Names of schemes that cannot be validated are pushed to `unenforceable`.
    pub fn new<'d>(
        security: Option<&Value>,
        pointer: &str,
        scheme: impl Fn(&str) -> Option<&'d Value>,
        unenforceable: &mut Vec<String>,
    ) -> Self {
        let mut alternatives = Vec::new();
        for requirement in security.and_then(Value::as_array).into_iter().flatten() {
            let Some(requirement) = requirement.as_object() else { continue };
            let mut all = Vec::with_capacity(requirement.len());
            for name in requirement.keys() {
                let kind = scheme(name).map_or(CredentialKind::Undeclared, CredentialKind::of);
                if kind == CredentialKind::Unenforceable {
                    unenforceable.push(name.clone());
                }
                all.push(Credential { scheme: name.as_str().into(), kind });
            }
            alternatives.push(all);
        }
        Self { alternatives, pointer: pointer.into() }
    }

    /// Whether a request needs no credential.
    pub fn is_optional(&self) -> bool {
        self.alternatives.is_empty() || self.alternatives.iter().any(Vec::is_empty)
    }

    /// Every credential of every alternative.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.alternatives.iter().flatten()
    }
}

// === impl CredentialKind ===

impl CredentialKind {
    fn of(scheme: &Value) -> Self {
        let text = |key: &str| scheme.get(key).and_then(Value::as_str);
        match text("type") {
            Some("apiKey") => match (text("in"), text("name")) {
                (Some("header"), Some(name)) => Self::HeaderKey(name.into()),
                (Some("query"), Some(name)) => Self::QueryKey(name.into()),
                (Some("cookie"), Some(name)) => Self::CookieKey(name.into()),
                _ => Self::Unenforceable,
            },
            Some("http") => match text("scheme").map(str::to_ascii_lowercase).as_deref() {
                Some("basic") => Self::Basic,
                Some("bearer") => Self::Bearer,
                Some("digest") => Self::Digest,
                Some(other) => Self::OtherHttp(other.into()),
                None => Self::Unenforceable,
            },
            // Swagger 2.0's own type.
            Some("basic") => Self::Basic,
            Some("oauth2" | "openIdConnect") => Self::Bearer,
            _ => Self::Unenforceable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn alternatives_combinations_and_unsupported_schemes() {
        let schemes = json!({
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "jwt": {"type": "http", "scheme": "BEARER"},
            "tls": {"type": "mutualTLS"}
        });
        let security = json!([{"key": [], "jwt": []}, {"tls": []}]);
        let mut lints = Vec::new();
        let find = |name: &str| schemes.get(name);
        let plan = SecurityPlan::new(Some(&security), "/security", find, &mut lints);
        assert_eq!(plan.alternatives.len(), 2);
        assert!(plan.credentials().any(|one| one.kind == CredentialKind::Bearer));
        assert!(
            plan.credentials().any(|one| one.kind == CredentialKind::HeaderKey("X-Key".into()))
        );
        assert_eq!(lints, ["tls"]);
        assert!(!plan.is_optional());
        assert!(SecurityPlan::new(Some(&json!([{}])), "", find, &mut lints).is_optional());
        assert!(SecurityPlan::new(Some(&json!([])), "", find, &mut lints).is_optional());
    }
}
