//! What the engine's benches validate: the contract and the body of `benches/compare`, the same body
//! repeated to any size, and as many further operations as asked for.

use std::fmt::Write as _;

use bytes::Bytes;
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

const CONTRACT: &str = include_str!("../compare/contract.yaml");
const BODY: &str = include_str!("../compare/body.json");

/// One side of an exchange: a head and its body.
pub struct HttpMessage<H> {
    pub head: H,
    pub body: CapturedBody,
}

/// The bench's operation, one that answers with a list of its bodies, and `more` operations.
pub fn contract(more: usize) -> Contract {
    let mut text = CONTRACT.replace(
        "\npaths:\n",
        "\npaths:\n  /orders:\n    get:\n      responses:\n        '200':\n          description: all of them\n          \
         content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Order'}}}}\n",
    );
    let operation = |n: usize| {
        format!(
            "  /more/{{id}}/part{n}:\n    get:\n      parameters:\n        - {{name: id, in: path, required: true, \
             schema: {{type: integer}}}}\n        - {{name: q{n}, in: query, schema: {{type: string, maxLength: {n}}}}}\n      \
             responses: {{'200': {{description: fine, content: {{application/json: {{schema: {{type: object, \
             properties: {{p{n}: {{type: string}}}}}}}}}}}}}}\n"
        )
    };
    let further: String = (1..=more).map(operation).collect();
    text = text.replace("\ncomponents:\n", &format!("\n{further}components:\n"));
    Contract::compile(text.as_bytes(), &CompileOptions::default()).unwrap()
}

/// One order of about 1 KiB.
pub fn order(valid: bool) -> String {
    if valid { BODY.to_owned() } else { BODY.replace("\"quantity\": 1,", "\"quantity\": \"one\",") }
}

/// A list of orders of about `kibibytes`; where it is not valid, the last one is not.
pub fn orders(kibibytes: usize, valid: bool) -> String {
    let count = (kibibytes * 1024 / BODY.len()).max(1);
    let mut text = String::from("[");
    for _ in 1..count {
        let _ = write!(text, "{BODY},");
    }
    text.push_str(&order(valid));
    text.push(']');
    text
}

fn json_headers() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(header::CONTENT_TYPE, json)])
}

/// A request that sends one order.
pub fn request(body: &str) -> HttpMessage<RequestHead> {
    let mut headers = json_headers();
    headers.insert(header::HOST, HeaderValue::from_static("shop.example"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static("bench/1"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let head = RequestHead {
        method: Method::POST,
        target: "/shops/north/orders?dry_run=true".parse().unwrap(),
        version: Version::HTTP_11,
        headers,
    };
    HttpMessage { head, body: CapturedBody::complete(&Bytes::from(body.to_owned())) }
}

/// A request for the list.
pub fn request_for_list() -> HttpMessage<RequestHead> {
    let mut message = request("");
    message.head.method = Method::GET;
    message.head.target = "/orders".parse().unwrap();
    message.head.headers.remove(header::CONTENT_TYPE);
    message.body = CapturedBody::default();
    message
}

/// An answer with a body that was encoded as `coding` says.
pub fn response(body: &[u8], coding: Option<&'static str>) -> HttpMessage<ResponseHead> {
    let mut headers = json_headers();
    if let Some(coding) = coding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    let head = ResponseHead { status: StatusCode::OK, headers };
    HttpMessage { head, body: CapturedBody::complete(&Bytes::copy_from_slice(body)) }
}
