//! Coverage: what of the documents is used, by whom, and what is not.
//!
//! Everything comes from storage: what all sidecars on it have seen since it was made.

mod documented;
mod schema;

use serde::Serialize;

use super::{ControlError, documents, groups, schemas, usage};
use crate::contract::CompileOptions;
use crate::model::rule::{Rule, Strictness};
use crate::model::usage::UsageKind;
use crate::storage::{GroupFilter, Store, UsageFilter};

pub(crate) use schema::{Coverage, FaultCounts, NamedUsage, OperationReport, SchemaReport};

/// What the report is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct CoverageQuestion {
    /// One schema only.
    pub(crate) schema_id: Option<String>,
    /// What was seen in one environment only; violation groups know no environment.
    pub(crate) environment: Option<String>,
    /// Which violation groups of each schema.
    pub(crate) groups: GroupFilter,
    /// How many of them, the most frequent first.
    pub(crate) top_groups: usize,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(crate) struct UsageReport {
    /// One part per schema.
    pub(crate) schemas: Vec<SchemaReport>,
    /// Exchanges that were never validated, by reason, over all schemas.
    pub(crate) never_validated: Vec<NamedUsage>,
}

/// Documents and usage put together, for every schema or one.
pub(crate) async fn report(
    store: &dyn Store,
    question: &CoverageQuestion,
) -> Result<UsageReport, ControlError> {
    let ids = match &question.schema_id {
        Some(id) => vec![id.clone()],
        None => store.list_schema_ids().await?,
    };
    let mut reports = Vec::new();
    for id in ids {
        let record = schemas::get(store, &id, None).await?;
        // with the shapes of all bodies, which name the documented fields
        let options =
            CompileOptions::default().with_rule(Rule::UndeclaredFields, Strictness::Strict);
        let contract = documents::compile_stored(&id, record.content.clone(), options).await?;
        let usage = usage::all(store, &question.usage_of(&id)).await?;
        let filter = GroupFilter { schema_id: Some(id.clone()), ..question.groups.clone() };
        let groups = groups::most_frequent(store, &filter, question.top_groups).await?;
        reports.push(SchemaReport::new(&record, &contract, &usage, groups));
    }
    let unvalidated = usage::all(store, &question.usage_of("")).await?;
    let never_validated = schema::facts_of(&unvalidated, UsageKind::Unvalidated);
    Ok(UsageReport { schemas: reports, never_validated })
}

// === impl CoverageQuestion ===

impl CoverageQuestion {
    fn usage_of(&self, schema_id: &str) -> UsageFilter {
        UsageFilter {
            schema_id: Some(schema_id.to_owned()),
            environment: self.environment.clone(),
            ..UsageFilter::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Noun;
    use crate::control::fixtures::{self, SCHEMA};

    #[tokio::test]
    async fn a_report_tells_used_from_unused_and_counts_what_no_document_lists() {
        let store = fixtures::used_store().await;
        let question = CoverageQuestion { top_groups: 10, ..CoverageQuestion::default() };
        let report = report(&*store, &question).await.unwrap();
        let [schema] = report.schemas.as_slice() else { panic!("{report:?}") };
        assert_eq!((schema.title.as_str(), schema.exchanges), ("Books", 3));
        let [used] = schema.used.as_slice() else { panic!("{schema:?}") };
        let by: Vec<_> = used.consumers.iter().map(|one| (&*one.name, one.count)).collect();
        assert_eq!(by, [("shop", 2), ("app", 1)]);
        assert_eq!(used.response_fields.never_seen, ["pages"]);
        assert_eq!(used.response_fields.undocumented[0].name, "author");
        assert_eq!((used.statuses.seen, used.statuses.documented), (1, 1));
        assert_eq!(schema.never_used[0].method, "DELETE");
        assert_eq!(schema.groups, [fixtures::group()]);
    }

    #[tokio::test]
    async fn a_report_keeps_to_its_environment_and_an_unknown_schema_is_not_found() {
        let store = fixtures::used_store().await;
        let question =
            CoverageQuestion { environment: Some("staging".into()), ..CoverageQuestion::default() };
        let empty = report(&*store, &question).await.unwrap();
        assert_eq!((empty.schemas[0].exchanges, empty.schemas[0].never_used.len()), (0, 2));
        assert_eq!(empty.schemas[0].schema_id, SCHEMA);
        let question =
            CoverageQuestion { schema_id: Some("x".into()), ..CoverageQuestion::default() };
        let error = report(&*store, &question).await.unwrap_err();
        assert!(matches!(error, ControlError::NotFound { noun: Noun::Schema, .. }));
    }
}
