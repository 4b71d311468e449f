//! A command that sends a recorded request again.

use std::fmt::Write as _;

use crate::model::record::ValidationRecord;

/// Fields that belong to the connection of back then, or that curl writes itself.
const OMITTED_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "accept-encoding",
];

/// Fields that curl adds unless a flag prevents it.
const CURL_HEADERS: [&str; 2] = ["accept", "user-agent"];

/// A command for a POSIX shell (with `$'…'` where a value holds control characters) that sends
/// the request of `record` to `base`. What was hidden stays hidden: credentials are to be filled
/// in.
pub(crate) fn command(record: &ValidationRecord, base: &str) -> String {
    let mut parts = vec!["curl --globoff --path-as-is -i".to_owned()];
    let body = record.request_body.as_deref();
    match (record.request_method.as_str(), body) {
        ("GET", None) | ("POST", Some(_)) => {}
        ("HEAD", None) => parts[0].push_str(" --head"),
        (method, _) => parts[0] = format!("{} -X {}", parts[0], quote(method)),
    }
    let url = format!("{}{}", base.trim_end_matches('/'), record.request_path);
    parts[0] = format!("{} {}", parts[0], quote(&url));
    let sent = |name: &str| {
        record.request_headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    };
    for (name, value) in &record.request_headers {
        if OMITTED_HEADERS.iter().any(|omitted| name.eq_ignore_ascii_case(omitted)) {
            continue;
        }
        // a field without a value is written with a semicolon
        let field = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        parts.push(format!("-H {}", quote(&field)));
    }
    let form = body.is_some().then_some("content-type");
    for name in CURL_HEADERS.into_iter().chain(form).filter(|name| !sent(name)) {
        parts.push(format!("-H {}", quote(&format!("{name}:"))));
    }
    if let Some(body) = body {
        parts.push(format!("--data-raw {}", quote(body)));
    }
    parts.join(" \\\n  ")
}

/// A word that a shell hands on as it is.
fn quote(text: &str) -> String {
    if text.contains(|c: char| c.is_control() && c != '\n') {
        let mut quoted = String::from("$'");
        for c in text.chars() {
            match c {
                '\'' | '\\' => quoted.extend(['\\', c]),
                '\n' => quoted.push_str("\\n"),
                c if c.is_control() => {
                    let mut bytes = [0; 4];
                    for byte in c.encode_utf8(&mut bytes).bytes() {
                        // writing to a string cannot fail
                        let _ = write!(quoted, "\\x{byte:02x}");
                    }
                }
                c => quoted.push(c),
            }
        }
        quoted.push('\'');
        return quoted;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_survives_a_shell() {
        for text in
            ["", "a b", "it's", "$(id)`id`\\n\"!", "two\nlines", "esc \u{1b}[0m 'q' \\ é", "\u{85}"]
        {
            let script = format!("printf %s {}", quote(text));
            let shown = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(shown.stdout).unwrap(), text, "{script}");
        }
    }
}
