//! Exchanges as people write them down: HAR entries, a simple JSON form, JSON Lines.

use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};
use serde_json::{Map, Value};

use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};

/// One exchange to validate.
#[derive(Debug)]
pub(crate) struct ExchangeCase {
    /// Its own name; its place in the file where it has none.
    pub(crate) id: Value,
    /// Its own document, where it carries one.
    pub(crate) spec: Option<Value>,
    /// A document that is to be read and nothing else, in a line without a request.
    pub(crate) document: Option<Value>,
    /// What is to be validated, or why it cannot be.
    pub(crate) exchange: Result<RecordedExchange, String>,
}

/// Both sides, ready for the validator.
#[derive(Debug)]
pub(crate) struct RecordedExchange {
    pub(crate) request: RequestHead,
    pub(crate) request_body: CapturedBody,
    pub(crate) response: Option<(ResponseHead, CapturedBody)>,
}

/// Header fields and body of one side.
type MessageParts = (HeaderMap, CapturedBody);

/// Reads a whole file: HAR, one exchange, an array of them, or one per line.
pub(crate) fn read(text: &str) -> Vec<ExchangeCase> {
    if let Ok(whole) = serde_json::from_str::<Value>(text) {
        let entries = whole.get("log").and_then(|log| log.get("entries"));
        if let Some(entries) = entries.and_then(Value::as_array) {
            return entries.iter().enumerate().map(|(at, entry)| case(at, entry, true)).collect();
        }
        return match &whole {
            Value::Array(all) => {
                all.iter().enumerate().map(|(at, one)| any_case(at, one)).collect()
            }
            one => vec![any_case(0, one)],
        };
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.enumerate().map(|(at, line)| from_line(at, line)).collect()
}

fn from_line(at: usize, line: &str) -> ExchangeCase {
    match serde_json::from_str::<Value>(line) {
        Ok(value) => any_case(at, &value),
        Err(error) => ExchangeCase {
            id: Value::from(at),
            spec: None,
            document: None,
            exchange: Err(format!("line {} is not JSON: {error}", at + 1)),
        },
    }
}

/// A HAR entry on its own has a URL where the simple form has a path.
fn any_case(at: usize, value: &Value) -> ExchangeCase {
    let is_har = value.get("request").is_some_and(|request| request.get("url").is_some());
    case(at, value, is_har)
}

fn case(at: usize, value: &Value, is_har: bool) -> ExchangeCase {
    ExchangeCase {
        id: ["id", "_id"].iter().find_map(|key| value.get(*key)).cloned().unwrap_or(at.into()),
        spec: value.get("spec").filter(|spec| !spec.is_null()).cloned(),
        document: value.get("document").filter(|_| value.get("request").is_none()).cloned(),
        exchange: exchange(value, is_har),
    }
}

fn exchange(value: &Value, is_har: bool) -> Result<RecordedExchange, String> {
    let request = value.get("request").and_then(Value::as_object).ok_or("there is no request")?;
    let method = request.get("method").and_then(Value::as_str).unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| "the method is no token")?;
    let key = if is_har { "url" } else { "path" };
    let target = request.get(key).and_then(Value::as_str).ok_or("the request has no path")?;
    let (headers, body) = message(request, is_har, "postData")?;
    let head =
        RequestHead { method, target: target_of(target)?, version: Version::HTTP_11, headers };
    let response = value.get("response").and_then(Value::as_object);
    // HAR asks for a response; the status 0 says that there was none
    let response = response.filter(|one| !is_har || one.get("status") != Some(&Value::from(0)));
    let response = response.map(|response| response_of(response, is_har)).transpose()?;
    Ok(RecordedExchange { request: head, request_body: body, response })
}

fn response_of(
    response: &Map<String, Value>,
    is_har: bool,
) -> Result<(ResponseHead, CapturedBody), String> {
    let status = ["status", "status_code", "statusCode"].iter().find_map(|key| response.get(*key));
    let status = status.and_then(Value::as_u64).and_then(|status| u16::try_from(status).ok());
    let status = status.and_then(|status| StatusCode::from_u16(status).ok());
    let status = status.ok_or("the response has no status from 100 to 999")?;
    let (headers, body) = message(response, is_har, "content")?;
    Ok((ResponseHead { status, headers }, body))
}

