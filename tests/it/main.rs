//! Integration tests: the structure of the code, and the real binary over real sockets.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on says why and fails"
)]

mod alerts;
mod allocations;
mod canary;
mod cases;
mod clients;
mod connections;
mod consumers;
mod corpus;
mod degraded;
mod demo;
mod deploy;
mod documents;
mod egress;
mod encryption;
mod enforcement;
mod example;
mod exit_codes;
mod faults;
mod fleet;
mod forwarded;
mod groups;
mod handover;
mod layers;
mod lifecycle;
mod limits;
mod maintenance;
mod masks;
mod messages;
mod metrics;
mod outbound;
mod recording;
mod redaction;
mod reload;
mod reports;
mod retired;
mod routes;
mod rules;
mod sampling;
mod schema_corpus;
mod smuggling;
mod soak;
mod spool;
mod startup;
mod storage;
mod support;
mod tls;
mod tracing;
mod transparency;
mod upstreams;
mod yaml;
