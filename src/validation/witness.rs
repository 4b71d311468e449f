//! What a message was seen to hold, told to whoever learns from it.
//!
//! What must hold: nothing is read or parsed for a witness alone; it is told what judging had
//! in its hands anyway, before that memory is used again.

use smallvec::SmallVec;

use super::findings::Findings;
use crate::contract::Contract;
use crate::contract::instance::{Arena, Node, NodeId};
use crate::contract::operation::OperationIndex;
use crate::contract::parameter::ParameterPlan;
use crate::model::violation::Side;

/// Told about every message that belongs to an operation, whether it conforms or not.
pub trait Witness {
    /// A message as it was read.
    fn message(&mut self, seen: &SeenMessage<'_>);
}

/// One half of an exchange, as far as it was read.
#[derive(Debug)]
pub struct SeenMessage<'m> {
    /// The contract it was judged by.
    pub contract: &'m Contract,
    /// The operation it belongs to.
    pub operation: OperationIndex,
    /// Which half.
    pub side: Side,
    /// The documented parameters that were sent.
    pub parameters: &'m [&'m ParameterPlan],
    /// The body, when it was read as one value.
    pub body: Option<Node<'m>>,
}

/// What a witness will be told, while it is gathered.
#[derive(Debug, Default)]
pub(super) struct Sight<'c> {
    parameters: SmallVec<[&'c ParameterPlan; 8]>,
    body: Option<NodeId>,
}

/// Nobody.
impl Witness for () {
    fn message(&mut self, _: &SeenMessage<'_>) {}
}

// === impl Findings ===

impl<'c> Findings<'c> {
    /// Notes a parameter that was sent.
    pub(super) fn saw_parameter(&mut self, plan: &'c ParameterPlan) {
        self.sight.parameters.push(plan);
    }

    /// Notes the body as it lies in the arena, which must not be cleared any more.
    pub(super) fn saw_body(&mut self, id: NodeId) {
        self.sight.body = Some(id);
    }

    /// Tells `witness` what was seen of a message.
    pub(super) fn testify(
        &self,
        side: Side,
        operation: OperationIndex,
        arena: &Arena,
        witness: &mut dyn Witness,
    ) {
        witness.message(&SeenMessage {
            contract: self.contract,
            operation,
            side,
            parameters: &self.sight.parameters,
            body: self.sight.body.map(|id| arena.node(id)),
        });
    }
}
