//! Checks live HTTP traffic against OpenAPI contracts.
//!
//! The crate is built in layers; a module imports only from layers below its own:
//!
//! ```text
//! 9  cli           arguments in, exit code out
//! 8  app           builds everything, owns start and stop: the only wiring
//! 7  proxy  admin  the two edges; they never see each other
//! 6  control       what can be asked and changed, once, for every edge and the command line
//! 5  registry  exchange   find and register contracts; one exchange, its memory budget and queue
//!    pipeline  retention  validate, record, attribute, deliver; expire
//! 4  storage  egress  tls   the only database code; the only outbound client; our identities
//! 3  validation    validate one exchange against one contract
//! 2  contract  redaction  sampling  encryption   pure engines: no tokio, no IO, no clock
//! 1  config  json  checked settings; our JSON: parsed once, numbers exact, positions kept
//! 0  model  telemetry   words and instruments
//! ```
//!
//! `tests/it/layers.rs` reads the sources and fails on any breach.

pub(crate) mod admin;
pub(crate) mod app;
pub mod cli;
pub mod config;
pub mod contract;
pub(crate) mod control;
pub mod egress;
pub mod encryption;
pub mod exchange;
pub mod json;
pub mod model;
pub mod pipeline;
pub(crate) mod proxy;
pub mod redaction;
pub mod registry;
pub mod retention;
pub(crate) mod sampling;
pub mod storage;
pub mod telemetry;
pub(crate) mod tls;
pub mod validation;
