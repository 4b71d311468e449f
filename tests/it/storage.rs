//! The conformance suite of the stores: every case on every backend, a test each.
//!
//! A case is an async function that gets a fresh [`store_fixture::StoreFixture`]; its name is in the list of
//! its file's `cases!`. What only one backend promises has a file of its own.

mod analytics;
mod bugs;
mod comparisons;
mod consumers;
mod encryption;
mod fault_filters;
mod faults;
pub(crate) mod fixtures;
mod groups;
mod migrations;
mod mixed_releases;
mod paging;
mod plans;
mod purging;
mod random_analytics;
mod raw_database;
mod replicas;
mod retention;
mod rewriting;
mod schemas;
pub(crate) mod server;
pub(crate) mod store_fixture;
mod tls;
mod usage;
mod validations;

/// Makes one test per case and backend.
macro_rules! cases {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::store_fixture::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::store_fixture::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(crate::storage::store_fixture::postgres().await).await;
            })*
        }
    };
}
use cases;
