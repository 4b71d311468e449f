//! What the numbers of one operation's counts stand for.

use std::sync::Arc;

use smallvec::SmallVec;

use super::fields::FieldTree;
use crate::contract::parameter::ParameterPlan;
use crate::contract::serialization::ParameterLocation;
use crate::exchange::fingerprint::{BodyFingerprint, MessageFingerprint};
use crate::model::violation::Side;

/// What the numbers in counts stand for.
#[derive(Debug, Default)]
pub(super) struct OperationNames {
    /// By the plan's address, which stands still as long as the contract lives.
    pub(super) parameters: Vec<(usize, Arc<str>)>,
    pub(super) request: FieldTree,
    pub(super) response: FieldTree,
}

/// What a fingerprinted message holds.
pub(super) struct RecalledUsage<'n> {
    pub(super) parameters: SmallVec<[u32; 4]>,
    pub(super) fields: &'n [u32],
    pub(super) shape: Option<u64>,
}

// === impl OperationNames ===

impl OperationNames {
    /// The number of a parameter, a new one where it has none.
    pub(super) fn parameter(&mut self, plan: &ParameterPlan) -> u32 {
        let address = std::ptr::from_ref(plan) as usize;
        let found = self.parameters.iter().position(|(known, _)| *known == address);
        let at = found.unwrap_or_else(|| {
            let place = match plan.location {
                ParameterLocation::Path => "path",
                ParameterLocation::Query => "query",
                ParameterLocation::QueryString => "querystring",
                ParameterLocation::Header => "header",
                ParameterLocation::Cookie => "cookie",
            };
            self.parameters.push((address, format!("{place}:{}", plan.name).into()));
            self.parameters.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }
    /// The numbers of what a message holds, by its fingerprint; `None` where one of them is not known.
    pub(super) fn recall(
        &self,
        side: Side,
        fingerprint: &MessageFingerprint,
    ) -> Option<RecalledUsage<'_>> {
        let number = |plan: &usize| {
            let at = self.parameters.iter().position(|(known, _)| known == plan)?;
            u32::try_from(at).ok()
        };
        let parameters = fingerprint.parameters.iter().map(number).collect::<Option<_>>()?;
        let tree = if side == Side::Request { &self.request } else { &self.response };
        let (fields, shape) = match fingerprint.body {
            BodyFingerprint::NotRead => (&[][..], None),
            BodyFingerprint::Shape(shape) => (tree.recall(shape)?, Some(shape.number)),
            BodyFingerprint::Unshaped => return None,
        };
        Some(RecalledUsage { parameters, fields, shape })
    }
}
