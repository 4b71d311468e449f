//! A long outage under load, with figures. Run by hand:
//! `cargo test --release --test it -- --ignored --nocapture --test-threads 1 spool::outage`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{ADA, on_postgres};
use crate::storage::server::Server;
use crate::support::{Client, ScriptedUpstream, Sidecar, eventually};

/// Traffic at a steady rate from several callers.
struct PacedLoad {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<Vec<TimedAnswer>>>,
}

/// An answered request: its number, when it was answered, and how long that took.
#[derive(Clone, Copy)]
struct TimedAnswer {
    number: usize,
    at: Instant,
    took: Duration,
}

const CALLERS: usize = 16;

// === impl PacedLoad ===

impl PacedLoad {
    /// Starts `rate` requests a second; whatever is not answered with 200 ends its caller.
    #[allow(clippy::disallowed_methods, reason = "the tests' own clock; no verdict depends on it")]
    fn start(sidecar: &Sidecar, rate: f64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pause = Duration::from_secs_f64(CALLERS as f64 / rate);
        let callers = (0..CALLERS).map(|caller| {
            let (stop, address) = (stop.clone(), sidecar.traffic);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                let mut answers = Vec::new();
                let mut next = Instant::now();
                while !stop.load(Ordering::SeqCst) {
                    let number = answers.len() * CALLERS + caller;
                    let start = Instant::now();
                    client.send(format!(
                        "GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: request-{number}\r\n\r\n"
                    ));
                    match client.try_read("GET") {
                        Ok(answer) if answer.status() == 200 => {}
                        _ => break,
                    }
                    let at = Instant::now();
                    answers.push(TimedAnswer { number, at, took: at - start });
                    next += pause;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
                answers
            })
        });
        Self { callers: callers.collect(), stop }
    }

    /// Ends it; every answer there was.
    fn end(self) -> Vec<TimedAnswer> {
        self.stop.store(true, Ordering::SeqCst);
        self.callers.into_iter().flat_map(|caller| caller.join().expect("a caller")).collect()
    }
}

/// The 50th, 99th and 99.9th percentile in microseconds.
fn percentiles(answers: impl Iterator<Item = TimedAnswer>) -> [u128; 3] {
    let mut took: Vec<_> = answers.map(|answer| answer.took.as_micros()).collect();
    took.sort_unstable();
    [500, 990, 999].map(|p| took.get(took.len() * p / 1000).copied().unwrap_or(0))
}

/// Storage is away for `outage` under `rate` requests a second. Prints figures.
#[allow(clippy::disallowed_methods, reason = "the tests' own clock; no verdict depends on it")]
fn a_long_outage(outage: Duration, rate: f64, kill: bool) {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = on_postgres(&server, &upstream).args(&["--priority", "normal"]);
    let sidecar = setup.env("CVT_PIPELINE_MEMORY", "256MiB").start();
    let load = PacedLoad::start(&sidecar, rate);
    std::thread::sleep(outage / 4);
    let away = Instant::now();
    server.run("stop");
    std::thread::sleep(outage.saturating_sub(Duration::from_secs(1)));
    let certain = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let spooled = sidecar.metrics().sum("cvt_spool_records", &[]);
    let back = Instant::now();
    let (answers, again) = if kill {
        let dir = sidecar.kill();
        let answers = load.end();
        server.run("start");
        (answers, on_postgres(&server, &upstream).inside(dir).start())
    } else {
        server.run("start");
        std::thread::sleep(outage / 4);
        (load.end(), sidecar)
    };
    // What a kill cuts off in memory is at most what came in the last second.
    let certain = if kill { certain } else { Instant::now() };
    let expected: BTreeSet<usize> =
        answers.iter().filter(|answer| answer.at < certain).map(|answer| answer.number).collect();
    let mut stored: BTreeSet<usize> = BTreeSet::new();
    eventually("every record", || {
        let ids = server.psql("postgres", "SELECT request_id FROM validation_runs");
        let ids: Vec<usize> =
            ids.lines().filter_map(|id| id.strip_prefix("request-")?.parse().ok()).collect();
        stored = ids.iter().copied().collect();
        assert_eq!(stored.len(), ids.len(), "a record stands twice");
        let missing = expected.difference(&stored).count();
        if missing == 0 { Ok(()) } else { Err(format!("{missing} of {} missing", expected.len())) }
    });
    let during = |answer: &&TimedAnswer| answer.at >= away && answer.at < back;
    println!(
        "{} answered, {} expected, {} stored once each, {spooled} in the spool at the end of the \
         outage; p50, p99, p99.9 in us: before {:?}, during {:?}",
        answers.len(),
        expected.len(),
        stored.len(),
        percentiles(answers.iter().filter(|answer| answer.at < away).copied()),
        percentiles(answers.iter().filter(during).copied()),
    );
    drop(again);
    if !kill {
        let asked = rate * outage.as_secs_f64();
        assert!(answers.len() as f64 > asked, "{} answered of more than {asked}", answers.len());
    }
}

#[test]
#[ignore = "takes minutes and a machine of its own"]
fn trap_t20_a_minute_without_storage_at_2000_requests_a_second() {
    a_long_outage(Duration::from_mins(1), 2_000.0, false);
}

#[test]
#[ignore = "takes minutes and a machine of its own"]
fn trap_t20_a_kill_in_a_minute_without_storage_at_2000_requests_a_second() {
    a_long_outage(Duration::from_mins(1), 2_000.0, true);
}
