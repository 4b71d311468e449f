//! A secret never leaves, wherever in a message it is: raw bytes of every file, every log
//! line, every metric and every answer are searched for it.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Client, ScriptedUpstream, SidecarSetup, command};

/// What every canary contains and nothing else does.
const MARK: &str = "c4n4ry";

const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: Vault, version: 1.0.0}
paths:
  /safe/{code}/open:
    parameters:
      - {name: code, in: path, required: true, x-sensitive: true, schema: {type: string}}
    post:
      parameters:
        - {name: hint, in: query, x-sensitive: true, schema: {type: string}}
        - {name: X-Combination, in: header, x-sensitive: true, schema: {type: string}}
        - {name: count, in: query, schema: {type: integer}}
      requestBody:
        content:
          '*/*':
            schema: {$ref: '#/components/schemas/Thing'}
          application/json:
            schema: {$ref: '#/components/schemas/Thing'}
      responses:
        '200':
          description: open
          headers:
            X-Seal: {x-sensitive: true, schema: {type: string}}
          content:
            application/json:
              schema: {$ref: '#/components/schemas/Thing'}
components:
  schemas:
    Thing:
      type: object
      properties:
        name: {type: integer}
        phrase: {type: string, format: password}
        once: {type: string, writeOnly: true}
        inner: {type: object, x-sensitive: true}
        list: {type: array, items: {type: object, properties: {phrase: {type: string, format: password}}}}
        card: {type: object}
";

/// A secret that is found by its pattern.
fn token(place: usize) -> String {
    format!("ghp_{MARK}{place:03}abcdefghijkl")
}

/// A secret that is found by its place alone.
fn plain(place: usize) -> String {
    format!("{MARK}-{place:03}-plain")
}

/// JSON with tokens as values and as names, and plain ones in secret places.
fn json() -> String {
    format!(
        r#"{{"name":"{}","{}":1,"phrase":"{}","once":"{}","inner":{{"deep":["{}"]}},"list":[{{"phrase":"{}"}}],"card":{{"number":"{}"}},"user_password":"{}","free":{{"{}":{{"x":["{}"]}}}}}}"#,
        token(1),
        token(2),
        plain(3),
        plain(4),
        plain(5),
        plain(6),
        plain(7),
        plain(8),
        token(9),
        token(10)
    )
}

fn bodies() -> Vec<(&'static str, Vec<u8>)> {
    let (a, b, c) = (token(20), plain(21), token(22));
    vec![
        ("application/json", json().into_bytes()),
        ("application/json", json().into_bytes()[..json().len() - 20].to_vec()),
        ("application/vnd.x+json", json().into_bytes()),
        ("application/x-ndjson", format!("{}\n{}\n", json(), json()).into_bytes()),
        (
            "application/x-www-form-urlencoded",
            format!("name={a}&{c}=1&password={b}&phrase={b}").into_bytes(),
        ),
        (
            "application/xml",
            format!("<Thing><name>{a}</name><{c}>1</{c}><password x='{a}'>{b}</password></Thing>")
                .into_bytes(),
        ),
        ("text/plain", format!("see {a}\npassword: {b}\n").into_bytes()),
        (
            "text/event-stream",
            format!("data: {a}\n\ndata: {{\"password\":\"{b}\"}}\n\n").into_bytes(),
        ),
        (
            "multipart/form-data; boundary=q",
            format!("--q\r\nContent-Disposition: form-data; name=\"{c}\"\r\n\r\n{a}\r\n--q--\r\n")
                .into_bytes(),
        ),
        ("application/octet-stream", format!("\0{a}{b}").into_bytes()),
    ]
}

fn request(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut head = format!(
        "POST /safe/{}/open?hint={}&count={}&{}=1&api_key={} HTTP/1.1\r\nHost: {}.example\r\n",
        plain(30),
        plain(31),
        token(32),
        token(33),
        plain(34),
        token(35)
    );
    for (at, name) in
        ["Authorization", "Proxy-Authorization", "X-Api-Key", "X-Combination", "X-Ours"]
            .into_iter()
            .enumerate()
    {
        let _ = write!(head, "{name}: {}\r\n", plain(40 + at));
    }
    for (at, name) in [
        "User-Agent",
        "X-Consumer-Version",
        "X-Request-Id",
        "Referer",
        "X-Other",
        "traceparent",
        "Accept",
    ]
    .into_iter()
    .enumerate()
    {
        let _ = write!(head, "{name}: {}\r\n", token(50 + at));
    }
    let _ = write!(head, "X-{}: 1\r\n", token(58));
    let _ = write!(head, "X-Consumer-Id: {}\r\n", token(59));
    let _ = write!(head, "Cookie: sid={}; {}=1\r\n", plain(60), token(61));
    let _ = write!(head, "Authorization: Bearer {}\r\n", plain(62));
    let _ = write!(
        head,
        "Content-Type: {kind}\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n"
    );
    let mut message = head.into_bytes();
    message.extend(format!("{:x}\r\n", body.len()).into_bytes());
    message.extend(body);
    message.extend(format!("\r\n0\r\nX-End: {}\r\n\r\n", token(63)).into_bytes());
    message
}

