//! Requests: path, query, header fields, cookies, credentials, body.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, COOKIE};
use percent_encoding::percent_decode_str;
use smallvec::{SmallVec, smallvec};

use super::body;
use super::media_type::{BodyContext, ChosenMediaType};
use super::observation::ValidationObserver;
use super::pairs::{Pair, Pairs, cookie_pairs, query_pairs};
use super::parameter::{SentValue, SentValues};
use super::security::{self, CredentialState, Credentials, SecurityOutcome};
use super::undocumented::{self, list_media_types, ranges};
use super::validator::{RequestValidation, Validator, incomplete_reason};
use super::value::{rule_of, validate_parameter};
use super::verdict_builder::{RuleLocation, VerdictBuilder};
use super::{header, media_type};
use crate::contract::Contract;
use crate::contract::encoding::BodyPlan;
use crate::contract::operation::CompiledOperation;
use crate::contract::parameter::{KeyOwner, ParameterSet};
use crate::contract::route::{Captures, RouteMatch};
use crate::contract::security::CredentialKind;
use crate::json::Arena;
use crate::model::exchange::{CapturedBody, RequestHead, is_preflight};
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, Side, ViolationKind};

// === impl Validator ===

impl Validator {
    /// Validates a request. Its head is validated even if its body cannot be.
    pub fn validate_request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
    ) -> RequestValidation {
        self.validate_request_with(contract, head, body, &mut ())
    }

    /// As `validate_request`, and shows `observer` what was read.
    pub fn validate_request_with(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
        observer: &mut dyn ValidationObserver,
    ) -> RequestValidation {
        let mut verdict = VerdictBuilder::new(contract, Side::Request, &self.options);
        let found = contract.find(&head.method, head.path(), head.query());
        let operation = match &found {
            // A pre-flight carries no credentials and nothing else that an operation may require.
            RouteMatch::Found { .. }
            | RouteMatch::Undescribed { .. }
            | RouteMatch::MethodUnknown { .. }
                if body.seen() == 0 && is_preflight(&head.method, &head.headers) =>
            {
                verdict.skip(SkipReason::Preflight);
                None
            }
            RouteMatch::Found { operation, captures } => {
                let compiled = contract.operation(*operation);
                self.validate_documented_request(&mut verdict, compiled, captures, head, body);
                verdict.notify_observer(Side::Request, *operation, &self.arena, observer);
                Some(*operation)
            }
            RouteMatch::Undescribed { .. } => {
                verdict.skip(SkipReason::Document);
                None
            }
            RouteMatch::MethodUnknown { template } => {
                let at = pointer_to_path(template);
                let rule = RuleLocation { location: Location::Method, name: None, pointer: &at };
                let redactor = &self.options.redactor;
                let found = undocumented::method(contract, redactor, template, &head.method);
                verdict.add_undocumented(rule, String::new(), found);
                None
            }
            RouteMatch::PathUnknown => {
                let rule = RuleLocation { location: Location::Path, name: None, pointer: "/paths" };
                let found = undocumented::path(contract, &self.options.redactor, head.path());
                verdict.add_undocumented(rule, String::new(), found);
                None
            }
        };
        self.release_memory();
        RequestValidation { operation, verdict: verdict.finish() }
    }

    fn validate_documented_request<'c>(
        &mut self,
        verdict: &mut VerdictBuilder<'c>,
        operation: &'c CompiledOperation,
        captures: &Captures,
        head: &RequestHead,
        body: &CapturedBody,
    ) {
        if operation.defect || operation.parameter_defect {
            verdict.skip(SkipReason::Document);
        }
        let query = query_pairs(head.query().unwrap_or_default());
        let cookies = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookie_pairs(cookies);
        let arena = &mut self.arena;
        if self.options.security {
            let sent = Credentials { headers: &head.headers, query: &query, cookies: &cookies };
            validate_security(verdict, operation, &sent);
        }
        validate_path(arena, verdict, operation, captures, head.path());
        let credentials = || operation.security.credentials();
        let named = |key: &str, pick: fn(&CredentialKind) -> Option<&Arc<str>>| {
            credentials().filter_map(|one| pick(&one.kind)).any(|name| &**name == key)
        };
        if let Some(plan) = &operation.query_string {
            validate_query_string(arena, verdict, plan, head.query());
        } else {
            let is_key = |key: &str| operation.condition.names(key) || named(key, query_key);
            let (set, location) = (&operation.query, Location::Query);
            validate_pairs(arena, verdict, set, &query, location, operation, is_key);
        }
        let is_key = |key: &str| named(key, cookie_key);
        let (set, location) = (&operation.cookies, Location::Cookie);
        validate_pairs(arena, verdict, set, &cookies, location, operation, is_key);
        for plan in &operation.headers {
            if head.headers.contains_key(&*plan.name) {
                verdict.observe_parameter(plan);
            }
            header::validate_header(arena, verdict, plan, &head.headers);
        }
        if verdict.contract.is_strict(Rule::UndeclaredFields) && !operation.parameter_defect {
            header::undeclared_request(verdict, operation, &head.headers);
        }
        self.validate_request_body(verdict, operation, head, body);
    }

    fn validate_request_body(
        &mut self,
        verdict: &mut VerdictBuilder<'_>,
        operation: &CompiledOperation,
        head: &RequestHead,
        body: &CapturedBody,
    ) {
        let Some(plan) = &operation.body else {
            if body.seen() > 0 && verdict.contract.is_strict(Rule::UndeclaredFields) {
                let pointer = &operation.pointer;
                let rule = RuleLocation { location: Location::Body, name: None, pointer };
                verdict.add(
                    rule,
                    ViolationKind::Undeclared,
                    format!(
                        "the document lists no body for {} {}, and one of {} bytes was sent",
                        operation.method,
                        operation.template,
                        body.seen()
                    ),
                );
            }
            return;
        };
        if plan.defect {
            return verdict.skip(SkipReason::Document);
        }
        let rule = RuleLocation { location: Location::Body, name: None, pointer: &plan.pointer };
        if body.seen() == 0 {
            if let Some(reason) = incomplete_reason(body) {
                verdict.skip(reason);
            } else if plan.required {
                verdict.add(
                    rule,
                    ViolationKind::Missing,
                    format!(
                        "the body is required and is not there; the document lists {}",
                        list_media_types(ranges(&plan.content))
                    ),
                );
            }
            return;
        }
        self.validate_content(verdict, plan, &head.headers, body);
    }

    fn validate_content(
        &mut self,
        verdict: &mut VerdictBuilder<'_>,
        plan: &BodyPlan,
        headers: &HeaderMap,
        captured: &CapturedBody,
    ) {
        let rule =
            RuleLocation { location: Location::MediaType, name: None, pointer: &plan.pointer };
        let chosen = media_type::choose(verdict, &plan.content, headers.get(CONTENT_TYPE), rule);
        let Some(chosen) = chosen else { return };
        if chosen.media.defect {
            return verdict.skip(SkipReason::Document);
        }
        if let Some(reason) = incomplete_reason(captured) {
            verdict.skip(reason);
            return;
        }
        let ChosenMediaType { media, kind, assumed_json, charset, boundary } = chosen;
        let context = BodyContext { media, kind, assumed_json, charset, boundary, missing: rule };
        let limit = self.options.decoded_limit;
        body::validate(&mut self.arena, verdict, &context, headers, captured, limit);
    }
}

