//! Exchanges of our own with the verdict that the specification asks for, one per line of
//! `cases.jsonl`: every style in every place, collection formats, form, multipart and XML bodies,
//! responses, routing, security, the dialects of schemas. They go through the command line as
//! anybody's would; a line that a defect brought in stays there.

use cvt_sidecar::cli::validate::{ValidateArgs, run};
use serde_json::Value;

#[test]
fn every_case_validates_as_the_specification_asks() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cases.jsonl");
    let text = std::fs::read_to_string(path).expect("the cases");
    let mut args = ValidateArgs { exchange: path.into(), json: true, ..ValidateArgs::default() };
    args.rules.rules = vec!["preset=strict".to_owned()];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&args, &[], &mut out, &mut err);
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    let answers = String::from_utf8(out).expect("answers are text");
    assert_eq!(answers.lines().count(), text.lines().count(), "one answer per case");
    let mut wrong = Vec::new();
    for (line, answer) in text.lines().zip(answers.lines()) {
        let case: Value = serde_json::from_str(line).expect("a case");
        let answer: Value = serde_json::from_str(answer).expect("an answer");
        assert_eq!(case["id"], answer["id"], "answers come in order");
        for side in ["request_valid", "response_valid"] {
            let expected = &case[format!("expect_{side}")];
            if expected.is_boolean() && *expected != answer[side] {
                wrong.push(format!("{} {side}: expected {expected}, got {answer}", case["id"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
