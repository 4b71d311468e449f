//! Operations: bodies, responses and headers.

use serde_json::{Map, Value, json};

use super::parameter::{Parameter, ParameterRole};
use super::{Upgrade, media_types};
use crate::json::pointer;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";

impl Upgrade {
    /// An operation that moves from `from` to `to`. `shared` are the parameters of
    /// its path, which its own of the same name and location override.
    pub(super) fn operation(
        &mut self,
        operation: Value,
        shared: &[Parameter],
        to: &str,
        from: &str,
    ) -> Value {
        let Value::Object(mut members) = operation else { return operation };
        let own = members.remove("parameters").unwrap_or_else(|| json!([]));
        let own = self.parameters(own, &pointer::join(from, "parameters"));
        let inherited = shared.iter().filter(|shared| !own.iter().any(|own| own.replaces(shared)));
        let all: Vec<&Parameter> = inherited.chain(&own).collect();
        let own_list = |name: &str, global: &[String]| match members.get(name) {
            Some(list) => media_types(Some(list)),
            None => global.to_vec(),
        };
        let consumes = own_list("consumes", &self.consumes);
        let produces = own_list("produces", &self.produces);
        if let Some(body) = self.request_body(&all, &consumes, to) {
            members.insert("requestBody".to_owned(), body);
        }
        let mut parameters = Vec::new();
        for parameter in all.iter().filter(|parameter| parameter.role == ParameterRole::Head) {
            let at = format!("{to}/parameters/{}", parameters.len());
            self.record_move(&at, &parameter.from);
            self.record_move(&pointer::join(&at, "schema"), &parameter.from);
            parameters.push(parameter.upgraded.clone());
        }
        members.insert("parameters".to_owned(), Value::Array(parameters));
        if let Some(Value::Object(responses)) = members.remove("responses") {
            let to = pointer::join(to, "responses");
            let from = pointer::join(from, "responses");
            let responses = self.responses(responses, &produces, &to, &from);
            members.insert("responses".to_owned(), responses);
        }
        Value::Object(members)
    }

    fn request_body(
        &mut self,
        parameters: &[&Parameter],
        consumes: &[String],
        to: &str,
    ) -> Option<Value> {
        let to = pointer::join(to, "requestBody");
        if let Some(body) =
            parameters.iter().find(|parameter| parameter.role == ParameterRole::Body)
        {
            self.record_move(&to, &body.from);
            let any = ["*/*".to_owned()];
            let types = if consumes.is_empty() { &any } else { consumes };
            let mut content = Map::new();
            for media_type in types {
                let at = pointer::join(&pointer::join(&to, "content"), media_type);
                self.record_move(&at, &body.from);
                let schema = body.upgraded.get("schema").cloned().unwrap_or_else(|| json!({}));
                content.insert(media_type.clone(), json!({ "schema": schema }));
            }
            let required = body.required;
            return Some(json!({ "required": required, "content": content }));
        }
        self.form_body(parameters, consumes, &to)
    }

    /// `formData` parameters as one object.
    fn form_body(
        &mut self,
        parameters: &[&Parameter],
        consumes: &[String],
        to: &str,
    ) -> Option<Value> {
        let form = || parameters.iter().filter(|parameter| parameter.role == ParameterRole::Form);
        let first = form().next()?;
        self.record_move(to, &first.from);
        let has_file = form().any(|parameter| parameter.is_file);
        let mut types: Vec<String> = consumes
            .iter()
            .filter(|media_type| {
                let essence = media_type.split(';').next().unwrap_or_default().trim();
                essence.eq_ignore_ascii_case(URLENCODED) || essence.eq_ignore_ascii_case(MULTIPART)
            })
            .cloned()
            .collect();
        if types.is_empty() {
            types.push(MULTIPART.to_owned());
            if !has_file {
                types.push(URLENCODED.to_owned());
            }
        }
        let mut content = Map::new();
        for media_type in types {
            let at = pointer::join(&pointer::join(to, "content"), &media_type);
            let mut properties = Map::new();
            let mut encoding = Map::new();
            let mut required = Vec::new();
            for parameter in form() {
                let name = parameter.name.clone();
                let property = pointer::join(&format!("{at}/schema/properties"), &name);
                self.record_move(&property, &parameter.from);
                self.record_move(&format!("{property}/anyOf/0"), &parameter.from);
                self.record_move(&pointer::join(&format!("{at}/encoding"), &name), &parameter.from);
                if parameter.required {
                    required.push(Value::String(name.clone()));
                }
                if let Some(schema) = parameter.upgraded.get("schema") {
                    properties.insert(name.clone(), schema.clone());
                }
                encoding.insert(name, parameter.encoding());
            }
            let mut schema = json!({ "type": "object", "properties": properties });
            if !required.is_empty() {
                self.record_move(&format!("{at}/schema/required"), &first.from);
                schema["required"] = Value::Array(required);
            }
            content.insert(media_type, json!({ "schema": schema, "encoding": encoding }));
        }
        let required = form().any(|parameter| parameter.required);
        Some(json!({ "required": required, "content": content }))
    }

    fn responses(
        &mut self,
        responses: Map<String, Value>,
        produces: &[String],
        to: &str,
        from: &str,
    ) -> Value {
        let mut upgraded = Map::with_capacity(responses.len());
        for (status, response) in responses {
            let to = pointer::join(to, &status);
            let from = pointer::join(from, &status);
            let response = if status.starts_with("x-") {
                response
            } else {
                self.response(response, produces, &to, &from)
            };
            upgraded.insert(status, response);
        }
        Value::Object(upgraded)
    }

    fn response(&mut self, response: Value, produces: &[String], to: &str, from: &str) -> Value {
        let (response, from) = self.follow_references(response, from);
        self.record_move(to, &from);
        let Value::Object(mut members) = response else { return response };
        if let Some(schema) = members.remove("schema") {
            let any = ["*/*".to_owned()];
            let types = if produces.is_empty() { &any } else { produces };
            let mut content = Map::new();
            for media_type in types {
                let at = pointer::join(&pointer::join(to, "content"), media_type);
                self.record_move(&at, &from);
                content.insert(media_type.clone(), json!({ "schema": schema }));
            }
            members.insert("content".to_owned(), Value::Object(content));
        }
        if let Some(Value::Object(headers)) = members.remove("headers") {
            let mut upgraded = Map::with_capacity(headers.len());
            for (name, header) in headers {
                let at = pointer::join(&pointer::join(to, "headers"), &name);
                let was = pointer::join(&pointer::join(&from, "headers"), &name);
                self.record_move(&at, &was);
                self.record_move(&pointer::join(&at, "schema"), &was);
                upgraded.insert(name, super::parameter::header(header));
            }
            members.insert("headers".to_owned(), Value::Object(upgraded));
        }
        Value::Object(members)
    }
}
