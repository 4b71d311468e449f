//! XML.
use super::{BodyContext, unsupported};
use crate::contract::instance::Arena;
use crate::validation::findings::Findings;
pub(super) fn judge(_: &mut Arena, findings: &mut Findings<'_>, _: &BodyContext<'_>, _: &str) {
    unsupported(findings);
}
