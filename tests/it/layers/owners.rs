//! Which dependency belongs to which module, and which modules may open a client connection.

use super::Breach;
use super::source::{NamedPath, Source};

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
    ("hyper", &[Module("proxy"), Module("egress"), Part("cli/demo")]),
    ("hyper_util", &[Module("proxy"), Module("egress"), Part("cli/demo")]),
    ("reqwest", &[Module("egress")]),
    ("ipnet", &[Module("config")]),
    ("rustls_native_certs", &[Module("proxy"), Module("egress")]),
    // proxy and admin: the streams that come out of a handshake; proxy and egress also speak
    // TLS to others.
    ("rustls", &[Module("tls"), Module("proxy"), Module("egress")]),
    ("tokio_rustls", &[Module("tls"), Module("proxy"), Module("egress"), Module("admin")]),
    ("tower_service", &[Module("egress")]),
    ("x509_parser", &[Module("tls")]),
    ("axum", &[Module("admin")]),
    ("tonic", &[Module("admin")]),
    ("sqlx", &[Module("storage")]),
    ("moka", &[Module("registry")]),
    ("jsonschema", &[Module("contract"), Module("validation"), Module("compatibility")]),
    ("chacha20poly1305", &[Module("encryption")]),
    ("prometheus", &[Module("telemetry"), FilesNamed("metrics.rs")]),
];

/// Who may open a client connection. A crate with a client of its own, as sqlx, does so in its
/// owner module and is not named here.
const CLIENTS: &[Owner] = &[Module("proxy"), Module("storage"), Module("egress"), Part("cli/demo")];

/// What opens a client connection, as the end of a path.
const CONNECTS: &[&[&str]] = &[
    &["TcpStream", "connect"],
    &["TcpStream", "connect_timeout"],
    &["TcpSocket", "connect"],
    &["TcpSocket", "new_v4"],
    &["TcpSocket", "new_v6"],
];

/// What speaks as a client, as the beginning of a path.
const CLIENT_CRATES: &[&[&str]] =
    &[&["hyper", "client"], &["hyper_util", "client"], &["reqwest"], &["ureq"]];

/// Breaches of "each heavy dependency has one owner".
pub(super) fn ownership(source: &Source) -> Vec<Breach> {
    let breach_of = |path: &NamedPath| {
        let (name, owners) = OWNERS.iter().find(|(name, _)| path.segments[0] == *name)?;
        let what = || {
            let owners = owner_names(owners);
            format!("`{name}` belongs to {owners}; ask that module for what is needed")
        };
        (!owned(source, owners)).then(|| Breach::new(&source.file, path.line, what()))
    };
    source.paths.iter().filter_map(breach_of).collect()
}

/// Breaches of "`egress` is the only outbound client"; tests may call what they test.
pub(super) fn connections(source: &Source) -> Vec<Breach> {
    if owned(source, CLIENTS) {
        return Vec::new();
    }
    let breach_of = |path: &NamedPath| {
        let named = source.written_out(path);
        let named: Vec<_> = named.iter().map(String::as_str).collect();
        let opens = CONNECTS.iter().any(|end| named.ends_with(end))
            || CLIENT_CRATES.iter().any(|start| named.starts_with(start));
        let what = || {
            let owners = owner_names(CLIENTS);
            let named = named.join("::");
            format!("`{named}` opens a client connection outside of {owners}; use `egress`")
        };
        (opens && !path.in_test).then(|| Breach::new(&source.file, path.line, what()))
    };
    source.paths.iter().filter_map(breach_of).collect()
}

/// Whether one of `owners` is, or holds, the file.
fn owned(source: &Source, owners: &[Owner]) -> bool {
    let inside = source.file.trim_start_matches("src/").trim_end_matches(".rs");
    owners.iter().any(|owner| match owner {
        Module(module) => source.top() == Some(module),
        Part(part) => {
            inside.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        FilesNamed(name) => source.file.ends_with(&format!("/{name}")),
    })
}

fn owner_names(owners: &[Owner]) -> String {
    let name_of = |(Module(name) | Part(name) | FilesNamed(name)): &Owner| *name;
    owners.iter().map(name_of).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(breaches: &[Breach]) -> Vec<usize> {
        breaches.iter().map(|breach| breach.line).collect()
    }

    #[test]
    fn a_dependency_outside_its_owner_is_a_breach() {
        let found = |file: &str, text: &str| lines(&ownership(&Source::parse(file, text)));
        assert_eq!(found("src/pipeline/deliver.rs", "use sqlx::Row;"), [1]);
        assert_eq!(found("src/app.rs", "fn f() {\n    hyper::body::Bytes::new();\n}"), [2]);
        assert_eq!(found("src/cli/demonstration.rs", "use hyper::Request;"), [1]);
        assert_eq!(
            found("src/exchange/queue.rs", "#[cfg(test)]\nmod tests { use prometheus::Counter; }"),
            [2]
        );
        assert!(found("src/cli/demo/bookshop.rs", "use hyper::Request;").is_empty());
        assert!(found("src/cli/demo.rs", "use hyper::Request;").is_empty());
        assert!(found("src/pipeline/metrics.rs", "use prometheus::Counter;").is_empty());
        assert!(found("src/storage.rs", "use sqlx::Row;").is_empty());
    }

    #[test]
    fn a_client_connection_outside_of_egress_is_a_breach() {
        let found = |file: &str, text: &str| lines(&connections(&Source::parse(file, text)));
        let text = "use tokio::net::TcpStream;\nasync fn f() { TcpStream::connect(1).await }";
        assert_eq!(found("src/telemetry/spans.rs", text), [2]);
        let renamed = "use std::net::TcpStream as Tcp;\nfn f() {\n Tcp::connect_timeout(1, 2) }";
        assert_eq!(found("src/cli/health.rs", renamed), [3]);
        assert_eq!(found("src/app.rs", "use hyper::client::conn::http1;"), [1]);
        assert_eq!(found("src/admin.rs", "fn f() { reqwest::get(1) }"), [1]);
        for file in ["src/proxy/upstream.rs", "src/egress.rs", "src/storage.rs", "src/cli/demo.rs"]
        {
            assert!(found(file, text).is_empty(), "{file}");
        }
        let tested = format!("#[cfg(test)]\nmod tests {{ {text} }}");
        assert!(found("src/telemetry/spans.rs", &tested).is_empty());
        assert!(found("src/app/handover.rs", "fn f() { UnixStream::connect(1) }").is_empty());
    }
}
