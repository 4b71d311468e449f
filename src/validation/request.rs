//! Requests: path, query, header fields, cookies, credentials, body.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, COOKIE, ORIGIN};
use http::{HeaderMap, HeaderName, Method};
use smallvec::{SmallVec, smallvec};

use super::body::{self, BodyContext};
use super::findings::{Findings, Place};
use super::judge::{Judge, RequestJudgement, incomplete};
use super::media_type::Chosen;
use super::parameter::{Field, Fields, Pair, Pairs, cookie_pairs, query_pairs};
use super::security::{self, Credentials, Found, SecurityOutcome};
use super::value::{judge_parameter, place_of};
use super::witness::Witness;
use super::{header, media_type};
use crate::contract::Contract;
use crate::contract::encoding::BodyPlan;
use crate::contract::instance::Arena;
use crate::contract::operation::CompiledOperation;
use crate::contract::parameter::{Owner, ParameterSet};
use crate::contract::route::{Captures, RouteMatch};
use crate::contract::security::CredentialKind;
use crate::model::exchange::{Captured, RequestHead};
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, Rule, Side};

const ACCESS_CONTROL_REQUEST_METHOD: HeaderName =
    HeaderName::from_static("access-control-request-method");

// === impl Judge ===

impl Judge {
    /// Judges a request. Its head is judged even where its body cannot be.
    pub fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &Captured,
    ) -> RequestJudgement {
        self.request_before(contract, head, body, &mut ())
    }

    /// The same before a witness.
    pub fn request_before(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &Captured,
        witness: &mut dyn Witness,
    ) -> RequestJudgement {
        let mut findings = Findings::new(contract, Side::Request, self.options.violation_cap);
        let found = contract.find(&head.method, head.path());
        let operation = match &found {
            RouteMatch::Found { operation, captures } => {
                let compiled = contract.operation(*operation);
                self.judge_request(&mut findings, compiled, captures, head, body);
                findings.testify(Side::Request, *operation, &self.arena, witness);
                Some(*operation)
            }
            _ if is_preflight(head) => {
                findings.skip(SkipReason::Preflight);
                None
            }
            RouteMatch::MethodUnknown { template } => {
                let at = pointer_to_path(template);
                let place = Place { location: Location::Method, name: None, pointer: &at };
                let message = "the document does not list this method for the path";
                findings.add(place, Rule::Undocumented, message);
                None
            }
            RouteMatch::PathUnknown => {
                let place = Place { location: Location::Path, name: None, pointer: "/paths" };
                findings.add(place, Rule::Undocumented, "the document lists no such path");
                None
            }
        };
        self.tidy();
        RequestJudgement { operation, verdict: findings.into_verdict() }
    }

    fn judge_request<'c>(
        &mut self,
        findings: &mut Findings<'c>,
        operation: &'c CompiledOperation,
        captures: &Captures,
        head: &RequestHead,
        body: &Captured,
    ) {
        let query = query_pairs(head.query().unwrap_or_default());
        let cookies = head.headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookies = cookie_pairs(cookies);
        let arena = &mut self.arena;
        if self.options.security {
            let sent = Credentials { headers: &head.headers, query: &query, cookies: &cookies };
            judge_security(findings, operation, &sent);
        }
        judge_path(arena, findings, operation, captures, head.path());
        let credentials = || operation.security.credentials();
        let named = |key: &str, pick: fn(&CredentialKind) -> Option<&Arc<str>>| {
            credentials().filter_map(|one| pick(&one.kind)).any(|name| &**name == key)
        };
        if let Some(plan) = &operation.query_string {
            judge_query_string(arena, findings, plan, head.query());
        } else {
            let is_key = |key: &str| named(key, query_key);
            judge_pairs(
                arena,
                findings,
                &operation.query,
                &query,
                Location::Query,
                operation,
                is_key,
            );
        }
        let is_key = |key: &str| named(key, cookie_key);
        judge_pairs(
            arena,
            findings,
            &operation.cookies,
            &cookies,
            Location::Cookie,
            operation,
            is_key,
        );
        for plan in &operation.headers {
            if head.headers.contains_key(&*plan.name) {
                findings.saw_parameter(plan);
            }
            header::judge_header(arena, findings, plan, &head.headers);
        }
        if findings.contract.strict_fields() {
            header::undeclared_request(findings, operation, &head.headers);
        }
        self.judge_request_body(findings, operation, head, body);
    }

    fn judge_request_body(
        &mut self,
        findings: &mut Findings<'_>,
        operation: &CompiledOperation,
        head: &RequestHead,
        body: &Captured,
    ) {
        let Some(plan) = &operation.body else {
            if body.seen() > 0 && findings.contract.strict_fields() {
                let pointer = &operation.pointer;
                let place = Place { location: Location::Body, name: None, pointer };
                findings.add(place, Rule::Undeclared, "the document lists no body here");
            }
            return;
        };
        let place = Place { location: Location::Body, name: None, pointer: &plan.pointer };
        if body.seen() == 0 {
            if let Some(reason) = incomplete(body) {
                findings.skip(reason);
            } else if plan.required {
                findings.add(place, Rule::Missing, "the body is required and is not there");
            }
            return;
        }
        self.judge_content(findings, plan, &head.headers, body);
    }

    fn judge_content(
        &mut self,
        findings: &mut Findings<'_>,
        plan: &BodyPlan,
        headers: &HeaderMap,
        captured: &Captured,
    ) {
        let place = Place { location: Location::MediaType, name: None, pointer: &plan.pointer };
        let chosen = media_type::choose(findings, &plan.content, headers.get(CONTENT_TYPE), place);
        let Some(chosen) = chosen else { return };
        if let Some(reason) = incomplete(captured) {
            findings.skip(reason);
            return;
        }
        let Chosen { media, kind, guessed, charset, boundary } = chosen;
        let context = BodyContext { media, kind, guessed, charset, boundary, missing: place };
        let limit = self.options.decoded_limit;
        body::judge(&mut self.arena, findings, &context, headers, captured, limit);
    }
}

