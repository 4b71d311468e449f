//! Sends one HTTP/1.1 request again and again at a fixed rate and says how long answers took.
//!
//! Requests are spread evenly: the k-th is due k/rate seconds after the start, on connection k
//! modulo their number. A request that is late because the answer before it was late counts from
//! the moment it was due, so that a stall is not hidden by the requests it held up; one that is
//! sent in time counts from its sending, so that the precision of the timer does not count.
//!
//!     rustc --edition 2024 -O pace.rs && ./pace 127.0.0.1:9080 REQUEST_FILE 64 5000 1 4
//!
//! Arguments: address, file with the request's bytes, connections, requests a second, seconds of
//! warming up, seconds measured. Prints one JSON object; latencies in microseconds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

struct Plan {
    address: String,
    request: Vec<u8>,
    connections: u32,
    rate: f64,
    warm_up: Duration,
    measured: Duration,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, connections, rate, warm_up, measured] = &arguments[..] else {
        eprintln!("usage: pace ADDRESS REQUEST_FILE CONNECTIONS RATE WARM_UP_SECONDS SECONDS");
        std::process::exit(2);
    };
    let seconds = |text: &str| Duration::from_secs_f64(text.parse().expect("seconds"));
    let plan = Plan {
        address: address.clone(),
        request: std::fs::read(file).expect("the request's file"),
        connections: connections.parse().expect("a number of connections"),
        rate: rate.parse().expect("a rate"),
        warm_up: seconds(warm_up),
        measured: seconds(measured),
    };
    let streams: Vec<TcpStream> = (0..plan.connections).map(|_| connect(&plan.address)).collect();
    let start = Instant::now() + Duration::from_millis(100);
    let mut latencies: Vec<u64> = thread::scope(|scope| {
        let run = |(number, stream)| {
            let plan = &plan;
            scope.spawn(move || drive(plan, stream, number, start))
        };
        let threads: Vec<_> = (0..).zip(streams).map(run).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a connection failed")).collect()
    });
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() as f64 * share) as usize).min(latencies.len() - 1)];
    println!(
        "{{\"requests\": {}, \"rate\": {:.1}, \"p50\": {}, \"p99\": {}, \"p999\": {}, \"max\": {}}}",
        latencies.len(),
        latencies.len() as f64 / plan.measured.as_secs_f64(),
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
    );
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    stream
}

/// One connection's share of the plan; latencies of what was due after warming up.
fn drive(plan: &Plan, mut stream: TcpStream, number: u32, start: Instant) -> Vec<u64> {
    let mut latencies = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let step = f64::from(plan.connections) / plan.rate;
    for turn in 0_u32.. {
        let due = Duration::from_secs_f64(f64::from(number) / plan.rate + f64::from(turn) * step);
        if due >= plan.warm_up + plan.measured {
            break;
        }
        let early = (start + due).saturating_duration_since(Instant::now());
        thread::sleep(early);
        let from = if early.is_zero() { start + due } else { Instant::now() };
        stream.write_all(&plan.request).expect("the proxy reads");
        read_answer(&mut stream, &mut buffer);
        if due >= plan.warm_up {
            latencies.push(from.elapsed().as_micros() as u64);
        }
    }
    latencies
}

/// Reads one answer of status 200 with a Content-Length.
fn read_answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) {
    let (mut filled, mut whole) = (0, None);
    while whole.is_none_or(|whole| filled < whole) {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let read = stream.read(&mut buffer[filled..]).expect("an answer in time");
        assert!(read > 0, "the proxy closed the connection");
        filled += read;
        whole = whole.or_else(|| length(&buffer[..filled]));
    }
    assert_eq!(whole, Some(filled), "more than one answer");
}

/// The length of the answer, head included, once its head is there.
fn length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).expect("a head of ASCII");
    assert!(text.starts_with("HTTP/1.1 200"), "not 200: {text}");
    let lengths = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let body = lengths.last().expect("a Content-Length").expect("a number");
    Some(head + 4 + body)
}
