//! Security definitions.

use serde_json::{Map, Value, json};

use super::Upgrade;
use crate::json::pointer;

impl Upgrade {
    pub(super) fn security_schemes(&mut self) -> Value {
        let definitions = self.old.get("securityDefinitions").and_then(Value::as_object);
        let mut schemes = Map::new();
        let mut names = Vec::new();
        for (name, definition) in definitions.into_iter().flatten() {
            schemes.insert(name.clone(), scheme(definition));
            names.push(name.clone());
        }
        for name in names {
            let to = pointer::join("/components/securitySchemes", &name);
            self.record_move(&to, &pointer::join("/securityDefinitions", &name));
        }
        Value::Object(schemes)
    }
}

fn scheme(definition: &Value) -> Value {
    let text = |name: &str| definition.get(name).and_then(Value::as_str);
    match text("type") {
        Some("basic") => json!({ "type": "http", "scheme": "basic" }),
        Some("oauth2") => {
            let flow = match text("flow") {
                Some("accessCode") => "authorizationCode",
                Some("application") => "clientCredentials",
                Some(flow) => flow,
                None => "implicit",
            };
            let mut details = Map::new();
            for name in ["authorizationUrl", "tokenUrl"] {
                if let Some(url) = text(name) {
                    details.insert(name.to_owned(), json!(url));
                }
            }
            let scopes = definition.get("scopes").cloned().unwrap_or_else(|| json!({}));
            details.insert("scopes".to_owned(), scopes);
            json!({ "type": "oauth2", "flows": { flow: details } })
        }
        _ => definition.clone(),
    }
}
