//! Integration tests: the house's own rules, and the real binary over real sockets.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why and fails"
)]

mod alerts;
mod corpus;
mod demo;
mod deploy;
mod enforcement;
mod example;
mod floors;
mod lifecycle;
mod limits;
mod maintenance;
mod metrics;
mod recording;
mod redaction;
mod routes;
mod schema_corpus;
mod spool;
mod startup;
mod storage;
mod support;
mod tls;
mod tracing;
mod transparency;
