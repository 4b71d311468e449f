//! Time and memory of compiling each document of `../shared/specs`, each in a process of its own.
//!
//! `cargo bench --bench compile [-- NAME…]`
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cvt_sidecar::contract::{CompileOptions, Contract, Document};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, path] = arguments.as_slice()
        && flag == "--one"
    {
        return measure(Path::new(path));
    }
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/specs");
    let Ok(directory) = std::fs::read_dir(&specs) else {
        println!("skipped: no ../shared/specs");
        return;
    };
    let mut files: Vec<PathBuf> = directory.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        path.is_file()
            && path.extension().is_some_and(|extension| extension == "json")
            && name != "INDEX"
            && (arguments.is_empty() || arguments.iter().any(|wanted| name.contains(wanted)))
    });
    files.sort();
    println!(
        "{:28} {:>7} {:>9} {:>9} {:>8} {:>8} {:>10} {:>7}",
        "document", "MB", "read ms", "total ms", "held MB", "peak MB", "operations", "lints"
    );
    for file in files {
        let status =
            Command::new(std::env::current_exe().unwrap()).arg("--one").arg(&file).status();
        assert!(status.unwrap().success(), "{}", file.display());
    }
}

fn measure(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let megabytes = bytes.len() as f64 / 1e6;
    let before = memory("VmRSS");
    let start = Instant::now();
    let options = CompileOptions::default();
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let document = match Document::read(&bytes, &options) {
        Ok(document) => document,
        Err(error) => return println!("{name:28} refused: {error}"),
    };
    let read = start.elapsed();
    drop(document);
    let contract = match Contract::compile(&bytes, &options) {
        Ok(contract) => contract,
        Err(error) => return println!("{name:28} refused: {error}"),
    };
    drop(bytes);
    let total = start.elapsed().saturating_sub(read);
    let held = memory("VmRSS").saturating_sub(before);
    println!(
        "{name:28} {megabytes:7.2} {:9} {:9} {held:8} {:8} {:10} {:7}",
        read.as_millis(),
        total.as_millis(),
        memory("VmHWM"),
        contract.operations().len(),
        contract.lints().len(),
    );
}

/// A figure of this process in megabytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1024
}
