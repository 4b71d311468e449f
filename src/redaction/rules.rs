//! What is to be masked.

/// The rules of a redactor: the defaults, and what the settings add or take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Header names whose values are masked; case does not matter.
    pub headers: Vec<String>,
    /// Names of query keys, form fields, body fields, cookies and headers. `access_token` also
    /// means `accessToken`, `Access-Token` and `user_access_token`: the last words of a name
    /// decide, however they are joined.
    pub names: Vec<String>,
    /// Parts of a word that are enough, as `password` in `userpasswordhash`.
    pub name_parts: Vec<String>,
    /// Places in JSON and form bodies: RFC 6901 pointers; `*` stands for any one segment, `**`
    /// for any number of them.
    pub pointers: Vec<String>,
    /// Whether values that look like card numbers, e-mail addresses or tokens are masked
    /// wherever they stand.
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

// === impl Rules ===

impl Default for Rules {
    /// What is masked unless someone says otherwise.
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
