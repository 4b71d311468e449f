//! The texts a contract was compiled from, and the way from a pointer of the contract back to them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::yaml;
use crate::contract::error::Diagnostic;
use crate::contract::lint::{Lint, LintCode};
use crate::json::pointer;
use crate::json::positions::{self, pointer_hash};
use crate::model::violation::Position;

/// The texts behind a contract: finds the position of a rule in the document as registered.
///
/// Keeps the texts and, from the first look-up on, a small index of their upper levels: a
/// violation is rare, its position is looked up when it is first needed and then remembered.
pub struct SourceMap {
    pub(super) files: Vec<File>,
    /// Pointers that an upgrade moved: from where it now is to where it was.
    pub(super) moved: HashMap<String, String>,
    /// Pointers of copies: from where one is to where it was copied from.
    pub(super) copied: HashMap<String, String>,
    found: Mutex<HashMap<String, Option<Position>>>,
}

/// One text.
pub(super) struct File {
    /// Path relative to the document's directory; empty for the document itself.
    pub(super) name: String,
    pub(super) text: Box<str>,
    pub(super) is_json: bool,
    /// What the reader noticed that changes nothing, until it becomes lints.
    pub(super) slips: Vec<Diagnostic>,
    /// Hashes of all pointers of a YAML text, sorted, with their positions.
    yaml_positions: OnceLock<Vec<(u64, Position)>>,
    /// Positions of the upper levels of a JSON text.
    json_index: OnceLock<positions::PositionIndex>,
}

/// A location in the texts as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// RFC 6901 pointer into the document as registered; for another file `file#pointer`.
    pub pointer: Arc<str>,
    /// Line and column; none when the text does not hold it (a YAML alias brought it in).
    pub position: Option<Position>,
}

/// The member of the tree that holds the files a document refers to, under their paths.
pub(super) const FILES_KEY: &str = "x-cvt-files";

/// Copies of copies that a pointer is led back through.
const MAX_COPIES: usize = 16;

/// Remembered positions; beyond this many, further ones are looked up each time.
const MAX_FOUND: usize = 20_000;

// === impl SourceMap ===

impl SourceMap {
    pub(super) fn new(files: Vec<File>) -> Self {
        let (moved, copied) = (HashMap::new(), HashMap::new());
        Self { files, moved, copied, found: Mutex::new(HashMap::new()) }
    }

    /// The origin of the value at `pointer` of the contract's tree. Where an upgrade added the value,
    /// the origin of the nearest value around it.
    pub fn origin(&self, pointer: &str) -> Origin {
        let moved = self.original_pointer(pointer);
        let (file, inner) = self.split(&moved);
        let name = file.map_or("", |file| file.name.as_str());
        let shown = if name.is_empty() { inner.clone() } else { format!("{name}#{inner}") };
        if let Some(position) = self.found.lock().get(&shown) {
            return Origin { pointer: shown.into(), position: *position };
        }
        let position = file.and_then(|file| file.nearest(&inner));
        let mut found = self.found.lock();
        if found.len() < MAX_FOUND {
            found.insert(shown.clone(), position);
        }
        Origin { pointer: shown.into(), position }
    }

    /// A diagnostic at a pointer of the contract's tree.
    pub(crate) fn diagnostic(&self, pointer: &str, message: impl Into<String>) -> Diagnostic {
        let origin = self.origin(pointer);
        Diagnostic {
            pointer: origin.pointer.to_string(),
            position: origin.position,
            message: message.into(),
        }
    }

    /// A lint at a pointer of the contract's tree.
    pub fn lint(&self, code: LintCode, pointer: &str, message: impl Into<String>) -> Lint {
        let Diagnostic { pointer, position, message } = self.diagnostic(pointer, message);
        Lint { code, pointer, position, message }
    }

    /// Turns what the reader noticed in each text into lints.
    pub(super) fn take_lints(&mut self, lints: &mut Vec<Lint>) {
        for file in &mut self.files {
            for Diagnostic { pointer, position, message } in std::mem::take(&mut file.slips) {
                let is_main = file.name.is_empty();
                let pointer = if is_main { pointer } else { format!("{}#{pointer}", file.name) };
                lints.push(Lint { code: LintCode::Lenient, pointer, position, message });
            }
        }
    }

    /// Bytes of memory held for the texts.
    pub fn weight(&self) -> usize {
        let texts: usize = self.files.iter().map(|file| file.text.len()).sum();
        let moved: usize = self.moved.iter().map(|(new, old)| new.len() + old.len() + 96).sum();
        texts + moved
    }

    /// The pointer before any upgrade, and before anything was copied.
    fn original_pointer(&self, pointer: &str) -> String {
        let mut original = before(&self.moved, pointer).unwrap_or_else(|| pointer.to_owned());
        for _ in 0..MAX_COPIES {
            match before(&self.copied, &original) {
                Some(earlier) => original = earlier,
                None => break,
            }
        }
        original
    }

    /// The file that a pointer leads into, and the pointer within it.
    fn split(&self, pointer: &str) -> (Option<&File>, String) {
        let within = pointer
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(FILES_KEY))
            .and_then(|rest| rest.strip_prefix('/'));
        if let Some(rest) = within {
            let (name, inner) = match rest.find('/') {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            };
            let name = pointer::unescape(name);
            if let Some(file) = self.files.iter().find(|file| file.name == name) {
                return (Some(file), inner.to_owned());
            }
        }
        (self.files.first(), pointer.to_owned())
    }
}

/// A pointer whose longest part that is in `earlier` is replaced by what it was.
fn before(earlier: &HashMap<String, String>, pointer: &str) -> Option<String> {
    if earlier.is_empty() {
        return None;
    }
    let mut prefix = pointer;
    loop {
        if let Some(old) = earlier.get(prefix) {
            return Some(format!("{old}{}", &pointer[prefix.len()..]));
        }
        prefix = pointer::split_last(prefix)?.0;
    }
}

impl fmt::Debug for SourceMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.files.iter().map(|file| (&file.name, file.text.len())).collect();
        f.debug_struct("SourceMap").field("files", &names).finish_non_exhaustive()
    }
}

// === impl File ===

impl File {
    pub(super) fn new(name: String, text: Box<str>, is_json: bool) -> Self {
        Self {
            name,
            text,
            is_json,
            slips: Vec::new(),
            yaml_positions: OnceLock::new(),
            json_index: OnceLock::new(),
        }
    }

    fn nearest(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.locate(pointer) {
                return Some(position);
            }
            pointer = pointer::split_last(pointer)?.0;
        }
    }

    fn locate(&self, pointer: &str) -> Option<Position> {
        if self.is_json {
            let json_index =
                self.json_index.get_or_init(|| positions::PositionIndex::new(&self.text));
            return json_index.locate(&self.text, pointer);
        }
        let yaml_positions = self.yaml_positions.get_or_init(|| {
            let mut yaml_positions = Vec::new();
            yaml::positions(&self.text, |pointer, position| {
                yaml_positions.push((pointer_hash(pointer), position));
            });
            yaml_positions.sort_by_key(|(hash, _)| *hash);
            yaml_positions.shrink_to_fit();
            yaml_positions
        });
        let wanted = pointer_hash(pointer);
        // Of a key that is written twice the last one counts.
        let after = yaml_positions.partition_point(|(hash, _)| *hash <= wanted);
        let (hash, position) = yaml_positions.get(after.checked_sub(1)?)?;
        (*hash == wanted).then_some(*position)
    }
}
