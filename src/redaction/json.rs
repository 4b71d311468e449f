//! JSON bodies, token by token: what is not masked stays byte for byte.
//!
//! No tree is built, so numbers, duplicate keys and white space survive. From the first byte
//! that is not JSON on, or deeper than [`MAX_DEPTH`], every letter and digit is masked: a value
//! whose path is unknown cannot be shown.

use std::borrow::Cow;
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::mask::{mask, mask_number};
use super::pointers::{Active, PointerSet};
use super::redactor::Redactor;

/// Deeper values are masked whole.
const MAX_DEPTH: usize = 512;
/// Keys of one body that are remembered.
const MAX_KEYS: usize = 256;

/// Walks one body.
pub(super) struct JsonMasker<'r> {
    redactor: &'r Redactor,
    pointers: &'r PointerSet,
    text: &'r str,
    /// Everything before this is in `out`.
    at: usize,
    out: String,
    stack: Vec<Frame>,
    /// Keys already seen that contain no secret, and whether they name one: the elements of an
    /// array have the same keys again and again.
    safe_keys: HashMap<&'r str, bool, RandomState>,
}

/// An open object or array.
struct Frame {
    object: bool,
    secret: bool,
    configured: Active,
    contract: Active,
    /// Elements seen, for the pointers into arrays.
    index: usize,
}

/// What is known of the path of the next value.
struct ValueContext {
    secret: bool,
    configured: Active,
    contract: Active,
}

/// The rest is not JSON, or was cut.
struct NotJson;

// === impl JsonMasker ===

impl<'r> JsonMasker<'r> {
    pub(super) fn new(redactor: &'r Redactor, pointers: &'r PointerSet, text: &'r str) -> Self {
        let out = String::with_capacity(text.len());
        let (stack, safe_keys) = (Vec::new(), HashMap::default());
        Self { redactor, pointers, text, at: 0, out, stack, safe_keys }
    }

    /// The text with every secret masked. Several values may follow each other (JSON lines).
    pub(super) fn run(mut self) -> String {
        while self.at < self.text.len() {
            self.copy_whitespace();
            if self.at < self.text.len() && self.document().is_err() {
                self.mask_rest();
            }
        }
        self.out
    }

    fn document(&mut self) -> Result<(), NotJson> {
        // RFC 7464 sequences start each value with a record separator
        if self.peek() == Some(0x1e) {
            return self.copy(1);
        }
        let (configured, first) = self.redactor.pointers().start();
        let (contract, second) = self.pointers.start();
        self.value(ValueContext { secret: first || second, configured, contract })?;
        while let Some(object) = self.stack.last().map(|frame| frame.object) {
            self.copy_whitespace();
            if object {
                self.member()?;
            } else {
                self.element()?;
            }
            self.copy_whitespace();
        }
        Ok(())
    }

    /// A comma or the end of the object, then a member.
    fn member(&mut self) -> Result<(), NotJson> {
        if self.closes(b'}')? {
            return Ok(());
        }
        self.copy_whitespace();
        let (key, named_secret) = self.key()?;
        self.copy_whitespace();
        if self.peek() != Some(b':') {
            return Err(NotJson);
        }
        self.copy(1)?;
        self.copy_whitespace();
        let frame = self.stack.last().ok_or(NotJson)?;
        let (configured, first) = self.redactor.pointers().step(&frame.configured, &key);
        let (contract, second) = self.pointers.step(&frame.contract, &key);
        let secret = frame.secret || first || second || named_secret;
        self.value(ValueContext { secret, configured, contract })
    }

    /// A comma or the end of the array, then an element.
    fn element(&mut self) -> Result<(), NotJson> {
        if self.closes(b']')? {
            return Ok(());
        }
        self.copy_whitespace();
        let frame = self.stack.last().ok_or(NotJson)?;
        let index = (frame.index - 1).to_string();
        let (configured, first) = self.redactor.pointers().step(&frame.configured, &index);
        let (contract, second) = self.pointers.step(&frame.contract, &index);
        let secret = frame.secret || first || second;
        self.value(ValueContext { secret, configured, contract })
    }