/// A pre-flight of the CORS protocol (Fetch §3.2.2): browsers send it, documents seldom list it.
fn is_preflight(head: &RequestHead) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn pointer_to_path(template: &str) -> String {
    crate::contract::document::pointer::join("/paths", template)
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

fn judge_security(
    findings: &mut Findings<'_>,
    operation: &CompiledOperation,
    sent: &Credentials<'_>,
) {
    match security::judge(&operation.security, sent) {
        SecurityOutcome::Satisfied => {}
        SecurityOutcome::Unknown => findings.skip(SkipReason::Unenforceable),
        SecurityOutcome::Lacking(lacking) => {
            for (credential, found) in lacking {
                let pointer = &operation.security.pointer;
                let name = Some(&credential.scheme);
                let place = Place { location: Location::Security, name, pointer };
                if found == Found::Malformed {
                    let message = "the credential is not of the form its scheme asks for";
                    findings.add(place, Rule::Malformed, message);
                } else {
                    findings.add(place, Rule::Missing, "a credential of this scheme is not there");
                }
            }
        }
    }
}

fn judge_path<'c>(
    arena: &mut Arena,
    findings: &mut Findings<'c>,
    operation: &'c CompiledOperation,
    captures: &Captures,
    path: &str,
) {
    for (plan, (from, to)) in operation.path.iter().zip(captures) {
        let Some(plan) = plan else { continue };
        let value = path.get(*from..*to).unwrap_or_default();
        let fields: Fields<'_> = smallvec![Field { key: (&*plan.name).into(), value }];
        findings.saw_parameter(plan);
        judge_parameter(arena, findings, plan, &fields);
    }
}

fn judge_query_string<'c>(
    arena: &mut Arena,
    findings: &mut Findings<'c>,
    plan: &'c crate::contract::parameter::ParameterPlan,
    query: Option<&str>,
) {
    match query {
        Some(value) if !value.is_empty() => {
            let fields: Fields<'_> = smallvec![Field { key: (&*plan.name).into(), value }];
            findings.saw_parameter(plan);
            judge_parameter(arena, findings, plan, &fields);
        }
        _ if plan.required => {
            findings.add(place_of(plan), Rule::Missing, "the query is required and is not there");
        }
        _ => {}
    }
}

/// Parameters of a query or of cookies: each pair goes to the parameter it belongs to.
fn judge_pairs<'c>(
    arena: &mut Arena,
    findings: &mut Findings<'c>,
    set: &'c ParameterSet,
    pairs: &Pairs<'_>,
    location: Location,
    operation: &CompiledOperation,
    is_credential: impl Fn(&str) -> bool,
) {
    let shapes = findings.contract.shapes();
    let mut owners: SmallVec<[Owner; 12]> = pairs.iter().map(|pair| set.owner(&pair.key)).collect();
    for at in set.exploded() {
        let Some(plan) = set.plans().get(*at) else { continue };
        let shape = shapes.get(plan.shape);
        for (owner, pair) in owners.iter_mut().zip(pairs) {
            let takes = || {
                shape.names_property(&pair.key) || shape.invites_others() || shape.is_free_form()
            };
            let free = *owner == Owner::Nobody || *owner == Owner::Parameter(*at);
            if free && takes() && !is_credential(&pair.key) {
                *owner = Owner::Parameter(*at);
            }
        }
    }
    for (at, plan) in set.plans().iter().enumerate() {
        let mine = owners.iter().zip(pairs).filter(|(owner, _)| **owner == Owner::Parameter(at));
        let fields: Fields<'_> = mine.map(|(_, pair)| field_of(pair)).collect();
        if !fields.is_empty() {
            findings.saw_parameter(plan);
            judge_parameter(arena, findings, plan, &fields);
        } else if plan.required
            && !(set.exploded().contains(&at) && accepts_nothing(arena, findings, plan))
        {
            findings.add(place_of(plan), Rule::Missing, "it is required and is not there");
        }
    }
    if findings.contract.strict_fields() {
        let unknown = owners.iter().zip(pairs).filter(|(owner, pair)| {
            **owner == Owner::Nobody && !pair.key.is_empty() && !is_credential(&pair.key)
        });
        let count = unknown.count();
        if count > 0 {
            let place = Place { location, name: None, pointer: &operation.pointer };
            let message = format!("{count} sent that the document does not declare");
            findings.add_at(place, Rule::Undeclared, "/*".to_owned(), message);
        }
    }
}

fn field_of<'m>(pair: &Pair<'m>) -> Field<'m> {
    Field { key: pair.key.clone(), value: pair.value }
}

/// Whether an object whose properties are keys of their own is content with none: sent that
/// way it cannot be told from one that is left out.
fn accepts_nothing(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    plan: &crate::contract::parameter::ParameterPlan,
) -> bool {
    arena.clear();
    arena.begin_object();
    let id = arena.end();
    super::value::judge(arena, findings, plan.schema, id)
}
