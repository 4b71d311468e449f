//! Instructions of the engine's hot path, counted by callgrind and compared with those kept in
//! `benches/instructions.txt`, so that a change that makes it dearer is seen.
//!
//! `cargo bench --bench instructions` compares and exits with 1 where a count grew by more than
//! two in a hundred; `-- --save` writes the counts. Needs valgrind. Counts do not depend on load or
//! clock; they do on the compiler, so save them anew with a new one, and with no other change.
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

#[path = "support/workload.rs"]
mod workload;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use cvt_sidecar::json::Arena;
use cvt_sidecar::validation::Validator;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SCENARIOS: [&str; 8] = [
    "parse 1 KiB",
    "parse 64 KiB",
    "request 1 KiB",
    "request 1 KiB among 5000 operations",
    "request 1 KiB invalid",
    "response 1 KiB",
    "response 64 KiB",
    "response 64 KiB invalid",
];

/// What a count may grow by, in hundredths.
const TOLERANCE: f64 = 2.0;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, scenario] = arguments.as_slice()
        && flag == "--one"
    {
        work(scenario);
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: there is no valgrind");
        return ExitCode::SUCCESS;
    }
    let counts: Vec<(&str, u64)> = SCENARIOS.iter().map(|name| (*name, count(name))).collect();
    if arguments.iter().any(|argument| argument == "--save") {
        let mut text = String::from("# Instructions per round; see benches/instructions.rs.\n");
        for (name, count) in &counts {
            let _ = writeln!(text, "{count:>10}  {name}");
        }
        std::fs::write(kept_file(), text).unwrap();
    }
    compare(&counts)
}

fn kept_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn compare(counts: &[(&str, u64)]) -> ExitCode {
    let text = std::fs::read_to_string(kept_file()).unwrap_or_default();
    let kept: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| line.trim().split_once("  "))
        .filter_map(|(count, name)| Some((name, count.parse().ok()?)))
        .collect();
    let mut code = ExitCode::SUCCESS;
    for (name, count) in counts {
        let change = kept.get(name).map(|kept| (*count as f64 / *kept as f64 - 1.0) * 100.0);
        let word = match change {
            Some(change) if change > TOLERANCE => {
                code = ExitCode::FAILURE;
                format!("{change:+.1} %  dearer")
            }
            Some(change) => format!("{change:+.1} %"),
            None => "new".to_owned(),
        };
        println!("{count:>10}  {name:36} {word}");
    }
    code
}

/// Rounds that are counted, after some that only warm up.
const ROUNDS: u64 = 20;

/// Instructions of one round.
fn count(scenario: &str) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--collect-atstart=no", "--toggle-collect=*measured_rounds*"])
        .arg(std::env::current_exe().unwrap())
        .args(["--one", scenario])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let collected = text.lines().find_map(|line| line.split_once("Collected : "));
    let total: u64 = collected
        .and_then(|(_, count)| count.trim().parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    total / ROUNDS
}

/// The one function that callgrind counts.
#[inline(never)]
fn measured_rounds(round: &mut dyn FnMut()) {
    for _ in 0..ROUNDS {
        round();
    }
}

fn measure(mut round: impl FnMut()) {
    for _ in 0..3 {
        round();
    }
    measured_rounds(&mut round);
}

fn work(scenario: &str) {
    let valid = !scenario.contains("invalid");
    let size = if scenario.contains("64 KiB") { 64 } else { 1 };
    let more = if scenario.contains("5000") { 4_998 } else { 3 };
    let body = workload::orders(size, valid);
    if scenario.starts_with("parse") {
        let mut arena = Arena::default();
        return measure(|| {
            arena.clear();
            black_box(arena.parse(black_box(body.as_bytes())).unwrap());
        });
    }
    let contract = workload::contract(more);
    let mut validator = Validator::default();
    if scenario.starts_with("request") {
        let request = workload::request(&workload::order(valid));
        return measure(|| {
            let validated =
                validator.validate_request(&contract, &request.head, black_box(&request.body));
            assert_eq!(validated.verdict.violations.is_empty(), valid);
        });
    }
    let request = workload::request_for_list();
    let operation = Validator::find_operation(&contract, &request.head);
    let response = workload::response(body.as_bytes(), None);
    measure(|| {
        let body = black_box(&response.body);
        let verdict =
            validator.validate_response(&contract, operation, &request.head, &response.head, body);
        assert_eq!(verdict.violations.is_empty(), valid);
    });
}
