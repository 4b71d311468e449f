//! Connections to the upstream that only their exchange polls.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::documents::USERS;
use crate::support::{Client, SidecarSetup};

/// More than all buffers on one way hold.
const MUCH: usize = 48 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// Hands every connection on which a request's head comes to `serve`; health checks send none.
fn upstream(serve: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || {
                let mut stream = stream;
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    if !stream.read(&mut byte).is_ok_and(|read| read > 0) {
                        return;
                    }
                    head.push(byte[0]);
                }
                serve(stream);
            });
        }
    });
    address
}

#[test]
fn a_response_that_begins_early_does_not_hold_up_its_request() {
    let (told, read) = mpsc::channel();
    let address = upstream(move |mut stream| {
        let mut answering = stream.try_clone().expect("the same connection");
        let answer = thread::spawn(move || {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n");
            answering.write_all(head.as_bytes()).expect("the sidecar reads");
            answering.write_all(&vec![b'a'; MUCH]).expect("the sidecar reads");
        });
        let mut body = vec![0; MUCH];
        told.send(stream.read_exact(&mut body).is_ok()).expect("the receiver is alive");
        answer.join().expect("it is answered");
    });
    let sidecar = SidecarSetup::new(USERS, address).args(&["--mode", "off"]).start();
    let mut stream = TcpStream::connect(sidecar.traffic).expect("a connection");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    // A caller that reads nothing until it has sent everything.
    let head = format!("POST /users HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("the sidecar reads");
    stream.write_all(&vec![b'q'; MUCH]).expect("the sidecar reads on");
    assert!(read.recv_timeout(PATIENCE).expect("the request has come"), "all of it");
    let mut answer = vec![0; MUCH];
    stream.read_exact(&mut answer).expect("the answer follows");
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n") && answer.ends_with(b"aaaa"));
}

#[test]
fn an_idle_connection_closed_by_the_upstream_is_discarded() {
    let (told, ended) = mpsc::channel();
    let address = upstream(move |mut stream| {
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        stream.write_all(answer).expect("the sidecar reads");
        thread::sleep(Duration::from_millis(50));
        stream.shutdown(Shutdown::Write).expect("it can be closed");
        let mut rest = [0; 16];
        told.send(stream.read(&mut rest).ok()).expect("the receiver is alive");
    });
    let sidecar = SidecarSetup::new(USERS, address).args(&["--mode", "off"]).start();
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..2 {
        // The second one meets no closed connection, or is sent again on another.
        assert_eq!(client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n").status(), 204);
        assert_eq!(ended.recv_timeout(PATIENCE).expect("an end"), Some(0), "the sidecar closes");
    }
}

#[test]
fn a_retried_request_has_the_whole_timeout_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let address = upstream(move |mut stream| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        thread::sleep(Duration::from_millis(1500));
        if !first {
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").expect("the sidecar reads");
        }
    });
    let sidecar = SidecarSetup::new(USERS, address)
        .args(&["--mode", "off"])
        .env("CVT_UPSTREAM_RETRIES", "1")
        .env("CVT_UPSTREAM_TIMEOUT", "2500ms")
        .start();
    // Twice 1.5 s are more than 2.5 s; each of them is less.
    let answer = Client::get(sidecar.traffic, "/users/1");
    assert_eq!((answer.status(), asked.load(Ordering::SeqCst)), (204, 2));
}
