//! A small bookshop to show the sidecar on: the service, its document and its consumers.
//!
//! The service and its consumers break the document in known ways, each a mistake that real
//! programs make. Invariants: everything stays on the loopback interface, memory stays
//! bounded however long the shop is open, and [`drive_traffic`] knows what it breaks, so that
//! what the sidecar finds can be compared with it. To show another kind of breach, add a row to
//! the catalogue or a step to the traffic; the tests hold document, service and traffic together.

mod bookshop;
mod shop;
mod show;
mod traffic;

pub use bookshop::Bookshop;
pub use show::{DemoArgs, run};
pub use traffic::{SentTraffic, drive_traffic};

/// The bookshop's document: OpenAPI 3.1, YAML.
pub const DOCUMENT: &str = include_str!("demo/bookshop.yaml");
