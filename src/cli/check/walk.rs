//! The OpenAPI documents in directories, found by what their first lines say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories that hold what was installed or built.
const SKIPPED: [&str; 2] = ["node_modules", "target"];

/// The largest file that is looked at, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Files in `paths`, and in directories there, that may be OpenAPI documents, in order. Links are
/// followed for `paths` alone, so that the walk ends.
pub(super) fn candidates(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).map_err(|error| named(path, &error))?;
        if metadata.is_dir() {
            walk(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    Ok(found)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut todo = vec![directory.to_owned()];
    while let Some(directory) = todo.pop() {
        let entries = fs::read_dir(&directory).map_err(|error| named(&directory, &error))?;
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        let mut below = Vec::new();
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                below.push(entry.path());
            } else if kind.is_file() && has_format(&entry.path()) {
                found.push(entry.path());
            }
        }
        todo.extend(below.into_iter().rev());
    }
    Ok(())
}

fn has_format(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["yaml", "yml", "json"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The content of a file where it names a version of OpenAPI or Swagger.
pub(super) fn read_document(path: &Path) -> Option<Vec<u8>> {
    if fs::metadata(path).ok()?.len() > MAX_BYTES {
        return None;
    }
    let content = fs::read(path).ok()?;
    names_version(&content).then_some(content)
}

/// Whether a text has the member `openapi` or `swagger` at the beginning of a line or, in JSON, after
/// a brace or a comma.
fn names_version(content: &[u8]) -> bool {
    let text = String::from_utf8_lossy(content);
    let is_json = text.trim_start_matches('\u{feff}').trim_start().starts_with('{');
    ["openapi", "swagger"].iter().any(|name| {
        text.match_indices(name).any(|(at, _)| {
            let before = text[..at].trim_end_matches(['"', '\'']);
            let after = text[at + name.len()..].trim_start_matches(['"', '\'']).trim_start();
            let starts = if is_json {
                before.trim_end().ends_with(['{', ','])
            } else {
                before.is_empty() || before.ends_with(['\n', '\r', '\u{feff}'])
            };
            let version =
                after.strip_prefix(':').map(|rest| rest.trim_start_matches([' ', '\t', '"', '\'']));
            starts
                && version.is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_differ_from_other_files_by_their_version() {
        for (text, expected) in [
            ("openapi: 3.0.3\n", true),
            ("# a comment\n'swagger': \"2.0\"\n", true),
            ("{\"info\": {}, \"openapi\":\"3.1.0\"}", true),
            ("{\n  \"swagger\" : \"2.0\"\n}", true),
            ("services:\n  openapi: 3\n", false),
            ("{\"name\": \"openapi\"}", false),
            ("openapi-generator: 7\n", false),
            ("paths: {}\n", false),
        ] {
            assert_eq!(names_version(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn hidden_and_installed_directories_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a/b.yaml", ".git/c.yaml", "node_modules/d.json", "a/e.txt", "f.json"] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = candidates(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> =
            found.iter().filter_map(|path| path.strip_prefix(dir.path()).ok()).collect();
        assert_eq!(names, [Path::new("f.json"), Path::new("a/b.yaml")]);
    }
}
