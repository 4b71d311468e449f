//! The outbound client: TLS, proxies, redirects, and limits of time, size and place.

use std::time::Duration;

use cvt_sidecar::config::egress::ProxySettings;
use cvt_sidecar::egress::{
    EgressClient, EgressError, EgressRequest, EgressSettings, PrivateAddresses, ServerTrust,
};

use crate::support::certificates::Authority;
use crate::support::front::{TestProxy, TlsFront, silent_service};
use crate::support::h2_upstream::server;
use crate::support::{Message, ScriptedUpstream, Step, json_answer};

const LIMIT: usize = 1000;

fn settings() -> EgressSettings {
    EgressSettings {
        trust: ServerTrust::System,
        identity: None,
        proxies: ProxySettings::default(),
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(20),
        max_response_bytes: LIMIT,
        max_redirects: 3,
        private_addresses: PrivateAddresses::Allow,
    }
}

fn through(proxy: &TestProxy) -> ProxySettings {
    let address = format!("http://ada:secret@{}", proxy.address);
    ProxySettings { http: address.clone(), https: address, none_for: "direct.test".into() }
}

/// Calls `url`: status and body, or why there is none.
fn get(settings: EgressSettings, url: &str) -> Result<(u16, String), EgressError> {
    call(settings, EgressRequest::get(url)?)
}

fn call(settings: EgressSettings, request: EgressRequest) -> Result<(u16, String), EgressError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let response = EgressClient::new(settings).send(request).await?;
        let status = response.status.as_u16();
        Ok((status, String::from_utf8_lossy(&response.bytes().await?).into_owned()))
    })
}