/// What stands on a request line may not hold every character; those that may not are encoded.
fn target_of(text: &str) -> Result<Uri, String> {
    if let Ok(uri) = text.parse::<Uri>() {
        return Ok(uri);
    }
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`#".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded.parse().map_err(|_| "the path is no request target".to_owned())
}

fn message(
    parts: &Map<String, Value>,
    is_har: bool,
    har_body: &str,
) -> Result<MessageParts, String> {
    let mut headers = HeaderMap::new();
    match parts.get("headers") {
        Some(Value::Object(fields)) => {
            for (name, value) in fields {
                match value {
                    Value::Array(all) => {
                        all.iter().try_for_each(|one| add(&mut headers, name, one))?;
                    }
                    one => add(&mut headers, name, one)?,
                }
            }
        }
        Some(Value::Array(fields)) => {
            for field in fields {
                let name = field.get("name").and_then(Value::as_str).unwrap_or_default();
                add(&mut headers, name, field.get("value").unwrap_or(&Value::Null))?;
            }
        }
        _ => {}
    }
    let body = if is_har { har_text(parts.get(har_body)) } else { body_of(parts.get("body")) };
    let size = parts.get("bodySize").and_then(Value::as_i64).filter(|_| is_har);
    if body.is_none() && size.is_some_and(|size| size > 0) {
        return Ok((headers, CapturedBody::unread()));
    }
    if is_har {
        // HAR keeps bodies decoded.
        headers.remove(http::header::CONTENT_ENCODING);
    }
    Ok((headers, body.map_or_else(CapturedBody::default, |body| CapturedBody::complete(&body))))
}

fn add(headers: &mut HeaderMap, name: &str, value: &Value) -> Result<(), String> {
    if name.starts_with(':') {
        return Ok(());
    }
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => return Ok(()),
        other => other.to_string(),
    };
    let wrong = || format!("{name:?} is no header field");
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| wrong())?;
    headers.append(name, value);
    Ok(())
}

/// A string is the body as sent; other JSON is its text.
fn body_of(body: Option<&Value>) -> Option<Bytes> {
    match body? {
        Value::Null => None,
        Value::String(text) => Some(Bytes::from(text.clone())),
        other => Some(Bytes::from(other.to_string())),
    }
}

fn har_text(content: Option<&Value>) -> Option<Bytes> {
    let content = content?;
    let text = content.get("text").and_then(Value::as_str)?;
    if content.get("encoding").and_then(Value::as_str) == Some("base64") {
        return Some(Bytes::from(decode_base64(text)));
    }
    Some(Bytes::from(text.to_owned()))
}

/// Characters outside the alphabet are passed over, as HAR writers break lines.
fn decode_base64(text: &str) -> Vec<u8> {
    let (mut bits, mut held, mut out) = (0u32, 0u32, Vec::with_capacity(text.len() / 4 * 3));
    for byte in text.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => continue,
        };
        bits = (bits << 6) | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push(u8::try_from((bits >> held) & 0xff).unwrap_or_default());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn har_json_and_json_lines_are_read() {
        let har = r#"{"log": {"entries": [{
            "request": {"method": "POST", "url": "https://h/a?b=c", "headers": [
                {"name": ":authority", "value": "h"}, {"name": "X", "value": "1"},
                {"name": "X", "value": "2"}], "postData": {"text": "{}"}},
            "response": {"status": 200, "headers": [{"name": "content-encoding", "value": "br"}],
                "content": {"text": "e30=", "encoding": "base64"}}}]}}"#;
        let cases = read(har);
        let exchange = cases[0].exchange.as_ref().unwrap();
        assert_eq!(exchange.request.path(), "/a");
        assert_eq!(exchange.request.headers.get_all("x").iter().count(), 2);
        let (head, body) = exchange.response.as_ref().unwrap();
        assert!(head.headers.is_empty());
        assert_eq!(&*body.bytes(), b"{}");

        let lines =
            "{\"id\": \"a\", \"request\": {\"path\": \"/x y\", \"body\": [1]}}\n\nnonsense\n";
        let cases = read(lines);
        assert_eq!(cases[0].exchange.as_ref().unwrap().request.path(), "/x%20y");
        assert_eq!(&*cases[0].exchange.as_ref().unwrap().request_body.bytes(), b"[1]");
        assert!(cases[1].exchange.is_err());
    }
}