    /// Closes the innermost frame, or passes the comma before its next item.
    fn closes(&mut self, end: u8) -> Result<bool, NotJson> {
        let frame = self.stack.last_mut().ok_or(NotJson)?;
        let first = frame.index == 0;
        frame.index += 1;
        match self.peek() {
            Some(byte) if byte == end => {
                self.stack.pop();
                self.copy(1)?;
                Ok(true)
            }
            Some(b',') if !first => self.copy(1).map(|()| false),
            Some(_) if first => Ok(false),
            _ => Err(NotJson),
        }
    }

    /// A scalar, or the start of an object or array.
    fn value(&mut self, value_context: ValueContext) -> Result<(), NotJson> {
        match self.peek() {
            Some(open @ (b'{' | b'[')) => {
                if self.stack.len() == MAX_DEPTH {
                    return Err(NotJson);
                }
                let ValueContext { secret, configured, contract } = value_context;
                let object = open == b'{';
                self.stack.push(Frame { object, secret, configured, contract, index: 0 });
                self.copy(1)
            }
            Some(b'"') => self.string(value_context.secret),
            Some(b'-' | b'0'..=b'9') => {
                self.number(value_context.secret);
                Ok(())
            }
            Some(b't') => self.word("true", value_context.secret.then_some("false")),
            Some(b'f') => self.word("false", None),
            Some(b'n') => self.word("null", None),
            _ => Err(NotJson),
        }
    }

