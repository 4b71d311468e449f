//! Operations: everything one method on one path template asks for.

use std::sync::Arc;

use http::Method;
use serde_json::Value;

use super::encoding::BodyPlan;
use super::lint::LintCode;
use super::parameter::{ParameterPlan, ParameterSet};
use super::planner::Planner;
use super::response::{PlannedResponses, ResponseTable};
use super::route::{
    BasePath, OperationIndex, OperationRouter, PathTemplate, QueryCondition, base_paths,
    split_query,
};
use super::security::{CredentialKind, SecurityPlan};
use super::sensitive::{SecretFinder, SensitiveParts};
use super::serialization::ParameterLocation;
use crate::json::pointer;

/// One operation, compiled.
#[derive(Debug, Clone)]
pub struct CompiledOperation {
    /// Its position in [`super::Contract::operations`].
    pub index: OperationIndex,
    /// The method, upper case.
    pub method: Method,
    /// The path template as the document has it, without base path.
    pub template: Arc<str>,
    /// The base paths that it is served under; an empty one is the root.
    pub bases: Vec<String>,
    /// Pointer to the `servers` that say so, the name of the setting that does, or nothing.
    pub base_source: Arc<str>,
    /// What a request's query must have besides; mostly nothing.
    pub condition: QueryCondition,
    /// `operationId`, where there is one.
    pub operation_id: Option<Arc<str>>,
    /// `summary`, where there is one.
    pub summary: Option<Arc<str>>,
    /// Whether the document advises against its use.
    pub deprecated: bool,
    /// Its tags.
    pub tags: Vec<Arc<str>>,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
    /// For each templated part of the path how it is validated; `None` where nothing is declared.
    pub path: Vec<Option<ParameterPlan>>,
    /// Query parameters.
    pub query: ParameterSet,
    /// The parameter that is the whole query (`in: querystring`, OpenAPI 3.2).
    pub query_string: Option<ParameterPlan>,
    /// Header parameters.
    pub headers: Vec<ParameterPlan>,
    /// Cookie parameters.
    pub cookies: ParameterSet,
    /// The request body; `None` where none is documented.
    pub body: Option<BodyPlan>,
    /// The responses.
    pub responses: ResponseTable,
    /// The credentials an operation needs.
    pub security: SecurityPlan,
    /// What of its messages is secret.
    pub sensitive: SensitiveParts,
    /// Whether the document describes it so that nothing of it can be validated.
    pub defect: bool,
    /// Whether some parameter of it, or the place of one, is left out for a defect.
    pub parameter_defect: bool,
}

/// The fixed fields of a path item that hold operations.
pub(super) const METHODS: [&str; 9] =
    ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

/// What planning one operation leaves for the next: a response or a schema that many operations use
/// is read once.
struct SharedPlans<'d> {
    responses: PlannedResponses,
    secrets: SecretFinder<'d>,
}

/// One path item while it is planned: its pointer, and what its operations share.
struct PathItem<'a> {
    template: Arc<str>,
    parsed: PathTemplate,
    /// Pointer to it after references.
    at: &'a str,
    bases: Vec<BasePath>,
}

// === impl CompiledOperation ===

impl CompiledOperation {
    /// The path template under the first of the base paths.
    pub fn full_path(&self) -> String {
        let base = self.bases.first().map_or("", String::as_str);
        format!("{base}{}", self.template)
    }
}

// === impl PathItem ===

