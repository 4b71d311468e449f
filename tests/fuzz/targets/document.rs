//! No bytes whatever make a document panic, loop or take more than linear memory.
//!
//! Run: `cargo +nightly fuzz run --fuzz-dir tests/fuzz document -- -max_total_time=300`

#![no_main]

use cvt_sidecar::contract::{CompileOptions, Contract};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(contract) = Contract::compile(bytes, &CompileOptions::default()) {
        let _ = contract.lints().len();
        for operation in contract.operations() {
            let _ = contract.find(&operation.method, &operation.template, None);
        }
    }
});
