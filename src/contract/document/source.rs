//! The texts a contract was made from, and the way from a place in the contract back to them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::{FILES_KEY, json, pointer, yaml};
use crate::contract::error::Problem;
use crate::contract::lint::{Lint, LintCode};
use crate::model::violation::Position;

/// The texts behind a contract: finds where a rule stands in the document as registered.
///
/// Keeps the texts and, from the first look-up on, a small index of their upper levels: a
/// violation is rare, its place is looked up when it is first needed and then remembered.
pub struct Source {
    pub(super) files: Vec<File>,
    /// Pointers that an upgrade moved: from where it now is to where it was.
    pub(super) moved: HashMap<String, String>,
    found: Mutex<HashMap<String, Option<Position>>>,
}

/// One text.
pub(super) struct File {
    /// Path relative to the document's directory; empty for the document itself.
    pub(super) name: String,
    pub(super) text: Box<str>,
    pub(super) is_json: bool,
    /// Hashes of all pointers of a YAML text, sorted, with their places.
    places: OnceLock<Vec<(u64, Position)>>,
    /// Where to begin looking in a JSON text.
    marks: OnceLock<json::Marks>,
}

/// Where something stands in the texts as registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// RFC 6901 pointer into the document as registered; for another file `file#pointer`.
    pub pointer: Arc<str>,
    /// Line and column; none when the text does not hold the place (a YAML alias brought it in).
    pub position: Option<Position>,
}

/// Remembered places; beyond this many, further ones are looked up each time.
const MAX_FOUND: usize = 20_000;

// === impl Source ===

impl Source {
    pub(super) fn new(files: Vec<File>) -> Self {
        Self { files, moved: HashMap::new(), found: Mutex::new(HashMap::new()) }
    }

    /// Where the thing at `pointer` of the contract's tree stands in the texts. When the place
    /// itself was made up (by an upgrade, say), the nearest place around it is given.
    pub fn origin(&self, pointer: &str) -> Origin {
        let moved = self.unmove(pointer);
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

    /// A problem at a place of the contract's tree.
    pub(crate) fn problem(&self, pointer: &str, message: impl Into<String>) -> Problem {
        let origin = self.origin(pointer);
        Problem {
            pointer: origin.pointer.to_string(),
            position: origin.position,
            message: message.into(),
        }
    }

    /// A lint at a place of the contract's tree.
    pub fn lint(&self, code: LintCode, pointer: &str, message: impl Into<String>) -> Lint {
        let Problem { pointer, position, message } = self.problem(pointer, message);
        Lint { code, pointer, position, message }
    }

    /// Bytes of memory held for the texts.
    pub fn weight(&self) -> usize {
        let texts: usize = self.files.iter().map(|file| file.text.len()).sum();
        let moved: usize = self.moved.iter().map(|(new, old)| new.len() + old.len() + 96).sum();
        texts + moved
    }

    /// The pointer before any upgrade: its longest part that was moved is moved back.
    fn unmove(&self, pointer: &str) -> String {
        let mut prefix = pointer;
        while !self.moved.is_empty() {
            if let Some(old) = self.moved.get(prefix) {
                return format!("{old}{}", &pointer[prefix.len()..]);
            }
            match pointer::split_last(prefix) {
                Some((parent, _)) => prefix = parent,
                None => break,
            }
        }
        pointer.to_owned()
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

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.files.iter().map(|file| (&file.name, file.text.len())).collect();
        f.debug_struct("Source").field("files", &names).finish_non_exhaustive()
    }
}

// === impl File ===

impl File {
    pub(super) fn new(name: String, text: Box<str>, is_json: bool) -> Self {
        Self { name, text, is_json, places: OnceLock::new(), marks: OnceLock::new() }
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
            let marks = self.marks.get_or_init(|| json::Marks::new(&self.text));
            return marks.locate(&self.text, pointer);
        }
        let places = self.places.get_or_init(|| {
            let mut places = Vec::new();
            yaml::positions(&self.text, |pointer, position| places.push((hash(pointer), position)));
            places.sort_unstable_by_key(|(hash, _)| *hash);
            places.shrink_to_fit();
            places
        });
        let wanted = hash(pointer);
        let at = places.binary_search_by_key(&wanted, |(hash, _)| *hash).ok()?;
        places.get(at).map(|(_, position)| *position)
    }
}

/// FNV-1a: the texts come from operators, and a false hit costs a wrong line number.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
