//! Checks live HTTP traffic against OpenAPI contracts.
//!
//! The crate is a house of floors; a module imports only from floors below its own:
//!
//! ```text
//! 8  cli           arguments in, exit code out
//! 7  app           builds everything, owns start and stop: the only wiring
//! 6  proxy  admin  the two edges; they never see each other
//! 5  registry  observer  compatibility  retention   use cases
//! 4  storage  tls  the only database code; the identities of our listeners
//! 3  validation    judge one exchange against one contract
//! 2  contract  redaction  sampling  sealing   pure engines: no tokio, no IO, no clock
//! 1  config        checked settings
//! 0  model  telemetry   words and instruments
//! ```
//!
//! `tests/it/floors.rs` reads the sources and fails on any breach.

pub mod admin;
pub mod app;
pub mod cli;
pub mod config;
pub mod contract;
pub mod model;
pub mod observer;
pub mod proxy;
pub mod redaction;
pub mod registry;
pub mod retention;
pub mod sampling;
pub mod sealing;
pub mod storage;
pub mod telemetry;
pub mod tls;
pub mod validation;
