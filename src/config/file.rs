//! The config file: YAML flattened to dotted keys with lines.
//!
//! An item of a list of mappings has its number in the key: `routes[0].upstream`.

use std::fmt::Write as _;

use saphyr_parser::{Event, Parser};

/// One scalar of the file. A list of scalars becomes one entry, its items joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Keys from the root, joined by dots.
    pub key: String,
    /// The scalar's text.
    pub value: String,
    /// Line, from 1.
    pub line: usize,
}

/// Why the file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

enum Nesting {
    /// In a mapping: the key that was read and awaits its value.
    Map { key: Option<String> },
    /// In a list: its items so far, scalars or mappings, never both.
    List { scalars: Vec<String>, mappings: usize, line: usize },
}

/// Reads YAML into dotted keys; the root must be a mapping, a list may hold scalars or mappings.
pub fn flatten(text: &str) -> Result<Vec<FileEntry>, ConfigFileError> {
    let mut reader = Flattener::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| ConfigFileError {
            line: error.marker().line(),
            message: format!("not YAML: {}", error.info()),
        })?;
        reader.read(event, span.start.line())?;
    }
    Ok(reader.entries)
}

/// What was read so far, and the current nesting.
#[derive(Default)]
struct Flattener {
    entries: Vec<FileEntry>,
    levels: Vec<Nesting>,
}

// === impl Flattener ===

impl Flattener {
    fn read(&mut self, event: Event<'_>, line: usize) -> Result<(), ConfigFileError> {
        match event {
            Event::Scalar(value, ..) => self.scalar(value.into_owned(), line),
            Event::MappingStart(..) => self.open_mapping(line),
            Event::MappingEnd => {
                self.levels.pop();
                match self.levels.last_mut() {
                    Some(Nesting::Map { key }) => *key = None,
                    Some(Nesting::List { mappings, .. }) => *mappings += 1,
                    None => {}
                }
                Ok(())
            }
            Event::SequenceStart(..) => match self.levels.last() {
                Some(Nesting::Map { key: Some(_) }) => {
                    self.levels.push(Nesting::List { scalars: Vec::new(), mappings: 0, line });
                    Ok(())
                }
                _ => refuse(line, "a list must stand under a key"),
            },
            Event::SequenceEnd => {
                if let Some(Nesting::List { scalars, mappings: 0, line }) = self.levels.pop() {
                    return self.close_value(scalars.join(","), line);
                }
                self.close_key();
                Ok(())
            }
            Event::Alias(_) => refuse(line, "aliases are not supported in settings"),
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, value: String, line: usize) -> Result<(), ConfigFileError> {
        match self.levels.last_mut() {
            Some(Nesting::Map { key: key @ None }) => *key = Some(value),
            Some(Nesting::Map { .. }) => return self.close_value(value, line),
            Some(Nesting::List { mappings: 1.., .. }) => return refuse(line, MIXED),
            Some(Nesting::List { scalars, .. }) => scalars.push(value),
            None if value.is_empty() || value == "~" => {}
            None => return refuse(line, "expected `key: value` lines"),
        }
        Ok(())
    }

    fn open_mapping(&mut self, line: usize) -> Result<(), ConfigFileError> {
        match self.levels.last() {
            Some(Nesting::List { scalars, .. }) if !scalars.is_empty() => refuse(line, MIXED),
            Some(Nesting::Map { key: None }) => refuse(line, "expected a plain key"),
            _ => {
                self.levels.push(Nesting::Map { key: None });
                Ok(())
            }
        }
    }

    fn close_value(&mut self, value: String, line: usize) -> Result<(), ConfigFileError> {
        let key = self.dotted_key();
        if self.entries.iter().any(|entry| entry.key == key) {
            return Err(ConfigFileError { line, message: format!("`{key}` stands twice") });
        }
        self.entries.push(FileEntry { key, value, line });
        self.close_key();
        Ok(())
    }

    /// The key that was open has its value.
    fn close_key(&mut self) {
        if let Some(Nesting::Map { key }) = self.levels.last_mut() {
            *key = None;
        }
    }

    /// The dotted key of the value that is being read.
    fn dotted_key(&self) -> String {
        let mut key = String::new();
        for level in &self.levels {
            match level {
                Nesting::Map { key: Some(name) } => {
                    if !key.is_empty() {
                        key.push('.');
                    }
                    key.push_str(name);
                }
                Nesting::Map { key: None } => {}
                Nesting::List { mappings, .. } => {
                    // Writing to a string cannot fail.
                    let _ = write!(key, "[{mappings}]");
                }
            }
        }
        key
    }
}

const MIXED: &str = "expected a list of plain values or one of `key: value` lines, not both";

fn refuse(line: usize, message: &str) -> Result<(), ConfigFileError> {
    Err(ConfigFileError { line, message: message.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str, line: usize) -> FileEntry {
        FileEntry { key: key.into(), value: value.into(), line }
    }

    #[test]
    fn flattens_sections_and_lists() {
        let text = "a: 1\nb:\n  c: x # why\n  d:\n    - p\n    - q\n  e: [r, s]\nf: last\n";
        assert_eq!(
            flatten(text).unwrap(),
            [
                entry("a", "1", 1),
                entry("b.c", "x", 3),
                entry("b.d", "p,q", 5),
                entry("b.e", "r,s", 7),
                entry("f", "last", 8),
            ]
        );
        assert_eq!(flatten("# nothing\n").unwrap(), []);
    }

    #[test]
    fn items_that_are_mappings_are_numbered() {
        let text = "r:\n  - n: a\n    s:\n      t: [x, y]\n  - n: b\nz: 1\n";
        assert_eq!(
            flatten(text).unwrap(),
            [
                entry("r[0].n", "a", 2),
                entry("r[0].s.t", "x,y", 4),
                entry("r[1].n", "b", 5),
                entry("z", "1", 6),
            ]
        );
        assert!(flatten("r:\n  - n: a\n    n: b\n").is_err(), "twice in one item");
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        assert_eq!(flatten("a: 1\nb: [").unwrap_err().line, 3);
        assert_eq!(flatten("- a\n").unwrap_err().line, 1);
        assert_eq!(flatten("a: 1\na: 2\n").unwrap_err().message, "`a` stands twice");
        assert!(flatten("a:\n  - b: 1\n  - c\n").unwrap_err().message.contains("not both"));
    }
}
