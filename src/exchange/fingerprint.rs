//! What is remembered of a message that was validated while traffic waited, so that it is not
//! read again to count what it used.

use smallvec::SmallVec;

use crate::json::{ShapeHash, ShapeHasher};
use crate::validation::{ObservedMessage, ValidationObserver};

/// A message without its values: enough for a collector that has met its like.
#[derive(Debug, Clone, Default)]
pub struct MessageFingerprint {
    /// By the plans' addresses, which stand still as long as the contract lives.
    pub parameters: SmallVec<[usize; 4]>,
    /// The body.
    pub body: BodyFingerprint,
}

/// The body of a message.
#[derive(Debug, Clone, Copy, Default)]
pub enum BodyFingerprint {
    /// There was none, or it was not read as one value.
    #[default]
    NotRead,
    /// Its shape.
    Shape(ShapeHash),
    /// A value that has none.
    Unshaped,
}

/// Draws sketches, one after the other, in memory of its own.
#[derive(Debug)]
pub struct MessageFingerprinter {
    shape_hasher: ShapeHasher,
    last: Option<MessageFingerprint>,
}

// === impl MessageFingerprinter ===

impl MessageFingerprinter {
    /// One whose shapes agree with those of `shape_hasher`'s seed.
    pub fn new(shape_hasher: ShapeHasher) -> Self {
        Self { shape_hasher, last: None }
    }

    /// The fingerprint of the message that was validated last, once; none where it belonged to no
    /// operation.
    pub fn take(&mut self) -> Option<MessageFingerprint> {
        self.last.take()
    }
}

impl ValidationObserver for MessageFingerprinter {
    fn observe(&mut self, seen: &ObservedMessage<'_>) {
        let parameters = seen.parameters.iter().map(|plan| std::ptr::from_ref(*plan) as usize);
        let body = seen.body.map_or(BodyFingerprint::NotRead, |body| {
            self.shape_hasher
                .shape_hash(body)
                .map_or(BodyFingerprint::Unshaped, BodyFingerprint::Shape)
        });
        self.last = Some(MessageFingerprint { parameters: parameters.collect(), body });
    }
}
