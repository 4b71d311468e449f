//! What the sidecar asks others on its own account: collectors of traces, and itself.

use std::net::SocketAddr;
use std::path::Path;

use crate::support::certificates::Authority;
use crate::support::documents::USERS;
use crate::support::front::{TestProxy, TlsFront, silent_service};
use crate::support::h2_upstream::server;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, command};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

fn text(path: &Path) -> String {
    path.to_str().expect("a path").to_owned()
}

/// A sidecar that records every trace and exports it to `endpoint`.
fn traced(upstream: &ScriptedUpstream, endpoint: &str) -> SidecarSetup {
    SidecarSetup::new(USERS, upstream.address())
        .env("CVT_TRACING_ENDPOINT", endpoint)
        .env("CVT_TRACING_RATIO", "1")
}

fn exported(sidecar: &Sidecar, spans: f64) {
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    sidecar.wait_for_metrics("exported spans", |m| m.sum("cvt_spans_exported_total", &[]) >= spans);
}

#[test]
fn traces_are_exported_over_mutual_tls() {
    let (authority, upstream) = (Authority::new(), ScriptedUpstream::json("200 OK", ADA));
    let collector = ScriptedUpstream::json("200 OK", "{}");
    let identity = authority.sign("collector", "collector", 2090);
    let config = server(&identity, Some(&authority.file()), &[]);
    let front = TlsFront::start(config, collector.address());
    let caller = authority.sign("caller", "sidecar", 2090);
    let sidecar = traced(&upstream, &format!("https://localhost:{}", front.address.port()))
        .env("CVT_EGRESS_CA_FILE", &text(&authority.file()))
        .env("CVT_EGRESS_CERT_FILE", &text(&caller.cert))
        .env("CVT_EGRESS_KEY_FILE", &text(&caller.key))
        .start();
    exported(&sidecar, 3.0);
    let request = collector.received().remove(0);
    assert_eq!(request.start_line(), "POST /v1/traces HTTP/1.1");
    assert_eq!(request.all("content-type"), ["application/json"]);
}

#[test]
fn spans_for_an_untrusted_collector_are_dropped_and_counted() {
    let (authority, upstream) = (Authority::new(), ScriptedUpstream::json("200 OK", ADA));
    let collector = ScriptedUpstream::json("200 OK", "{}");
    let identity = authority.sign("collector", "collector", 2090);
    let front = TlsFront::start(server(&identity, None, &[]), collector.address());
    let sidecar = traced(&upstream, &format!("https://{}", front.address))
        .env("CVT_EGRESS_CA_FILE", &text(&Authority::new().file()))
        .start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    sidecar.wait_for_metrics("dropped spans", |m| {
        m.sum("cvt_spans_dropped_total", &[("reason", "collector")]) >= 3.0
    });
    assert!(sidecar.said().contains("the certificate is not trusted"), "{}", sidecar.said());
    assert!(collector.received().is_empty());
}

#[test]
fn traces_go_through_the_proxy_of_the_environment() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let collector = ScriptedUpstream::json("200 OK", "{}");
    let proxy = TestProxy::start(Some(collector.address()));
    let sidecar = traced(&upstream, "http://collector.test")
        .env("HTTP_PROXY", &format!("http://{}", proxy.address))
        .start();
    exported(&sidecar, 3.0);
    let line = proxy.asked().remove(0).start_line();
    assert_eq!(line, "POST http://collector.test:4318/v1/traces HTTP/1.1");

    // On loopback no proxy is asked, and the traffic itself never goes through one.
    let sidecar = traced(&upstream, &format!("http://{}", collector.address()))
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .start();
    exported(&sidecar, 3.0);
}

#[test]
fn unusable_files_for_an_encrypted_collector_stop_the_start() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let refused =
        traced(&upstream, "https://localhost:1").env("CVT_EGRESS_CA_FILE", "missing.pem").refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("missing.pem: cannot be read"), "{refused:?}");
}

#[test]
fn the_health_command_asks_an_encrypted_admin_port() {
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let (authority, upstream) = (Authority::new(), ScriptedUpstream::json("200 OK", ADA));
    let identity = authority.sign("admin", "admin.internal", 2090);
    let stranger = Authority::new();
    for (client_auth, ca) in
        [("none", None), ("require", Some(&authority)), ("require", Some(&stranger))]
    {
        let mut environment = vec![
            ("CVT_TLS_ENABLED", "true".to_owned()),
            ("CVT_TLS_CERT_FILE", text(&identity.cert)),
            ("CVT_TLS_KEY_FILE", text(&identity.key)),
            ("CVT_TLS_CLIENT_AUTH", client_auth.to_owned()),
        ];
        environment.extend(ca.map(|ca| ("CVT_TLS_CA_FILE", text(&ca.file()))));
        let setup = SidecarSetup::new(USERS, upstream.address());
        let set = |setup: SidecarSetup, (name, value): &(&str, String)| setup.env(name, value);
        let sidecar = environment.iter().fold(setup, set).start_unready();
        let health = |admin: SocketAddr, more: &[&str]| {
            let mut command = command(&sidecar.dir());
            command.args(["health", "--admin-listen", &admin.to_string()]).args(more);
            let output = command.envs(environment.clone()).output().expect("it runs");
            let said = [output.stdout, output.stderr].concat();
            (output.status.code(), String::from_utf8_lossy(&said).into_owned())
        };
        let own = ca.is_none_or(|ca| std::ptr::eq(ca, &raw const authority));
        let (code, said) = health(sidecar.admin, &[]);
        assert_eq!(code, Some(if own { 0 } else { 2 }), "{client_auth}: {said}");
        assert_eq!(said.contains("ok   upstream: "), own, "{said}");
        assert_eq!(health(sidecar.admin, &["--live"]), (Some(0), "ok\n".into()));
        assert_eq!(health(silent_service(), &["--live"]).0, Some(2), "it never answers");
    }
}
