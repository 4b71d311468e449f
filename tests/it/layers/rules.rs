//! Which module may import which, and what the pure modules may not touch.

use super::Breach;
use super::source::{NamedPath, Source};

/// The layers, lowest first. A module that is not listed here has no layer.
const LAYERS: &[&[&str]] = &[
    &["model", "telemetry"],
    &["config", "json"],
    &["contract", "redaction", "sampling", "encryption"],
    &["validation"],
    &["storage", "egress", "tls"],
    &["registry", "exchange", "pipeline", "compatibility", "retention", "learning"],
    &["control"],
    &["proxy", "admin"],
    &["app"],
    &["cli"],
    &["main"],
];

/// Imports inside layer 5 that the design allows: from these modules, of those.
const INSIDE_LAYER: (&[&str], &[&str]) =
    (&["pipeline", "compatibility", "retention", "learning"], &["registry", "exchange"]);

/// One more: an exchange carries the contract that the registry loaded for it.
const PINNED_CONTRACT: (&str, &str) = ("exchange", "registry");

/// Imports from a layer below that the design forbids all the same.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("proxy", "storage", "traffic never waits on a database"),
    ("proxy", "control", "traffic never waits on a question"),
];

/// Modules without a runtime, files or a clock.
const PURE: &[&str] = &["json", "contract", "redaction", "sampling", "encryption", "validation"];

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

/// The second constructor of `Redacted`, and the files that may call it: those that write
/// redacted values down and read them back.
const READ_BACK: (&str, &[&str]) =
    ("read_back", &["src/pipeline/deliver/spool/entry.rs", "src/storage/encrypted.rs"]);

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn allowed_inside_layer(from: &str, to: &str) -> bool {
    let (users, used) = INSIDE_LAYER;
    (from, to) == PINNED_CONTRACT || users.contains(&from) && used.contains(&to)
}

/// Breaches of "only from layers below, never sideways".
pub(super) fn imports(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let breach = |line, what| Breach::new(&source.file, line, what);
    let Some(top) = source.top() else {
        let outward = source.paths.iter().filter(|path| path.segments[0] == "crate");
        return outward
            .map(|p| breach(p.line, "the crate's root only declares modules".to_owned()))
            .collect();
    };
    let Some(layer) = layer_of(top) else {
        let what = format!("`{top}` is in no layer; add it to LAYERS in tests/it/layers/rules.rs");
        return vec![breach(1, what)];
    };
    for path in &source.paths {
        let Some(target) = target_of(path.segments.as_slice()) else { continue };
        let allowed = allowed_inside_layer(top, target)
            || target == top
            || layer_of(target).is_some_and(|below| below < layer);
        if !allowed {
            breaches.push(breach(
                path.line,
                format!(
                    "`{top}` imports `{target}`, which is not below it; move what both need into \
                     a layer below, or let `app` bind them by a trait"
                ),
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

/// Breaches of "pure modules are pure"; their tests may read files.
pub(super) fn purity(source: &Source) -> Vec<Breach> {
    if !source.top().is_some_and(|top| PURE.contains(&top)) {
        return Vec::new();
    }
    let impure = |path: &NamedPath| {
        let named = path.segments.join("::");
        let starts = |prefix: &&str| {
            named.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        };
        (!path.in_test && IMPURE.iter().any(starts)).then(|| {
            Breach::new(
                &source.file,
                path.line,
                format!("`{named}` in a pure module; let the caller pass it in"),
            )
        })
    };
    source.paths.iter().filter_map(impure).collect()
}

/// Breaches of "only a redactor makes what is redacted": its second constructor named by
/// others than those it is for.
pub(super) fn proofs(source: &Source) -> Vec<Breach> {
    let (name, files) = READ_BACK;
    let named = |path: &&NamedPath| {
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
                "src/proxy/handler.rs",
                "use crate::registry::Lookup;\n\nuse crate::admin::X;"
            ),
            [3]
        );
        assert_eq!(import_lines("src/admin.rs", "use crate::{config, proxy};"), [1]);
        assert_eq!(import_lines("src/contract.rs", "fn f() { crate::redaction::mask() }"), [1]);
        assert_eq!(
            import_lines("src/storage/sqlite/rows.rs", "use super::super::super::pipeline::X;"),
            [1]
        );
    }

    #[test]
    fn inside_layer_5_registry_and_exchange_are_below_the_others() {
        for module in ["pipeline", "compatibility", "retention", "learning"] {
            let file = format!("src/{module}/worker.rs");
            let text = "use crate::registry::Lookup;\nuse crate::exchange::Exchange;";
            assert!(import_lines(&file, text).is_empty(), "{module}");
            assert_eq!(import_lines("src/registry.rs", &format!("use crate::{module}::X;")), [1]);
            assert_eq!(import_lines("src/exchange.rs", &format!("use crate::{module}::X;")), [1]);
        }
        assert_eq!(import_lines("src/pipeline.rs", "use crate::learning::Draft;"), [1]);
        assert_eq!(import_lines("src/registry.rs", "use crate::exchange::Queue;"), [1]);
        assert!(import_lines("src/exchange.rs", "use crate::registry::Lookup;").is_empty());
    }

    #[test]
    fn the_edges_reach_control_and_traffic_does_not() {
        assert!(import_lines("src/admin/http.rs", "use crate::control::Reports;").is_empty());
        assert!(import_lines("src/cli/report.rs", "use crate::control::Reports;").is_empty());
        assert_eq!(import_lines("src/proxy.rs", "use crate::control::Reports;"), [1]);
        assert_eq!(import_lines("src/control.rs", "use crate::admin::Server;"), [1]);
        assert_eq!(import_lines("src/telemetry.rs", "use crate::egress::Client;"), [1]);
        assert!(import_lines("src/pipeline.rs", "use crate::egress::Client;").is_empty());
    }

    #[test]
    fn traffic_may_not_know_the_database() {
        assert_eq!(import_lines("src/proxy.rs", "use crate::storage::Store;"), [1]);
        assert!(import_lines("src/pipeline.rs", "use crate::storage::Store;").is_empty());
    }

    #[test]
    fn a_module_without_a_layer_is_a_breach() {
        assert_eq!(import_lines("src/glue.rs", ""), [1]);
        assert_eq!(import_lines("src/cli.rs", "use crate::glue::X;"), [1]);
        assert_eq!(import_lines("src/cli.rs", "use crate::*;"), [1]);
        assert_eq!(import_lines("src/lib.rs", "pub mod cli;\npub use crate::cli::Cli;"), [2]);
        assert!(import_lines("src/main.rs", "use cvt_sidecar::cli;").is_empty());
    }

    #[test]
    fn a_pure_module_that_reads_a_file_or_the_time_is_a_breach() {
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
        assert_eq!(found("src/pipeline/record.rs", text), [3]);
        assert_eq!(
            found("src/app.rs", "fn f() { x.map(crate::redaction::Redacted::read_back) }"),
            [1]
        );
        assert!(found("src/storage/encrypted.rs", text).is_empty());
        assert!(found("src/redaction.rs", "fn read_back(value: T) {}").is_empty());
    }
}
