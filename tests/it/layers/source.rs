//! A Rust source as the rules see it: words, paths, types and functions, without comments and
//! texts.
//!
//! This is a reader for well-formatted code, not a compiler: it follows `use` trees, inline
//! paths, `super`, inline modules and `#[cfg(test)]`, and knows nothing of types.

mod items;
mod lexer;
mod paths;

use std::collections::BTreeSet;

pub(super) use items::Item;
pub(super) use lexer::blank;
pub(super) use paths::NamedPath;

use lexer::{Token, is_word, tokenize};

/// A source file, cut into what the rules ask for.
pub(super) struct Source {
    /// Path relative to the repository, as `src/proxy/routes.rs`.
    pub(super) file: String,
    /// Lines in the file.
    pub(super) lines: usize,
    /// Whether the file's head says why it is long.
    pub(super) long_because: bool,
    /// Every path that the code names.
    pub(super) paths: Vec<NamedPath>,
    /// Every type, function, constant and module that the code defines.
    pub(super) items: Vec<Item>,
    /// Every function with a body.
    pub(super) functions: Vec<Function>,
    /// Every word of the code outside of `use` and of tests.
    pub(super) words: BTreeSet<String>,
}

/// A function with a body.
#[derive(Debug)]
pub(super) struct Function {
    /// Its name.
    pub(super) name: String,
    /// The line of its `fn`, from 1.
    pub(super) line: usize,
    /// Lines from `fn` to the closing brace.
    pub(super) lines: usize,
    /// Whether it is test code.
    pub(super) in_test: bool,
}

// === impl Source ===

impl Source {
    /// Reads `text` as the file at `file`.
    pub(super) fn parse(file: &str, text: &str) -> Self {
        let tokens = tokenize(&blank(text));
        let tests = test_ranges(&tokens);
        let whole_file_is_test = file.ends_with("/tests.rs") || file.contains("/tests/");
        let in_test =
            |at: usize| whole_file_is_test || tests.iter().any(|range| range.contains(&at));
        let items = items::items(&tokens, &in_test);
        let (paths, words) = paths::paths(&tokens, &module_of(file), &items, &in_test);
        Self {
            file: file.to_owned(),
            lines: text.lines().count(),
            long_because: text.lines().any(|line| line.starts_with("//! Long because ")),
            paths,
            functions: functions(&tokens, &in_test),
            items,
            words,
        }
    }

    /// The file's top-level module; `main` for the binary, `None` for the crate's root.
    pub(super) fn top(&self) -> Option<&str> {
        let inside = self.file.strip_prefix("src/")?;
        match inside.split('/').next()?.trim_end_matches(".rs") {
            "lib" => None,
            top => Some(top),
        }
    }

    /// The file's module as a path from the crate's root, without `crate`.
    pub(super) fn module(&self) -> Vec<String> {
        module_of(&self.file)
    }

    /// The `use` of production code that brings `name` into this file.
    pub(super) fn import(&self, name: &str) -> Option<&NamedPath> {
        let brings =
            |path: &&NamedPath| path.import.as_ref().is_some_and(|import| import.name == name);
        self.paths.iter().filter(|path| !path.in_test).find(brings)
    }

    /// The path with a first segment that a `use` of this file brought in written out.
    pub(super) fn written_out(&self, path: &NamedPath) -> Vec<String> {
        let first = &path.segments[0];
        match self.import(first).filter(|import| import.segments != path.segments) {
            Some(import) if path.import.is_none() => {
                import.segments.iter().chain(&path.segments[1..]).cloned().collect()
            }
            _ => path.segments.clone(),
        }
    }

    /// Marks everything in the file as test code.
    pub(super) fn mark_as_test(&mut self) {
        self.paths.iter_mut().for_each(|path| path.in_test = true);
        self.items.iter_mut().for_each(|item| item.in_test = true);
        self.functions.iter_mut().for_each(|function| function.in_test = true);
    }
}

/// Marks the files of modules that are declared as test code elsewhere (`#[cfg(test)] mod x;`).
pub(super) fn mark_test_modules(sources: &mut [Source]) {
    let declared = |source: &Source| {
        let of_tests = source.items.iter().filter(|item| item.is_test_module());
        let module = source.module();
        of_tests.map(|item| [module.clone(), vec![item.name.clone()]].concat()).collect::<Vec<_>>()
    };
    let modules: Vec<_> = sources.iter().flat_map(declared).collect();
    for source in sources {
        if modules.iter().any(|module| source.module().starts_with(module)) {
            source.mark_as_test();
        }
    }
}

/// The module path of a file under `src`, without `crate`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    match inside {
        "lib" | "main" => Vec::new(),
        inside => inside.split('/').map(str::to_owned).collect(),
    }
}

fn texts(tokens: &[Token], at: usize, n: usize) -> Vec<&str> {
    tokens.iter().skip(at).take(n).map(|token| token.text.as_str()).collect()
}

