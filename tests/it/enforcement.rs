//! `strict`: what breaks the contract is held back, and nothing else is touched.

mod gradual;
mod requests;
mod responses;
mod unenforceable;
mod warn;

use std::net::SocketAddr;

use http::Request;

use crate::support::documents::USERS;
use crate::support::{Client, Message, SidecarSetup};

/// A user as the document has it.
const ADA: &str = r#"{"name":"Ada","age":36}"#;
/// One that is too young, with a value that must appear nowhere.
const INVALID_AGE: &str = r#"{"name":"S3cret-Value","age":-36}"#;

/// A sidecar in `strict` in front of `upstream`.
fn strict(upstream: SocketAddr) -> SidecarSetup {
    SidecarSetup::new(USERS, upstream).args(&["--mode", "strict", "--record", "all"])
}

/// A `POST` of a user.
fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST /users HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// The same with its length.
fn post_whole(body: &str) -> Vec<u8> {
    post(&format!("Content-Length: {}\r\n", body.len()), body.as_bytes())
}

/// A `POST` of a user over HTTP/2.
fn post_h2(address: SocketAddr, body: &str) -> Request<Vec<u8>> {
    Request::post(format!("http://{address}/users"))
        .header("content-type", "application/json")
        .body(body.as_bytes().to_vec())
        .expect("a request")
}

/// `body` in chunks of `size` bytes.
fn chunked(body: &[u8], size: usize, trailers: &str) -> Vec<u8> {
    let mut framed = Vec::new();
    for part in body.chunks(size) {
        framed.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        framed.extend_from_slice(part);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    framed
}

/// A user whose name alone has `length` bytes.
fn long_user(length: usize, age: i32) -> String {
    format!(r#"{{"name":"{}","age":{age}}}"#, "x".repeat(length))
}

#[track_caller]
fn get(address: SocketAddr, path: &str, headers: &str) -> Message {
    Client::once(address, format!("GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n"))
}