fn pointer_to_path(template: &str) -> String {
    crate::json::pointer::join("/paths", template)
}

fn query_key(kind: &CredentialKind) -> Option<&Arc<str>> {
    match kind {
        CredentialKind::QueryKey(name) => Some(name),
        _ => None,
    }
}

fn cookie_key(kind: &CredentialKind) -> Option<&Arc<str>> {
    match kind {
        CredentialKind::CookieKey(name) => Some(name),
        _ => None,
    }
}

fn validate_security(
    verdict: &mut VerdictBuilder<'_>,
    operation: &CompiledOperation,
    sent: &Credentials<'_>,
) {
    match security::check(&operation.security, sent) {
        SecurityOutcome::Satisfied => {}
        SecurityOutcome::Unknown => verdict.skip(SkipReason::Unenforceable),
        SecurityOutcome::Undeclared => verdict.skip(SkipReason::Document),
        SecurityOutcome::Lacking(lacking) => {
            for (credential, found) in lacking {
                let pointer = &operation.security.pointer;
                let name = Some(&credential.scheme);
                let rule = RuleLocation { location: Location::Security, name, pointer };
                let (label, form) = (rule.label(), credential.kind.form());
                if found == CredentialState::Malformed {
                    let message = format!("{label} is malformed or empty; it is sent as {form}");
                    verdict.add(rule, ViolationKind::Malformed, message);
                } else {
                    let message = format!("{label} is missing; it is sent as {form}");
                    verdict.add(rule, ViolationKind::Missing, message);
                }
            }
        }
    }
}

fn validate_path<'c>(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'c>,
    operation: &'c CompiledOperation,
    captures: &Captures,
    path: &str,
) {
    for (plan, (from, to)) in operation.path.iter().zip(captures) {
        let Some(plan) = plan else { continue };
        let value = path.get(*from..*to).unwrap_or_default();
        let fields: SentValues<'_> = smallvec![SentValue { key: (&*plan.name).into(), value }];
        verdict.observe_parameter(plan);
        validate_parameter(arena, verdict, plan, &fields);
    }
    validate_segments(verdict, operation, captures, path);
}

