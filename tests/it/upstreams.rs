//! Whom the sidecar calls: several addresses, names that move, TLS, HTTP/2, faults.

use std::fs;
use std::net::SocketAddr;

use http::{Request, Version};

use crate::support::certificates::Authority;
use crate::support::documents::USERS;
use crate::support::h2_upstream::{H2Upstream, call_all, server};
use crate::support::{
    Client, Latch, MetricsScrape, ScriptedUpstream, Sidecar, SidecarSetup, Step, json_answer,
    may_unshare,
};

const ADA: &str = r#"{"name":"Ada","age":36}"#;
const BOTH: &[&str] = &["h2", "http/1.1"];

/// A sidecar that validates against USERS with these settings about its upstream.
fn calling(settings: &str) -> SidecarSetup {
    let settings = format!("spec: users.yaml\n{settings}\n");
    SidecarSetup::configured(&settings).file("users.yaml", USERS)
}

fn plain(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> =
        addresses.iter().map(|address| format!("http://{address}")).collect();
    format!("upstream: [{}]", addresses.join(", "))
}

/// localhost with TLS at the port of `address`, trusted as `rest` says.
fn encrypted(address: SocketAddr, rest: &str) -> String {
    format!("upstream: https://localhost:{}\n{rest}", address.port())
}

#[track_caller]
fn failures(metrics: &MetricsScrape, kind: &str) -> f64 {
    metrics.sum("cvt_proxy_upstream_failures_total", &[("kind", kind)])
}

#[track_caller]
fn wait_for_endpoints(sidecar: &Sidecar, state: &str, n: f64) {
    sidecar.wait_for_metrics("addresses found", |metrics| {
        (metrics.sum("cvt_proxy_upstream_endpoints", &[("state", state)]) - n).abs() < 0.5
    });
}

fn get(path: &str) -> Request<Vec<u8>> {
    Request::get(format!("http://service.example{path}")).body(Vec::new()).expect("a request")
}

