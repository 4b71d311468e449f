//! One exchange judged against one contract.
//!
//! [`Judge`] is the one public function of the floor: heads and captured bodies in, verdicts
//! out. What must hold: no message makes it panic, loop or take more than linear memory; what
//! it cannot judge is a reason in the verdict, never silence; no part of a violation comes from
//! the message. A new kind of body gets a file under `body/`, a new kind of text a function in
//! `reading`.

mod body;
mod decode;
mod findings;
mod header;
mod judge;
mod media_type;
mod parameter;
mod reading;
pub mod report;
mod request;
mod response;
mod security;
mod value;
mod witness;

pub(crate) use decode::decode_content;
pub use judge::{Judge, JudgeOptions, Judgement, RequestJudgement};
pub use witness::{SeenMessage, Witness};

#[cfg(test)]
mod tests;