/// What a service may read as other segments than those that were matched.
fn validate_segments(
    verdict: &mut VerdictBuilder<'_>,
    operation: &CompiledOperation,
    captures: &Captures,
    path: &str,
) {
    for (at, (from, to)) in captures.iter().enumerate() {
        let value = path.get(*from..*to).unwrap_or_default();
        if !value.contains(['%', '.']) {
            continue;
        }
        let decoded = percent_decode_str(value).collect::<Vec<u8>>();
        let mut segments = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        let what = if verdict.contract.is_strict(Rule::PathTraversal)
            && (decoded.contains(&0) || segments.any(|one| matches!(one, b"." | b"..")))
        {
            "has a segment . or .., or NUL"
        } else if verdict.contract.is_strict(Rule::EncodedSlashes)
            && memchr::memchr_iter(b'/', &decoded).count() > value.matches('/').count()
        {
            "has a percent-encoded slash"
        } else {
            continue;
        };
        let plan = operation.path.get(at).and_then(Option::as_ref);
        let rule = plan.map_or(
            RuleLocation { location: Location::Path, name: None, pointer: &operation.pointer },
            rule_of,
        );
        let message = format!("{} {what}", rule.label());
        verdict.add(rule, ViolationKind::Malformed, message);
    }
}

fn validate_query_string<'c>(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'c>,
    plan: &'c crate::contract::parameter::ParameterPlan,
    query: Option<&str>,
) {
    match query {
        Some(value) if !value.is_empty() => {
            let fields: SentValues<'_> = smallvec![SentValue { key: (&*plan.name).into(), value }];
            verdict.observe_parameter(plan);
            validate_parameter(arena, verdict, plan, &fields);
        }
        _ if plan.required => {
            let message = "the query string is required and is not there";
            verdict.add(rule_of(plan), ViolationKind::Missing, message);
        }
        _ => {}
    }
}

/// Parameters of a query or of cookies: each pair goes to the parameter it belongs to.
fn validate_pairs<'c>(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'c>,
    set: &'c ParameterSet,
    pairs: &Pairs<'_>,
    location: Location,
    operation: &CompiledOperation,
    is_credential: impl Fn(&str) -> bool,
) {
    let shapes = verdict.contract.shapes();
    let mut owners: SmallVec<[KeyOwner; 12]> =
        pairs.iter().map(|pair| set.owner(&pair.key)).collect();
    for at in set.exploded() {
        let Some(plan) = set.plans().get(*at) else { continue };
        let shape = shapes.get(plan.shape);
        for (owner, pair) in owners.iter_mut().zip(pairs) {
            let takes =
                || shape.names_property(&pair.key) || shape.allows_others() || shape.is_free_form();
            let free = *owner == KeyOwner::Unknown || *owner == KeyOwner::Parameter(*at);
            if free && takes() && !is_credential(&pair.key) {
                *owner = KeyOwner::Parameter(*at);
            }
        }
    }
    for (at, plan) in set.plans().iter().enumerate() {
        let mine = owners.iter().zip(pairs).filter(|(owner, _)| **owner == KeyOwner::Parameter(at));
        let fields: SentValues<'_> = mine.map(|(_, pair)| field_of(pair)).collect();
        if !fields.is_empty() {
            verdict.observe_parameter(plan);
            validate_parameter(arena, verdict, plan, &fields);
        } else if plan.required
            && !(set.exploded().contains(&at) && accepts_empty_object(arena, verdict, plan))
        {
            let rule = rule_of(plan);
            let message = format!("{} is required and is not there", rule.label());
            verdict.add(rule, ViolationKind::Missing, message);
        }
    }
    if verdict.contract.is_strict(Rule::UndeclaredFields) && !operation.parameter_defect {
        let unknown = owners.iter().zip(pairs).filter(|(owner, pair)| {
            **owner == KeyOwner::Unknown && !pair.key.is_empty() && !is_credential(&pair.key)
        });
        let names: Vec<&str> = unknown.map(|(_, pair)| &*pair.key).collect();
        let rule = RuleLocation { location, name: None, pointer: &operation.pointer };
        verdict.add_undeclared(rule, String::new(), names.into_iter());
    }
}

fn field_of<'m>(pair: &Pair<'m>) -> SentValue<'m> {
    SentValue { key: pair.key.clone(), value: pair.value }
}

/// Whether an object whose properties are keys of their own may be empty: an empty one looks
/// like one that was not sent.
fn accepts_empty_object(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    plan: &crate::contract::parameter::ParameterPlan,
) -> bool {
    arena.clear();
    arena.begin_object();
    let id = arena.end();
    super::value::conforms(arena, verdict, plan.schema, id)
}