#[test]
fn several_addresses_take_turns() {
    let [one, two] = [ScriptedUpstream::json("200 OK", ADA), ScriptedUpstream::json("200 OK", ADA)];
    let sidecar = calling(&plain(&[one.address(), two.address()])).start();
    wait_for_endpoints(&sidecar, "up", 2.0);
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..20 {
        assert_eq!(client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n").status(), 200);
    }
    assert_eq!((one.received().len(), two.received().len()), (10, 10));
    let opened = sidecar.metrics().sum("cvt_proxy_upstream_connections_total", &[]);
    assert!((opened - 2.0).abs() < 0.5, "each address keeps its connection: {opened}");
}

#[test]
fn trap_t19_an_address_that_is_down_costs_no_request_and_comes_back() {
    let [good, bad] =
        [ScriptedUpstream::json("200 OK", ADA), ScriptedUpstream::json("200 OK", ADA)];
    let sidecar = calling(&plain(&[good.address(), bad.address()])).start();
    wait_for_endpoints(&sidecar, "up", 2.0);
    let gone = bad.stop();
    for _ in 0..10 {
        assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    }
    wait_for_endpoints(&sidecar, "down", 1.0);
    let metrics = sidecar.metrics();
    assert!(failures(&metrics, "connect") < 0.5, "no failure was counted");
    assert!(metrics.sum("cvt_proxy_upstream_retries_total", &[("kind", "connect")]) >= 1.0);
    assert!(metrics.sum("cvt_proxy_upstream_ejections_total", &[]) >= 1.0);

    let back = ScriptedUpstream::start_on(gone, |_| json_answer("200 OK", ADA));
    wait_for_endpoints(&sidecar, "up", 2.0);
    for _ in 0..10 {
        Client::get(sidecar.traffic, "/users/1");
    }
    assert!(!back.received().is_empty(), "it takes its turn again");
}

#[test]
fn an_unknown_name_is_an_upstream_failure() {
    let sidecar = calling("upstream: http://nowhere.invalid:80").start_unready();
    let answer = Client::connect(sidecar.traffic).ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(answer.status(), 502);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_proxy_upstream_resolve_failures_total", &[]) >= 1.0);
    assert!(failures(&metrics, "connect") >= 1.0);
}

#[test]
fn the_address_with_the_fewest_exchanges_gets_the_next() {
    let gate = Latch::default();
    let slow = ScriptedUpstream::start({
        let gate = gate.clone();
        move |_| {
            let mut steps = vec![Step::Wait(gate.clone())];
            steps.extend(json_answer("200 OK", ADA));
            steps
        }
    });
    let quick = ScriptedUpstream::json("200 OK", ADA);
    let settings = plain(&[slow.address(), quick.address()]);
    let sidecar = calling(&format!("{settings}\nupstream_balance: least_connections")).start();
    wait_for_endpoints(&sidecar, "up", 2.0);
    let mut stuck = Client::connect(sidecar.traffic);
    // One of two goes to the slow address, and stays there.
    let mut first = Client::connect(sidecar.traffic);
    stuck.send("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    first.send("GET /users/2 HTTP/1.1\r\nHost: a\r\n\r\n");
    slow.wait_for(1);
    quick.wait_for(1);
    for _ in 0..10 {
        assert_eq!(Client::get(sidecar.traffic, "/users/3").status(), 200);
    }
    assert_eq!((slow.received().len(), quick.received().len()), (1, 11));
    gate.open();
}

#[test]
fn an_address_with_a_failing_health_check_gets_no_exchange() {
    let well = |request: &crate::support::Message| {
        let asked = request.start_line();
        json_answer("200 OK", if asked.contains("/healthz") { "{}" } else { ADA })
    };
    let ill = |request: &crate::support::Message| {
        let healthy = !request.start_line().contains("/healthz");
        json_answer(if healthy { "200 OK" } else { "503 Unavailable" }, ADA)
    };
    let [good, bad] = [ScriptedUpstream::start(well), ScriptedUpstream::start(ill)];
    let settings = plain(&[good.address(), bad.address()]);
    let health = "upstream_health: {path: /healthz, status: 200, interval: 100ms}";
    let sidecar = calling(&format!("{settings}\n{health}")).start();
    wait_for_endpoints(&sidecar, "down", 1.0);
    for _ in 0..10 {
        assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    }
    let asked = |upstream: &ScriptedUpstream| {
        let received = upstream.received();
        received.iter().filter(|request| request.start_line().contains("/users")).count()
    };
    assert_eq!((asked(&good), asked(&bad)), (10, 0));
}

#[test]
fn trap_t19_a_name_with_new_addresses_is_followed_without_a_restart() {
    let answer = |name: &'static str| {
        move |_: &crate::support::Message| {
            json_answer("200 OK", &format!("{{\"name\":\"{name}\"}}"))
        }
    };
    let before =
        ScriptedUpstream::start_on("127.0.0.2:0".parse().expect("an address"), answer("before"));
    let port = before.address().port();
    let there = SocketAddr::from(([127, 0, 0, 3], port));
    let after = ScriptedUpstream::start_on(there, answer("after"));
    let setup = calling(&format!("upstream: http://moving.test:{port}"));
    // A private /etc/hosts is the system's own resolver with a name of our own.
    if !may_unshare(&["-rm"]) {
        return;
    }
    let hosts = setup.path().join("hosts");
    fs::write(&hosts, "127.0.0.2 moving.test\n").expect("a written file");
    let sidecar = setup.with_hosts(&hosts).start();
    let mut client = Client::connect(sidecar.traffic);
    let mut ask = || {
        let answer = client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status(), 200, "no request fails while the name moves");
        answer.json()["name"].as_str().map(str::to_owned)
    };
    assert_eq!(ask().as_deref(), Some("before"));
    fs::write(&hosts, "127.0.0.3 moving.test\n").expect("a written file");
    crate::support::eventually("the new address", || match ask().as_deref() {
        Some("after") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    assert_eq!(ask().as_deref(), Some("after"), "kept connections lead nowhere else");
    drop((before, after));
}

#[test]
fn an_upstream_without_a_trusted_certificate_is_refused() {
    let [ours, theirs] = [Authority::new(), Authority::new()];
    let service =
        H2Upstream::start(Some(server(&ours.sign("service", "service", 2100), None, BOTH)));
    let trusting = format!("upstream_tls: {{ca_file: {}}}", ours.file().display());
    let sidecar = calling(&encrypted(service.address(), &trusting)).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);

    for (rest, why) in [
        (format!("upstream_tls: {{ca_file: {}}}", theirs.file().display()), "another authority"),
        (
            format!(
                "{}\n  server_name: elsewhere.example",
                trusting.replace('{', "\n  ").replace('}', "")
            ),
            "another name",
        ),
    ] {
        let sidecar = calling(&encrypted(service.address(), &rest)).start();
        let answer = Client::get(sidecar.traffic, "/users/1");
        assert_eq!(answer.status(), 502, "{why}");
        assert_eq!(answer.json()["type"], "urn:cvt:problem:upstream.tls");
        let metrics = sidecar.metrics();
        assert!(failures(&metrics, "tls") >= 1.0);
        assert!(metrics.sum("cvt_violations_total", &[]) < 0.5, "a fault is no violation");
    }
    let blind = calling(&encrypted(service.address(), "upstream_tls: {verify: false}")).start();
    assert_eq!(Client::get(blind.traffic, "/users/1").status(), 200);
    assert!(blind.said().contains("upstream_not_verified"), "loudly: {}", blind.said());
}

#[test]
fn the_upstream_is_shown_our_certificate() {
    let authority = Authority::new();
    let identity = authority.sign("service", "service", 2100);
    let config = server(&identity, Some(&authority.file()), BOTH);
    let service = H2Upstream::start(Some(config));
    let ours = authority.sign("sidecar", "sidecar", 2100);
    let tls =
        |own: &str| format!("upstream_tls:\n  ca_file: {}\n{own}", authority.file().display());
    let own = format!("  cert_file: {}\n  key_file: {}", ours.cert.display(), ours.key.display());
    let sidecar = calling(&encrypted(service.address(), &tls(&own))).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    assert!(service.wait_for(1)[0].certified);
    let stranger = calling(&encrypted(service.address(), &tls(""))).start();
    assert_eq!(Client::get(stranger.traffic, "/users/1").status(), 502);
}

#[test]
fn changed_authorities_are_reloaded_without_a_restart() {
    let [before, after] = [Authority::new(), Authority::new()];
    let service = H2Upstream::start(Some(server(&after.sign("service", "s", 2100), None, BOTH)));
    let setup = calling(&encrypted(service.address(), "upstream_tls: {ca_file: ca.pem}"));
    let text = fs::read_to_string(before.file()).expect("a certificate");
    let sidecar = setup.file("ca.pem", &text).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 502);
    fs::copy(after.file(), sidecar.dir().join("ca.pem")).expect("a copied file");
    crate::support::eventually("the new authority", || {
        match Client::get(sidecar.traffic, "/users/1").status() {
            200 => Ok(()),
            status => Err(status.to_string()),
        }
    });
    fs::write(sidecar.dir().join("ca.pem"), "no certificate").expect("a written file");
    crate::support::eventually("a word about the bad file", || {
        let said = sidecar.said();
        if said.contains("upstream_certificates_not_reloaded") { Ok(()) } else { Err(said) }
    });
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200, "the last good one stays");
}

