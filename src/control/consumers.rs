//! Who calls, and what they use.

use serde::Serialize;

use super::page_walk::PageWalk;
use super::{ControlError, Noun, usage};
use crate::model::consumer::ConsumerRecord;
use crate::model::page::Page;
use crate::model::usage::OperationUsage;
use crate::storage::{ConsumerFilter, PageRequest, Store, UsageFilter};

/// Which consumer, in which of its registrations; what is not given filters nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConsumerQuestion {
    /// The consumer's id.
    pub(crate) consumer_id: String,
    /// Its registration for one schema only.
    pub(crate) schema_id: Option<String>,
    /// Its registrations in one environment only.
    pub(crate) environment: Option<String>,
}

/// A registration, and what was seen of its use.
#[derive(Debug, Serialize)]
pub(crate) struct ConsumerDetails {
    /// The registration.
    #[serde(flatten)]
    pub(crate) registration: ConsumerRecord,
    /// What was seen, by operation.
    pub(crate) usage: Vec<OperationUsage>,
}

/// A page of registrations, by consumer, schema and environment.
pub(crate) async fn list(
    store: &dyn Store,
    filter: &ConsumerFilter,
    page: &PageRequest,
) -> Result<Page<ConsumerRecord>, ControlError> {
    Ok(store.list_consumers(filter, page).await?)
}

/// All registrations of a consumer with what was seen of each; never empty.
pub(crate) async fn get(
    store: &dyn Store,
    question: &ConsumerQuestion,
) -> Result<Vec<ConsumerDetails>, ControlError> {
    let ConsumerQuestion { consumer_id, schema_id, environment } = question.clone();
    let filter = ConsumerFilter { schema_id, environment, consumer_id: Some(consumer_id) };
    let mut all = Vec::new();
    for registration in registrations(store, &filter).await? {
        let filter = UsageFilter {
            schema_id: Some(registration.schema_id.to_string()),
            environment: Some(registration.environment.clone()),
            consumer_id: Some(registration.consumer_id.clone()),
            ..UsageFilter::default()
        };
        let usage = usage::all(store, &filter).await?;
        all.push(ConsumerDetails { registration, usage });
    }
    if all.is_empty() {
        return Err(ControlError::not_found(Noun::Consumer, &question.consumer_id));
    }
    Ok(all)
}

/// Every registration that `filter` asks for.
pub(super) async fn registrations(
    store: &dyn Store,
    filter: &ConsumerFilter,
) -> Result<Vec<ConsumerRecord>, ControlError> {
    let mut all = Vec::new();
    let mut walk = PageWalk::new();
    while let Some(page) = walk.next() {
        all.extend(walk.items(store.list_consumers(filter, &page).await?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;

    fn question(consumer: &str) -> ConsumerQuestion {
        ConsumerQuestion { consumer_id: consumer.into(), ..ConsumerQuestion::default() }
    }

    #[tokio::test]
    async fn a_consumer_comes_with_its_own_usage_only() {
        let store = fixtures::used_store().await;
        let page = list(&*store, &ConsumerFilter::default(), &PageRequest::default()).await;
        let ids: Vec<_> = page.unwrap().items.into_iter().map(|one| one.consumer_id).collect();
        assert_eq!(ids, ["app", "shop"]);
        let details = get(&*store, &question("shop")).await.unwrap();
        assert_eq!((details.len(), details[0].usage.len()), (1, 1));
        assert_eq!(details[0].usage[0].consumer_id, "shop");
        assert_eq!(details[0].registration.used_endpoints[0].path, "/books/{id}");
    }

    #[tokio::test]
    async fn an_unknown_consumer_or_one_of_another_environment_is_not_found() {
        let store = fixtures::used_store().await;
        let elsewhere =
            ConsumerQuestion { environment: Some("staging".into()), ..question("shop") };
        for missing in [question("x"), elsewhere] {
            let error = get(&*store, &missing).await.unwrap_err();
            assert!(matches!(error, ControlError::NotFound { noun: Noun::Consumer, .. }));
        }
    }
}
