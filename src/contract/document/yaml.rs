//! YAML documents as libyaml, go-yaml and js-yaml read them, with the meaning that YAML 1.2 gives.
//!
//! The grammar is the one of libyaml 0.2.5, which real documents are written for: what libyaml
//! accepts is accepted, with the same structure, and what it refuses is refused. Scalars mean what
//! the core schema of YAML 1.2 says: `yes` is a string, `0o17` is a number. A key that is no string
//! keeps its written form (`200:` is `"200"`), numbers keep their digits, `.inf` and `.nan` stay
//! strings, timestamps are strings. Merge keys are those of YAML 1.1.
//!
//! Deliberate differences from PyYAML's `CSafeLoader`, all of them beyond libyaml's parser:
//! - scalars follow YAML 1.2, see above;
//! - only the first document of a text is read, and a second one is told;
//! - an anchor may be set twice, as YAML 1.2 says, and the last one before an alias counts;
//! - a node cannot hold itself, and only scalars can be keys;
//! - a tag that YAML does not define is ignored;
//! - depth, size and what aliases add are limited.
//!
//! Invariants: no text makes it panic or takes more than linear time. A parser of our own, because
//! of the two on crates.io that come near, libyaml-safer panics on some texts and `granit-parser`
//! follows another grammar. It needs FIGURE.

mod cursor;
mod parser;
mod places;
mod reader;
mod scalar;
mod scanner;
mod token;

use cursor::{Mark, SyntaxFault};
pub(super) use places::positions;
use reader::YamlTree;

use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::options::DocumentLimits;
use crate::model::violation::Position;

/// Reads the first document of a YAML text into a tree, numbers exact.
///
/// Of a key that is written twice the last one counts. Aliases may not add more than
/// [`DocumentLimits::alias_values`] values.
pub(super) fn read(text: &str, limits: &DocumentLimits) -> Result<YamlTree, ContractError> {
    reader::YamlReader::new(limits).read(text)
}

fn position(mark: Mark) -> Position {
    Position { line: mark.line, column: mark.column.saturating_add(1) }
}

fn at(mark: Mark, message: &str) -> ContractError {
    ContractError::Syntax(Diagnostic::at(position(mark), message))
}

