//! No canary leaves: whatever stands in a masked place never appears in a record.
//!
//! Canaries are made of `Q` and `Z`, which nothing else here uses, so that not even a piece of
//! one can hide.

use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::redaction::{
    ContractMasks, PointerSet, RedactionContext, RedactionRules, Redactor,
};
use proptest::prelude::*;

use crate::storage::fixtures::record;

/// Names that say "secret", in several spellings.
const SECRET: &[&str] = &[
    "password",
    "userPassword",
    "access_token",
    "API-KEY",
    "clientSecret",
    "cvv",
    "card_number",
    "p\\u0061ssword",
];
const HARMLESS: &[&str] = &["name", "title", "id", "items", "a", ""];
const HEADERS: &[&str] = &[
    "Authorization",
    "authorization",
    "Proxy-Authorization",
    "Cookie",
    "Set-Cookie",
    "X-Api-Key",
    "x-auth-token",
    "X-CSRF-Token",
    "X-Session-Secret",
];

fn canary() -> impl Strategy<Value = String> {
    prop_oneof![
        "[QZ]{1,40}",
        "[QZ]{3,9} [QZ]{1,9}",
        "[QZ]{2,9}@[QZ]{2,5}\\.[QZ]{2,3}",
        "Bearer [QZ]{1,30}",
        "[QZ]{1,5}=[QZ]{1,5}; [QZ]{1,5}",
    ]
}

/// JSON text without `Q` and `Z`, but for canaries in masked places.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?[1-9][0-9]{0,5}(\\.[0-9]{1,3})?",
        "[a-p ,:{}\\[\\]]{0,12}".prop_map(|text| format!("\"{text}\"")),
        Just(r#""a\"b\\ \u00e9""#.to_owned()),
    ];
    let harmless = proptest::sample::select(HARMLESS);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let member = (harmless.clone(), inner.clone())
            .prop_map(|(key, value)| format!("\"{key}\" :{value}"));
        let masked = (proptest::sample::select(SECRET), secret_value())
            .prop_map(|(key, value)| format!("\"{key}\": {value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..4)
                .prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec(prop_oneof![member, masked], 0..5)
                .prop_map(|members| format!("{{{}}}", members.join(",\n"))),
        ]
    })
}

/// What may stand under a secret name.
fn secret_value() -> impl Strategy<Value = String> {
    let text = canary().prop_map(|canary| format!("\"{canary}\""));
    text.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..3)
                .prop_map(|all| format!("[{}]", all.join(","))),
            inner.prop_map(|value| format!("{{\"deep\":{value}}}")),
        ]
    })
}

fn redactor() -> Redactor {
    let pointers = vec!["/configured/*/x".to_owned()];
    Redactor::new(&RedactionRules { pointers, ..RedactionRules::default() }).unwrap()
}

fn with_body(content_type: &str, body: &str) -> ValidationRecord {
    ValidationRecord {
        request_headers: vec![("Content-Type".into(), content_type.into())],
        request_body: Some(body.into()),
        ..record(1)
    }
}

