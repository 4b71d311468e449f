//! The structure of the code, read from its sources.
//!
//! Invariants:
//!
//! - a module imports only from layers below its own ([`rules`]);
//! - each heavy dependency has one owner, and only `egress`, `proxy` and `storage` open client
//!   connections ([`owners`]);
//! - the pure modules touch no runtime, no file and no clock ([`rules`]);
//! - what is redacted comes from a redactor ([`rules`]);
//! - a type name is the name of one type ([`types`]), and no more than two files of a module need
//!   each other ([`circles`]);
//! - retired words do not come back ([`words`]);
//! - files and functions stay short ([`layout`]).
//!
//! To add a module, give it a layer in [`rules`]. Each rule has tests that feed it a breach, so
//! that a rule that finds nothing is a rule that holds.

mod circles;
mod layout;
mod owners;
mod rules;
mod source;
mod types;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// Folders in which words are checked, apart from the files at the top.
const TEXTS: &[&str] =
    &["src", "tests", "docs", "config", "deploy", "benches", "migrations", ".ci"];

/// Folders that builds and fuzzers make.
const BUILT: &[&str] = &["target", "corpus", "artifacts"];

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
    let mut files = files_under(dir);
    files.retain(|file| extension(file) == "rs");
    files
}

/// What follows the last dot of a file's name; nothing without one.
fn extension(file: &str) -> &str {
    Path::new(file).extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

/// Every file under `dir`, without what builds leave there.
fn files_under(dir: &str) -> Vec<String> {
    let (root, mut found) = (root(), Vec::new());
    let mut open = vec![root.join(dir)];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory of sources") {
            let path = entry.expect("a directory entry").path();
            if !path.is_dir() {
                let path = path.strip_prefix(&root).expect("inside the repository");
                found.push(path.to_str().expect("a UTF-8 path").to_owned());
            } else if !BUILT.iter().any(|built| path.ends_with(built)) {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every file in which words are checked.
fn texts() -> Vec<String> {
    let top = fs::read_dir(root()).expect("the repository");
    let top = top.map(|entry| entry.expect("a directory entry").file_name());
    let mut found: Vec<_> = top
        .filter_map(|name| name.into_string().ok())
        .filter(|name| ["md", "toml"].contains(&extension(name)))
        .collect();
    let dirs = TEXTS.iter().filter(|dir| root().join(dir).is_dir());
    found.extend(dirs.flat_map(|dir| files_under(dir)));
    found.retain(|file| words::is_checked(file));
    found
}

/// The sources under `src`, with the files of test modules marked as such.
fn sources() -> Vec<Source> {
    let mut sources: Vec<_> = rust_files("src").iter().map(|file| read(file)).collect();
    source::mark_test_modules(&mut sources);
    sources
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
fn modules_import_only_from_layers_below() {
    let files = rust_files("src");
    assert!(files.len() > 5, "the sources were not found");
    let breaches: Vec<_> = files.iter().flat_map(|file| rules::imports(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn dependencies_stay_with_their_owners() {
    let breaches: Vec<_> =
        rust_files("src").iter().flat_map(|file| owners::ownership(&read(file))).collect();
    assert_none(&breaches);
}

#[test]
fn client_connections_belong_to_egress() {
    assert_none(&sources().iter().flat_map(owners::connections).collect::<Vec<_>>());
}

#[test]
fn a_type_name_is_defined_in_one_file() {
    assert_none(&types::defined_twice(&sources()));
}

#[test]
fn no_more_than_two_files_of_a_module_need_each_other() {
    assert_none(&circles::circles(&sources()));
}

#[test]
fn retired_words_do_not_come_back() {
    let list = fs::read_to_string(root().join(words::LIST)).expect("the list");
    let words = words::parse(&list).unwrap_or_else(|breach| panic!("{breach:?}"));
    assert!(!words.is_empty(), "the list is empty");
    let mut breaches = Vec::new();
    for file in texts() {
        match fs::read_to_string(root().join(&file)) {
            Ok(text) => breaches.extend(words::retired(&words, &file, &text)),
            Err(error) => breaches.push(Breach::new(&file, 1, format!("no text: {error}"))),
        }
    }
    assert_none(&breaches);
}

#[test]
fn pure_modules_stay_pure() {
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
