//! What is to be masked, and the redactor that knows it.

use std::collections::HashSet;

use serde::Serialize;

use super::names::SecretNames;
use super::patterns::mask_patterns;
use super::pointers::{InvalidPointer, PointerSet};

/// Something a [`Redactor`] has redacted. Reading it is free; only the redactor makes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

/// Redacts everything that leaves memory. Only a redactor makes a [`Redacted`].
#[derive(Debug, Clone)]
pub struct Redactor {
    pub(super) headers: HashSet<String>,
    names: SecretNames,
    pointers: PointerSet,
    patterns: bool,
}

/// What a contract says must be masked in the messages of one operation.
#[derive(Debug, Clone, Default)]
pub struct ContractMasks {
    /// Pointers into the request body.
    pub request_body: PointerSet,
    /// Pointers into the response body.
    pub response_body: PointerSet,
    /// Names of request headers, lower case.
    pub request_headers: Vec<String>,
    /// Names of response headers, lower case.
    pub response_headers: Vec<String>,
    /// Names of query parameters, compared exactly.
    pub query: Vec<String>,
    /// Segments of the path, counted from 0.
    pub path_segments: Vec<usize>,
}

/// The rules of a redactor: the defaults, and what the settings add or take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedactionRules {
    /// Header names whose values are masked; case does not matter.
    pub headers: Vec<String>,
    /// Names of query keys, form fields, body fields, cookies and headers. `access_token` also
    /// means `accessToken`, `Access-Token` and `user_access_token`: the last words of a name
    /// decide, however they are joined.
    pub names: Vec<String>,
    /// Parts of a word that are enough, as `password` in `userpasswordhash`.
    pub name_parts: Vec<String>,
    /// RFC 6901 pointers into JSON and form bodies; `*` stands for any one segment, `**`
    /// for any number of them.
    pub pointers: Vec<String>,
    /// Whether values that look like card numbers, e-mail addresses or tokens are masked
    /// everywhere.
    pub patterns: bool,
}

const HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "x-api-key",
    "x-auth-token",
    "x-amz-security-token",
    "x-forwarded-client-cert",
    "x-goog-api-key",
    "x-vault-token",
    "ocp-apim-subscription-key",
    "www-authenticate",
    "api-key",
    "apikey",
    "x-csrf-token",
    "x-xsrf-token",
];

const NAMES: &[&str] = &[
    "pwd",
    "pin",
    "pin_code",
    "token",
    "access_token",
    "refresh_token",
    "id_token",
    "auth",
    "authorization",
    "api_key",
    "access_key",
    "private_key",
    "signing_key",
    "encryption_key",
    "signature",
    "sig",
    "otp",
    "totp",
    "mfa_code",
    "session_id",
    "session_key",
    "csrf",
    "xsrf",
    "jwt",
    "bearer",
    "assertion",
    "code_verifier",
    "card",
    "card_number",
    "pan",
    "cvv",
    "cvc",
    "cvv2",
    "security_code",
    "iban",
    "account_number",
    "routing_number",
    "ssn",
    "social_security_number",
    "tax_id",
    "passport_number",
    "credential",
    "credentials",
];

const NAME_PARTS: &[&str] = &["password", "passwd", "passphrase", "secret"];

// === impl Redacted ===

impl<T> Redacted<T> {
    /// The redacted value.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// The redacted value, without the proof that it was redacted.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// A value that was redacted, written or encrypted, and read back; nothing else may come in
    /// here. The spool uses it for the records it returns, storage for the records it encrypts.
    pub fn assume_redacted(value: T) -> Self {
        Self(value)
    }

    pub(super) fn new(value: T) -> Self {
        Self(value)
    }
}

// === impl Redactor ===

impl Redactor {
    /// A redactor with these rules.
    pub fn new(rules: &RedactionRules) -> Result<Self, InvalidPointer> {
        Ok(Self {
            headers: rules.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            names: SecretNames::new(
                rules.names.iter().map(String::as_str),
                rules.name_parts.iter().map(String::as_str),
            ),
            pointers: PointerSet::new(rules.pointers.iter().map(String::as_str))?,
            patterns: rules.patterns,
        })
    }

    /// Whether a text looks like a secret, or has a part that does.
    pub fn looks_secret(&self, text: &str) -> bool {
        self.mask_secrets(text, false).is_some()
    }

    /// Whether a name says that its value is a secret.
    pub(super) fn is_secret_name(&self, name: &str) -> bool {
        self.names.matches(name)
    }

    /// The pointers of the settings.
    pub(super) fn pointers(&self) -> &PointerSet {
        &self.pointers
    }

    /// `text` with everything masked that looks like a secret, where patterns are on. With `cut`
    /// the text goes on beyond its end.
    pub(super) fn mask_secrets(&self, text: &str, cut: bool) -> Option<String> {
        if self.patterns { mask_patterns(text, cut) } else { None }
    }
}

impl Default for Redactor {
    /// A redactor with the default rules, which have no pointers.
    fn default() -> Self {
        let rules = RedactionRules::default();
        Self {
            headers: rules.headers.iter().cloned().collect(),
            names: SecretNames::new(
                rules.names.iter().map(String::as_str),
                rules.name_parts.iter().map(String::as_str),
            ),
            pointers: PointerSet::default(),
            patterns: rules.patterns,
        }
    }
}

// === impl RedactionRules ===

impl Default for RedactionRules {
    /// What is masked by default.
    fn default() -> Self {
        let owned = |list: &[&str]| list.iter().map(|&name| name.to_owned()).collect();
        Self {
            headers: owned(HEADERS),
            names: owned(NAMES),
            name_parts: owned(NAME_PARTS),
            pointers: Vec::new(),
            patterns: true,
        }
    }
}
