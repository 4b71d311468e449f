//! The two ends of the wire around a real sidecar.
//!
//! [`Sidecar`] is the real binary on free ports in a directory of its own; [`ScriptedUpstream`] answers
//! with exactly the bytes a test scripts and keeps exactly the bytes it received; [`Client`]
//! sends exactly the bytes a test wrote. Nothing here sleeps and hopes: every wait polls for
//! what it waits for and fails with what it saw when its deadline passes.

pub(crate) mod certificates;
mod client;
mod deadline;
mod disk;
pub(crate) mod documents;
pub(crate) mod front;
pub(crate) mod h2;
pub(crate) mod h2_upstream;
pub(crate) mod load;
mod message;
mod metrics;
mod recorder;
mod sidecar;
mod skip;
mod upstream;

pub(crate) use client::Client;
pub(crate) use deadline::{Deadline, eventually};
pub(crate) use disk::SmallDisk;
pub(crate) use message::Message;
pub(crate) use metrics::MetricsScrape;
pub(crate) use recorder::ByteRecorder;
pub(crate) use sidecar::{Finished, Sidecar, SidecarSetup, binary, command, records_in};
pub(crate) use skip::{may_unshare, skipped};
pub(crate) use upstream::{Latch, ScriptedUpstream, Step, json_answer};
