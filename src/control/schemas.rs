//! Registered documents and their versions.

use super::{ControlError, Noun};
use crate::model::schema::SchemaRecord;
use crate::storage::{PageRequest, SchemaFilter, SchemaList, Store};

/// A page of schemas without their contents, and how many there are on all pages.
#[cfg_attr(not(test), expect(dead_code, reason = "a question of the edges; no command asks it"))]
pub(crate) async fn list(
    store: &dyn Store,
    filter: &SchemaFilter,
    page: &PageRequest,
) -> Result<SchemaList, ControlError> {
    Ok(store.list_schemas(filter, page).await?)
}

/// One version of a schema with its document; the latest where none is named.
pub(crate) async fn get(
    store: &dyn Store,
    schema_id: &str,
    version: Option<&str>,
) -> Result<SchemaRecord, ControlError> {
    let (record, name) = match version {
        Some(version) => {
            (store.get_schema_version(schema_id, version).await?, format!("{schema_id}@{version}"))
        }
        None => (store.get_schema(schema_id).await?, schema_id.to_owned()),
    };
    record.ok_or_else(|| ControlError::not_found(Noun::Schema, name))
}

/// The versions of a schema, registered last first; never empty.
#[cfg_attr(not(test), expect(dead_code, reason = "a question of the edges; no command asks it"))]
pub(crate) async fn versions(
    store: &dyn Store,
    schema_id: &str,
) -> Result<Vec<String>, ControlError> {
    let versions = store.list_versions(schema_id).await?;
    if versions.is_empty() {
        return Err(ControlError::not_found(Noun::Schema, schema_id));
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures::{self, SCHEMA};
    use crate::storage::{OnConflict, SchemaStore as _};

    #[tokio::test]
    async fn schemas_are_listed_without_content_and_shown_with_it() {
        let store = fixtures::store().await;
        store.set_schema(&fixtures::schema("1.10.0"), OnConflict::Refuse).await.unwrap();
        let page = PageRequest::default();
        let latest = list(&*store, &SchemaFilter::default(), &page).await.unwrap();
        assert_eq!((latest.total, &*latest.page.items[0].schema_version), (1, "1.10.0"));
        assert_eq!(versions(&*store, SCHEMA).await.unwrap(), ["1.10.0", "1.0.0"]);
        assert_eq!(get(&*store, SCHEMA, None).await.unwrap().version, "1.10.0");
        let first = get(&*store, SCHEMA, Some("1.0.0")).await.unwrap();
        assert_eq!(first.content, fixtures::DOCUMENT);
    }

    #[tokio::test]
    async fn an_unknown_schema_or_version_is_not_found() {
        let store = fixtures::store().await;
        let version = get(&*store, SCHEMA, Some("2.0.0")).await.unwrap_err();
        assert_eq!(version.to_string(), "no schema is registered under \"books@2.0.0\"");
        for error in [
            version,
            get(&*store, "x", None).await.unwrap_err(),
            versions(&*store, "x").await.unwrap_err(),
        ] {
            assert!(matches!(error, ControlError::NotFound { noun: Noun::Schema, .. }));
        }
    }
}
