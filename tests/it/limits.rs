//! What callers may take, and what becomes of those who take more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::documents::ANYTHING;
use crate::support::{Client, Setup, Sidecar, Step, Upstream, eventually};

const GET: &str = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

fn setup(upstream: &Upstream) -> Setup {
    Setup::new(ANYTHING, upstream.address())
}

#[track_caller]
fn wait_for_refusal(sidecar: &Sidecar, reason: &str, times: f64) {
    sidecar.wait_for_metrics(reason, |m| {
        m.sum("cvt_proxy_refused_total", &[("reason", reason)]) >= times
    });
}

/// Reads until the other side ends the connection.
#[track_caller]
fn wait_for_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("the connection stays open: {error}")
        }
        _ => String::from_utf8_lossy(&read).into_owned(),
    }
}

#[test]
fn trap_t23_a_head_that_drips_is_cut_and_costs_nobody_else_anything() {
    let upstream = Upstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_HEAD_TIMEOUT", "600ms").start();
    let mut slow: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(sidecar.traffic).expect("a connection")).collect();
    let drip = GET.as_bytes().iter().cycle();
    for byte in drip.take(20) {
        for stream in &mut slow {
            let _ = stream.write_all(&[*byte]);
        }
        assert_eq!(Client::get(sidecar.traffic, "/echo").status(), 200, "others are served");
    }
    for stream in &mut slow {
        wait_for_end(stream);
    }
    wait_for_refusal(&sidecar, "slow_head", 50.0);
    sidecar.wait_for_metrics("closed connections", |m| m.sum("cvt_proxy_connections", &[]) < 2.0);
}

#[test]
fn trap_t23_an_answer_nobody_reads_is_cut() {
    let upstream = Upstream::start(|_| {
        let body = vec![b'x'; 64 << 20];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Step::Send([head.as_bytes(), &body].concat())]
    });
    let sidecar = setup(&upstream).env("CVT_LIMIT_MIN_RATE_WINDOW", "1s").start();
    let mut stream = TcpStream::connect(sidecar.traffic).expect("a connection");
    stream.write_all(GET.as_bytes()).expect("a request");
    wait_for_refusal(&sidecar, "slow_reader", 1.0);
    let read = wait_for_end(&mut stream);
    assert!(read.len() < 64 << 20);
}

#[test]
fn trap_t23_no_more_connections_than_allowed() {
    let upstream = Upstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_CONNECTIONS", "3").start();
    let mut kept: Vec<Client> = (0..3).map(|_| Client::connect(sidecar.traffic)).collect();
    for client in &mut kept {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let mut fourth = TcpStream::connect(sidecar.traffic).expect("a connection");
    wait_for_end(&mut fourth);
    wait_for_refusal(&sidecar, "connections", 1.0);
    assert_eq!(kept[0].ask(GET).status(), 200, "the others go on");
    drop(kept);
    eventually("a place", || {
        let mut stream = TcpStream::connect(sidecar.traffic).map_err(|error| error.to_string())?;
        stream
            .write_all(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
            .map_err(|error| error.to_string())?;
        let read = wait_for_end(&mut stream);
        if read.contains("200 OK") { Ok(()) } else { Err(read) }
    });
}

#[test]
fn an_idle_connection_ends_in_good_order() {
    let upstream = Upstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_KEEP_ALIVE", "400ms").start();
    let mut client = Client::connect(sidecar.traffic);
    assert_eq!(client.ask(GET).status(), 200);
    let ended = client.try_read("GET").expect_err("nothing was asked for");
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_proxy_refused_total", &[]) < 0.5, "nobody was refused anything");
}
