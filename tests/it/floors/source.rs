//! A Rust source as the rules see it: words, paths and functions, without comments and texts.
//!
//! This is a reader for well-formatted code, not a compiler: it follows `use` trees, inline
//! paths, `super`, inline modules and `#[cfg(test)]`, and knows nothing of types.

/// A source file, cut into what the rules ask for.
pub(super) struct Source {
    /// Path relative to the repository, as `src/proxy/tap.rs`.
    pub(super) file: String,
    /// Lines in the file.
    pub(super) lines: usize,
    /// Whether the file's head says why it is long.
    pub(super) long_because: bool,
    /// Every path that the code names.
    pub(super) paths: Vec<NamedPath>,
    /// Every function with a body.
    pub(super) functions: Vec<Function>,
}

/// A path named in the code, resolved as far as `crate`, `self` and `super` tell.
#[derive(Debug)]
pub(super) struct NamedPath {
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// From the crate's root (`crate` first), or as written when it starts elsewhere.
    pub(super) segments: Vec<String>,
    /// Whether it stands in test code.
    pub(super) in_test: bool,
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
    /// Whether it stands in test code.
    pub(super) in_test: bool,
}

#[derive(Debug, Clone)]
struct Token {
    text: String,
    line: usize,
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
        Self {
            file: file.to_owned(),
            lines: text.lines().count(),
            long_because: text.lines().any(|line| line.starts_with("//! Long because ")),
            paths: paths(&tokens, &module_of(file), &in_test),
            functions: functions(&tokens, &in_test),
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
}

/// The module path of a file under `src`, without `crate`.
fn module_of(file: &str) -> Vec<String> {
    let inside = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs");
    match inside {
        "lib" | "main" => Vec::new(),
        inside => inside.split('/').map(str::to_owned).collect(),
    }
}

/// Replaces comments, texts and character literals by spaces; lines stay where they are.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, text or character that starts at `at`; `at` when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let after_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], next(1)) {
        ('/', '/') => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => text_end(chars, at + 1),
        ('r' | 'b' | 'c', '"' | '#' | 'r') if !after_word => raw_text_end(chars, at),
        ('\'', '\\') => {
            (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1)
        }
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn text_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Ends of `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`; `start` when it is a plain word or `r#name`.
fn raw_text_end(chars: &[char], start: usize) -> usize {
    let prefix = chars[start..].iter().take_while(|c| "rbc".contains(**c)).count();
    let raw = chars[start..start + prefix].contains(&'r');
    let hashes = chars[start + prefix..].iter().take_while(|c| **c == '#').count();
    let open = start + prefix + hashes;
    if prefix > 2 || chars.get(open) != Some(&'"') {
        return start;
    }
    if !raw {
        return text_end(chars, open + 1);
    }
    let closes = |at: &usize| {
        chars[*at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (open + 1..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        if c.is_whitespace() {
            continue;
        }
        let mut token = c.to_string();
        if is_word(c) {
            while let Some(more) = chars.next_if(|c| is_word(*c)) {
                token.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            token.push(':');
        }
        tokens.push(Token { text: token, line });
    }
    tokens
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

fn paths(
    tokens: &[Token],
    file_module: &[String],
    in_test: &dyn Fn(usize) -> bool,
) -> Vec<NamedPath> {
    let mut found = Vec::new();
    let mut inline: Vec<(String, usize)> = Vec::new();
    let (mut depth, mut at) = (0, 0);
    while at < tokens.len() {
        let start = at;
        let mut named = Vec::new();
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
            }
            _ if starts_path(tokens, at) => {
                let mut path = vec![tokens[at].text.clone()];
                while texts(tokens, at + 1, 1) == ["::"]
                    && tokens.get(at + 2).is_some_and(|t| t.text.starts_with(is_word))
                {
                    path.push(tokens[at + 2].text.clone());
                    at += 2;
                }
                named.push((tokens[start].line, path));
            }
            _ => {}
        }
        let module: Vec<_> = file_module
            .iter()
            .cloned()
            .chain(inline.iter().map(|(name, _)| name.clone()))
            .collect();
        found.extend(named.into_iter().map(|(line, path)| NamedPath {
            line,
            segments: resolve(&module, path),
            in_test: in_test(start),
        }));
        at += 1;
    }
    found
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
    named: &mut Vec<(usize, Vec<String>)>,
) -> usize {
    let depth = prefix.len();
    let line = tokens.get(at).map_or(0, |token| token.line);
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
            "as" => at += 1,
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
        named.push((line, path));
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
    fn test_code_is_told_apart() {
        let text =
            "use a::b;\n#[cfg(test)]\nmod tests { use c::d; }\nuse e::f;\n#[cfg(test)] use g::h;";
        let source = Source::parse("src/x.rs", text);
        let flags: Vec<_> = source.paths.iter().map(|path| path.in_test).collect();
        assert_eq!(flags, [false, true, false, true]);
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
