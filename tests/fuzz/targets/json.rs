//! A JSON text is read as another reader reads it, or refused as it is there: acceptance, strings,
//! order, numbers to the digit.
//!
//! Not compared: half surrogate pairs (kept as U+FFFD here, refused there) and depth beyond what
//! the other reader takes.

#![no_main]

use cvt_sidecar::json::Arena;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut arena = Arena::default();
    let ours = arena.parse(bytes).map(|id| arena.node(id).to_value());
    match (ours, serde_json::from_slice::<serde_json::Value>(bytes)) {
        (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs),
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => {
            let known = ["surrogate", "lone", "recursion", "hex escape"];
            let error = error.to_string();
            let mark = bytes.starts_with(b"\xEF\xBB\xBF");
            assert!(
                mark || known.iter().any(|part| error.contains(part)),
                "refused there: {error}"
            );
        }
        (Err(error), Ok(_)) => panic!("refused here: {error}"),
    }
});