/// The token ranges that `#[cfg(test)]` covers.
fn test_ranges(tokens: &[Token]) -> Vec<std::ops::Range<usize>> {
    (0..tokens.len())
        .filter(|at| texts(tokens, *at, 7) == ["#", "[", "cfg", "(", "test", ")", "]"])
        .map(|at| at..item_end(tokens, at + 7).unwrap_or(tokens.len()))
        .collect()
}

/// The token after the item that starts at `at`: its `;` or the brace that closes its body.
fn item_end(tokens: &[Token], at: usize) -> Option<usize> {
    let (mut braces, mut groups) = (0, 0);
    for (i, token) in tokens.iter().enumerate().skip(at) {
        match token.text.as_str() {
            "(" | "[" => groups += 1,
            ")" | "]" => groups -= 1,
            "{" => braces += 1,
            "}" if braces == 1 => return Some(i + 1),
            "}" => braces -= 1,
            ";" if braces == 0 && groups == 0 => return Some(i + 1),
            _ => {}
        }
    }
    None
}

fn functions(tokens: &[Token], in_test: &dyn Fn(usize) -> bool) -> Vec<Function> {
    let mut found = Vec::new();
    for at in 0..tokens.len().saturating_sub(1) {
        let name = &tokens[at + 1].text;
        if tokens[at].text != "fn" || !name.starts_with(is_word) {
            continue;
        }
        let Some(end) = item_end(tokens, at) else { continue };
        if tokens[end - 1].text == "}" {
            let line = tokens[at].line;
            let lines = tokens[end - 1].line - line + 1;
            found.push(Function { name: name.clone(), line, lines, in_test: in_test(at) });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(file: &str, text: &str) -> Vec<String> {
        Source::parse(file, text).paths.iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn follows_use_trees_and_inline_paths() {
        let text = "use crate::{model::{id, page::*}, storage as s};\nfn f() { ::hyper::body(); x.y::<u8>(); }\nuse moka;";
        assert_eq!(
            named("src/a.rs", text),
            ["crate::model::id", "crate::model::page::*", "crate::storage", "hyper::body", "moka"]
        );
        let text = "use crate::{config, model::{self, mode}};\nstruct After;";
        assert_eq!(
            named("src/a.rs", text),
            ["crate::config", "crate::model", "crate::model::mode"]
        );
    }

    #[test]
    fn super_and_self_are_resolved_from_files_and_inline_modules() {
        let text = "use super::b; mod tests { use super::super::c; use self::d::E; } use super::f;";
        assert_eq!(
            named("src/x/y.rs", text),
            ["crate::x::b", "crate::x::c", "crate::x::y::tests::d::E", "crate::x::f"]
        );
    }

    #[test]
    fn comments_texts_and_characters_name_nothing() {
        let text = r##"// crate::a
/* crate::b /* crate::c */ crate::d */
fn f<'a>(c: &'a str) -> char { let _ = ("crate::e \" crate::f", r#"crate::"g"#, b'"', '"', '\''); crate::h() }"##;
        assert_eq!(named("src/x.rs", text), ["crate::h"]);
    }

    #[test]
    fn test_code_is_distinguished() {
        let text =
            "use a::b;\n#[cfg(test)]\nmod tests { use c::d; }\nuse e::f;\n#[cfg(test)] use g::h;";
        let source = Source::parse("src/x.rs", text);
        let flags: Vec<_> = source.paths.iter().map(|path| path.in_test).collect();
        assert_eq!(flags, [false, true, false, true]);
    }

    #[test]
    fn child_modules_and_aliases_are_followed() {
        let text = "mod b;\nuse b::C as D;\npub(crate) use ::b::E;\nfn f() { b::g(); D::h(); }";
        assert_eq!(named("src/a.rs", text), ["crate::a::b::C", "b::E", "crate::a::b::g", "D::h"]);
        let source = Source::parse("src/a.rs", text);
        assert_eq!(source.written_out(&source.paths[3]).join("::"), "crate::a::b::C::h");
        let public: Vec<_> = source.paths.iter().filter_map(|path| path.import.as_ref()).collect();
        let public: Vec<_> = public.iter().map(|one| (one.name.as_str(), one.public)).collect();
        assert_eq!(public, [("D", false), ("E", true)]);
        assert!(!source.words.contains("C") && source.words.contains("D"));
    }

    #[test]
    fn files_of_test_modules_are_test_code() {
        let mut sources = [
            Source::parse("src/a.rs", "#[cfg(test)]\nmod b;\nmod c;"),
            Source::parse("src/a/b.rs", "struct InTest;"),
            Source::parse("src/a/c.rs", "struct Shipped;"),
        ];
        mark_test_modules(&mut sources);
        assert!(sources[1].items[0].in_test && !sources[2].items[0].in_test);
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text = "trait T {\n    fn no_body(&self) -> [u8; 4];\n    fn one(f: fn(u8)) {\n        if true {\n        }\n    }\n}\n";
        let source = Source::parse("src/x.rs", text);
        let found: Vec<_> =
            source.functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
        assert_eq!(found, [("one", 3, 4)]);
    }
}
