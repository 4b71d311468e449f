//! The conformance suite of the stores: every case on every backend, a test each.
//!
//! A case is an async function that gets a fresh [`bed::Bed`]; its name stands in the list of
//! its file's `cases!`. What only one backend promises has a file of its own.

mod analytics;
pub(crate) mod bed;
mod bugs;
mod comparisons;
mod consumers;
mod counting;
mod faults;
pub(crate) mod fixtures;
mod forgetting;
mod groups;
mod migrations;
mod paging;
mod plans;
mod raw;
mod replicas;
mod retention;
mod rewriting;
mod schemas;
mod sealing;
pub(crate) mod server;
mod tls;
mod usage;
mod validations;

/// Makes one test per case and backend.
macro_rules! cases {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::bed::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::bed::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::bed::postgres().await).await;
            })*
        }
    };
}
use cases;
