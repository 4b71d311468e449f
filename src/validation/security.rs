//! Credentials: whether a request carries what one of the alternatives asks for.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::pairs::Pair;
use crate::contract::security::{Credential, CredentialKind, SecurityPlan};

/// The parts of a request that may carry credentials.
pub(crate) struct Credentials<'m> {
    pub(crate) headers: &'m HeaderMap,
    pub(crate) query: &'m [Pair<'m>],
    pub(crate) cookies: &'m [Pair<'m>],
}

/// Whether a request carries one credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CredentialState {
    Present,
    Missing,
    /// There, but not of the scheme's form.
    Malformed,
    /// The message cannot show it.
    Unknown,
    /// The document does not say what to look for.
    Undeclared,
}

/// The outcome of checking every alternative.
#[derive(Debug)]
pub(crate) enum SecurityOutcome<'c> {
    /// One alternative is satisfied, or nothing is asked for.
    Satisfied,
    /// No alternative is refuted by what can be seen.
    Unknown,
    /// No alternative is refuted, and the document does not declare all that they ask for.
    Undeclared,
    /// What the alternative that came closest lacks.
    Lacking(Vec<(&'c Credential, CredentialState)>),
}

/// Checks a request for the credentials of a plan.
pub(crate) fn check<'c>(plan: &'c SecurityPlan, sent: &Credentials<'_>) -> SecurityOutcome<'c> {
    if plan.is_optional() {
        return SecurityOutcome::Satisfied;
    }
    let mut closest: Option<Vec<(&Credential, CredentialState)>> = None;
    let (mut unknown, mut undeclared) = (false, false);
    for alternative in &plan.alternatives {
        let found = alternative.iter().map(|one| (one, sent.state_of(&one.kind)));
        let lacking: Vec<_> =
            found.filter(|(_, found)| *found != CredentialState::Present).collect();
        if lacking.is_empty() {
            return SecurityOutcome::Satisfied;
        }
        let is_undeclared =
            |(_, found): &(_, CredentialState)| *found == CredentialState::Undeclared;
        if lacking.iter().all(|(_, found)| found.is_open()) {
            undeclared |= lacking.iter().any(is_undeclared);
            unknown = true;
        }
        if closest.as_ref().is_none_or(|best| distance(&lacking) < distance(best)) {
            closest = Some(lacking);
        }
    }
    if undeclared {
        return SecurityOutcome::Undeclared;
    }
    if unknown {
        return SecurityOutcome::Unknown;
    }
    let mut lacking = closest.unwrap_or_default();
    lacking.retain(|(_, found)| !found.is_open());
    SecurityOutcome::Lacking(lacking)
}

/// Malformed is closer than missing: it shows which alternative was meant.
fn distance(lacking: &[(&Credential, CredentialState)]) -> (usize, usize) {
    let missing = lacking.iter().filter(|(_, found)| *found == CredentialState::Missing).count();
    (missing, lacking.len())
}

// === impl CredentialState ===

impl CredentialState {
    /// Whether the message neither has nor lacks it, as far as can be seen.
    fn is_open(self) -> bool {
        matches!(self, Self::Unknown | Self::Undeclared)
    }
}

// === impl Credentials ===

impl Credentials<'_> {
    fn state_of(&self, kind: &CredentialKind) -> CredentialState {
        match kind {
            CredentialKind::HeaderKey(name) => match self.headers.get(&**name) {
                Some(value) => present_if(!value.is_empty()),
                None => CredentialState::Missing,
            },
            CredentialKind::QueryKey(name) => key_in(self.query, name),
            CredentialKind::CookieKey(name) => key_in(self.cookies, name),
            CredentialKind::Basic => self.authorization("basic", is_basic),
            // RFC 6750 §2.3 and RFC 9449 name two more ways to send a token.
            CredentialKind::Bearer => match key_in(self.query, "access_token") {
                CredentialState::Present => CredentialState::Present,
                _ => match self.authorization("dpop", is_token) {
                    CredentialState::Present => CredentialState::Present,
                    _ => self.authorization("bearer", is_token),
                },
            },
            CredentialKind::Digest => self.authorization("digest", |text| text.contains('=')),
            CredentialKind::OtherHttp(scheme) => self.authorization(scheme, |_| true),
            CredentialKind::Unenforceable => CredentialState::Unknown,
            CredentialKind::Undeclared => CredentialState::Undeclared,
        }
    }

    fn authorization(&self, scheme: &str, well_formed: impl Fn(&str) -> bool) -> CredentialState {
        let mut found = CredentialState::Missing;
        for value in self.headers.get_all(AUTHORIZATION) {
            let Ok(text) = value.to_str() else {
                found = CredentialState::Malformed;
                continue;
            };
            let (name, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            if !name.eq_ignore_ascii_case(scheme) {
                // Another scheme's credential is none of this scheme.
                continue;
            }
            if well_formed(rest.trim()) {
                return CredentialState::Present;
            }
            found = CredentialState::Malformed;
        }
        found
    }
}

fn key_in(pairs: &[Pair<'_>], name: &str) -> CredentialState {
    match pairs.iter().find(|pair| pair.key == name) {
        Some(pair) => present_if(!pair.value.is_empty()),
        None => CredentialState::Missing,
    }
}

fn present_if(filled: bool) -> CredentialState {
    if filled { CredentialState::Present } else { CredentialState::Malformed }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && !text.contains([' ', ','])
}

/// Padded Base64 (RFC 4648 §4), as RFC 7617 has it. Whether a colon is in it is left to the
/// service: many clients send a bare key that way, and services take it.
fn is_basic(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    !body.is_empty()
        && text.len().is_multiple_of(4)
        && text.len() - body.len() <= 2
        && body.bytes().all(alphabet)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn state(kind: &CredentialKind, authorization: Option<&str>) -> CredentialState {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(AUTHORIZATION, value.parse().unwrap());
        }
        Credentials { headers: &headers, query: &[], cookies: &[] }.state_of(kind)
    }

    #[test]
    fn http_schemes_check_the_form_of_their_credentials() {
        assert_eq!(
            state(&CredentialKind::Basic, Some("basic dXNlcjpwYXNz")),
            CredentialState::Present
        );
        assert_eq!(state(&CredentialKind::Basic, Some("Basic dXNlcg==")), CredentialState::Present);
        assert_eq!(state(&CredentialKind::Basic, Some("Basic abc123")), CredentialState::Malformed);
        assert_eq!(state(&CredentialKind::Basic, Some("Bearer x")), CredentialState::Missing);
        assert_eq!(state(&CredentialKind::Bearer, Some("Bearer a.b.c")), CredentialState::Present);
        assert_eq!(state(&CredentialKind::Bearer, Some("Bearer")), CredentialState::Malformed);
        assert_eq!(state(&CredentialKind::Bearer, None), CredentialState::Missing);
        assert_eq!(
            state(&CredentialKind::Digest, Some("Digest username=\"x\"")),
            CredentialState::Present
        );
        assert_eq!(
            state(&CredentialKind::OtherHttp("hoba".into()), Some("HOBA x")),
            CredentialState::Present
        );
    }

    #[test]
    fn the_closest_alternative_is_the_one_reported() {
        let one = |scheme: &str, kind| Credential { scheme: scheme.into(), kind };
        let plan = SecurityPlan {
            alternatives: vec![
                vec![
                    one("a", CredentialKind::QueryKey("a".into())),
                    one("b", CredentialKind::CookieKey("b".into())),
                ],
                vec![one("basic", CredentialKind::Basic)],
            ],
            pointer: "/security".into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, "Basic x".parse().unwrap());
        let query = [Pair { key: Cow::Borrowed("a"), value: "1" }];
        let sent = Credentials { headers: &headers, query: &query, cookies: &[] };
        let SecurityOutcome::Lacking(lacking) = check(&plan, &sent) else { panic!("satisfied") };
        assert_eq!(lacking.len(), 1);
        assert_eq!((&*lacking[0].0.scheme, lacking[0].1), ("basic", CredentialState::Malformed));
        let cookies = [Pair { key: Cow::Borrowed("b"), value: "2" }];
        let sent = Credentials { headers: &headers, query: &query, cookies: &cookies };
        assert!(matches!(check(&plan, &sent), SecurityOutcome::Satisfied));
    }

    #[test]
    fn trap_t15_a_credential_that_cannot_be_seen_is_not_missing() {
        let tls = Credential { scheme: "tls".into(), kind: CredentialKind::Unenforceable };
        let key = Credential { scheme: "k".into(), kind: CredentialKind::QueryKey("k".into()) };
        let headers = HeaderMap::new();
        let sent = Credentials { headers: &headers, query: &[], cookies: &[] };
        let alone = SecurityPlan { alternatives: vec![vec![tls.clone()]], pointer: "".into() };
        assert!(matches!(check(&alone, &sent), SecurityOutcome::Unknown));
        let both = SecurityPlan { alternatives: vec![vec![tls, key]], pointer: "".into() };
        let SecurityOutcome::Lacking(lacking) = check(&both, &sent) else { panic!("satisfied") };
        assert_eq!(lacking.len(), 1);
    }
}