fn response() -> Vec<u8> {
    let body = json();
    format!(
        "HTTP/1.1 200 {}\r\nContent-Type: application/json\r\nSet-Cookie: sid={}; Path=/\r\nX-Seal: {}\r\n\
         X-Other: {}\r\nLocation: https://x.example/?token={}\r\nServer: {}\r\nContent-Length: {}\r\n\r\n{body}",
        token(70),
        plain(71),
        plain(72),
        token(73),
        plain(74),
        token(75),
        body.len()
    )
    .into_bytes()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        if entry.file_type().expect("a type").is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.push(entry.path());
        }
    }
    all
}

/// What stands around each canary in `bytes`.
fn found(bytes: &[u8]) -> Vec<String> {
    let mark = MARK.as_bytes();
    let places = bytes.windows(mark.len()).enumerate().filter(|(_, window)| *window == mark);
    let around = |at: usize| {
        let part = &bytes[at.saturating_sub(60)..(at + 40).min(bytes.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    places.map(|(at, _)| around(at)).take(5).collect()
}

#[test]
fn trap_t26_a_canary_in_every_place_of_a_message_never_leaves() {
    let upstream = ScriptedUpstream::fixed(response());
    let setup = SidecarSetup::new(DOCUMENT, upstream.address()).args(&["--record", "all"]);
    let setup =
        setup.env("CVT_REDACT_HEADERS", "x-ours").env("CVT_REDACT_POINTERS", "/card/number");
    let setup = setup.env("CVT_GROUPS_INTERVAL", "100ms").env("LOG_LEVEL", "debug");
    let sidecar = setup.start();
    let mut sent = 0;
    for (kind, body) in bodies() {
        assert_eq!(Client::once(sidecar.traffic, request(kind, &body)).status(), 200);
        sent += 1;
    }
    let line = format!("{} /{}/{} HTTP/1.1\r\nHost: a\r\n", token(80), token(81), token(82));
    Client::once(sidecar.traffic, format!("{line}Connection: close\r\n\r\n"));
    sent += 1;
    let records = sidecar.records(sent);
    assert!(records.iter().any(|record| record["valid"] == false), "{records:?}");
    let answer = Client::get(sidecar.admin, "/metrics");
    assert_eq!(found(&answer.body), [""; 0]);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(found(finished.stdout.as_bytes()), [""; 0]);
    assert_eq!(found(finished.stderr.as_bytes()), [""; 0]);

    let run = |args: &[&str]| {
        let output = command(dir.path()).args(args).output().expect("it runs");
        [output.stdout, output.stderr].concat()
    };
    let listed = String::from_utf8(run(&["violations", "--json"])).expect("text");
    let ids: Vec<String> = listed
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .map(|group| group["fingerprint"].as_str().expect("an id").to_owned())
        .collect();
    assert!(ids.len() >= 3, "{listed}");
    let mut answers = vec![
        run(&["validations", "list", "--json"]),
        run(&["validations", "list"]),
        run(&["violations"]),
        run(&["consumers", "list"]),
        run(&["report", "--details"]),
        run(&["report", "--json"]),
        run(&["export", "--format", "har"]),
        listed.into_bytes(),
    ];
    answers.extend(ids.iter().map(|id| run(&["violations", "show", id])));
    for answer in &answers {
        assert_eq!(found(answer), [""; 0]);
    }
    let stored = files(dir.path());
    assert!(stored.iter().any(|file| file.ends_with("cvt.db")), "{stored:?}");
    for file in stored {
        let leaks = found(&fs::read(&file).expect("a file"));
        assert_eq!(leaks, [""; 0], "in {}", file.display());
    }
}