#[test]
fn the_http_version_is_negotiated_or_as_configured() {
    let authority = Authority::new();
    let identity = authority.sign("service", "service", 2100);
    let trusting = format!("upstream_tls: {{ca_file: {}}}", authority.file().display());
    for (protocol, offered, expected) in [
        ("auto", BOTH, Version::HTTP_2),
        ("auto", &["http/1.1"][..], Version::HTTP_11),
        ("auto", &[][..], Version::HTTP_11),
        ("http1", BOTH, Version::HTTP_11),
        ("http2", BOTH, Version::HTTP_2),
    ] {
        let service = H2Upstream::start(Some(server(&identity, None, offered)));
        let rest = format!("{trusting}\nupstream_protocol: {protocol}");
        let sidecar = calling(&encrypted(service.address(), &rest)).start();
        assert_eq!(Client::get(sidecar.traffic, "/users/1?a=b").status(), 200);
        let seen = &service.wait_for(1)[0];
        assert_eq!(seen.version, expected, "{protocol} where {offered:?} is offered");
        assert_eq!(seen.target.path_and_query().expect("a path"), "/users/1?a=b");
        if expected == Version::HTTP_2 {
            assert_eq!(seen.target.scheme_str(), Some("https"));
            assert_eq!(seen.target.authority().expect("an authority"), "test");
            assert!(!seen.headers.contains_key("host") && !seen.headers.contains_key("connection"));
        }
    }
}

