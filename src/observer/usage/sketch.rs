//! What is remembered of a message that was judged while traffic waited, so that nobody has to
//! read it again to count what it used.

use smallvec::SmallVec;

use crate::contract::instance::{Outline, Outliner};
use crate::validation::{SeenMessage, Witness};

/// A message without its values: enough for a collector that has met its like.
#[derive(Debug, Clone, Default)]
pub struct Sketch {
    /// By the plans' addresses, which stand still as long as the contract lives.
    pub(super) parameters: SmallVec<[usize; 4]>,
    pub(super) body: Body,
}

/// The body of a message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Body {
    /// There was none, or it was not read as one value.
    #[default]
    Unread,
    /// Its outline.
    Outlined(Outline),
    /// A value that has none.
    Formless,
}

/// Draws sketches, one after the other, in memory of its own.
#[derive(Debug)]
pub struct Sketcher {
    outliner: Outliner,
    drawn: Option<Sketch>,
}

// === impl Sketcher ===

impl Sketcher {
    /// One whose outlines agree with those of `outliner`'s seed.
    pub(super) fn new(outliner: Outliner) -> Self {
        Self { outliner, drawn: None }
    }

    /// The sketch of the message that was judged last, once; none where it belonged to no
    /// operation.
    pub fn take(&mut self) -> Option<Sketch> {
        self.drawn.take()
    }
}

