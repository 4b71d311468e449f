//! What enforcement reads off a message before anything is buffered.
//!
//! Invariants: nothing here waits or allocates; the hash is the same in every process, so that
//! all replicas enforce the same share of the exchanges.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::contract::media_type::{BodyKind, MediaTypeRef};

/// Whether a body is a stream of items that may have no end.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let Some(sent) = headers.get(CONTENT_TYPE) else { return false };
    if sent.as_bytes() == b"application/json" {
        return false;
    }
    let Some(media) = sent.to_str().ok().and_then(MediaTypeRef::parse) else { return false };
    let grpc = media.main.eq_ignore_ascii_case("application")
        && media.sub.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("grpc"));
    let replaced = media.sub.eq_ignore_ascii_case("x-mixed-replace");
    grpc || replaced || matches!(media.kind(), BodyKind::JsonSequence | BodyKind::EventStream)
}

/// The same for every process: FNV-1a, its bits mixed.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ mixed >> 33
}
