//! The config file: YAML flattened to dotted keys with lines.

use saphyr_parser::{Event, Parser};

/// One scalar of the file. A list of scalars becomes one entry, its items joined by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Keys from the root, joined by dots.
    pub key: String,
    /// The scalar's text.
    pub value: String,
    /// Line, from 1.
    pub line: usize,
}

/// Why the file cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

enum Level {
    /// In a mapping: the key that was read and awaits its value.
    Map { key: Option<String> },
    /// In a list: its items so far.
    List { items: Vec<String>, line: usize },
}

/// Reads YAML into dotted keys; the root must be a mapping, lists may hold scalars only.
pub fn flatten(text: &str) -> Result<Vec<Entry>, FileError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| FileError {
            line: error.marker().line(),
            message: format!("not YAML: {}", error.info()),
        })?;
        let line = span.start.line();
        let refuse = |message: &str| Err(FileError { line, message: message.into() });
        match event {
            Event::Scalar(value, ..) => match levels.last_mut() {
                Some(Level::Map { key: key @ None }) => *key = Some(value.into_owned()),
                Some(Level::Map { .. }) => {
                    close_value(&mut entries, &mut levels, value.into_owned(), line)?;
                }
                Some(Level::List { items, .. }) => items.push(value.into_owned()),
                None if value.is_empty() || value == "~" => {}
                None => return refuse("expected `key: value` lines"),
            },
            Event::MappingStart(..) if matches!(levels.last(), Some(Level::List { .. })) => {
                return refuse("expected a list of plain values");
            }
            Event::MappingStart(..) => levels.push(Level::Map { key: None }),
            Event::SequenceStart(..) => match levels.last() {
                Some(Level::Map { key: Some(_) }) => {
                    levels.push(Level::List { items: Vec::new(), line });
                }
                _ => return refuse("a list must stand under a key"),
            },
            Event::SequenceEnd => {
                if let Some(Level::List { items, line }) = levels.pop() {
                    close_value(&mut entries, &mut levels, items.join(","), line)?;
                }
            }
            Event::MappingEnd => {
                levels.pop();
                if let Some(Level::Map { key }) = levels.last_mut() {
                    *key = None;
                }
            }
            Event::Alias(_) => return refuse("aliases are not supported in settings"),
            _ => {}
        }
    }
    Ok(entries)
}

fn close_value(
    entries: &mut Vec<Entry>,
    levels: &mut [Level],
    value: String,
    line: usize,
) -> Result<(), FileError> {
    let keys: Vec<&str> = levels
        .iter()
        .filter_map(|level| match level {
            Level::Map { key } => key.as_deref(),
            Level::List { .. } => None,
        })
        .collect();
    let key = keys.join(".");
    if entries.iter().any(|entry| entry.key == key) {
        return Err(FileError { line, message: format!("`{key}` stands twice") });
    }
    entries.push(Entry { key, value, line });
    if let Some(Level::Map { key }) = levels.last_mut() {
        *key = None;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str, value: &str, line: usize) -> Entry {
        Entry { key: key.into(), value: value.into(), line }
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
    fn says_where_it_cannot_be_read() {
        assert_eq!(flatten("a: 1\nb: [").unwrap_err().line, 3);
        assert_eq!(flatten("- a\n").unwrap_err().line, 1);
        assert_eq!(flatten("a: 1\na: 2\n").unwrap_err().message, "`a` stands twice");
        assert!(flatten("a:\n  - b: 1\n").unwrap_err().message.contains("plain values"));
    }
}
