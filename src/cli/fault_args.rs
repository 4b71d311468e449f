//! Flags that choose by whose fault, on which side and with which status.

use clap::Args;

use crate::model::fault::Fault;
use crate::model::violation::Side;

/// Flags of every command about violations.
#[derive(Debug, Args)]
pub(super) struct FaultArgs {
    /// By fault of service, accepted, stranger or caller only
    #[arg(long, value_parser = parse_fault)]
    pub(super) fault: Option<Fault>,
    /// With violations of the request or of the response only
    #[arg(long, value_parser = parse_side)]
    pub(super) side: Option<Side>,
    /// That the service answered with this status only
    #[arg(long, value_parser = clap::value_parser!(u16).range(100..=999))]
    pub(super) status: Option<u16>,
}

fn parse_fault(text: &str) -> Result<Fault, String> {
    let expected = || "expected service, accepted, stranger or caller".to_owned();
    Fault::parse(text).ok_or_else(expected)
}

fn parse_side(text: &str) -> Result<Side, String> {
    Side::parse(text).ok_or_else(|| "expected request or response".to_owned())
}