fn syntax(fault: SyntaxFault) -> ContractError {
    at(fault.mark, fault.message)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fmt::Write as _;

    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        read(text, &DocumentLimits::default()).unwrap().value
    }

    fn diagnostic(text: &str) -> Diagnostic {
        read(text, &DocumentLimits::default()).unwrap_err().diagnostic().clone()
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "a: yes\nb: true\nc: no\nd: ~\ne: 0o17\nf: 0x1F\ng: +5\nh: 007\ni: .5\nj: 1.\n\
                    k: 12345678901234567890\nl: 1e3\nm: .inf\nn: '1'\no: 2001-12-14\np: !!str 12\nq: 0.10\n";
        let expected: Value = serde_json::from_str(
            r#"{"a":"yes","b":true,"c":"no","d":null,"e":15,"f":31,"g":5,"h":7,"i":0.5,"j":1,
                "k":12345678901234567890,"l":1e3,"m":".inf","n":"1","o":"2001-12-14","p":"12","q":0.10}"#,
        )
        .unwrap();
        assert_eq!(value(text), expected);
    }

    #[test]
    fn keys_keep_their_written_form() {
        assert_eq!(
            value("200: a\ntrue: b\n1.0: c\n"),
            json!({"200": "a", "true": "b", "1.0": "c"})
        );
    }

    #[test]
    fn strings_of_several_lines() {
        assert_eq!(value("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), json!({"a": "x\ny\n", "b": "x y"}));
    }

    #[test]
    fn anchors_and_merge_keys() {
        let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none:\n  <<: *b\n  y: 9\n\
                    two:\n  <<: [*b, *m]\nthree: *b\n";
        let value = value(text);
        assert_eq!(value["one"], json!({"y": 9, "x": 1}));
        assert_eq!(value["two"], json!({"x": 1, "y": 2, "z": 4}));
        assert_eq!(value["three"], json!({"x": 1, "y": 2}));
    }

    #[test]
    fn errors_have_positions() {
        assert_eq!(diagnostic("a: 1\nb: x: 1\n").position, Some(Position { line: 2, column: 5 }));
        assert_eq!(diagnostic("a: [1, 2\nb: }").position.map(|at| at.line), Some(2));
        assert!(diagnostic("a: &a [*a]").message.contains("its own anchor"));
        assert!(diagnostic("? [1, 2]\n: x\n").message.contains("key"));
    }

    #[test]
    fn of_a_key_that_is_written_twice_the_last_counts_and_it_is_told() {
        let tree = read("a:\n- b: 1\n  'b': {c: 2}\n", &DocumentLimits::default()).unwrap();
        assert_eq!(tree.value, json!({"a": [{"b": {"c": 2}}]}));
        let [told] = &tree.repeated_keys[..] else { panic!("{:?}", tree.repeated_keys) };
        assert_eq!(told.pointer, "/a/0/b");
        assert_eq!(told.position, Some(Position { line: 3, column: 3 }));
        let many = "a: 1\n".repeat(100_000);
        assert_eq!(read(&many, &DocumentLimits::default()).unwrap().repeated_keys.len(), 100);
    }

    #[test]
    fn the_first_document_is_read_and_a_second_is_told() {
        let read = |text| read(text, &DocumentLimits::default());
        let tree = read("---\na: 1\n---\nb: 2\n").unwrap();
        assert_eq!(tree.value, json!({"a": 1}));
        assert_eq!(tree.further_document.and_then(|told| told.position).unwrap().line, 3);
        assert!(read("---\na: 1\n...\n# end\n").unwrap().further_document.is_none());
        assert_eq!(read("{a: 1} b\n").unwrap_err().diagnostic().position.unwrap().column, 8);
    }

    #[test]
    fn aliases_and_anchors_may_be_keys() {
        let text = "&k name: &n 0x10\n*k : 1\n*n : 2\nx: &k {a: 1}\ny: *k\n";
        let expected: Value =
            serde_json::from_str(r#"{"name":1,"0x10":2,"x":{"a":1},"y":{"a":1}}"#).unwrap();
        assert_eq!(value(text), expected);
        assert!(diagnostic("a: &a {b: 1}\n*a : 1\n").message.contains("not a scalar"));
        assert!(diagnostic("a: *a\n").message.contains("no anchor"));
        let mut places = HashMap::new();
        positions(text, |pointer, position| {
            places.insert(pointer.to_owned(), position.line);
        });
        assert_eq!((places["/name"], places["/0x10"], places["/y"]), (2, 3, 5));
    }

    #[test]
    fn tags_of_yaml_count_and_others_do_not() {
        let text = "a: !!int '7'\nb: ! 7\nc: !mine 7\nd: !!binary 12\ne: !<tag:yaml.org,2002:str> 1\n\
                    f: !!null ''\ng: !mine {h: 1}\n";
        assert_eq!(
            value(text),
            json!({"a": 7, "b": "7", "c": 7, "d": "12", "e": "1", "f": null, "g": {"h": 1}})
        );
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = level - 1;
            let aliases = vec![format!("*a{before}"); 10].join(",");
            writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
        }
        let error = read(&text, &DocumentLimits::default()).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_)), "{error}");
    }

    #[test]
    fn depth_is_bounded() {
        let error = read(&"[".repeat(10_000), &DocumentLimits::default()).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_) | ContractError::Syntax(_)), "{error}");
    }

    #[test]
    fn positions_name_every_key_and_item() {
        let text = "a:\n  b: [10, {c: 1}]\nd:\n- x\n- e: 1\n";
        let mut positions_of = HashMap::new();
        positions(text, |pointer, position| {
            positions_of.insert(pointer.to_owned(), (position.line, position.column));
        });
        assert_eq!(positions_of["/a"], (1, 1));
        assert_eq!(positions_of["/a/b"], (2, 3));
        assert_eq!(positions_of["/a/b/1"], (2, 11));
        assert_eq!(positions_of["/a/b/1/c"], (2, 12));
        assert_eq!(positions_of["/d/1/e"], (5, 3));
    }
}
