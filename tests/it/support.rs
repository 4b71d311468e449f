//! The two ends of the wire around a real sidecar.
//!
//! [`Sidecar`] is the real binary on free ports in a directory of its own; [`Upstream`] answers
//! with exactly the bytes a test scripts and keeps exactly the bytes it received; [`Client`]
//! sends exactly the bytes a test wrote. Nothing here sleeps and hopes: every wait polls for
//! what it waits for and fails with what it saw when its deadline passes.

pub(crate) mod certificates;
mod client;
mod deadline;
mod disk;
pub(crate) mod documents;
pub(crate) mod h2;
pub(crate) mod load;
mod message;
mod metrics;
pub(crate) mod modern;
mod recorder;
mod sidecar;
mod skip;
mod upstream;

pub(crate) use client::Client;
pub(crate) use deadline::{Deadline, eventually};
pub(crate) use disk::SmallDisk;
pub(crate) use message::Message;
pub(crate) use metrics::Metrics;
pub(crate) use recorder::Recorder;
pub(crate) use sidecar::{Finished, Setup, Sidecar, binary, command, records_in};
pub(crate) use skip::{may_unshare, skipped};
pub(crate) use upstream::{Gate, Step, Upstream, json_answer};
