//! What a scalar means: the core schema of YAML 1.2 (§10.3.2), and tags.

use std::borrow::Cow;

use serde_json::{Number, Value};

use crate::json::number;

/// What every tag of YAML's own begins with.
const CORE: &str = "tag:yaml.org,2002:";

/// The value of a scalar: a plain one by its form, a quoted one is a string, unless a tag says
/// otherwise. Tags that YAML does not define change nothing.
pub(super) fn resolve(text: Cow<'_, str>, is_plain: bool, tag: Option<&str>) -> Value {
    let is_text = match tag.map(|tag| tag.strip_prefix(CORE).unwrap_or(tag)) {
        Some("!" | "str" | "binary" | "timestamp") => true,
        Some("int" | "float" | "bool" | "null") => false,
        _ => !is_plain,
    };
    if is_text {
        return Value::String(text.into_owned());
    }
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        plain => match to_number(plain) {
            Some(number) => Value::Number(number),
            None => Value::String(text.into_owned()),
        },
    }
}

/// A number of the core schema in JSON's form, its digits kept.
fn to_number(plain: &str) -> Option<Number> {
    if number::is_json_number(plain.as_bytes()) {
        return plain.parse().ok();
    }
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok();
    if let Some(digits) = plain.strip_prefix("0x").filter(|digits| !digits.starts_with(['+', '-']))
    {
        return radix(digits, 16)?.to_string().parse().ok();
    }
    if let Some(digits) = plain.strip_prefix("0o").filter(|digits| !digits.starts_with(['+', '-']))
    {
        return radix(digits, 8)?.to_string().parse().ok();
    }
    let (sign, digits) = match plain.as_bytes().first()? {
        b'-' => ("-", &plain[1..]),
        b'+' => ("", &plain[1..]),
        _ => ("", plain),
    };
    let mantissa_len = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(mantissa_len);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let written = format!("{sign}{whole}{point}{fraction}{exponent}");
    number::is_json_number(written.as_bytes()).then(|| written.parse().ok())?
}
