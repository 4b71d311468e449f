//! The third-party conformance cases of `../shared/corpus`, validated as whole exchanges.
//!
//! Every case of tier `core` has the verdict of its suite, or stands in `known_gaps.txt` with the
//! reason. A listed gap that begins to pass fails the test, so that the list stays true.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cvt_sidecar::cli::validate::{ValidateArgs, run};
use cvt_sidecar::model::rule::Rule;
use serde_json::Value;

const KNOWN_GAPS: &str = include_str!("known_gaps.txt");

const FILES: [&str; 10] = [
    "collection-formats",
    "jsts-2.0.request",
    "jsts-2.0.response",
    "jsts-3.0.request",
    "jsts-3.0.response",
    "jsts-3.1.request",
    "jsts-3.1.response",
    "oas-styles",
    "openapi-core",
    "prism",
];

fn corpus() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: there is no ../shared/corpus");
    None
}

/// Ids of known gaps; each line is `id <tab> reason`.
fn known_gaps() -> BTreeMap<&'static str, &'static str> {
    let lines = KNOWN_GAPS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('\t')).collect()
}

/// What the command line answers, line by line.
fn answers(preset: &str, exchange: &Path, spec: Option<PathBuf>) -> Vec<Value> {
    let mut args =
        ValidateArgs { spec, exchange: exchange.to_owned(), json: true, ..ValidateArgs::default() };
    args.rules.rules = vec![format!("preset={preset}")];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&args, &[], &mut out, &mut err);
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    let text = String::from_utf8(out).expect("answers are text");
    text.lines().map(|line| serde_json::from_str(line).expect("an answer is JSON")).collect()
}

/// Expectations that the answer does not meet.
fn misses(case: &Value, answer: &Value) -> Vec<String> {
    let trivial = case["expect_response_valid"].is_boolean()
        && case["expect_request_valid"] == Value::Bool(true)
        && case["request"]["body"].is_null();
    let sides =
        [("expect_request_valid", "request_valid"), ("expect_response_valid", "response_valid")];
    sides
        .into_iter()
        .filter(|(expected, _)| case[*expected].is_boolean())
        .filter(|(expected, _)| !(trivial && *expected == "expect_request_valid"))
        .filter(|(expected, given)| case[*expected] != answer[*given])
        .map(|(expected, given)| {
            let told = (&answer[given], &answer["violations"], &answer["error"]);
            format!("{given}: expected {}, got {told:?}", case[expected])
        })
        .collect()
}

fn validate_file(
    preset: &str,
    path: &Path,
    spec: Option<PathBuf>,
    wrong: &mut BTreeMap<String, String>,
) -> usize {
    let text = fs::read_to_string(path).expect("the cases can be read");
    let cases: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a case is JSON")).collect();
    let answers = answers(preset, path, spec);
    assert_eq!(cases.len(), answers.len(), "{}: one answer per case", path.display());
    let core = cases.iter().zip(&answers).filter(|(case, _)| case["tier"] == "core");
    let mut count = 0;
    for (case, answer) in core {
        count += 1;
        assert_eq!(case["id"], answer["id"], "answers come in order");
        let misses = misses(case, answer);
        if !misses.is_empty() {
            wrong.insert(case["id"].as_str().unwrap_or_default().to_owned(), misses.join("; "));
        }
    }
    count
}

#[test]
fn every_core_case_agrees_with_its_suite() {
    let Some(corpus) = corpus() else { return };
    let mut wrong = BTreeMap::new();
    for file in FILES {
        let path = corpus.join(format!("{file}.jsonl"));
        let count = validate_file("strict", &path, None, &mut wrong);
        println!("{file}: {count} core cases");
    }
    let gaps = known_gaps();
    let listed: BTreeSet<&str> = gaps.keys().copied().collect();
    let failing: BTreeSet<&str> = wrong.keys().map(String::as_str).collect();
    let unlisted: Vec<_> = failing.difference(&listed).map(|id| (id, &wrong[*id])).collect();
    let closed: Vec<_> = listed.difference(&failing).collect();
    assert!(unlisted.is_empty(), "{} cases differ: {unlisted:#?}", unlisted.len());
    assert!(closed.is_empty(), "gaps that are none any more: {closed:?}");
}

/// Cases that a lenient rule decides otherwise than their suite: each line is `id <tab> rule`.
const LENIENT_DIFFERENCES: &str = include_str!("lenient_differences.txt");

#[test]
fn under_the_lenient_preset_only_cases_that_a_rule_decides_otherwise_differ() {
    let Some(corpus) = corpus() else { return };
    let mut wrong = BTreeMap::new();
    for file in FILES {
        validate_file("lenient", &corpus.join(format!("{file}.jsonl")), None, &mut wrong);
    }
    let lines = LENIENT_DIFFERENCES.lines().filter(|line| !line.starts_with('#'));
    let listed: BTreeMap<&str, &str> = lines.filter_map(|line| line.split_once('\t')).collect();
    for (id, rule) in &listed {
        assert!(Rule::parse(rule).is_some(), "{id}: {rule} is no rule");
    }
    let gaps = known_gaps();
    let failing = wrong.keys().map(String::as_str).filter(|id| !gaps.contains_key(id));
    let failing: BTreeSet<&str> = failing.collect();
    let listed: BTreeSet<&str> = listed.into_keys().collect();
    let unlisted: Vec<_> = failing.difference(&listed).map(|id| (id, &wrong[*id])).collect();
    let same: Vec<_> = listed.difference(&failing).collect();
    assert!(unlisted.is_empty(), "{} cases differ: {unlisted:#?}", unlisted.len());
    assert!(same.is_empty(), "cases that do not differ: {same:?}");
}

#[test]
fn every_gap_has_its_reason() {
    for (id, reason) in known_gaps() {
        assert!(reason.len() > 40, "{id} needs a reason that names the specification's sentence");
    }
}

#[test]
fn example_traffic_of_large_documents_validates_as_expected() {
    let Some(corpus) = corpus() else { return };
    let mut wrong = BTreeMap::new();
    for file in ["adyen-checkout-v71", "adyen-management-v3"] {
        let spec = corpus.join(format!("../specs/{file}.json"));
        if !spec.is_file() {
            println!("skipped: there is no {}", spec.display());
            continue;
        }
        let path = corpus.join(format!("traffic/{file}.jsonl"));
        for preset in ["strict", "lenient"] {
            let count = validate_file(preset, &path, Some(spec.clone()), &mut wrong);
            println!("{file}: {count} core cases");
        }
    }
    let first: Vec<_> = wrong.iter().take(10).collect();
    assert!(wrong.is_empty(), "{} cases differ: {first:#?}", wrong.len());
}
