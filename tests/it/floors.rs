//! The rules of the house, read from the sources.
//!
//! What must hold: a module imports only from floors below its own; each heavy dependency has
//! one owner; the pure floors touch no runtime, no file and no clock; what is redacted comes
//! from a redactor; files and functions stay short. The tables stand in [`rules`]; to add a module, give it a floor there. Each rule has
//! a test that feeds it a breach, so that a rule that finds nothing is a rule that holds.

mod layout;
mod rules;
mod source;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    what: String,
}

// === impl Breach ===

impl Breach {
    fn new(file: &str, line: usize, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, what: what.into() }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `dir`, as paths relative to the repository, in order.
fn rust_files(dir: &str) -> Vec<String> {
    let (root, mut found) = (root(), Vec::new());
    let mut open = vec![root.join(dir)];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory of sources") {
            let path = entry.expect("a directory entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let path = path.strip_prefix(&root).expect("inside the repository");
                found.push(path.to_str().expect("a UTF-8 path").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(file: &str) -> Source {
    let text = fs::read_to_string(root().join(Path::new(file))).expect("a readable source");
    Source::parse(file, &text)
}

fn assert_none(breaches: &[Breach]) {
    let lines: Vec<_> =
        breaches.iter().map(|b| format!("{}:{}: {}", b.file, b.line, b.what)).collect();
    assert!(lines.is_empty(), "{} breaches:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn modules_import_only_from_floors_below() {
    let files = rust_files("src");
    assert!(files.len() > 5, "the sources were not found");
    let breaches: Vec<_> = files.iter().flat_map(|file| rules::imports(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn dependencies_stay_with_their_owners() {
    let breaches: Vec<_> =
        rust_files("src").iter().flat_map(|file| rules::ownership(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn pure_floors_stay_pure() {
    let breaches: Vec<_> =
        rust_files("src").iter().flat_map(|file| rules::purity(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn what_is_redacted_was_redacted() {
    let breaches: Vec<_> =
        rust_files("src").iter().flat_map(|file| rules::proofs(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn files_and_functions_stay_short() {
    let mut breaches = Vec::new();
    for dir in ["src", "tests", "benches"] {
        if root().join(dir).is_dir() {
            breaches.extend(rust_files(dir).iter().flat_map(|file| layout::lengths(&read(file))));
        }
    }
    assert_none(&breaches);
}

#[test]
fn the_layout_is_a_file_and_a_folder() {
    assert_none(&layout::names(&rust_files("src")));
}