fn redact(record: ValidationRecord, context: RedactionContext<'_>) -> ValidationRecord {
    redactor().record(record, context).into_inner()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn trap_t26_no_canary_leaves_a_json_body(body in json()) {
        let redacted = redact(with_body("application/json", &body), RedactionContext::default());
        prop_assert!(clean_but_time(&redacted), "{:?}", redacted.request_body);
        let again = redact(redacted.clone(), RedactionContext::default());
        prop_assert_eq!(&again, &redacted, "redacting twice changes nothing");
        let redacted = redacted.request_body.unwrap();
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&redacted);
        prop_assert!(parsed.is_ok(), "{redacted}");
        if !body.contains(['Q', 'Z']) {
            prop_assert_eq!(redacted, body, "what is not masked stays");
        }
    }

    #[test]
    fn trap_t26_no_canary_leaves_a_cut_body(body in json(), cut in 0..=1_000_usize) {
        let mut end = position_in(&body, cut);
        while !body.is_char_boundary(end) { end -= 1; }
        let context = RedactionContext { request_cut: true, ..RedactionContext::default() };
        let redacted = redact(with_body("application/json", &body[..end]), context);
        prop_assert!(clean_but_time(&redacted), "{:?}", redacted.request_body);
    }

    #[test]
    fn trap_t26_no_canary_leaves_a_broken_body(body in json(), at in 0..=1_000_usize, junk in "[a-p\"\\\\{}\\[\\],:]{1,3}") {
        let mut place = position_in(&body, at);
        while !body.is_char_boundary(place) { place -= 1; }
        let mut broken = body.clone();
        broken.insert_str(place, &junk);
        // a canary's own name may be broken by the junk: then nothing says that it is one
        prop_assume!(SECRET.iter().map(|name| format!("\"{name}\"")).all(|name| body.matches(&name).count() == broken.matches(&name).count()));
        prop_assume!(!junk.contains('"') && !junk.contains('\\'));
        let redacted = redact(with_body("application/json", &broken), RedactionContext::default());
        prop_assert!(clean_but_time(&redacted), "{broken} -> {:?}", redacted.request_body);
    }

    #[test]
    fn trap_t26_no_canary_leaves_headers(name in proptest::sample::select(HEADERS), value in canary()) {
        let mut record = record(1);
        record.request_headers = vec![(name.into(), value.clone())];
        record.response_headers = vec![(name.into(), value)];
        let mut redacted = redact(record, RedactionContext::default());
        for (name, value) in redacted.request_headers.iter_mut().chain(&mut redacted.response_headers) {
            // names of cookies stay; a canary without `=` has none
            if name.to_lowercase().contains("cookie") && value.contains('=') {
                *value = value.split(';').filter_map(|pair| pair.split_once('=')).map(|pair| pair.1).collect();
            }
        }
        prop_assume!(!name.eq_ignore_ascii_case("set-cookie") || !redacted.request_headers[0].1.contains(';'));
        prop_assert!(clean_but_time(&redacted), "{:?}", redacted.request_headers);
    }

    #[test]
    fn trap_t26_no_canary_leaves_queries_and_forms(
        key in proptest::sample::select(&["password", "access_token", "a%70ikey", "user[secret]"][..]),
        value in canary(), before in "[a-h]{0,4}", cut in any::<bool>(),
    ) {
        let value = value.replace(['=', '&', ' '], "+");
        let pairs = format!("{before}=1&{key}={value}");
        let mut record = with_body("application/x-www-form-urlencoded", &pairs);
        record.request_path = format!("/a?{pairs}");
        record.request_headers.push(("Referer".into(), format!("https://a.example/?{pairs}")));
        let redacted = redact(record, RedactionContext { request_cut: cut, ..RedactionContext::default() });
        prop_assert!(clean_but_time(&redacted), "{redacted:?}");
        let start = format!("/a?{before}=1&{key}=");
        prop_assert!(redacted.request_path.starts_with(&start));
    }

    #[test]
    fn trap_t26_no_canary_leaves_xml_and_text(value in "[QZ]{1,30}", cut in any::<bool>()) {
        for (kind, body) in [
            ("application/xml", format!("<a><ns:password b='1'>{value}</ns:password><c cvv=\"{value}\"/></a>")),
            ("application/soap+xml", format!("<a><secret><b>{value}</b>{value}</secret></a>")),
            ("application/xml", format!("<a><password><![CDATA[{value}]]></password></a>")),
            ("application/xml", format!("<a><password>{value}")),
            ("text/plain", format!("user: x\npassword: {value}\nbye")),
            ("text/plain", format!("login token={value}")),
            ("text/event-stream", format!("data: {{\"password\":\"{value}\"}}\n\n")),
        ] {
            let redacted = redact(with_body(kind, &body), RedactionContext { request_cut: cut, ..RedactionContext::default() });
            prop_assert!(clean_but_time(&redacted), "{body} -> {:?}", redacted.request_body);
        }
    }

    #[test]
    fn trap_t26_no_canary_leaves_the_places_that_the_contract_masks(value in "[QZ]{1,30}") {
        let masks = ContractMasks {
            request_body: PointerSet::new(["/user/pass_phrase_hint", "/list/*/pw"]).unwrap(),
            query: vec!["q".into()],
            request_headers: vec!["x-internal".into()],
            path_segments: vec![1],
            ..ContractMasks::default()
        };
        let mut record = with_body(
            "application/json",
            &format!(r#"{{"user":{{"pass_phrase_hint":"{value}"}},"list":[{{"pw":["{value}"]}}],"configured":{{"k":{{"x":"{value}"}}}}}}"#),
        );
        record.request_headers.push(("X-Internal".into(), value.clone()));
        record.request_path = format!("/users/{value}?q={value}");
        let redacted = redact(record, RedactionContext { masks: Some(&masks), ..RedactionContext::default() });
        prop_assert!(clean_but_time(&redacted), "{redacted:?}");
    }

    #[test]
    fn no_text_makes_redaction_panic(body in any::<String>(), path in any::<String>()) {
        for kind in ["application/json", "application/xml", "text/plain", "application/x-www-form-urlencoded"] {
            let mut record = with_body(kind, &body);
            record.request_path.clone_from(&path);
            record.response_headers = vec![("Cookie".into(), body.clone()), ("Link".into(), path.clone())];
            let redacted = redact(record, RedactionContext { request_cut: body.len().is_multiple_of(2), ..RedactionContext::default() });
            prop_assert!(redacted.request_body.is_some());
        }
    }
}

