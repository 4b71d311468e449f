//! Clients that people use, against the real binary. `tests/run` installs what they need.

use std::path::Path;
use std::process::{Command, Output};

use crate::support::certificates::Authority;
use crate::support::documents::ANYTHING;
use crate::support::{ScriptedUpstream, Sidecar, SidecarSetup, Step};

/// Debian's packages of everything that is used here.
const PACKAGES: &str = "curl nghttp2-client wrk python3-requests python3-httpx python3-h2 \
                        python3-websockets";

/// Answers with the body of the request.
fn echoing() -> ScriptedUpstream {
    ScriptedUpstream::start(|request| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            request.body.len()
        );
        vec![Step::Send([head.as_bytes(), &request.body].concat())]
    })
}

/// Runs a tool that must be there, and succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| {
        panic!("{name}: {error}; tests/run installs it, or: sudo apt-get install -y {PACKAGES}")
    });
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let missing = stderr.contains("ModuleNotFoundError");
    assert!(!missing, "{stderr}\ntests/run installs it, or: sudo apt-get install -y {PACKAGES}");
    assert!(status.success(), "{name} ended with {status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Runs Debian's own Python, whose modules are Debian's packages.
#[track_caller]
fn python(script: &str, arguments: &[&str]) -> String {
    let own = Path::new("/usr/bin/python3");
    let python = if own.exists() { own } else { Path::new("python3") };
    run(Command::new(python).arg("-c").arg(script).args(arguments))
}

fn curl(arguments: &[&str], url: &str) -> String {
    let always = ["-sS", "--fail", "--max-time", "20", "-w", "\n%{http_version}"];
    run(Command::new("curl").args(always).args(arguments).arg(url))
}

fn started(upstream: &ScriptedUpstream) -> Sidecar {
    SidecarSetup::new(ANYTHING, upstream.address()).start()
}

#[test]
fn curl_speaks_http1_and_http2_in_plain_text() {
    let upstream = echoing();
    let sidecar = started(&upstream);
    let url = format!("http://{}/echo", sidecar.traffic);
    for (version, flag) in
        [("1", "--http1.0"), ("1.1", "--http1.1"), ("2", "--http2-prior-knowledge")]
    {
        let said = curl(&[flag, "--data-binary", "the body"], &url);
        assert_eq!(said, format!("the body\n{version}"), "{flag}");
        let expecting = ["-H", "Expect: 100-continue", "--data-binary", "the body", flag];
        assert!(curl(&expecting, &url).starts_with("the body\n"), "{flag}");
    }
    let chunked = ["-H", "Transfer-Encoding: chunked", "--data-binary", "the body", "--http1.1"];
    assert_eq!(curl(&chunked, &url), "the body\n1.1");
    // Upgrading to h2c half-way is gone from HTTP (RFC 9113): the request is served as it is.
    assert_eq!(curl(&["--http2", "--data-binary", "x"], &url), "x\n1.1");
}

#[test]
fn curl_speaks_http1_and_http2_encrypted() {
    let authority = Authority::new();
    let identity = authority.sign("server", "sidecar", 2090);
    let upstream = echoing();
    let sidecar = SidecarSetup::new(ANYTHING, upstream.address())
        .env("CVT_TRAFFIC_TLS_CERT_FILE", identity.cert.to_str().expect("a path"))
        .env("CVT_TRAFFIC_TLS_KEY_FILE", identity.key.to_str().expect("a path"))
        .start();
    let url = format!("https://localhost:{}/echo", sidecar.traffic.port());
    let ca = authority.file();
    let trust = ["--cacert", ca.to_str().expect("a path"), "--data-binary", "the body"];
    for (version, flag) in [("1.1", "--http1.1"), ("2", "--http2")] {
        let said = curl(&[&trust[..], &[flag]].concat(), &url);
        assert_eq!(said, format!("the body\n{version}"));
    }
    let old = Command::new("curl").args(["-sk", "--tls-max", "1.1", &url]).status();
    assert!(!old.expect("curl").success(), "TLS 1.1 was spoken");
}

#[test]
fn python_requests_and_httpx_are_served() {
    const SCRIPT: &str = "
import sys, requests, httpx
url = sys.argv[1]
with requests.Session() as session:
    for n in range(20):
        answer = session.post(url, data=b'requests %d' % n)
        assert answer.status_code == 200 and answer.content == b'requests %d' % n, answer
    pieces = session.post(url, data=iter([b'one', b'two']))
    assert pieces.content == b'onetwo', pieces.content
for options in ({}, {'http1': False, 'http2': True}):
    with httpx.Client(**options) as client:
        for n in range(20):
            answer = client.post(url, content=b'httpx %d' % n)
            assert answer.status_code == 200 and answer.content == b'httpx %d' % n, answer
        print(answer.http_version)
";
    let upstream = echoing();
    let sidecar = started(&upstream);
    let said = python(SCRIPT, &[&format!("http://{}/echo", sidecar.traffic)]);
    assert_eq!(said, "HTTP/1.1\nHTTP/2\n");
    assert_eq!(upstream.received().len(), 61);
}

#[test]
fn trap_t04_a_websocket_passes_both_ways() {
    const SCRIPT: &str = "
import asyncio, re, subprocess, sys, websockets

async def echo(socket, *_):
    async for message in socket:
        await socket.send(message)

async def main():
    async with websockets.serve(echo, '127.0.0.1', 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        url = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        async with websockets.connect(url.strip(), max_size=None) as socket:
            for message in ('text', b'bytes', b'x' * 3000000, ''):
                await socket.send(message)
                assert await socket.recv() == message
            pong = await socket.ping()
            await pong
        print('done', flush=True)

asyncio.run(main())
";
    use std::io::{BufRead, BufReader, Write};
    use std::process::Stdio;
    let own = Path::new("/usr/bin/python3");
    let mut both = Command::new(if own.exists() { own } else { Path::new("python3") })
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("python3: {error}; sudo apt-get install -y {PACKAGES}"));
    let mut said = BufReader::new(both.stdout.take().expect("a pipe")).lines();
    let port = said.next().unwrap_or_else(|| panic!("sudo apt-get install -y {PACKAGES}"));
    let port: u16 = port.expect("a line").parse().expect("a port");
    let sidecar = SidecarSetup::new(ANYTHING, ([127, 0, 0, 1], port).into()).start();
    let mut stdin = both.stdin.take().expect("a pipe");
    writeln!(stdin, "ws://{}/echo", sidecar.traffic).expect("a line");
    assert_eq!(said.next().expect("a line").expect("a line"), "done");
    assert!(both.wait().expect("it ends").success());
    sidecar.wait_for_metrics("the end of the tunnel", |m| m.sum("cvt_proxy_in_flight", &[]) < 0.5);
}

#[test]
fn h2load_and_wrk_see_no_errors() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"a":1}"#);
    let sidecar = started(&upstream);
    let url = format!("http://{}/echo", sidecar.traffic);
    let said = run(Command::new("h2load").args(["-n", "2000", "-c", "10", "-m", "10", &url]));
    assert!(said.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{said}");
    let said = run(Command::new("wrk").args(["-t", "2", "-c", "20", "-d", "2", &url]));
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
}
