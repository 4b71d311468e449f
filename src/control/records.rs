//! Records of validated exchanges.

use uuid::Uuid;

use super::{ControlError, Noun};
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::storage::{PageRequest, Store, ValidationFilter};

/// A page of records, newest first.
pub(crate) async fn list(
    store: &dyn Store,
    filter: &ValidationFilter,
    page: &PageRequest,
) -> Result<Page<ValidationRecord>, ControlError> {
    Ok(store.list_validations(filter, page).await?)
}

/// One record whole.
pub(crate) async fn get(store: &dyn Store, id: Uuid) -> Result<ValidationRecord, ControlError> {
    let record = store.get_validation(id).await?;
    record.ok_or_else(|| ControlError::not_found(Noun::Record, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;

    #[tokio::test]
    async fn a_record_is_found_by_its_id_and_an_unknown_id_is_not_found() {
        let store = fixtures::used_store().await;
        let page = list(&*store, &ValidationFilter::default(), &PageRequest::first(2)).await;
        let page = page.unwrap();
        let newest: Vec<_> = page.items.iter().map(|record| record.id.as_u128()).collect();
        assert_eq!((newest, page.next.is_some()), (vec![3, 2], true));
        assert_eq!(get(&*store, page.items[0].id).await.unwrap(), page.items[0]);
        let missing = get(&*store, Uuid::nil()).await.unwrap_err();
        assert!(matches!(missing, ControlError::NotFound { noun: Noun::Record, .. }));
        assert_eq!(missing.to_string(), format!("no record has the id {}", Uuid::nil()));
    }
}