/// Whether no piece of a canary is left; the mark of UTC at the end of times is none.
fn clean_but_time(redacted: &ValidationRecord) -> bool {
    let mut record = redacted.clone();
    record.validated_at = cvt_sidecar::model::clock::Timestamp::default();
    let text = serde_json::to_string(&record).unwrap();
    !text.replace("00Z\"", "00\"").contains(['Q', 'Z'])
}

/// The place `thousandths` into `text`.
fn position_in(text: &str, thousandths: usize) -> usize {
    text.len() * thousandths / 1_000
}

/// Redaction takes time linear in its input: ten times the text, about ten times the time.
#[test]
#[allow(clippy::disallowed_methods, reason = "this measures real time")]
fn redaction_takes_linear_time() {
    let time = |kind: &str, unit: &str, times: usize| {
        let record = with_body(kind, &unit.repeat(times));
        let redactor = redactor();
        let mut best = std::time::Duration::MAX;
        for _ in 0..3 {
            let record = record.clone();
            let start = std::time::Instant::now();
            let redacted = redactor.record(
                record,
                RedactionContext { request_cut: true, ..RedactionContext::default() },
            );
            best = best.min(start.elapsed());
            assert!(redacted.get().request_body.is_some());
        }
        best
    };
    for (kind, unit) in [
        ("application/json", "["),
        ("application/json", "{\"a\":"),
        ("application/json", "\"\\\"\""),
        ("text/plain", "a@"),
        ("text/plain", "1-"),
        ("text/plain", "4111 "),
        ("text/plain", "eyJ"),
        ("text/plain", "a:"),
        ("text/plain", "password="),
        ("application/xml", "<a b='"),
        ("application/xml", "<!--"),
        ("application/x-www-form-urlencoded", "&a=%"),
    ] {
        let (small, large) = (time(kind, unit, 20_000), time(kind, unit, 200_000));
        let bound = small.max(std::time::Duration::from_millis(5)) * 40;
        assert!(large < bound, "{kind} {unit}: {small:?} grew to {large:?}");
    }
}
