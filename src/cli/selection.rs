//! Which records a command is about.

use clap::Args;

use super::fault_args::FaultArgs;
use super::store_args;
use crate::storage::ValidationFilter;

/// Flags that choose records; without any it is all of them.
#[derive(Debug, Args)]
pub(super) struct Selection {
    /// Records that break the contract only
    #[arg(long, conflicts_with = "valid")]
    invalid: bool,
    /// Records that do not break the contract only
    #[arg(long)]
    valid: bool,
    /// Records of one schema only
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// Records of one method only
    #[arg(long)]
    method: Option<String>,
    /// Records of one path template only, such as /books/{id}
    #[arg(long = "path", value_name = "TEMPLATE")]
    operation: Option<String>,
    /// Records of one consumer only
    #[arg(long, value_name = "ID")]
    consumer: Option<String>,
    /// Records with a violation of one code only, such as response.body.schema
    #[arg(long)]
    code: Option<String>,
    /// Records of one environment only
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    faults: FaultArgs,
    /// Records of exchanges that ended at this time or later: RFC 3339, or a duration before now such
    /// as 10m or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records of exchanges that ended before this time only, in the same forms
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

// === impl Selection ===

impl Selection {
    /// The filter that the flags mean.
    pub(super) fn filter(&self) -> Result<ValidationFilter, String> {
        Ok(ValidationFilter {
            schema_id: self.schema_id.clone(),
            method: self.method.clone(),
            environment: self.environment.clone(),
            valid: if self.invalid { Some(false) } else { self.valid.then_some(true) },
            from: store_args::parse_time("--since", self.since.as_deref())?,
            until: store_args::parse_time("--until", self.until.as_deref())?,
            consumer_id: self.consumer.clone(),
            path_template: self.operation.clone(),
            code: self.code.clone(),
            fault: self.faults.fault,
            side: self.faults.side,
            status: self.faults.status,
        })
    }
}
