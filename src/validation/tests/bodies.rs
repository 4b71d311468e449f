//! Bodies that are not JSON, validated as whole requests.

use serde_json::json;

use super::{Headers, captured, codes, compile, head, posting};
use crate::validation::Validator;

#[test]
fn forms_follow_their_encoding() {
    let contract = compile(&posting(&json!({"application/x-www-form-urlencoded": {
        "schema": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
            "csv": {"type": "array", "items": {"type": "integer"}},
            "o": {"type": "object", "properties": {"x": {"type": "integer"}}},
            "d": {"type": "object", "properties": {"y": {"type": "integer"}}}
        }},
        "encoding": {
            "csv": {"style": "form", "explode": false},
            "o": {"contentType": "application/json"}, "d": {"style": "deepObject", "explode": true}
        }
    }})));
    let form = |body: &str| {
        codes(
            &contract,
            "POST",
            "/a",
            &[("content-type", "application/x-www-form-urlencoded")],
            body,
        )
    };
    let good = "n=1&tags=a&tags=b+c&csv=1,2&o=%7B%22x%22%3A1%7D&d%5By%5D=3";
    assert_eq!(form(good), [""; 0]);
    for bad in ["tags=a", "n=x", "n=1&tags=a&tags=b&tags=c", "n=1&csv=1,x", "n=1&d[y]=z"] {
        assert_eq!(form(bad), ["request.body.schema"], "{bad}");
    }
    for bad in ["n=1&o=x", "n=1&n=2", "n=%ff"] {
        assert_eq!(form(bad), ["request.body.malformed"], "{bad}");
    }
}

#[test]
fn multipart_bodies_follow_their_encoding() {
    let contract = compile(&posting(&json!({"multipart/form-data": {
        "schema": {"type": "object", "required": ["meta", "files"], "properties": {
            "meta": {"type": "object", "properties": {"n": {"type": "integer"}}},
            "files": {"type": "array", "minItems": 2, "items": {"type": "string", "format": "binary"}},
            "n": {"type": "integer"}
        }},
        "encoding": {"files": {
            "contentType": "image/png, image/*",
            "headers": {"X-Id": {"required": true, "schema": {"type": "integer"}}}
        }}
    }})));
    let part = |name: &str, headers: &str, content: &str| {
        format!(
            "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n{content}\r\n"
        )
    };
    let multipart = |parts: &[String]| {
        let body = parts.concat() + "--b--\r\n";
        codes(
            &contract,
            "POST",
            "/a",
            &[("content-type", "multipart/form-data; boundary=b")],
            &body,
        )
    };
    let file = part("files", "Content-Type: image/png\r\nX-Id: 7\r\n", "\u{1}bytes");
    let meta = part("meta", "", "{\"n\": 1}");
    assert_eq!(multipart(&[meta.clone(), file.clone(), file.clone(), part("n", "", "3")]), [""; 0]);
    assert_eq!(multipart(&[meta.clone(), file.clone()]), ["request.body.schema"]);
    let wrong = part("meta", "Content-Type: application/json\r\n", "{");
    assert_eq!(multipart(&[wrong, file.clone(), file.clone()]), ["request.body.malformed"]);
    let text = part("files", "Content-Type: text/css\r\n", "x");
    let expected = ["request.media_type.undocumented", "request.header.missing"];
    assert_eq!(multipart(&[meta, file, text]), expected);
    let bare: Headers<'_> = &[("content-type", "multipart/form-data")];
    assert_eq!(codes(&contract, "POST", "/a", bare, "x"), ["request.media_type.malformed"]);
}

#[test]
fn xml_bodies_are_typed_by_their_schema() {
    let contract = compile(&posting(&json!({"application/xml": {"schema": {
        "type": "object", "required": ["id", "names", "tags"], "xml": {"name": "book", "namespace": "urn:b"},
        "properties": {
            "id": {"type": "integer", "xml": {"attribute": true}},
            "names": {"type": "array", "xml": {"wrapped": true, "name": "all"},
                      "items": {"type": "string", "maxLength": 3, "xml": {"name": "one"}}},
            "tags": {"type": "array", "items": {"type": "integer", "xml": {"name": "tag"}}},
            "ok": {"type": "boolean"}
        }
    }}})));
    let xml =
        |body: &str| codes(&contract, "POST", "/a", &[("content-type", "text/xml")], body).len();
    let typed =
        |body: &str| codes(&contract, "POST", "/a", &[("content-type", "application/xml")], body);
    let good = "<b:book xmlns:b='urn:b' id='7'><all><one>a</one><one>b</one></all><tag>1</tag><tag>2</tag><ok> true </ok></b:book>";
    assert_eq!(xml(good), 1, "text/xml is not documented");
    assert_eq!(typed(good), [""; 0]);
    assert_eq!(
        typed(&good.replace("<tag>1</tag><tag>2</tag>", "")),
        [""; 0],
        "no item is an empty array"
    );
    assert_eq!(typed(&good.replace("id='7'", "id='x'")), ["request.body.schema"]);
    assert_eq!(typed(&good.replace("<one>b", "<one>bbbb")), ["request.body.schema"]);
    assert_eq!(typed(&good.replace("urn:b", "urn:c")), ["request.body.malformed"]);
    assert_eq!(typed("<book"), ["request.body.malformed"]);
}

#[test]
fn streams_are_validated_item_by_item() {
    let item =
        json!({"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}});
    let contract = compile(&posting(&json!({
        "application/x-ndjson": {"schema": item}, "application/jsonl": {"schema": {"type": "array", "maxItems": 1}},
        "text/event-stream": {"schema": item}
    })));
    let verdict = |content_type: &str, body: &str| {
        let request = head("POST", "/a", &[("content-type", content_type)]);
        let validated =
            Validator::default().validate_request(&contract, &request, &captured(body.as_bytes()));
        let codes = validated.verdict.violations.iter();
        codes.map(|one| format!("{} {}", one.code, one.instance_pointer)).collect::<Vec<_>>()
    };
    assert_eq!(verdict("application/x-ndjson", "{\"n\": 1}\n{\"n\": 2}\n"), [""; 0]);
    let expected = ["request.body.schema /1/n", "request.body.malformed /2"];
    assert_eq!(verdict("application/x-ndjson", "{\"n\": 1}\n{\"n\": \"\"}\n{"), expected);
    assert_eq!(verdict("application/jsonl", "1\n2\n").len(), 1);
    let events = "event: x\ndata: {\"n\": 1}\n\ndata: [DONE]\n\n";
    assert_eq!(verdict("text/event-stream", events), [""; 0]);
    assert_eq!(verdict("text/event-stream", "data: {}\n\n").len(), 1);
}
