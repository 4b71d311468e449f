//! `check --summary`: every OpenAPI document in directories, and the kinds of what is wrong in them.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::{describe_error, location, walk};
use crate::cli::output::{EXIT_NEGATIVE, EXIT_OK};
use crate::contract::{CompileOptions, Contract, ContractError, Grade, LintCode};
use crate::registry::files::Directory;

/// What became of one document.
enum DocumentOutcome {
    /// It loads; each lint with its place.
    Loaded(Vec<(LintCode, String)>),
    /// It does not; the kind of error and the message, with the place.
    Refused(&'static str, String),
}

/// One kind of fault over all documents.
#[derive(Default)]
struct FaultKind {
    documents: usize,
    count: usize,
    /// Where one of them is.
    example: String,
}

/// What all documents add up to.
#[derive(Default)]
struct BulkSummary {
    documents: usize,
    faultless: usize,
    with_slips: usize,
    with_defects: usize,
    lints: BTreeMap<LintCode, FaultKind>,
    refusals: BTreeMap<&'static str, FaultKind>,
    /// A line per refused document.
    refused: Vec<String>,
}

/// Checks every document in `paths` on all cores, and prints what they add up to. Returns 1 when some
/// do not load.
pub(super) fn run(
    paths: &[PathBuf],
    roots: &[PathBuf],
    options: &CompileOptions<'static>,
    json: bool,
    out: &mut dyn Write,
) -> io::Result<u8> {
    let files = walk::candidates(paths)?;
    let next = AtomicUsize::new(0);
    let (sender, receiver) = channel();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut outcomes = std::thread::scope(|scope| {
        for _ in 0..workers.min(files.len()) {
            let sender = sender.clone();
            let (files, next) = (&files, &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = files.get(index) else { break };
                    if sender.send((index, check(path, roots, options))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        collect(&receiver, files.len())
    });
    outcomes.sort_by_key(|(index, _)| *index);
    let mut summary = BulkSummary::default();
    for (_, outcome) in outcomes {
        summary.add(outcome);
    }
    if json {
        writeln!(out, "{}", summary.to_json())?;
    } else {
        summary.write_text(out)?;
    }
    Ok(if summary.refused.is_empty() { EXIT_OK } else { EXIT_NEGATIVE })
}

/// Takes the outcomes as they come, with a bar on a terminal.
fn collect(
    receiver: &Receiver<(usize, Option<DocumentOutcome>)>,
    total: usize,
) -> Vec<(usize, DocumentOutcome)> {
    const WIDTH: usize = 30;
    let shows = io::stderr().is_terminal();
    let mut outcomes = Vec::new();
    for (done, (index, outcome)) in receiver.iter().enumerate() {
        outcomes.extend(outcome.map(|outcome| (index, outcome)));
        let done = done + 1;
        if shows && (done % 16 == 0 || done == total) {
            let filled = done * WIDTH / total.max(1);
            let (full, rest) = ("#".repeat(filled), "-".repeat(WIDTH - filled));
            eprint!("\r[{full}{rest}] {done} of {total} files");
        }
    }
    if shows {
        eprint!("\r\x1b[K");
    }
    outcomes
}

/// Checks one file; `None` where it is no OpenAPI document.
fn check(
    path: &Path,
    roots: &[PathBuf],
    options: &CompileOptions<'static>,
) -> Option<DocumentOutcome> {
    let content = walk::read_document(path)?;
    let name = path.display().to_string();
    let files = Directory::of(path).with_roots(roots);
    let options = CompileOptions { files: &files, ..options.clone() };
    Some(match Contract::compile(&content, &options) {
        Ok(contract) => {
            let lints = contract.lints().iter().map(|lint| {
                let place = location(&name, &lint.pointer, lint.position);
                (lint.code, format!("{place}: {}", lint.message))
            });
            DocumentOutcome::Loaded(lints.collect())
        }
        Err(error) => DocumentOutcome::Refused(kind_of(&error), describe_error(&name, &error)),
    })
}

fn kind_of(error: &ContractError) -> &'static str {
    match error {
        ContractError::OverLimit(_) => "over_limit",
        ContractError::Syntax(_) => "syntax",
        ContractError::Version(_) => "version",
        ContractError::Structure(_) => "structure",
        ContractError::Reference(_) => "reference",
        ContractError::Schema(_) => "schema",
        ContractError::Defects(_) => "defects",
    }
}

// === impl BulkSummary ===

impl BulkSummary {
    fn add(&mut self, outcome: DocumentOutcome) {
        self.documents += 1;
        match outcome {
            DocumentOutcome::Refused(kind, message) => {
                self.refusals.entry(kind).or_default().add(1, &message);
                self.refused.push(message);
            }
            DocumentOutcome::Loaded(lints) => {
                let mut kinds: BTreeMap<LintCode, (usize, &str)> = BTreeMap::new();
                for (code, place) in &lints {
                    kinds.entry(*code).or_insert((0, place)).0 += 1;
                }
                let has = |grade| kinds.keys().any(|code| code.grade() == grade);
                self.faultless += usize::from(kinds.is_empty());
                self.with_slips += usize::from(has(Grade::Slip));
                self.with_defects += usize::from(has(Grade::Defect));
                for (code, (count, place)) in kinds {
                    self.lints.entry(code).or_default().add(count, place);
                }
            }
        }
    }

    fn loaded(&self) -> usize {
        self.documents - self.refused.len()
    }

    fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        // In hundredths of a percent, cut off: not all is never shown as all.
        let share = self.loaded() * 10_000 / self.documents.max(1);
        writeln!(
            out,
            "{} documents: {} load ({}.{:02} %), {} of them without a fault, {} with slips, {} with \
             defects",
            self.documents,
            self.loaded(),
            share / 100,
            share % 100,
            self.faultless,
            self.with_slips,
            self.with_defects
        )?;
        for (grade, title) in [(Grade::Defect, "Defects"), (Grade::Slip, "Slips")] {
            let kinds = || self.lints.iter().filter(|(code, _)| code.grade() == grade);
            if kinds().next().is_some() {
                writeln!(out, "{title}:")?;
            }
            for (code, kind) in kinds() {
                kind.write(code.as_str(), out)?;
            }
        }
        if !self.refused.is_empty() {
            writeln!(out, "Refused:")?;
        }
        for (name, kind) in &self.refusals {
            kind.write(name, out)?;
        }
        for message in &self.refused {
            writeln!(out, "  {message}")?;
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let lints: Vec<Value> = self
            .lints
            .iter()
            .map(|(code, kind)| {
                let mut object = kind.to_json(code.as_str());
                object["grade"] = json!(code.grade().as_str());
                object
            })
            .collect();
        let refusals: Vec<Value> =
            self.refusals.iter().map(|(name, kind)| kind.to_json(name)).collect();
        json!({
            "documents": self.documents,
            "loaded": self.loaded(),
            "without_fault": self.faultless,
            "with_slips": self.with_slips,
            "with_defects": self.with_defects,
            "lints": lints,
            "refusals": refusals,
            "refused": self.refused,
        })
    }
}

// === impl FaultKind ===

impl FaultKind {
    fn add(&mut self, count: usize, place: &str) {
        if self.documents == 0 {
            place.clone_into(&mut self.example);
        }
        self.documents += 1;
        self.count += count;
    }

    fn write(&self, name: &str, out: &mut dyn Write) -> io::Result<()> {
        let Self { documents, count, example } = self;
        writeln!(out, "  {count:>6} in {documents:>5} documents  {name:<22} {example}")
    }

    fn to_json(&self, name: &str) -> Value {
        json!({
            "code": name,
            "count": self.count,
            "documents": self.documents,
            "example": self.example,
        })
    }
}