impl Witness for Sketcher {
    fn message(&mut self, seen: &SeenMessage<'_>) {
        let parameters = seen.parameters.iter().map(|plan| std::ptr::from_ref(*plan) as usize);
        let body = seen.body.map_or(Body::Unread, |body| {
            self.outliner.outline(body).map_or(Body::Formless, Body::Outlined)
        });
        self.drawn = Some(Sketch { parameters: parameters.collect(), body });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use http::header::CONTENT_TYPE;
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::super::metrics::UsageMetrics;
    use super::super::{Packing, UsageBook};
    use crate::contract::{CompileOptions, Contract, OperationIndex};
    use crate::model::clock::Timestamp;
    use crate::model::exchange::{Captured, RequestHead, ResponseHead};
    use crate::model::id::SchemaId;
    use crate::model::usage::OperationUsage;
    use crate::model::verdict::Verdict;
    use crate::observer::consumer::{Consumer, ConsumerMetrics};
    use crate::observer::exchange::Exchange;
    use crate::observer::testing;
    use crate::observer::worker::Judging;
    use crate::registry::LoadedContract;
    use crate::telemetry::metrics::Metrics;
    use crate::validation::{Judge, JudgeOptions, RequestJudgement, Witness};

    const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /users/{id}:
    put:
      parameters:
        - {name: id, in: path, required: true, schema: {type: integer}}
        - {name: dry, in: query, schema: {type: boolean}}
      requestBody: {content: {application/json: {schema: {properties: {name: {}, tags: {}}}}}}
      responses:
        '200': {description: d, content: {application/json: {schema: {properties: {id: {}}}}}}
";

    /// Counts the messages it is asked to judge.
    struct Counting {
        judge: Judge,
        asked: usize,
    }

    impl Judging for Counting {
        fn request(
            &mut self,
            contract: &Contract,
            head: &RequestHead,
            body: &Captured,
            witness: &mut dyn Witness,
        ) -> RequestJudgement {
            self.asked += 1;
            self.judge.request_before(contract, head, body, witness)
        }

        fn response(
            &mut self,
            contract: &Contract,
            operation: Option<OperationIndex>,
            request: &RequestHead,
            answer: (&ResponseHead, &Captured),
            witness: &mut dyn Witness,
        ) -> Verdict {
            self.asked += 1;
            self.judge.response_before(contract, operation, request, answer, witness)
        }
    }

    /// One worker, and what it has counted.
    struct Bed {
        contract: Arc<LoadedContract>,
        book: UsageBook,
        judge: Counting,
        consumer: Arc<Consumer>,
    }

    impl Bed {
        fn new(contract: &Arc<LoadedContract>) -> Self {
            let metrics = Metrics::default();
            let counters = ConsumerMetrics::new(&metrics, 10).unwrap().others();
            let (id, version) = ("shop".to_owned(), String::new());
            Self {
                contract: contract.clone(),
                book: UsageBook::new(UsageMetrics::new(&metrics).unwrap()),
                judge: Counting { judge: Judge::new(JudgeOptions::default()), asked: 0 },
                consumer: Arc::new(Consumer { id, version, apart: true, counters }),
            }
        }

        fn exchange(&self, target: &'static str, request: &str, response: &str) -> Box<Exchange> {
            let mut exchange = testing::exchange(&testing::parts().budget);
            let headers = || {
                HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))])
            };
            let body = |text: &str| Captured::complete(&Bytes::copy_from_slice(text.as_bytes()));
            exchange.contract = Some(self.contract.clone());
            exchange.request.method = Method::PUT;
            exchange.request.target = http::Uri::from_static(target);
            exchange.request.headers = headers();
            exchange.request_body = body(request);
            exchange.response = Some(ResponseHead { status: StatusCode::OK, headers: headers() });
            exchange.response_body = body(response);
            exchange
        }

        /// Judges both halves as they are judged while traffic waits.
        fn judge_ahead(&self, exchange: &mut Exchange) {
            let mut sketcher = self.book.sketcher();
            let mut judge = Judge::new(JudgeOptions::default());
            let (head, body) = (&exchange.request, &exchange.request_body);
            let contract = &self.contract.contract;
            let judged = judge.request_before(contract, head, body, &mut sketcher);
            let operation = judged.operation;
            exchange.known.judged_request(judged, sketcher.take());
            assert!(sketcher.take().is_none(), "a sketch is of one message");
            let Some(response) = &exchange.response else { return };
            let answer = (response, &exchange.response_body);
            let verdict = judge.response_before(contract, operation, head, answer, &mut sketcher);
            exchange.known.judged_response(verdict, sketcher.take());
        }

        /// Judges messages as a worker does, `ahead` what was judged before; how many it had to
        /// read, and what was used.
        fn count(
            mut self,
            messages: &[(&'static str, &str, &str)],
            ahead: bool,
        ) -> (usize, Vec<Vec<OperationUsage>>) {
            let handle = self.book.open();
            for (target, request, response) in messages {
                let mut exchange = self.exchange(target, request, response);
                if ahead {
                    self.judge_ahead(&mut exchange);
                }
                let collector = handle.collector();
                let mut collector = collector.lock();
                collector.begin(exchange.contract.as_ref());
                let judged = self.judge.judge(&exchange, &mut collector).unwrap();
                collector.note(&exchange, &judged, &self.consumer, Timestamp::default());
                assert!(collector.outlines().request.is_some());
            }
            let mut packing = Packing::new("test");
            self.book.drain(&mut packing);
            (self.judge.asked, packing.into_batches())
        }
    }

    #[test]
    fn what_traffic_waited_for_is_read_once_and_counted_all_the_same() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let contract = Arc::new(LoadedContract::new(SchemaId::new("t").unwrap(), contract));
        let many: Vec<_> = (0..40).map(|n| format!(r#"{{"k{n}":1}}"#)).collect();
        let many = format!(r#"{{"tags":[{}]}}"#, many.join(","));
        let messages = [
            ("/users/1?dry=true", r#"{"name":"a"}"#, r#"{"id":1}"#, 2),
            ("/users/2?dry=true", r#"{"name":"b"}"#, r#"{"id":2}"#, 0),
            ("/users/3", r#"{"name":"c"}"#, r#"{"id":3}"#, 0),
            ("/users/4", r#"{"name":"d","tags":[]}"#, r#"{"id":4}"#, 1),
            ("/users/5", r#"{"tags":[1,2],"name":"e"}"#, r#"{"id":"x","more":{}}"#, 2),
            ("/users/x?dry=1", r#"{"tags":[1],"name":"f"}"#, r#"{"more":{},"id":""}"#, 0),
            // Too many things in one array: its outline does not tell.
            ("/users/7", &many, r#"{"id":7}"#, 1),
            ("/users/8", &many, r#"{"id":8}"#, 1),
        ];
        let (mut sent, mut read) = (Vec::new(), 0);
        for (target, request, response, reads) in messages {
            let (observed, enforced) = (Bed::new(&contract), Bed::new(&contract));
            sent.push((target, request, response));
            read += reads;
            let (asked, expected) = observed.count(&sent, false);
            assert_eq!(asked, 2 * sent.len());
            assert_eq!(enforced.count(&sent, true), (read, expected), "after {target}");
        }
    }
}
