//! The shop's consumers: what they send for a few seconds, and what of it breaks the contract.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How often each consumer goes through its steps.
const ROUNDS: usize = 24;
/// A step that breaks the contract happens in one round of so many.
const VIOLATION_INTERVAL: usize = 6;
/// Between two steps of a consumer.
const PAUSE: Duration = Duration::from_millis(25);

/// What was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SentTraffic {
    /// Exchanges that got a response.
    pub exchanges: usize,
    /// Those of them that break the contract, each in one place, by the code of the violation.
    pub breaking: BTreeMap<&'static str, usize>,
}

/// A program that calls the shop.
pub(super) struct DemoConsumer {
    pub(super) id: &'static str,
    pub(super) user_agent: &'static str,
    pub(super) steps: &'static [DemoStep],
}

/// One exchange.
pub(super) struct DemoStep {
    pub(super) method: &'static str,
    pub(super) target: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: &'static str,
    /// The code of the violation it causes; empty when it conforms.
    pub(super) violation_code: &'static str,
}

const JSON: (&str, &str) = ("content-type", "application/json");
const KEY: (&str, &str) = ("idempotency-key", "b5c0a3f2-demo");

pub(super) const CONSUMERS: &[DemoConsumer] = &[
    DemoConsumer {
        id: "web-store",
        user_agent: "web-store/2.3.0",
        steps: &[
            get("/books?genre=novel&limit=10", ""),
            get("/books/9780000000019", ""),
            get("/books/9780000000026/reviews", ""),
            get("/stock/9780000000019", ""),
            get("/books?genre=science", "response.body.schema"), // a price that is a text
            get("/books?limit=lots&genre=poetry", "request.query.schema"),
            get("/covers/9780000000019", "request.path.undocumented"),
            DemoStep {
                headers: &[("accept", "text/html")],
                ..get("/books/9780000000040", "response.media_type.undocumented")
            },
        ],
    },
    DemoConsumer {
        id: "mobile-app",
        user_agent: "mobile-app/5.1 (android)",
        steps: &[
            get("/books?genre=poetry", ""),
            get("/stock/9780000000040", ""),
            order(&[JSON, KEY], r#"{"lines":[{"isbn":"9780000000040","copies":1}]}"#, ""),
            DemoStep {
                method: "POST",
                headers: &[JSON],
                body: r#"{"stars":4,"text":"Read it on the train."}"#,
                ..get("/books/9780000000019/reviews", "")
            },
            order(
                &[JSON],
                r#"{"lines":[{"isbn":"9780000000026","copies":1}]}"#,
                "request.header.missing",
            ),
            order(
                &[JSON, KEY],
                r#"{"lines":[{"isbn":"9780000000026","copies":"2"}]}"#,
                "request.body.schema",
            ),
            order(
                &[JSON, KEY],
                r#"{"lines":[{"isbn":"9780000000033","copies":1}],"delivery":"express"}"#,
                "response.header.missing",
            ),
            get("/books/9780000000033/reviews", "response.body.schema"), // nine stars
        ],
    },
    DemoConsumer {
        id: "warehouse",
        user_agent: "warehouse-sync/0.9",
        steps: &[
            get("/health", ""),
            get("/stock/9780000000057", ""),
            get("/stock/9780000000071", ""),
            get("/books?genre=travel&limit=1", ""),
            get("/books?genre=travel", "response.body.schema"), // a book without an author
            get("/books?genre=cooking", "request.query.schema"),
            order(
                &[JSON, KEY],
                r#"{"lines":[{"isbn":"9780000000071","copies":3}]}"#,
                "response.status.undocumented",
            ),
            DemoStep {
                method: "POST",
                headers: &[JSON],
                body: r#"{"stars": 3, "text""#,
                ..get("/books/9780000000057/reviews", "request.body.malformed")
            },
        ],
    },
];

const fn get(target: &'static str, violation_code: &'static str) -> DemoStep {
    DemoStep { method: "GET", target, headers: &[], body: "", violation_code }
}

const fn order(
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    violation_code: &'static str,
) -> DemoStep {
    DemoStep { method: "POST", target: "/orders", headers, body, violation_code }
}

/// Sends a few seconds of the shop's traffic to `address`, each consumer on a connection of its
/// own. Fails when `address` cannot be reached or a response breaks off.
pub async fn drive_traffic(address: SocketAddr) -> io::Result<SentTraffic> {
    let mut consumers: JoinSet<_> = CONSUMERS.iter().map(|it| it.run_against(address)).collect();
    let mut total = SentTraffic::default();
    while let Some(sent) = consumers.join_next().await {
        let sent = sent.map_err(io::Error::other)??;
        total.exchanges += sent.exchanges;
        for (code, times) in sent.breaking {
            *total.breaking.entry(code).or_default() += times;
        }
    }
    Ok(total)
}

// === impl DemoConsumer ===

impl DemoConsumer {
    async fn run_against(&self, address: SocketAddr) -> io::Result<SentTraffic> {
        let stream = TcpStream::connect(address).await?;
        let (mut sender, connection) = http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let mut connection_task = JoinSet::new(); // ends with this function
        connection_task.spawn(connection);
        let mut sent = SentTraffic::default();
        for round in 0..ROUNDS {
            for (at, step) in self.steps.iter().enumerate() {
                // Staggered, so that breaches come one by one and not in bursts.
                if !step.violation_code.is_empty() && (round + at) % VIOLATION_INTERVAL != 0 {
                    continue;
                }
                self.send(step, address, &mut sender).await.map_err(io::Error::other)?;
                sent.exchanges += 1;
                if !step.violation_code.is_empty() {
                    *sent.breaking.entry(step.violation_code).or_default() += 1;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(sent)
    }

    async fn send(
        &self,
        step: &DemoStep,
        address: SocketAddr,
        sender: &mut SendRequest<Full<Bytes>>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(step.method)
            .uri(step.target)
            .header("host", address.to_string())
            .header("user-agent", self.user_agent)
            .header("x-consumer-id", self.id);
        for (name, value) in step.headers {
            request = request.header(*name, *value);
        }
        sender.ready().await?;
        let response = sender.send_request(request.body(Full::from(step.body))?).await?;
        response.into_body().collect().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bookshop;
    use super::*;

    #[tokio::test]
    async fn the_demo_traffic_completes_against_the_shop() {
        let shop = Bookshop::start().await.unwrap();
        let sent = drive_traffic(shop.address()).await.unwrap();
        let steps = |breaking: bool| {
            let all = CONSUMERS.iter().flat_map(|consumer| consumer.steps);
            all.filter(|step| step.violation_code.is_empty() != breaking).count()
        };
        let breaking = steps(true) * ROUNDS / VIOLATION_INTERVAL;
        assert_eq!(sent.exchanges, steps(false) * ROUNDS + breaking);
        assert_eq!(sent.breaking.values().sum::<usize>(), breaking);
    }

    #[test]
    fn every_violating_step_names_its_code() {
        use crate::model::violation::ViolationCode;
        let all = CONSUMERS.iter().flat_map(|consumer| consumer.steps);
        let violation_code: Vec<_> = all
            .map(|step| step.violation_code)
            .filter(|violation_code| !violation_code.is_empty())
            .collect();
        assert!(violation_code.len() > 8);
        for code in violation_code {
            assert!(ViolationCode::parse(code).is_some(), "{code}");
        }
    }

    #[tokio::test]
    async fn an_unreachable_address_is_an_error() {
        let shop = Bookshop::start().await.unwrap();
        let address = shop.address();
        shop.stop().await;
        assert!(drive_traffic(address).await.is_err());
    }
}
