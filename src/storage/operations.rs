//! The operations of the traits, listed once for stores that wrap other stores.

/// Hands the operations of a trait to the macro `$with`, as
/// `Trait: name(argument: type, …) -> answer; …`.
macro_rules! operations_of {
    (SchemaStore, $with:ident) => {
        $with! { SchemaStore:
            set_schema(
                record: &$crate::model::schema::SchemaRecord,
                on_conflict: $crate::storage::OnConflict
            ) -> $crate::storage::StoredSchema;
            get_schema(schema_id: &str) -> Option<$crate::model::schema::SchemaRecord>;
            get_schema_version(schema_id: &str, version: &str)
                -> Option<$crate::model::schema::SchemaRecord>;
            delete_schema(schema_id: &str, on_delete: $crate::storage::OnSchemaDelete) -> bool;
            delete_schema_version(schema_id: &str, version: &str) -> bool;
            list_schema_ids() -> Vec<String>;
            list_versions(schema_id: &str) -> Vec<String>;
            list_schemas(
                filter: &$crate::storage::SchemaFilter,
                page: &$crate::storage::PageRequest
            ) -> $crate::storage::SchemaList;
            get_previous_version(schema_id: &str, current: &str) -> Option<String>;
            schema_history(schema_id: &str, version: &str)
                -> Vec<$crate::storage::ReplacedContent>;
            schema_revision() -> i64;
            wait_schema_change(seen: i64, max_wait: std::time::Duration) -> i64;
        }
    };
    (ValidationStore, $with:ident) => {
        $with! { ValidationStore:
            record_validations(
                records: &[$crate::redaction::Redacted<$crate::model::record::ValidationRecord>]
            ) -> u64;
            get_validation(id: uuid::Uuid) -> Option<$crate::model::record::ValidationRecord>;
            list_validations(
                filter: &$crate::storage::ValidationFilter,
                page: &$crate::storage::PageRequest
            ) -> $crate::model::page::Page<$crate::model::record::ValidationRecord>;
            get_validation_analytics(
                filter: &$crate::storage::ValidationFilter,
                options: &$crate::storage::AnalyticsOptions
            ) -> $crate::storage::ValidationAnalytics;
            expire_validations(
                kind: $crate::storage::ExpireKind,
                older_than: $crate::model::clock::Timestamp,
                batch: u32
            ) -> u64;
            count_expirable(
                kind: $crate::storage::ExpireKind,
                older_than: $crate::model::clock::Timestamp
            ) -> u64;
            rewrite_validations(
                page: &$crate::storage::PageRequest,
                rewrite: &$crate::storage::RewriteFn<'_>
            ) -> $crate::storage::RewriteProgress;
        }
    };
    (ComparisonStore, $with:ident) => {
        $with! { ComparisonStore:
            record_comparison(record: &$crate::model::comparison::ComparisonRecord) -> ();
            get_comparison(schema_id: &str, old_version: &str, new_version: &str)
                -> Option<$crate::model::comparison::ComparisonRecord>;
            list_comparisons(schema_id: &str, page: &$crate::storage::PageRequest)
                -> $crate::model::page::Page<$crate::model::comparison::ComparisonRecord>;
        }
    };
    (ConsumerStore, $with:ident) => {
        $with! { ConsumerStore:
            register_consumer(record: &$crate::model::consumer::ConsumerRecord)
                -> $crate::model::consumer::ConsumerRecord;
            get_consumer(consumer_id: &str, schema_id: &str, environment: &str)
                -> Option<$crate::model::consumer::ConsumerRecord>;
            list_consumers(
                filter: &$crate::storage::ConsumerFilter,
                page: &$crate::storage::PageRequest
            ) -> $crate::model::page::Page<$crate::model::consumer::ConsumerRecord>;
            deregister_consumer(consumer_id: &str, schema_id: &str, environment: &str) -> bool;
            update_consumer_validation(
                consumer_id: &str,
                schema_id: &str,
                environment: &str,
                validated_at: $crate::model::clock::Timestamp
            ) -> bool;
        }
    };
    (GroupStore, $with:ident) => {
        $with! { GroupStore:
            merge_groups(batch: uuid::Uuid, groups: &[$crate::model::group::ViolationGroup])
                -> Vec<$crate::model::group::MergedGroup>;
            list_groups(
                filter: &$crate::storage::GroupFilter,
                page: &$crate::storage::PageRequest
            ) -> $crate::model::page::Page<$crate::model::group::ViolationGroup>;
        }
    };
    (UsageStore, $with:ident) => {
        $with! { UsageStore:
            merge_usage(
                batch: uuid::Uuid,
                usage: &[$crate::model::usage::OperationUsage]
            ) -> ();
            list_usage(
                filter: &$crate::storage::UsageFilter,
                page: &$crate::storage::PageRequest
            ) -> $crate::model::page::Page<$crate::model::usage::OperationUsage>;
        }
    };
    (PurgeStore, $with:ident) => {
        $with! { PurgeStore:
            purge(purge: $crate::storage::Purge<'_>, batch: u32) -> u64;
        }
    };
}

pub(super) use operations_of;
