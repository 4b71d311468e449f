//! What consumers use: operations, parameters, fields, statuses; counted.
//!
//! What must hold: bodies are not parsed for this, the judge shows what it has parsed
//! ([`Witness`](crate::validation::Witness)), and of what was judged while traffic waited there is
//! a sketch; each worker counts in memory of its own, so that
//! no worker waits for another; every count is in exactly one batch for storage; names are those
//! of the document, or `*`; memory between two batches is bounded, and what goes beyond is
//! counted. A new kind of fact is a variant of `UsageKind`, a field of `Counts` and a line in
//! `pack`.

mod collector;
mod fields;
pub mod metrics;
mod names;
mod pack;
mod path;
mod sketch;

pub use collector::{Collector, Outlines, UsageBook, UsageHandle};
pub use pack::Packing;
pub use sketch::{Sketch, Sketcher};
