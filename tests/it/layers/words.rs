//! Retired words, listed in `words.txt`.
//!
//! An entry is a pattern, with a reason or the word to use instead behind `#`. A plain entry
//! is a word or a phrase and matches wherever it is written, in prose, `snake_case`,
//! `CamelCase` and `kebab-case`, also over the end of a line. An entry in backticks is the name of an item
//! and matches where one is defined, or named in backticks: for words that are ordinary
//! English elsewhere.

use regex::Regex;

use super::source::blank;
use super::{Breach, extension};

/// The list, relative to the repository.
pub(super) const LIST: &str = "tests/it/layers/words.txt";

/// Where retired words may be: files and folders, each with the reason.
const EXEMPT: &[&str] = &[
    LIST,
    "CHANGELOG.md",          // tells users what was renamed
    "src/config/retired.rs", // the table of refused names
    "src/config/retired/",
    "tests/it/retired.rs", // its tests
    "tests/it/retired/",
];

/// Words that the previous release reads in stored records, by the file that writes them.
const STORED: &[(&str, &str)] = &[("src/model/verdict.rs", concat!("ju", "dging_budget"))];

/// Migrations up to this one are applied: their text is hashed and must not change.
const LAST_APPLIED_MIGRATION: usize = 5;

/// What defines an item.
const KEYWORDS: &str = r"struct|enum|trait|type|fn|mod|const|static|macro_rules!";

/// Bytes that are not text, and text that tools write.
const NOT_OURS: &[&str] = &["png", "ico", "gz", "pem", "lock"];

/// A retired word.
#[derive(Debug)]
pub(super) struct Word {
    entry: String,
    reason: Option<String>,
    pattern: Pattern,
}

#[derive(Debug)]
enum Pattern {
    /// Matched against normalized text.
    Phrase(Regex),
    /// Matched against code, and against text; the name is the first group.
    Item { defined: Regex, quoted: Regex },
}

/// Reads the list; an entry that is not a pattern is a breach.
pub(super) fn parse(list: &str) -> Result<Vec<Word>, Breach> {
    let lines = list.lines().zip(1..).filter(|(line, _)| !line.starts_with('#'));
    let lines = lines.filter(|(line, _)| !line.trim().is_empty());
    let parsed = lines.map(|(line, number)| {
        let (entry, reason) = match line.split_once(" #") {
            Some((entry, reason)) => (entry.trim(), Some(reason.trim().to_owned())),
            None => (line.trim(), None),
        };
        Word::new(entry, reason).map_err(|why| Breach::new(LIST, number, why))
    });
    parsed.collect()
}

/// Whether the list holds for a file.
pub(super) fn is_checked(file: &str) -> bool {
    let exempt = |path: &&str| file == *path || path.ends_with('/') && file.starts_with(*path);
    let migration = file.strip_prefix("migrations/").and_then(|rest| rest.split_once('/'));
    let number = migration.and_then(|(_, name)| name.split('_').next()?.parse::<usize>().ok());
    !EXEMPT.iter().any(exempt)
        && number.is_none_or(|number| number > LAST_APPLIED_MIGRATION)
        && !NOT_OURS.contains(&extension(file))
        && !file.contains("LICENSE")
}

/// Every retired word in a file, in its name too.
pub(super) fn retired(words: &[Word], file: &str, text: &str) -> Vec<Breach> {
    let stored = STORED.iter().filter(|(place, _)| *place == file);
    let text = &stored.fold(text.to_owned(), |text, (_, word)| text.replace(word, "stored"));
    let (plain, name) = (normalized(text), normalized(file));
    let code = if extension(file) == "rs" { blank(text) } else { String::new() };
    let mut breaches = Vec::new();
    for word in words {
        let found: Vec<(usize, &str)> = match &word.pattern {
            Pattern::Phrase(phrase) => {
                let in_name = phrase.find_iter(&name).map(|one| (1, one.as_str()));
                let in_text = phrase.find_iter(&plain);
                in_name
                    .chain(in_text.map(|one| (line_of(&plain, one.start()), one.as_str())))
                    .collect()
            }
            Pattern::Item { defined, quoted } => {
                let found = [(defined, code.as_str()), (quoted, text)];
                let found = found.into_iter().flat_map(|(pattern, text)| {
                    let names = pattern.captures_iter(text).filter_map(|groups| groups.get(1));
                    names.map(move |one| (line_of(text, one.start()), one.as_str()))
                });
                found.collect()
            }
        };
        let found = found.into_iter().map(|(line, found)| {
            let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
            Breach::new(file, line, word.explain(&found))
        });
        breaches.extend(found);
    }
    breaches.sort_by(|a, b| (a.line, &a.what).cmp(&(b.line, &b.what)));
    breaches.dedup();
    breaches
}

// === impl Word ===

