//! Names in sentences: those of the document in quotes, those that callers invent only where the
//! redactor lets them be shown.

use std::fmt::Write as _;

use crate::model::violation::Location;
use crate::redaction::Redactor;

/// Names that a sentence lists.
const SHOWN_NAMES: usize = 8;
/// Names that are looked at before the rest is only counted.
const EXAMINED_NAMES: usize = 64;
/// Characters shown of a text of the document.
const SHOWN_CHARS: usize = 120;

/// What names stand for: one, and several.
#[derive(Debug, Clone, Copy)]
pub(super) struct CountedNoun(pub(super) &'static str, pub(super) &'static str);

pub(super) const PROPERTY: CountedNoun = CountedNoun("property", "properties");

/// A name of the document in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", document_text(name))
}

/// A text of the document, cut where it is long, without control characters.
pub(super) fn document_text(text: &str) -> String {
    let mut shown = String::new();
    for (at, c) in text.chars().enumerate() {
        if at == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A part of a message as the subject of a sentence; `name` is the documented one.
pub(super) fn part_of_message(location: Location, name: Option<&str>) -> String {
    let noun = match location {
        Location::Path => "path parameter",
        Location::Query => "query parameter",
        Location::Header => "header",
        Location::Cookie => "cookie",
        Location::Security => "credential",
        Location::Method | Location::MediaType | Location::Body | Location::Status => {
            return "the body".to_owned();
        }
    };
    match name {
        Some(name) => format!("{noun} {}", quoted(name)),
        None => format!("the {noun}"),
    }
}

/// A list as people write it: `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Names that the document does not declare at their place, as the subject of a sentence, and
/// whether they are several: `properties "a", "b" and 2 more`. `declares` says which names the
/// document has elsewhere; `of` says what they are part of.
pub(super) fn undeclared<'n>(
    redactor: &Redactor,
    noun: CountedNoun,
    names: impl Iterator<Item = &'n str>,
    declares: impl Fn(&str) -> bool,
    of: &str,
) -> (String, bool) {
    let CountedNoun(one, several) = noun;
    let (mut shown, mut count) = (Vec::new(), 0_usize);
    for name in names {
        count += 1;
        let room = count <= EXAMINED_NAMES && shown.len() < SHOWN_NAMES;
        if room && (declares(name) || redactor.may_show_name(name)) {
            shown.push(quoted(name));
        }
    }
    let hidden = count - shown.len();
    let is_plural = count > 1;
    let mut text = match (shown.len(), count) {
        (0, 0 | 1) => format!("a {one}{of}, whose name is not shown,"),
        (0, count) => format!("{count} {several}{of}, whose names are not shown,"),
        (_, 1) => format!("{one} "),
        _ => format!("{several} "),
    };
    if hidden > 0 && !shown.is_empty() {
        shown.push(format!("{hidden} more"));
    }
    if !shown.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{of}", listed(&shown));
    }
    (text, is_plural)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(names: &[&str]) -> String {
        let declares = |name: &str| name == "known name";
        let names = names.iter().copied();
        undeclared(&Redactor::default(), PROPERTY, names, declares, " of the body").0
    }

    #[test]
    fn names_are_listed_where_they_may_be_shown() {
        for (names, expected) in [
            (&["colour"][..], "property \"colour\" of the body"),
            (&["a", "b", "known name"], "properties \"a\", \"b\" and \"known name\" of the body"),
            (&["a", "bob@x.org"], "properties \"a\" and 1 more of the body"),
            (&["bob@x.org"], "a property of the body, whose name is not shown,"),
            (&["1", "2"], "2 properties of the body, whose names are not shown,"),
        ] {
            assert_eq!(text(names), expected);
        }
        let many: Vec<String> = (0..100).map(|_| "a".to_owned()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(text(&many).ends_with("\"a\" and 92 more of the body"), "{}", text(&many));
    }

    #[test]
    fn texts_of_the_document_are_cut_and_have_no_control_characters() {
        assert_eq!(document_text("a\n\u{1b}[31m"), "a\\n\\u{1b}[31m");
        assert_eq!(document_text(&"é".repeat(200)), format!("{}…", "é".repeat(120)));
    }
}
