//! The paths that code names, in `use` trees and inline.

use std::collections::BTreeSet;

use super::items::Item;
use super::lexer::{Token, is_word};
use super::texts;

/// A path named in the code, resolved as far as `crate`, `self`, `super` and the modules that
/// the file declares tell.
#[derive(Debug)]
pub(in super::super) struct NamedPath {
    /// Its line, from 1.
    pub(in super::super) line: usize,
    /// From the crate's root (`crate` first), or as written when it starts elsewhere.
    pub(in super::super) segments: Vec<String>,
    /// Whether it was written from the name of a module that the file declares.
    pub(in super::super) of_child: bool,
    /// What it brings into the file, when it is part of a `use`.
    pub(in super::super) import: Option<Import>,
    /// Whether it is in test code.
    pub(in super::super) in_test: bool,
}

/// What a `use` brings into a file.
#[derive(Debug)]
pub(in super::super) struct Import {
    /// Whether others can name it through this file (`pub use`, `pub(crate) use`, …).
    pub(in super::super) public: bool,
    /// The name it has here; `*` for everything.
    pub(in super::super) name: String,
}

/// Every path in the code, and every word outside of `use` and of tests.
pub(super) fn paths(
    tokens: &[Token],
    file_module: &[String],
    items: &[Item],
    in_test: &dyn Fn(usize) -> bool,
) -> (Vec<NamedPath>, BTreeSet<String>) {
    let (mut found, mut words) = (Vec::new(), BTreeSet::new());
    let is_child = |name: &str| items.iter().any(|item| item.is_child_file && item.name == name);
    let mut inline: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        let start = at;
        let mut named = Vec::new();
        let (mut absolute, mut public) = (false, false);
        match tokens[at].text.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.retain(|(_, opened)| *opened <= depth);
            }
            "mod" if texts(tokens, at + 2, 1) == ["{"] => {
                inline.push((tokens[at + 1].text.clone(), depth + 1));
                at += 1;
            }
            "use" if texts(tokens, at + 1, 1) != ["<"] => {
                at = use_tree(tokens, at + 1, &mut Vec::new(), &mut named);
                absolute = texts(tokens, start + 1, 1) == ["::"];
                public = start > 0 && matches!(tokens[start - 1].text.as_str(), "pub" | ")");
            }
            _ if starts_path(tokens, at) => {
                let mut path = vec![tokens[at].text.clone()];
                absolute = at > 0 && tokens[at - 1].text == "::";
                while texts(tokens, at + 1, 1) == ["::"]
                    && tokens.get(at + 2).is_some_and(|t| t.text.starts_with(is_word))
                {
                    path.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                named.push((tokens[start].line, path, None));
            }
            _ => {}
        }
        if !in_test(start) && tokens[start].text != "use" {
            let part = tokens[start..=at.min(tokens.len() - 1)].iter();
            words.extend(
                part.map(|token| token.text.clone()).filter(|text| text.starts_with(is_word)),
            );
        }
        let module: Vec<_> = file_module
            .iter()
            .cloned()
            .chain(inline.iter().map(|(name, _)| name.clone()))
            .collect();
        found.extend(named.into_iter().map(|(line, path, name)| {
            let of_child = !absolute && inline.is_empty() && is_child(&path[0]);
            let path = if of_child { [vec!["self".to_owned()], path].concat() } else { path };
            NamedPath {
                line,
                segments: resolve(&module, path),
                of_child,
                import: name.map(|name| Import { public, name }),
                in_test: in_test(start),
            }
        }));
        at += 1;
    }
    (found, words)
}

/// Whether a path of at least two segments starts at `at`.
fn starts_path(tokens: &[Token], at: usize) -> bool {
    let before = |n: usize| at.checked_sub(n).map_or("", |i| tokens[i].text.as_str());
    let continues = before(1) == "::" && (before(2).ends_with(is_word) || before(2) == ">");
    tokens[at].text.starts_with(is_word)
        && texts(tokens, at + 1, 1) == ["::"]
        && before(1) != "."
        && !continues
}

/// Reads the `use` tree at `at` into `named`; returns the place of the token that ends it.
fn use_tree(
    tokens: &[Token],
    mut at: usize,
    prefix: &mut Vec<String>,
    named: &mut Vec<(usize, Vec<String>, Option<String>)>,
) -> usize {
    let depth = prefix.len();
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut alias = None;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            "::" => {}
            "{" => {
                loop {
                    at = use_tree(tokens, at + 1, prefix, named);
                    if tokens.get(at).is_none_or(|token| token.text != ",") {
                        break;
                    }
                }
                prefix.truncate(depth);
                return at + 1;
            }
            "as" => {
                at += 1;
                alias = tokens.get(at).map(|token| token.text.clone());
            }
            "," | ";" | "}" => break,
            word => prefix.push(word.to_owned()),
        }
        at += 1;
    }
    if prefix.len() > depth {
        let mut path = prefix.clone();
        if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let name = alias.or_else(|| path.last().cloned());
        named.push((line, path, name));
    }
    prefix.truncate(depth);
    at
}

/// Turns `self` and `super` into a path from `crate`.
fn resolve(module: &[String], path: Vec<String>) -> Vec<String> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let base = match path[0].as_str() {
        "self" => module,
        "super" => &module[..module.len().saturating_sub(supers)],
        _ => return path,
    };
    let rest = path.into_iter().skip(supers.max(1));
    std::iter::once("crate".to_owned()).chain(base.iter().cloned()).chain(rest).collect()
}