impl PathItem<'_> {
    /// Segments of the paths of its operations before those of the template.
    fn base_segments(&self) -> (usize, &PathTemplate) {
        let base = self.bases.first().map_or(0, |base| base.text.matches('/').count());
        (base, &self.parsed)
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// Every operation under `paths`, entered into `routes`. `override_base` replaces what
    /// `servers` say.
    pub(super) fn operations(
        &mut self,
        routes: &mut OperationRouter,
        override_base: Option<&BasePath>,
    ) -> Vec<CompiledOperation> {
        let mut operations = Vec::new();
        let document = self.document;
        let secrets = SecretFinder::of(document);
        let mut shared = SharedPlans { responses: PlannedResponses::default(), secrets };
        let root_bases = match override_base {
            Some(base) => vec![base.clone()],
            None => base_paths(document.root().get("servers")),
        };
        if document.lookup("/paths/$ref").is_some_and(Value::is_string)
            && let Err(error) = document.resolve("/paths")
        {
            self.defect(&error);
            routes.insert_unknown_paths();
        }
        let paths = document.root().get("paths").and_then(Value::as_object);
        for path in paths.into_iter().flat_map(serde_json::Map::keys) {
            if !path.starts_with('/') {
                continue;
            }
            let at = pointer::join("/paths", path);
            let parsed = match PathTemplate::parse(split_query(path).0) {
                Ok(parsed) => parsed,
                Err(error) => {
                    let message = format!("no request can match this path: {error}");
                    self.lint(LintCode::InvalidPart, &at, &message);
                    continue;
                }
            };
            if parsed.has_adjacent_parameters() {
                let message = "parameters with no text between them cannot always be distinguished";
                self.lint(LintCode::AmbiguousPath, &at, message);
            }
            let Some(items) = self.item_pointers(&at) else {
                // Its operations cannot be known: whatever is sent to it is not validated.
                for base in &root_bases {
                    routes.insert_undescribed(&base.template, &parsed, &Arc::from(path.as_str()));
                }
                continue;
            };
            for at in items {
                let bases = self.bases(&at, &root_bases, override_base.is_some());
                let (template, parsed) = (Arc::from(path.as_str()), parsed.clone());
                let item = PathItem { template, parsed, at: &at, bases };
                let fixed = override_base.is_some();
                self.path_item(&item, fixed, routes, &mut shared, &mut operations);
            }
        }
        self.lint_ambiguous_templates(routes);
        operations
    }

    fn lint_ambiguous_templates(&mut self, routes: &OperationRouter) {
        for pair in routes.ambiguous_templates() {
            let at = pointer::join("/paths", &pair.other);
            let message =
                format!("{} matches some of the same requests, and validates those", pair.chosen);
            self.lint(LintCode::AmbiguousPath, &at, &message);
        }
    }

    /// A path item and the one it refers to, as both may carry operations (OpenAPI 3.1 §4.8.9).
    /// None where they cannot be read.
    fn item_pointers(&mut self, at: &str) -> Option<Vec<String>> {
        if self.is_misformed(at, false, "a path item") {
            return None;
        }
        let own = self.document.lookup(at);
        let mut pointers = Vec::with_capacity(1);
        if own.is_some_and(|item| item.get("$ref").is_some()) {
            match self.document.resolve(at) {
                Ok(resolved) => pointers.push(resolved.pointer),
                Err(error) => {
                    self.defect(&error);
                    return None;
                }
            }
        }
        let has_own = |item: &Value| {
            let members = item.as_object();
            members.is_some_and(|item| METHODS.iter().any(|name| method_key(item, name).is_some()))
        };
        if pointers.is_empty() || own.is_some_and(has_own) {
            pointers.push(at.to_owned());
        }
        Some(pointers)
    }

    fn bases(&self, at: &str, inherited: &[BasePath], fixed: bool) -> Vec<BasePath> {
        let servers = self.document.lookup(at).and_then(|item| item.get("servers"));
        match servers.and_then(Value::as_array) {
            Some(list) if !list.is_empty() && !fixed => base_paths(servers),
            _ => inherited.to_vec(),
        }
    }

    /// What decides about the base paths of an operation: the first of the `servers` of itself, its
    /// path and the document.
    fn base_source(&self, places: [&str; 3], fixed: bool) -> Arc<str> {
        if fixed {
            return "contract.base_path".into();
        }
        let lists = places.iter().map(|at| pointer::join(at, "servers"));
        let mut lists = lists.filter(|at| {
            let list = self.document.lookup(at).and_then(Value::as_array);
            list.is_some_and(|list| !list.is_empty())
        });
        lists.next().unwrap_or_default().into()
    }

    fn path_item(
        &mut self,
        item: &PathItem<'_>,
        fixed: bool,
        routes: &mut OperationRouter,
        shared: &mut SharedPlans<'_>,
        operations: &mut Vec<CompiledOperation>,
    ) {
        let value = self.document.lookup(item.at);
        let Some(value) = value.and_then(Value::as_object) else { return };
        let mut found: Vec<(Method, String)> = Vec::new();
        for name in METHODS {
            let Some(key) = method_key(value, name) else { continue };
            let at = pointer::join(item.at, key);
            if key != name {
                let message = format!("methods are written in lower case; this is read as {name}");
                self.lint(LintCode::Misspelt, &at, &message);
            }
            if let Ok(method) = Method::from_bytes(name.to_ascii_uppercase().as_bytes()) {
                found.push((method, at));
            }
        }
        let additional = value.get("additionalOperations").and_then(Value::as_object);
        for name in additional.into_iter().flat_map(serde_json::Map::keys) {
            if let Ok(method) = Method::from_bytes(name.as_bytes()) {
                let at = pointer::join(item.at, "additionalOperations");
                found.push((method, pointer::join(&at, name)));
            }
        }
        for (method, at) in found {
            let number = u32::try_from(operations.len()).unwrap_or(u32::MAX);
            let index = OperationIndex::new(number);
            let mut operation = self.operation(item, method, (&at, index), shared);
            let bases = self.bases(&at, &item.bases, fixed);
            operation.bases = bases.iter().map(|base| base.text.clone()).collect();
            operation.base_source = self.base_source([at.as_str(), item.at, ""], fixed);
            for base in bases {
                let (template, text) = (&item.parsed, &item.template);
                let inserted =
                    routes.insert(&base.template, template, text, &operation.method, number);
                if let Err(conflict) = inserted {
                    let message = format!(
                        "{} matches the same requests, which are validated against that one",
                        conflict.first
                    );
                    self.lint(LintCode::AmbiguousPath, item.at, &message);
                }
            }
            operations.push(operation);
        }
    }

    fn operation(
        &mut self,
        item: &PathItem<'_>,
        method: Method,
        (at, index): (&str, OperationIndex),
        shared: &mut SharedPlans<'_>,
    ) -> CompiledOperation {
        let document = self.document;
        let defect = self.is_misformed(at, false, "an operation");
        let value = document.lookup(at).unwrap_or(&Value::Null);
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(Arc::from);
        let (parameters, parameter_defect) = self.parameters(item.at, at);
        let of = |location: ParameterLocation| {
            parameters.iter().filter(move |plan| plan.location == location).cloned()
        };
        let path = self.path_parameters(item, of(ParameterLocation::Path).collect());
        let body = match value.get("requestBody") {
            Some(body) if !body.is_null() => Some(self.body(&pointer::join(at, "requestBody"))),
            _ => None,
        };
        let tags = value.get("tags").and_then(Value::as_array);
        CompiledOperation {
            index,
            method,
            template: Arc::clone(&item.template),
            bases: Vec::new(),
            base_source: "".into(),
            condition: split_query(&item.template).1,
            operation_id: text("operationId"),
            summary: text("summary"),
            deprecated: value.get("deprecated") == Some(&Value::Bool(true)),
            tags: tags.into_iter().flatten().filter_map(Value::as_str).map(Arc::from).collect(),
            pointer: at.into(),
            path,
            query: ParameterSet::new(of(ParameterLocation::Query).collect(), self),
            query_string: of(ParameterLocation::QueryString).next(),
            headers: of(ParameterLocation::Header).collect(),
            cookies: ParameterSet::new(of(ParameterLocation::Cookie).collect(), self),
            body,
            responses: self.responses(at, &mut shared.responses),
            security: self.security(at),
            sensitive: self.sensitive(&mut shared.secrets, at, &parameters, item.base_segments()),
            defect,
            parameter_defect,
        }
    }

    /// The parameters of an operation, and those of its path that it does not override; and
    /// whether some were left out for a defect.
    fn parameters(&mut self, item_at: &str, at: &str) -> (Vec<ParameterPlan>, bool) {
        let mut plans: Vec<ParameterPlan> = Vec::new();
        let mut defect = false;
        for at in [pointer::join(at, "parameters"), pointer::join(item_at, "parameters")] {
            let own = plans.len();
            defect |= self.is_misformed(&at, true, "parameters");
            let list = self.document.lookup(&at).and_then(Value::as_array);
            for index in 0..list.map_or(0, Vec::len) {
                let at = pointer::join(&at, &index.to_string());
                let plan = match self.parameter(&at) {
                    Ok(Some(plan)) => plan,
                    Ok(None) => continue,
                    Err(error) => {
                        self.defect(&error);
                        defect = true;
                        continue;
                    }
                };
                let same = |other: &ParameterPlan| {
                    other.location == plan.location && same_name(other, &plan.name)
                };
                if plans.iter().take(own).any(same) {
                    continue;
                }
                if plans.iter().any(same) {
                    self.lint(LintCode::Lenient, &at, "this parameter is declared twice");
                    continue;
                }
                plans.push(plan);
            }
        }
        (plans, defect)
    }

    /// One plan per templated part, in the template's order.
    fn path_parameters(
        &mut self,
        item: &PathItem<'_>,
        mut declared: Vec<ParameterPlan>,
    ) -> Vec<Option<ParameterPlan>> {
        let mut plans = Vec::new();
        for name in item.parsed.parameters() {
            let named = |name: &str| declared.iter().position(|plan| *plan.name == *name);
            let found = named(name).or_else(|| named(without_operator(name)));
            if found.is_none() {
                let message = format!("nothing is declared for {{{name}}}; every value passes");
                self.lint(LintCode::PathMismatch, item.at, &message);
            }
            plans.push(found.map(|at| declared.remove(at)));
        }
        for plan in declared {
            self.lint(LintCode::PathMismatch, &plan.pointer, "the path has no such parameter");
        }
        plans
    }

    fn security(&mut self, at: &str) -> SecurityPlan {
        let document = self.document;
        let own = pointer::join(at, "security");
        let at = if document.lookup(&own).is_some() { own } else { "/security".to_owned() };
        let mut unenforceable = Vec::new();
        let scheme = |name: &str| {
            let at = pointer::join("/components/securitySchemes", name);
            document.resolve(&at).ok().map(|resolved| resolved.value)
        };
        let plan = SecurityPlan::new(document.lookup(&at), &at, scheme, &mut unenforceable);
        for name in unenforceable {
            let at = pointer::join("/components/securitySchemes", &name);
            let message = "credentials of this scheme cannot be seen in messages";
            self.lint(LintCode::UncheckedSecurity, &at, message);
        }
        for (index, alternative) in plan.alternatives.iter().enumerate() {
            for one in alternative.iter().filter(|one| one.kind == CredentialKind::Undeclared) {
                let at = pointer::join(&pointer::join(&at, &index.to_string()), &one.scheme);
                let message = format!(
                    "the document declares no security scheme {:?}, so that this alternative is not \
                     enforced; declare it under components.securitySchemes",
                    one.scheme
                );
                self.lint(LintCode::UndeclaredSecurity, &at, &message);
            }
        }
        plan
    }
}

/// The key of a method in a path item, in whatever case it is written.
fn method_key<'v>(item: &'v serde_json::Map<String, Value>, name: &str) -> Option<&'v str> {
    match item.get_key_value(name) {
        Some((key, _)) => Some(key),
        None => item.keys().find(|key| key.eq_ignore_ascii_case(name)).map(String::as_str),
    }
}

/// A template name without the operators of RFC 6570 (`{.name}`, `{;name*}`), which some authors
/// write though OpenAPI has `style` and `explode` for them.
fn without_operator(name: &str) -> &str {
    name.trim_start_matches(['.', ';']).trim_end_matches('*')
}

/// Header names are alike in any case.
fn same_name(plan: &ParameterPlan, name: &str) -> bool {
    match plan.location {
        ParameterLocation::Header => plan.name.eq_ignore_ascii_case(name),
        _ => &*plan.name == name,
    }
}