fn answer() -> ScriptedUpstream {
    ScriptedUpstream::json("200 OK", r#"{"a":1}"#)
}

#[allow(clippy::unnecessary_wraps, reason = "it is compared with what the client returns")]
fn good() -> Result<(u16, String), EgressError> {
    Ok((200, r#"{"a":1}"#.to_owned()))
}

/// A service that redirects `/from` to `target` with `status`, and echoes everything else.
fn redirecting(status: u16, target: String) -> ScriptedUpstream {
    ScriptedUpstream::start(move |request: &Message| {
        if request.start_line().contains("/from") {
            let head = format!("HTTP/1.1 {status} Elsewhere\r\nLocation: {target}\r\n");
            return vec![Step::Send(format!("{head}Content-Length: 0\r\n\r\n").into_bytes())];
        }
        json_answer("200 OK", &request.start_line())
    })
}

#[test]
fn only_trusted_services_are_called_over_tls() {
    let (authority, service) = (Authority::new(), answer());
    let identity = authority.sign("server", "service", 2090);
    let front = TlsFront::start(server(&identity, None, &[]), service.address());
    let url = format!("https://localhost:{}/a", front.address.port());
    let trusting = |trust| get(EgressSettings { trust, ..settings() }, &url);
    assert_eq!(trusting(ServerTrust::Authorities(authority.file())), good());
    assert_eq!(trusting(ServerTrust::Certificate(identity.cert.clone())), good());

    let refused = |trust| {
        let error = trusting(trust).unwrap_err();
        assert!(matches!(error, EgressError::UntrustedCertificate { .. }), "{error:?}");
    };
    refused(ServerTrust::Authorities(Authority::new().file()));
    refused(ServerTrust::Certificate(authority.sign("other", "service", 2090).cert));
    let missing = trusting(ServerTrust::Authorities("missing.pem".into())).unwrap_err();
    assert!(missing.to_string().starts_with("missing.pem: cannot be read"), "{missing}");
    let plain = get(settings(), &format!("https://{}/", service.address())).unwrap_err();
    assert!(!matches!(plain, EgressError::UntrustedCertificate { .. }), "{plain:?}");
    assert_eq!(service.received().len(), 2, "nothing was sent to the others");
}

#[test]
fn a_certificate_is_shown_to_services_that_ask_for_one() {
    let (authority, service) = (Authority::new(), answer());
    let identity = authority.sign("server", "service", 2090);
    let config = server(&identity, Some(&authority.file()), &[]);
    let front = TlsFront::start(config, service.address());
    let caller = authority.sign("caller", "sidecar", 2090);
    let showing = |identity| {
        let trust = ServerTrust::Authorities(authority.file());
        let url = format!("https://{}/a", front.address);
        get(EgressSettings { trust, identity, ..settings() }, &url)
    };
    assert_eq!(showing(Some((caller.cert, caller.key))), good());
    let error = showing(None).unwrap_err();
    assert!(matches!(error, EgressError::Handshake { .. }), "{error:?}");
}

#[test]
fn redirects_are_followed_within_bounds() {
    let service = redirecting(302, "/to?b=c".into());
    let url = |path: &str| format!("http://{}{path}", service.address());
    assert_eq!(get(settings(), &url("/from")), Ok((200, "GET /to?b=c HTTP/1.1".into())));
    let none = EgressSettings { max_redirects: 0, ..settings() };
    assert_eq!(get(none, &url("/from")).map(|(status, _)| status), Ok(302));

    let endless = redirecting(307, "/from".into());
    let error = get(settings(), &format!("http://{}/from", endless.address())).unwrap_err();
    assert!(matches!(error, EgressError::TooManyRedirects { limit: 3, .. }), "{error:?}");
    assert_eq!(endless.received().len(), 4);

    let kept = redirecting(308, "/to".into());
    let json = "application/json".parse().expect("a header");
    let post = EgressRequest::post(&format!("http://{}/from", kept.address()), json, "{}");
    let answered = call(settings(), post.expect("a request"));
    assert_eq!(answered, Ok((200, "POST /to HTTP/1.1".into())));
    assert!(kept.received().iter().all(|request| request.text() == "{}"));
}

#[test]
fn no_redirect_leads_from_https_to_http() {
    let (authority, plain) = (Authority::new(), answer());
    let service = redirecting(301, format!("http://{}/to", plain.address()));
    let identity = authority.sign("server", "service", 2090);
    let front = TlsFront::start(server(&identity, None, &[]), service.address());
    let trust = ServerTrust::Authorities(authority.file());
    let url = format!("https://{}/from", front.address);
    let error = get(EgressSettings { trust, ..settings() }, &url).unwrap_err();
    assert!(matches!(error, EgressError::Redirect { .. }), "{error:?}");
    assert!(plain.received().is_empty());
}

#[test]
fn a_body_is_read_up_to_its_limit() {
    let of = |head: &str, length: usize| {
        let bytes = [head.as_bytes(), &vec![b'x'; length]].concat();
        ScriptedUpstream::start(move |_| vec![Step::Send(bytes.clone()), Step::Close])
    };
    let asked = |service: &ScriptedUpstream| {
        get(settings(), &format!("http://{}/?secret", service.address()))
    };
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(asked(&of(until_close, LIMIT)).map(|(_, body)| body.len()), Ok(LIMIT));
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", LIMIT + 1);
    for service in [of(until_close, LIMIT + 1), of(&announced, 0)] {
        let error = asked(&service).unwrap_err();
        assert!(matches!(error, EgressError::TooLarge { limit: LIMIT, .. }), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let error = asked(&of("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", 3)).unwrap_err();
    assert!(matches!(error, EgressError::Protocol { .. }), "{error:?}");
    let error = asked(&of("SSH-2.0-OpenSSH\r\n", 0)).unwrap_err();
    assert!(matches!(error, EgressError::Protocol { .. }), "{error:?}");
}

#[test]
fn every_call_ends_within_its_limit_of_time() {
    let quick = Duration::from_millis(200);
    let total = EgressSettings { timeout: quick, ..settings() };
    let connect = EgressSettings { connect_timeout: quick, ..settings() };
    let head = ScriptedUpstream::start(|_| vec![Step::Hang]);
    let part = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let body = ScriptedUpstream::start(|_| vec![Step::Send(part.to_vec()), Step::Hang]);
    for (settings, url) in [
        (total.clone(), format!("http://{}/", head.address())),
        (total, format!("http://{}/", body.address())),
        (connect, format!("https://{}/", silent_service())),
    ] {
        let error = get(settings, &url).unwrap_err();
        assert!(matches!(error, EgressError::Timeout { limit, .. } if limit == quick), "{error:?}");
    }
}

#[test]
fn private_addresses_are_denied_by_address_by_name_and_after_a_redirect() {
    let service = answer();
    let port = service.address().port();
    let denied = |proxies, url: &str| {
        let private_addresses = PrivateAddresses::Deny;
        let error = get(EgressSettings { private_addresses, proxies, ..settings() }, url);
        assert!(matches!(error, Err(EgressError::PrivateAddress { .. })), "{url}: {error:?}");
    };
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"] {
        denied(ProxySettings::default(), &format!("http://{host}:{port}/"));
    }
    let private = format!("http://127.0.0.1:{port}/");
    let public = redirecting(302, private);
    let proxy = TestProxy::start(Some(public.address()));
    denied(through(&proxy), "http://public.test/from");
    assert_eq!(public.received().len(), 1, "the first call was made");
    denied(through(&proxy), "http://10.0.0.1/");
    denied(through(&proxy), "https://10.0.0.1/");
    assert!(service.received().is_empty());
}

#[test]
fn calls_go_through_the_configured_proxy() {
    let (authority, service) = (Authority::new(), answer());
    let identity = authority.sign("server", "service", 2090);
    let front = TlsFront::start(server(&identity, None, &[]), service.address());
    let forwarding = TestProxy::start(Some(service.address()));
    let proxies = through(&forwarding);
    let asked = get(EgressSettings { proxies, ..settings() }, "http://service.test/a?b");
    assert_eq!(asked, good());
    let request = forwarding.asked().remove(0);
    assert_eq!(request.start_line(), "GET http://service.test/a?b HTTP/1.1");
    assert_eq!(request.all("proxy-authorization"), ["Basic YWRhOnNlY3JldA=="]);

    let tunnelling = TestProxy::start(Some(front.address));
    // The certificate is another name's; the pinned one is good under every name.
    let over_tls = |trust| {
        let proxies = through(&tunnelling);
        get(EgressSettings { proxies, trust, ..settings() }, "https://service.test/a")
    };
    assert_eq!(over_tls(ServerTrust::Certificate(identity.cert.clone())), good());
    let request = tunnelling.asked().remove(0);
    assert_eq!(request.start_line(), "CONNECT service.test:443 HTTP/1.1");
    assert_eq!(request.all("proxy-authorization"), ["Basic YWRhOnNlY3JldA=="]);
    assert_eq!(service.received()[1].all("proxy-authorization"), Vec::<String>::new());
    let error = over_tls(ServerTrust::Authorities(authority.file())).unwrap_err();
    assert!(matches!(error, EgressError::UntrustedCertificate { .. }), "{error:?}");

    let refusing = TestProxy::start(None);
    let proxies = through(&refusing);
    let error = get(EgressSettings { proxies, ..settings() }, "https://service.test/").unwrap_err();
    assert!(matches!(error, EgressError::Proxy { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn connections_serve_later_calls() {
    let service = answer();
    let client = EgressClient::new(settings());
    let url = format!("http://{}/", service.address());
    let calls = 30;
    tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
        for _ in 0..calls {
            let request = EgressRequest::get(&url).expect("a request");
            client.send(request).await.expect("an answer").bytes().await.expect("a body");
        }
    });
    assert_eq!(service.received().len(), calls);
    // A call that comes before the last connection is back in the pool opens one more.
    assert!(service.connections() < calls, "{}", service.connections());
}
