//! Who may import whom, and which dependency belongs to whom.

use super::Breach;
use super::source::Source;

/// The floors, lowest first. A module not listed here has no place in the house.
const FLOORS: &[&[&str]] = &[
    &["model", "telemetry"],
    &["config"],
    &["contract", "redaction", "sampling", "sealing"],
    &["validation"],
    &["storage", "tls"],
    &["registry", "observer", "compatibility", "retention"],
    &["proxy", "admin"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Imports inside one floor that the design allows.
const SIDEWAYS: &[(&str, &str)] = &[("observer", "registry"), ("compatibility", "registry")];

/// Imports from a floor below that the design forbids all the same.
const FORBIDDEN: &[(&str, &str, &str)] =
    &[("proxy", "storage", "traffic never waits on a database")];

/// Floors without a runtime, files or a clock.
const PURE: &[&str] = &["contract", "redaction", "sampling", "sealing", "validation"];

/// What makes code impure, as the beginning of a path.
const IMPURE: &[&str] = &[
    "tokio",
    "std::env",
    "std::fs",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "crate::model::clock::Clock",
    "crate::model::clock::SystemClock",
];

/// Who may name a dependency.
enum Owner {
    /// A top-level module and everything in it.
    Module(&'static str),
    /// A file and the folder of the same name, under `src`.
    Part(&'static str),
    /// Every file of this name.
    FilesNamed(&'static str),
}

use Owner::{FilesNamed, Module, Part};

/// A dependency (as code names it) and its owners.
const OWNERS: &[(&str, &[Owner])] = &[
    ("pingora_core", &[Module("proxy"), Module("app")]), // app: it starts and stops the server
    ("pingora_limits", &[Module("proxy")]),
    ("listenfd", &[Part("app/listeners")]),
    // cli/demo: the bookshop and its consumers are the two ends of the wire around a sidecar,
    // not a part of it; a second HTTP implementation written for them would only add bugs.
    ("hyper", &[Module("proxy"), Part("cli/demo")]),
    ("hyper_util", &[Module("proxy"), Part("cli/demo")]),
    ("ipnet", &[Module("config")]),
    ("rustls_native_certs", &[Module("proxy")]),
    // proxy and admin: the streams that come out of a handshake; proxy also to the upstream.
    ("rustls", &[Module("tls"), Module("proxy")]),
    ("tokio_rustls", &[Module("tls"), Module("proxy"), Module("admin")]),
    ("x509_parser", &[Module("tls")]),
    ("axum", &[Module("admin")]),
    ("tonic", &[Module("admin")]),
    ("sqlx", &[Module("storage")]),
    ("moka", &[Module("registry")]),
    ("jsonschema", &[Module("contract"), Module("validation"), Module("compatibility")]),
    ("chacha20poly1305", &[Module("sealing")]),
    ("prometheus", &[Module("telemetry"), FilesNamed("metrics.rs")]),
];

/// The second way to a `Redacted`, and who may go it: whoever writes redacted things down and
/// reads them back.
const READ_BACK: (&str, &[&str]) =
    ("read_back", &["src/observer/spool/entry.rs", "src/storage/sealed.rs"]);

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Breaches of "only from floors below, never sideways".
pub(super) fn imports(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let breach = |line, what| Breach::new(&source.file, line, what);
    let Some(top) = source.top() else {
        let outward = source.paths.iter().filter(|path| path.segments[0] == "crate");
        return outward
            .map(|p| breach(p.line, "the crate's root only declares modules".to_owned()))
            .collect();
    };
    let Some(floor) = floor_of(top) else {
        return vec![breach(1, format!("`{top}` stands on no floor; give it one in rules.rs"))];
    };
    for path in &source.paths {
        let Some(target) = target_of(path.segments.as_slice()) else { continue };
        let allowed = SIDEWAYS.contains(&(top, target))
            || target == top
            || floor_of(target).is_some_and(|below| below < floor);
        if !allowed {
            breaches.push(breach(
                path.line,
                format!("`{top}` imports `{target}`, which is not below it"),
            ));
        }
        let forbidden = FORBIDDEN.iter().find(|(from, to, _)| (*from, *to) == (top, target));
        if let Some((_, _, why)) = forbidden {
            breaches.push(breach(path.line, format!("`{top}` imports `{target}`: {why}")));
        }
    }
    breaches
}

/// The top-level module of our own that a path leads to.
fn target_of(segments: &[String]) -> Option<&str> {
    match segments[0].as_str() {
        "crate" | "cvt_sidecar" => Some(segments.get(1).map_or("the crate's root", String::as_str)),
        _ => None,
    }
}

/// Breaches of "each heavy dependency has one owner".
pub(super) fn ownership(source: &Source) -> Vec<Breach> {
    let inside = source.file.trim_start_matches("src/").trim_end_matches(".rs");
    let owns = |owner: &Owner| match owner {
        Module(module) => source.top() == Some(module),
        Part(part) => {
            inside.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        FilesNamed(name) => source.file.ends_with(&format!("/{name}")),
    };
    let breach_of = |path: &super::source::NamedPath| {
        let (name, owners) = OWNERS.iter().find(|(name, _)| path.segments[0] == *name)?;
        let what = || format!("`{name}` belongs to {}", owner_names(owners));
        (!owners.iter().any(owns)).then(|| Breach::new(&source.file, path.line, what()))
    };
    source.paths.iter().filter_map(breach_of).collect()
}

fn owner_names(owners: &[Owner]) -> String {
    let name_of = |(Module(name) | Part(name) | FilesNamed(name)): &Owner| *name;
    owners.iter().map(name_of).collect::<Vec<_>>().join(", ")
}

/// Breaches of "floors 2 and 3 are pure"; their tests may read files.
pub(super) fn purity(source: &Source) -> Vec<Breach> {
    if !source.top().is_some_and(|top| PURE.contains(&top)) {
        return Vec::new();
    }
    let impure = |path: &super::source::NamedPath| {
        let named = path.segments.join("::");
        let starts = |prefix: &&str| {
            named.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        (!path.in_test && IMPURE.iter().any(starts))
            .then(|| Breach::new(&source.file, path.line, format!("`{named}` in a pure floor")))
    };
    source.paths.iter().filter_map(impure).collect()
}

/// Breaches of "only a redactor makes what is redacted": its second constructor named by
/// others than those it is for.
pub(super) fn proofs(source: &Source) -> Vec<Breach> {
    let (name, files) = READ_BACK;
    let named = |path: &&super::source::NamedPath| {
        path.segments.len() > 1 && path.segments.last().is_some_and(|last| last == name)
    };
    if files.contains(&source.file.as_str()) {
        return Vec::new();
    }
    let what = || format!("`{name}` is for {}; redact instead", files.join(" and "));
    let found = source.paths.iter().filter(named);
    found.map(|path| Breach::new(&source.file, path.line, what())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: &[Breach]) -> Vec<usize> {
        breaches.iter().map(|breach| breach.line).collect()
    }

    fn import_lines(file: &str, text: &str) -> Vec<usize> {
        lines(&imports(&Source::parse(file, text)))
    }

    #[test]
    fn an_import_from_above_or_beside_is_a_breach() {
        assert_eq!(
            import_lines(
                "src/contract/route.rs",
                "use crate::model::id;\nuse crate::validation::X;"
            ),
            [2]
        );
        assert_eq!(
            import_lines(
                "src/proxy/gate.rs",
                "use crate::registry::Lookup;\n\nuse crate::admin::X;"
            ),
            [3]
        );
        assert_eq!(import_lines("src/admin.rs", "use crate::{config, proxy};"), [1]);
        assert_eq!(import_lines("src/contract.rs", "fn f() { crate::redaction::mask() }"), [1]);
        assert_eq!(
            import_lines("src/storage/sqlite/rows.rs", "use super::super::super::observer::X;"),
            [1]
        );
    }

    #[test]
    fn the_two_sideways_imports_of_the_design_are_none() {
        assert!(import_lines("src/observer/worker.rs", "use crate::registry::Pinned;").is_empty());
        assert!(import_lines("src/compatibility.rs", "use crate::registry::Pinned;").is_empty());
        assert_eq!(import_lines("src/registry.rs", "use crate::observer::Queue;"), [1]);
    }

    #[test]
    fn traffic_may_not_know_the_database() {
        assert_eq!(import_lines("src/proxy.rs", "use crate::storage::Store;"), [1]);
        assert!(import_lines("src/observer.rs", "use crate::storage::Store;").is_empty());
    }

    #[test]
    fn a_module_without_a_floor_is_a_breach() {
        assert_eq!(import_lines("src/glue.rs", ""), [1]);
        assert_eq!(import_lines("src/cli.rs", "use crate::glue::X;"), [1]);
        assert_eq!(import_lines("src/cli.rs", "use crate::*;"), [1]);
        assert_eq!(import_lines("src/lib.rs", "pub mod cli;\npub use crate::cli::Cli;"), [2]);
        assert!(import_lines("src/main.rs", "use cvt_sidecar::cli;").is_empty());
    }

    #[test]
    fn a_dependency_outside_its_owner_is_a_breach() {
        let found = |file: &str, text: &str| lines(&ownership(&Source::parse(file, text)));
        assert_eq!(found("src/observer/writer.rs", "use sqlx::Row;"), [1]);
        assert_eq!(found("src/app.rs", "fn f() {\n    hyper::body::Bytes::new();\n}"), [2]);
        assert_eq!(found("src/cli/demonstration.rs", "use hyper::Request;"), [1]);
        assert_eq!(
            found("src/observer/queue.rs", "#[cfg(test)]\nmod tests { use prometheus::Counter; }"),
            [2]
        );
        assert!(found("src/cli/demo/bookshop.rs", "use hyper::Request;").is_empty());
        assert!(found("src/cli/demo.rs", "use hyper::Request;").is_empty());
        assert!(found("src/observer/metrics.rs", "use prometheus::Counter;").is_empty());
        assert!(found("src/storage.rs", "use sqlx::Row;").is_empty());
    }

    #[test]
    fn a_pure_floor_that_reads_a_file_or_the_time_is_a_breach() {
        let found = |text: &str| lines(&purity(&Source::parse("src/validation/body.rs", text)));
        assert_eq!(found("use std::{fmt, fs};\nuse tokio::sync::mpsc;"), [1, 2]);
        assert_eq!(found("use crate::model::clock::{Clock, Timestamp};"), [1]);
        assert_eq!(found("fn f() {\n    let _ = std::time::Instant::now();\n}"), [2]);
        assert!(
            found("use std::net::Ipv4Addr;\n#[cfg(test)]\nmod tests { use std::fs; }").is_empty()
        );
        assert!(purity(&Source::parse("src/proxy.rs", "use tokio::net::TcpStream;")).is_empty());
    }

    #[test]
    fn what_is_redacted_comes_from_a_redactor() {
        let found = |file: &str, text: &str| lines(&proofs(&Source::parse(file, text)));
        let text = "use crate::redaction::Redacted as R;\nfn f() {\n    R::read_back(1);\n}";
        assert_eq!(found("src/observer/record.rs", text), [3]);
        assert_eq!(
            found("src/app.rs", "fn f() { x.map(crate::redaction::Redacted::read_back) }"),
            [1]
        );
        assert!(found("src/storage/sealed.rs", text).is_empty());
        assert!(found("src/redaction.rs", "fn read_back(value: T) {}").is_empty());
    }
}