impl Word {
    fn new(entry: &str, reason: Option<String>) -> Result<Self, String> {
        let compile = |pattern: &str| {
            Regex::new(pattern).map_err(|error| format!("`{entry}` is no pattern: {error}"))
        };
        let item = entry.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        let pattern = match item {
            Some(name) => Pattern::Item {
                defined: compile(&format!(r"\b(?:{KEYWORDS})\s+({name})\b"))?,
                quoted: compile(&format!(r"`(?:\w+::)*({name})(?:`|::|\()"))?,
            },
            None if entry != entry.to_lowercase() => {
                return Err(format!("write `{entry}` in small letters, or a type in backticks"));
            }
            None => Pattern::Phrase(compile(&format!(
                r"\b(?:{})\b",
                entry.replace(['_', ' '], r"\s+")
            ))?),
        };
        Ok(Self { entry: entry.to_owned(), reason, pattern })
    }

    fn explain(&self, found: &str) -> String {
        let entry = self.entry.trim_matches('`');
        let by = if entry == found { String::new() } else { format!(" (entry `{entry}`)") };
        match &self.reason {
            Some(reason) => format!("`{found}` is retired{by}: {reason}"),
            None => format!("`{found}` is retired{by}; see {LIST}"),
        }
    }
}

/// Small letters, with identifiers cut into their words and without the marks of comments at
/// the beginnings of lines; lines stay where they are.
fn normalized(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 5 / 4);
    for line in text.split_inclusive('\n') {
        let body = line.trim_start().trim_start_matches(['/', '!', '#', '*', '>', '-']);
        let chars: Vec<char> = body.chars().collect();
        for (at, c) in chars.iter().enumerate() {
            let before = at.checked_sub(1).map_or(' ', |before| chars[before]);
            let small_after = chars.get(at + 1).is_some_and(|next| next.is_lowercase());
            let starts_word = c.is_uppercase()
                && (before.is_lowercase()
                    || before.is_ascii_digit()
                    || before.is_uppercase() && small_after);
            if starts_word {
                out.push(' ');
            }
            match c {
                '_' | '-' => out.push(' '),
                c => out.extend(c.to_lowercase()),
            }
        }
        if line.ends_with('\n') && !body.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str =
        "# a comment\n\nfrobnicat\\w* # say process\nof yore\nturn_round\n`Gizmo` # Part\n`spin`\n";

    fn found(file: &str, text: &str) -> Vec<(usize, String)> {
        let words = parse(WORDS).expect("a list");
        retired(&words, file, text).into_iter().map(|breach| (breach.line, breach.what)).collect()
    }

    fn lines(file: &str, text: &str) -> Vec<usize> {
        found(file, text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn a_word_is_found_in_every_form() {
        let text = "frobnicate\nfn x_frobnicated()\nReFrobnicator\ncvt_frobnications_total\n\
                    --frobnicate-all\n\nHTTPFrobnicator\nFROBNICATING";
        assert_eq!(lines("README.md", text), [1, 2, 3, 4, 5, 7, 8]);
        assert!(lines("README.md", "unfrobnicated").is_empty(), "a part of a word is another word");
        assert_eq!(lines("src/frobnicate.rs", "\n"), [1], "in the name of the file");
        assert_eq!(
            found("a.md", "frobnicate")[0].1,
            "`frobnicate` is retired (entry `frobnicat\\w*`): say process"
        );
    }

    #[test]
    fn a_phrase_is_found_over_the_end_of_a_line() {
        assert_eq!(lines("src/a.rs", "\n    /// in days of\n    /// yore"), [2]);
        assert_eq!(lines("deploy/a.yaml", "# days of\n# yore"), [1]);
        assert!(lines("src/a.rs", "// of; yore").is_empty());
        assert_eq!(lines("src/a.rs", "let turnRound = x.turn_round();"), [1]);
        assert_eq!(
            found("a.md", "of\nyore")[0].1,
            "`of yore` is retired; see tests/it/layers/words.txt"
        );
    }

    #[test]
    fn an_item_is_found_where_it_is_defined_or_quoted_and_nowhere_else() {
        let text = "struct Gizmo;\nfn spin() {}\n// a Gizmo\n/// [`Gizmo`], `x::Gizmo::new`\nfn spinning() {}\n\
                    struct Gizmos;\nlet spin = \"fn spin()\"; // `spin_all`\nfn spin<T>() {}";
        assert_eq!(lines("src/a.rs", text), [1, 2, 4, 8]);
        assert_eq!(lines("docs/a.md", "Gizmo spin\n`Gizmo`"), [2]);
    }

    #[test]
    fn applied_migrations_and_the_tables_of_old_names_are_exempt() {
        let exempt =
            [LIST, "CHANGELOG.md", "src/config/retired.rs", "migrations/sqlite/001_init.sql"];
        for file in exempt {
            assert!(!is_checked(file), "{file}");
        }
        let new = format!("migrations/postgres/{:03}_x.sql", LAST_APPLIED_MIGRATION + 1);
        for file in [new.as_str(), "src/config/retired_not.rs", "README.md", "deploy/build"] {
            assert!(is_checked(file), "{file}");
        }
    }

    #[test]
    fn an_entry_that_is_not_a_pattern_is_refused_with_its_line() {
        assert_eq!(parse("good\nbad(").expect_err("a breach").line, 2);
        assert_eq!(parse("Gizmo").expect_err("a breach").line, 1);
    }
}