#[test]
fn grpc_passes_over_http2_on_both_sides_with_its_trailers() {
    let service = H2Upstream::start(None);
    let settings = format!("{}\nupstream_protocol: http2", plain(&[service.address()]));
    for mode in ["off", "warn"] {
        let sidecar = calling(&format!("{settings}\nmode: {mode}")).start();
        let calls: Vec<Request<Vec<u8>>> = (0..50_u8)
            .map(|n| {
                Request::post("http://service.example/package.Service/Method")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body([&[0, 0, 0, 0, 4][..], &[n; 4]].concat())
                    .expect("a request")
            })
            .collect();
        for (n, called) in call_all(sidecar.traffic, calls).iter().enumerate() {
            assert_eq!((called.status, called.body.len()), (200, 9));
            assert_eq!(usize::from(called.body[5]), n, "each call has its own answer");
            assert_eq!(called.trailers["grpc-status"], "0");
        }
        let opened = sidecar.metrics().sum("cvt_proxy_upstream_connections_total", &[]);
        assert!(opened < 1.5, "one connection carries them all: {opened}");
    }
    let seen = service.wait_for(100);
    assert!(seen.iter().all(|one| one.version == Version::HTTP_2));
    assert_eq!(seen[0].headers["te"], "trailers");
}

#[test]
fn more_exchanges_than_one_connection_carries_open_another() {
    let service = H2Upstream::start(None);
    let settings = format!("{}\nupstream_protocol: http2", plain(&[service.address()]));
    let sidecar = calling(&settings).start();
    let called = call_all(sidecar.traffic, (0..180).map(|_| get("/users/1")).collect());
    assert!(called.iter().all(|called| called.status == 200));
    let opened = sidecar.metrics().sum("cvt_proxy_upstream_connections_total", &[]);
    assert!((1.0..=4.0).contains(&opened), "{opened}");
}

#[test]
fn trap_t19_a_request_is_retried_only_if_that_is_harmless() {
    for (retries, request, sent, status) in
        [(0, "GET /users/1", 1, 502), (2, "GET /users/1", 3, 502), (2, "POST /users", 1, 502)]
    {
        let upstream = ScriptedUpstream::start(|_| vec![Step::Reset]);
        let settings = format!("{}\nupstream_retries: {retries}", plain(&[upstream.address()]));
        let sidecar = calling(&settings).start();
        let request = format!("{request} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(Client::once(sidecar.traffic, &request).status(), status, "{request}");
        assert_eq!(upstream.received().len(), sent, "{request} with {retries} retries");
        let metrics = sidecar.metrics();
        assert!((failures(&metrics, "broken") - 1.0).abs() < 0.5, "one exchange, one failure");
        let mut violated = metrics.values_of("cvt_violations_total", "code");
        // The `POST` breaks the contract itself: it lacks its body.
        assert!(!violated.any(|code| code.starts_with("response")), "a fault is no violation");
    }
}
