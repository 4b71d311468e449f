//! Records as entries of a HAR 1.2 file.
//!
//! What was not kept is said and not made up: a body that is missing has its size and no text,
//! an exchange without a response the status 0. `validate --exchange` reads both back.

use serde_json::{Value, json};

use crate::model::record::{HeaderList, ValidationRecord};

/// The end of the file, behind the last entry.
pub(super) const END: &str = "\n]}}\n";

/// The start of the file, before the first entry.
pub(super) fn begin() -> String {
    let creator = json!({"name": "cvt-sidecar", "version": env!("CARGO_PKG_VERSION")});
    format!("{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":[")
}

/// One entry; commas between entries are the caller's.
pub(super) fn entry(record: &ValidationRecord) -> Value {
    let millis = |micros: i64| json!(micros as f64 / 1_000.0);
    let wait = record.upstream_us.unwrap_or(record.duration_us).min(record.duration_us);
    json!({
        "_id": record.id,
        "_valid": record.valid,
        "_violations": record.violations,
        "_consumer": record.consumer_id,
        "_operation": record.path_template,
        "startedDateTime": record.validated_at.to_string(),
        "time": millis(record.duration_us),
        "request": request_of(record),
        "response": response_of(record),
        "cache": {},
        "timings": {
            "send": 0,
            "wait": millis(wait),
            "receive": millis(record.duration_us - wait),
        },
    })
}

fn request_of(record: &ValidationRecord) -> Value {
    let host = field(&record.request_headers, "host").unwrap_or("localhost");
    let mut request = json!({
        "method": record.request_method,
        "url": format!("http://{host}{}", record.request_path),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": fields(&record.request_headers),
        "queryString": query(&record.request_path),
        "headersSize": -1,
        "bodySize": record.request_size,
    });
    if let Some(body) = &record.request_body {
        let kind = field(&record.request_headers, "content-type").unwrap_or_default();
        request["postData"] = json!({"mimeType": kind, "text": body});
    }
    request
}

fn response_of(record: &ValidationRecord) -> Value {
    let kind = field(&record.response_headers, "content-type").unwrap_or_default();
    let mut content = json!({"size": record.response_size, "mimeType": kind});
    if let Some(body) = &record.response_body {
        content["text"] = json!(body);
    }
    json!({
        "status": record.response_status.unwrap_or(0),
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": fields(&record.response_headers),
        "content": content,
        "redirectURL": field(&record.response_headers, "location").unwrap_or_default(),
        "headersSize": -1,
        "bodySize": record.response_size,
    })
}

fn fields(headers: &HeaderList) -> Value {
    headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

fn field<'r>(headers: &'r HeaderList, name: &str) -> Option<&'r str> {
    let mut all = headers.iter();
    all.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn query(path: &str) -> Value {
    let Some((_, query)) = path.split_once('?') else { return json!([]) };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| json!({"name": name, "value": value})).collect()
}