    fn word(&mut self, word: &str, masked: Option<&str>) -> Result<(), NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(NotJson);
        }
        self.out.push_str(masked.unwrap_or(word));
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self, secret: bool) {
        let rest = &self.text[self.at..];
        let end = rest
            .bytes()
            .position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        // a number at the very end may go on beyond a cut
        let cut = end.is_none() && !self.stack.is_empty();
        let number = &rest[..end.unwrap_or(rest.len())];
        let masked = secret || cut || self.redactor.mask_secrets(number, false).is_some();
        self.out.push_str(if masked { mask_number(number) } else { number });
        self.at += number.len();
    }

    fn string(&mut self, secret: bool) -> Result<(), NotJson> {
        let raw = self.raw_string()?;
        let masked = if secret {
            Some(mask(&unescape(raw)))
        } else {
            self.redactor.mask_secrets(&unescape(raw), false)
        };
        self.push_string(raw, masked);
        Ok(())
    }

    /// A member's name, decoded, and whether it names a secret. Names are kept, but for those that look like secrets, and for
    /// those under a secret that turn out to be none.
    fn key(&mut self) -> Result<(Cow<'r, str>, bool), NotJson> {
        if self.peek() != Some(b'"') {
            return Err(NotJson);
        }
        let raw = self.raw_string()?;
        let rest = &self.text[self.at + raw.len() + 2..];
        let named = rest.trim_start_matches([' ', '\t', '\n', '\r']).starts_with(':');
        if !named && self.stack.last().is_some_and(|frame| frame.secret) {
            return Err(NotJson);
        }
        let key = unescape(raw);
        if let Some(&secret) = self.safe_keys.get(raw) {
            self.push_string(raw, None);
            return Ok((key, secret));
        }
        let masked = self.redactor.mask_secrets(&key, false);
        let secret = self.redactor.is_secret_name(&key);
        if masked.is_none() && self.safe_keys.len() < MAX_KEYS {
            self.safe_keys.insert(raw, secret);
        }
        self.push_string(raw, masked);
        Ok((key, secret))
    }

    fn push_string(&mut self, raw: &str, masked: Option<String>) {
        self.out.push('"');
        match masked {
            // a mask may keep text around a secret that needs escapes again
            Some(masked) => self.out.push_str(&escape(&masked)),
            None => self.out.push_str(raw),
        }
        self.out.push('"');
        self.at += raw.len() + 2;
    }

    /// The text between the quotes, escapes included.
    fn raw_string(&self) -> Result<&'r str, NotJson> {
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let mut at = start;
        loop {
            match bytes.get(at) {
                Some(b'"') => return Ok(&self.text[start..at]),
                Some(b'\\') => at += 2,
                Some(_) => at += 1,
                None => return Err(NotJson),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn copy_whitespace(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest
            .iter()
            .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
            .unwrap_or(rest.len());
        self.out.push_str(&self.text[self.at..self.at + count]);
        self.at += count;
    }

    /// Copies ASCII as it is.
    fn copy(&mut self, count: usize) -> Result<(), NotJson> {
        let piece = self.text.get(self.at..self.at + count).ok_or(NotJson)?;
        self.out.push_str(piece);
        self.at += count;
        Ok(())
    }

    fn mask_rest(&mut self) {
        let rest = &self.text[self.at..];
        self.out.extend(
            rest.chars()
                .map(|c| if c.is_ascii_punctuation() || c.is_whitespace() { c } else { 'x' }),
        );
        self.at = self.text.len();
        self.stack.clear();
    }
}

/// The text of a JSON string; what is no escape stays as it is.
fn unescape(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    serde_json::from_str(&format!("\"{raw}\"")).map_or(Cow::Borrowed(raw), Cow::Owned)
}

fn escape(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{PointerSet, RedactionRules, Redactor};
    use super::*;

    fn redact(text: &str) -> String {
        let rules =
            RedactionRules { pointers: vec!["/deep/*/x".into()], ..RedactionRules::default() };
        let redactor = Redactor::new(&rules).unwrap();
        let pointers = PointerSet::new(["/contract"]).unwrap();
        JsonMasker::new(&redactor, &pointers, text).run()
    }

    #[test]
    fn text_that_is_not_secret_stays_byte_for_byte() {
        for text in [
            r#"{ "a" :1.0, "a": 12345678901234567890,"b":[ true ,null, 1e400, "\u00fc\n" ] }"#,
            "[]",
            "{}",
            " 1 ",
            "{\"a\":1}\n{\"a\":2}\n",
            "\"x\"",
            "",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn secrets_are_masked_in_place() {
        for (text, expected) in [
            (r#"{"password":"hunter2","n":1}"#, r#"{"password":"xxxx","n":1}"#),
            (r#"{"p\u0061ssword":"hunter2"}"#, r#"{"p\u0061ssword":"xxxx"}"#),
            (
                r#"{"card":{"number":4111,"ok":true,"no":null}}"#,
                r#"{"card":{"number":1,"ok":false,"no":null}}"#,
            ),
            (r#"{"deep":[{"x":1.5},{"y":1.5}]}"#, r#"{"deep":[{"x":0.5},{"y":1.5}]}"#),
            (r#"{"contract":["abc",1]}"#, r#"{"contract":["xx",1]}"#),
            (r#"{"to":"bob\u0040corp.com"}"#, r#"{"to":"x@x.example"}"#),
            (r#"{"n":4111111111111111}"#, r#"{"n":1}"#),
            (r#"{"bob@corp.com":1}"#, r#"{"x@x.example":1}"#),
            (r#"{"m":"say \"bob@corp.com\""}"#, r#"{"m":"say \"x@x.example\""}"#),
        ] {
            assert_eq!(redact(text), expected, "{text}");
            assert_eq!(redact(expected), expected, "redacting twice changes nothing");
        }
    }

    #[test]
    fn malformed_or_cut_json_shows_no_secret() {
        for (text, expected) in [
            (r#"{"password":"hunt"#, r#"{"password":"xxxx"#),
            (r#"{"password": hunter2}"#, r#"{"password": xxxxxxx}"#),
            (r#"{"card":41111"#, r#"{"card":1"#),
            (r#"{"n":41111"#, r#"{"n":1"#),
            (r#"{password:"hunter2"}"#, r#"{xxxxxxxx:"xxxxxxx"}"#),
        ] {
            assert_eq!(redact(text), expected, "{text}");
        }
        let deep = format!("{}\"hunter2\"", "[".repeat(MAX_DEPTH + 1));
        assert!(!redact(&deep).contains("hunter2"));
    }
}
