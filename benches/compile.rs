//! Time and memory of compiling each document of `../shared/specs`, each in a process of its own.
//!
//! `cargo bench --bench compile [-- NAME…]`
#![allow(clippy::disallowed_methods, reason = "a bench measures time")]
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use cvt_sidecar::contract::{CompileOptions, Direction, Document, SchemaCompiler};
use serde_json::Value;

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
        "{:28} {:>7} {:>9} {:>9} {:>9} {:>8} {:>8} {:>7}",
        "document", "MB", "read ms", "lower+compile", "total ms", "held MB", "peak MB", "schemas"
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
    drop(bytes);
    let read = start.elapsed();
    let mut compiler = SchemaCompiler::new(&document, &options);
    let mut pointers = Vec::new();
    schemas(document.root().get("paths").unwrap_or(&Value::Null), "/paths", false, &mut pointers);
    for pointer in &pointers {
        let is_response = pointer.contains("/responses/");
        let direction = if is_response { Direction::Response } else { Direction::Request };
        compiler.compile(pointer, direction).unwrap();
    }
    let (set, lints) = match compiler.finish() {
        Ok(done) => done,
        Err(error) => return println!("{name:28} refused: {error}"),
    };
    let lint_count = lints.len() + document.lints().len();
    drop(document);
    let total = start.elapsed();
    let held = memory("VmRSS").saturating_sub(before);
    println!(
        "{name:28} {megabytes:7.2} {:9} {:9} {:9} {held:8} {:8} {:7} lints {lint_count}",
        read.as_millis(),
        (total - read).as_millis(),
        total.as_millis(),
        memory("VmHWM"),
        set.len(),
    );
}

/// Pointers to every schema of parameters, headers and bodies.
fn schemas(value: &Value, at: &str, inside: bool, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, child) in members {
                let pointer = cvt_sidecar::contract::document::pointer::join(at, key);
                if key == "schema" && inside && child.is_object() {
                    found.push(pointer);
                } else if !matches!(key.as_str(), "example" | "examples") {
                    let holds = matches!(key.as_str(), "content" | "parameters" | "headers");
                    schemas(child, &pointer, inside || holds, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, child) in items.iter().enumerate() {
                schemas(child, &format!("{at}/{index}"), inside, found);
            }
        }
        _ => {}
    }
}

/// A figure of this process in megabytes.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or_default() / 1024
}
