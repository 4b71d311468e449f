//! Looking after the database: migrations and retention.

use std::sync::Arc;

use tokio::sync::watch;

use super::ControlError;
use crate::config::retention::RetentionSettings;
use crate::model::clock::Clock;
use crate::retention::{Expired, Retention};
use crate::storage::{MigrationReport, Store};

/// Brings the database to this version's form, or reports what would be done.
pub(crate) async fn migrate(
    store: &dyn Store,
    dry_run: bool,
) -> Result<MigrationReport, ControlError> {
    Ok(store.migrate(dry_run).await?)
}

/// Removes, once, what is older by `clock` than `settings` allow, or reports what would go.
pub(crate) async fn expire(
    store: Arc<dyn Store>,
    settings: RetentionSettings,
    clock: Arc<dyn Clock>,
    dry_run: bool,
) -> Result<Vec<Expired>, ControlError> {
    let retention = Retention::new(settings, store, clock, None);
    if dry_run {
        return Ok(retention.preview().await?);
    }
    let (_never, stop) = watch::channel(false);
    Ok(retention.round(&stop).await?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control::fixtures;
    use crate::model::clock::ManualClock;
    use crate::storage::ExpireKind;

    #[tokio::test]
    async fn a_dry_run_counts_what_a_run_then_removes() {
        let store = fixtures::used_store().await;
        let day = Duration::from_hours(24);
        let settings = RetentionSettings {
            valid: Some(day),
            invalid: Some(day),
            bodies: None,
            interval: day,
            batch: 10,
        };
        let now = fixtures::at(3).plus(day);
        for (dry_run, rows) in [(true, 2), (false, 2), (true, 0)] {
            let clock = Arc::new(ManualClock::new(now));
            let expired = expire(store.clone(), settings, clock, dry_run).await.unwrap();
            let older_than = fixtures::at(3);
            assert_eq!(expired, [Expired { kind: ExpireKind::All, older_than, rows }]);
        }
    }

    #[tokio::test]
    async fn a_store_without_migrations_has_none_to_do() {
        let store = fixtures::store().await;
        assert!(migrate(&*store, true).await.unwrap().steps.is_empty());
    }
}
