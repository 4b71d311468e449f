//! Shows an observer which documented parts a message had, for usage statistics.
//!
//! Invariant: nothing is read or parsed for the observer alone. It gets what validation has in
//! memory already, before that memory is used again.

use smallvec::SmallVec;

use super::verdict_builder::VerdictBuilder;
use crate::contract::Contract;
use crate::contract::OperationIndex;
use crate::contract::parameter::ParameterPlan;
use crate::json::{Arena, Node, NodeId};
use crate::model::violation::Side;

/// Is notified of every message that belongs to an operation, whether it conforms or not.
pub trait ValidationObserver {
    /// Called once per message, after it was validated.
    fn observe(&mut self, message: &ObservedMessage<'_>);
}

/// One side of an exchange, as far as it was read.
#[derive(Debug)]
pub struct ObservedMessage<'m> {
    /// The contract it was validated against.
    pub contract: &'m Contract,
    /// The operation it belongs to.
    pub operation: OperationIndex,
    /// Which side.
    pub side: Side,
    /// The documented parameters that were sent.
    pub parameters: &'m [&'m ParameterPlan],
    /// The body, when it was read as one value.
    pub body: Option<Node<'m>>,
}

/// What the observer will be shown, while it is collected.
#[derive(Debug, Default)]
pub(super) struct ObservedParts<'c> {
    parameters: SmallVec<[&'c ParameterPlan; 8]>,
    body: Option<NodeId>,
}

/// Observes nothing.
impl ValidationObserver for () {
    fn observe(&mut self, _: &ObservedMessage<'_>) {}
}

// === impl VerdictBuilder ===

impl<'c> VerdictBuilder<'c> {
    /// Records a parameter that was sent.
    pub(super) fn observe_parameter(&mut self, plan: &'c ParameterPlan) {
        self.observed.parameters.push(plan);
    }

    /// Records the body in the arena, which must not be cleared any more.
    pub(super) fn observe_body(&mut self, id: NodeId) {
        self.observed.body = Some(id);
    }

    /// Shows `observer` what was read of a message.
    pub(super) fn notify_observer(
        &self,
        side: Side,
        operation: OperationIndex,
        arena: &Arena,
        observer: &mut dyn ValidationObserver,
    ) {
        observer.observe(&ObservedMessage {
            contract: self.contract,
            operation,
            side,
            parameters: &self.observed.parameters,
            body: self.observed.body.map(|id| arena.node(id)),
        });
    }
}
