//! Encrypted listeners: traffic and admin, callers' certificates, certificates that change.

use std::io::Write;

use crate::support::certificates::{Authority, CertificateFiles, ask_secured, secure};
use crate::support::documents::USERS;
use crate::support::{Client, Message, ScriptedUpstream, SidecarSetup, eventually};

const ADA: &str = r#"{"name":"Ada","age":36}"#;
const GET: &str = "GET /users/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

fn text(path: &std::path::Path) -> String {
    path.to_str().expect("a path").to_owned()
}

/// The setup's traffic, encrypted with `identity`.
fn encrypted(setup: SidecarSetup, identity: &CertificateFiles) -> SidecarSetup {
    setup
        .env("CVT_TRAFFIC_TLS_CERT_FILE", &text(&identity.cert))
        .env("CVT_TRAFFIC_TLS_KEY_FILE", &text(&identity.key))
}

#[test]
fn encrypted_traffic_is_served_and_validated() {
    let authority = Authority::new();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let sidecar = encrypted(setup, &authority.sign("server", "sidecar", 2090)).start();
    let mut stream = secure(sidecar.traffic, &authority.client(None)).expect("a handshake");
    let answer = ask_secured(&mut stream, GET).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(ADA), "{answer}");
    assert_eq!(sidecar.records(1)[0]["valid"], true);
    let metrics = sidecar.metrics();
    let done = [("listener", "traffic"), ("result", "success")];
    assert!(metrics.sum("cvt_tls_handshakes_total", &done) >= 1.0);
    let ends = metrics.sum("cvt_tls_certificate_expiry_timestamp_seconds", &[]);
    assert!(ends > 3.8e9, "the year 2090 is later than {ends}");
}

#[test]
fn plain_text_and_untrusted_certificates_get_no_connection() {
    let authority = Authority::new();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address());
    let sidecar = encrypted(setup, &authority.sign("server", "sidecar", 2090)).start();
    let mut client = Client::connect(sidecar.traffic);
    client.send(GET);
    assert!(client.try_read("GET").is_err(), "plain text was served on an encrypted port");
    assert!(secure(sidecar.traffic, &Authority::new().client(None)).is_err());
    sidecar.wait_for_metrics("failed handshakes", |m| {
        m.sum("cvt_tls_handshakes_total", &[("result", "failure")]) >= 2.0
    });
    assert!(upstream.received().is_empty());
}

#[test]
fn a_changed_certificate_is_used_without_dropping_a_connection() {
    let authority = Authority::new();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address());
    let sidecar = encrypted(setup, &authority.sign("server", "sidecar", 2090)).start();
    let client = authority.client(None);
    let mut old = secure(sidecar.traffic, &client).expect("a handshake");
    let first = old.conn.peer_certificates().expect("a certificate").to_vec();

    let other = authority.sign("other", "other", 2091);
    std::fs::copy(&other.key, authority.sign("server", "sidecar", 2092).key)
        .expect("a copied file");
    sidecar.wait_for_metrics("a reload that fails", |m| {
        m.sum("cvt_tls_certificate_reloads_total", &[("result", "failure")]) >= 1.0
            && m.sum("cvt_tls_certificate_reload_failing", &[("listener", "traffic")]) > 0.5
    });
    let still = secure(sidecar.traffic, &client).expect("the last good certificate stays");
    assert_eq!(still.conn.peer_certificates().expect("a certificate"), first);

    authority.sign("server", "sidecar", 2093);
    let second = eventually("the new certificate", || {
        let stream = secure(sidecar.traffic, &client).map_err(|error| error.to_string())?;
        let shown = stream.conn.peer_certificates().expect("a certificate").to_vec();
        if shown == first { Err("the old one".to_owned()) } else { Ok(shown) }
    });
    assert_ne!(second, first);
    old.write_all(GET.replace("close", "keep-alive").as_bytes()).expect("an open connection");
    let answer = Message::read_response(&mut old, "GET").expect("the old connection goes on");
    assert_eq!(answer.status(), 200);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_tls_certificate_reloads_total", &[("result", "success")]) >= 1.0);
    assert!(metrics.sum("cvt_tls_certificate_reload_failing", &[]) < 0.5);
}

#[test]
fn client_certificates_are_required_or_optional_as_configured() {
    let authority = Authority::new();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let caller = authority.sign("caller", "billing", 2090);
    let stranger = Authority::new();
    let forged = stranger.sign("caller", "billing", 2090);
    let ask = |address, shows: Option<&CertificateFiles>| {
        let mut stream = secure(address, &authority.client(shows))?;
        ask_secured(&mut stream, GET)
    };
    let served = |answer: std::io::Result<String>| answer.is_ok_and(|it| it.contains(" 200 OK"));
    for (client_auth, without) in [("require", false), ("request", true)] {
        let setup = encrypted(
            SidecarSetup::new(USERS, upstream.address()),
            &authority.sign("server", "sidecar", 2090),
        );
        let sidecar = setup
            .env("CVT_TRAFFIC_TLS_CA_FILE", &text(&authority.file()))
            .env("CVT_TRAFFIC_TLS_CLIENT_AUTH", client_auth)
            .start();
        assert!(served(ask(sidecar.traffic, Some(&caller))), "{client_auth}: a good one");
        assert!(!served(ask(sidecar.traffic, Some(&forged))), "{client_auth}: a forged one");
        assert_eq!(served(ask(sidecar.traffic, None)), without, "{client_auth}: none");
    }
}

#[test]
fn the_admin_port_is_encrypted_with_the_variables_of_cvt() {
    let authority = Authority::new();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let server = authority.sign("admin", "admin", 2090);
    let caller = authority.sign("operator", "operator", 2090);
    let sidecar = SidecarSetup::new(USERS, upstream.address())
        .env("CVT_TLS_ENABLED", "true")
        .env("CVT_TLS_CERT_FILE", &text(&server.cert))
        .env("CVT_TLS_KEY_FILE", &text(&server.key))
        .env("CVT_TLS_CA_FILE", &text(&authority.file()))
        .env("CVT_TLS_CLIENT_AUTH", "require")
        .start_unready();
    let health = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    // A client that connects and sends nothing delays no other.
    let _silent = std::net::TcpStream::connect(sidecar.admin).expect("a connection");
    let mut stream = secure(sidecar.admin, &authority.client(Some(&caller))).expect("a handshake");
    let answer = ask_secured(&mut stream, health).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let unauthenticated = secure(sidecar.admin, &authority.client(None))
        .and_then(|mut stream| ask_secured(&mut stream, health));
    assert!(
        !unauthenticated.is_ok_and(|answer| answer.contains("200 OK")),
        "no certificate was shown"
    );
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
}

#[test]
fn unusable_certificates_stop_the_start_with_one_line() {
    let authority = Authority::new();
    let good = authority.sign("server", "sidecar", 2090);
    let other = authority.sign("other", "other", 2090);
    let unused = "127.0.0.1:9".parse().expect("an address");
    let refuse = |identity: &CertificateFiles| {
        let refused = encrypted(SidecarSetup::new(USERS, unused), identity).refuse();
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert_eq!(refused.stderr.trim().lines().count(), 1, "{refused:?}");
        refused.stderr
    };
    let mixed = CertificateFiles { cert: good.cert.clone(), key: other.key };
    assert!(refuse(&mixed).contains("other.key"));
    let missing = CertificateFiles { cert: "missing.crt".into(), key: good.key.clone() };
    assert!(refuse(&missing).contains("missing.crt: cannot be read"));
    let swapped = CertificateFiles { cert: good.key, key: good.cert };
    assert!(refuse(&swapped).contains("holds no certificate"));
}
