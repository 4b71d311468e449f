//! What consumers were seen to use.

use super::ControlError;
use super::page_walk::PageWalk;
use crate::model::page::Page;
use crate::model::usage::OperationUsage;
use crate::storage::{PageRequest, Store, UsageFilter};

/// Operations read at once: each comes with all its facts.
const PAGE: u32 = 500;

/// A page of observed usage, by schema, consumer, environment, path and method.
#[cfg_attr(not(test), expect(dead_code, reason = "a question of the edges; no command asks it"))]
pub(crate) async fn list(
    store: &dyn Store,
    filter: &UsageFilter,
    page: &PageRequest,
) -> Result<Page<OperationUsage>, ControlError> {
    Ok(store.list_usage(filter, page).await?)
}

/// Everything seen that `filter` asks for.
pub(super) async fn all(
    store: &dyn Store,
    filter: &UsageFilter,
) -> Result<Vec<OperationUsage>, ControlError> {
    let mut all = Vec::new();
    let mut walk = PageWalk::by(PAGE);
    while let Some(page) = walk.next() {
        all.extend(walk.items(store.list_usage(filter, &page).await?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;

    #[tokio::test]
    async fn usage_is_listed_page_by_page_and_collected_over_all_pages() {
        let store = fixtures::used_store().await;
        let filter = UsageFilter::default();
        let page = list(&*store, &filter, &PageRequest::first(1)).await.unwrap();
        assert_eq!(page.items[0].consumer_id, "app");
        assert!(page.next.is_some());
        assert_eq!(all(&*store, &filter).await.unwrap().len(), 2);
    }
}
