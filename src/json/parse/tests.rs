use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn value(text: &str) -> serde_json::Value {
    let mut arena = Arena::default();
    let id = arena.parse(text.as_bytes()).unwrap();
    arena.node(id).to_value()
}

fn error(text: &[u8]) -> JsonErrorKind {
    Arena::default().parse(text).unwrap_err().kind
}

#[test]
fn reads_what_serde_json_reads() {
    for text in [
        "null",
        " [ ] ",
        r#"{"a":{"b":[1,2.5,"x",true,false,null]},"c":[]}"#,
        r#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00 plain""#,
        "[[[[1]]],{},[{}],-0,1e5,12345678901234567890,0.10]",
        "\u{feff}{}",
    ] {
        let expected: serde_json::Value =
            serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn the_last_of_equal_keys_wins() {
    assert_eq!(value(r#"{"a":1,"b":2,"a":3}"#), serde_json::json!({"b":2,"a":3}));
    let mut text = String::from("{");
    for i in 0..60 {
        write!(text, "\"k{}\":{i},", i % 30).unwrap();
    }
    text.push_str("\"z\":0}");
    let value = value(&text);
    assert_eq!(value.as_object().unwrap().len(), 31);
    assert_eq!(value["k3"], 33);
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    assert_eq!(value(r#""a\ud800b\udc00""#), "a\u{fffd}b\u{fffd}");
    assert_eq!(value(r#""\ud800\u0041""#), "\u{fffd}A");
}

#[test]
fn refuses_what_is_not_json() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"a\":}",
        "{a:1}",
        "01",
        "1 2",
        "nul",
        "'a'",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "[1 2]",
        "{\"a\" 1}",
        "{\"a\":1,}",
        "\"\u{1}\"",
        "+1",
        "]",
        "[}",
        "{]",
    ] {
        assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
        assert!(Arena::default().parse(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(error(b"\"\xff\""), JsonErrorKind::NotUtf8);
}

#[test]
fn depth_is_bounded_without_recursion() {
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(error(deep.as_bytes()), JsonErrorKind::TooDeep);
    let fits = "[".repeat(192) + &"]".repeat(192);
    assert!(Arena::default().parse(fits.as_bytes()).is_ok());
}

#[test]
fn a_failed_text_leaves_no_trace() {
    let mut arena = Arena::default();
    arena.begin_array();
    arena.integer(1);
    assert!(arena.parse(b"{\"a\":[1,").is_err());
    arena.parse(b"{\"b\":2}").unwrap();
    let id = arena.end();
    assert_eq!(arena.node(id).to_value(), serde_json::json!([1, {"b": 2}]));
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_any_text(text in r#"[\[\]{}:, "a\\u0-9.eE+-]{0,40}|\PC{0,20}"#) {
        let ours = Arena::default().parse(text.as_bytes()).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // The one difference: half a surrogate pair.
        prop_assert!(ours == theirs || text.contains("\\u"), "{text}");
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Arena::default().parse(&bytes);
    }
}
