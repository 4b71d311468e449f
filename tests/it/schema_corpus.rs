//! The JSON Schema test suites of `../shared/corpus`, validated at the level of schemas.

use std::collections::BTreeMap;
use std::path::Path;

use cvt_sidecar::cli::validate::{ValidateArgs, run};
use cvt_sidecar::contract::{CompileOptions, Direction, Document, SchemaCompiler};
use cvt_sidecar::json::Arena;
use cvt_sidecar::model::rule::{Rules, Strictness};
use serde_json::Value;

/// Cases whose verdict differs from the suite's, with the reason.
const KNOWN_GAPS: &[(&str, &str)] = &[];

#[test]
fn json_schema_suites() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !corpus.is_dir() {
        println!("skipped: no ../shared/corpus");
        return;
    }
    let mut wrong = BTreeMap::new();
    let mut tiers: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for file in ["jsts-2.0", "jsts-3.0", "jsts-3.1"] {
        let path = corpus.join(format!("{file}.request.jsonl"));
        let text = std::fs::read_to_string(path).unwrap();
        for line in text.lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let Some(expected) = case["expect_request_valid"].as_bool() else { continue };
            let tier = case["tier"].as_str().unwrap();
            let answer = validate(&case);
            let right = answer.as_ref().is_ok_and(|valid| *valid == expected);
            let count = tiers.entry(format!("{file} {tier}")).or_default();
            count.0 += usize::from(right);
            count.1 += 1;
            if !right {
                let id = case["id"].as_str().unwrap().to_owned();
                let schema = &case["spec"]["components"]["schemas"];
                let told =
                    format!("{tier}: {answer:?} for {} by {schema}", case["request"]["body"]);
                wrong.insert((tier == "core", id), told);
            }
        }
    }
    for (tier, (right, all)) in &tiers {
        println!("{tier}: {right} of {all}");
    }
    for ((core, id), told) in &wrong {
        if *core || std::env::var_os("ALL_TIERS").is_some() {
            println!("{id}: {told}");
        }
    }
    let is_gap = |id: &str| KNOWN_GAPS.iter().any(|(gap, _)| *gap == id);
    let core: Vec<_> = wrong.keys().filter(|(core, id)| *core && !is_gap(id)).collect();
    assert!(core.is_empty(), "{} core cases are wrong: {core:?}", core.len());
    for (gap, _) in KNOWN_GAPS {
        assert!(wrong.contains_key(&(true, (*gap).to_owned())), "{gap} is no gap any more");
    }
}

fn validate(case: &Value) -> Result<bool, String> {
    let rules = Rules::of(Strictness::Strict);
    let options = CompileOptions { rules, ..CompileOptions::default() };
    let text = case["spec"].to_string();
    let document = Document::read(text.as_bytes(), &options).map_err(|e| e.to_string())?;
    let pointer = match case["spec"]["swagger"] {
        Value::Null => "/components/schemas/S",
        _ => "/definitions/S",
    };
    let mut compiler = SchemaCompiler::new(&document, &options);
    let id = compiler.compile(pointer, Direction::Request).map_err(|e| e.to_string())?;
    let (set, _) = compiler.finish().map_err(|e| e.to_string())?;
    let mut arena = Arena::default();
    let body = case["request"]["body"].as_str().ok_or("no body")?;
    let value = arena.parse(body.as_bytes()).map_err(|e| e.to_string())?;
    Ok(set.is_valid(id, arena.node(value)))
}

#[test]
fn documents_are_valid_where_the_official_schemas_say_so() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus/oas-documents.jsonl");
    let Ok(text) = std::fs::read_to_string(&corpus) else {
        println!("skipped: no ../shared/corpus");
        return;
    };
    let args = ValidateArgs { exchange: corpus, json: true, ..ValidateArgs::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&args, &[], &mut out, &mut err);
    let answers = String::from_utf8(out).unwrap();
    assert_eq!(answers.lines().count(), text.lines().count(), "one answer per document");
    let mut wrong = Vec::new();
    for (line, answer) in text.lines().zip(answers.lines()) {
        let case: Value = serde_json::from_str(line).unwrap();
        let answer: Value = serde_json::from_str(answer).unwrap();
        if case["expect_document_valid"] != answer["document_valid"] {
            wrong.push(format!("{}: {}", case["id"], answer["error"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
