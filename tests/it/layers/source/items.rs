//! The names that code defines.

use super::lexer::{Token, is_word};

/// A type, function, constant, macro or module that the code defines.
#[derive(Debug)]
pub(in super::super) struct Item {
    /// `struct`, `enum`, `trait`, `type`, `fn`, `const`, `static`, `macro_rules` or `mod`.
    pub(in super::super) keyword: &'static str,
    /// Its name.
    pub(in super::super) name: String,
    /// The line of its keyword, from 1.
    pub(in super::super) line: usize,
    /// Whether it is defined in a module, and not in a function, an `impl` or a trait.
    pub(in super::super) in_module: bool,
    /// Whether it is a module with a file of its own.
    pub(super) is_child_file: bool,
    /// Whether it is test code.
    pub(in super::super) in_test: bool,
}

const KEYWORDS: &[&str] =
    &["struct", "enum", "trait", "type", "fn", "const", "static", "macro_rules", "mod"];

// === impl Item ===

impl Item {
    /// Whether it is a type of its own: the `type` of a trait or an `impl` belongs to another.
    pub(in super::super) fn is_type(&self) -> bool {
        match self.keyword {
            "struct" | "enum" | "trait" => true,
            "type" => self.in_module,
            _ => false,
        }
    }

    /// Whether it declares a file as test code.
    pub(super) fn is_test_module(&self) -> bool {
        self.is_child_file && self.in_test
    }
}

pub(super) fn items(tokens: &[Token], in_test: &dyn Fn(usize) -> bool) -> Vec<Item> {
    let mut found = Vec::new();
    // for each open brace: whether it is a module's
    let mut braces: Vec<bool> = Vec::new();
    let mut module_opens = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => braces.push(std::mem::take(&mut module_opens)),
            "}" => drop(braces.pop()),
            text => {
                let Some(keyword) = KEYWORDS.iter().find(|one| **one == text) else { continue };
                let Some((name, after)) = name_after(tokens, at, keyword) else { continue };
                module_opens = *keyword == "mod" && after == "{";
                found.push(Item {
                    keyword,
                    name,
                    line: token.line,
                    in_module: braces.iter().all(|module| *module),
                    is_child_file: *keyword == "mod" && after == ";" && braces.is_empty(),
                    in_test: in_test(at),
                });
            }
        }
    }
    found
}

/// The name that the keyword at `at` gives, and the sign after it; none for `r#type`, `'static`
/// and `*const T`.
fn name_after(tokens: &[Token], at: usize, keyword: &str) -> Option<(String, String)> {
    let no_keyword = at >= 1 && ["#", "'", "*"].contains(&tokens[at - 1].text.as_str());
    let name = if keyword == "macro_rules" { at + 2 } else { at + 1 };
    let (name, after) = (&tokens.get(name)?.text, tokens.get(name + 1)?.text.clone());
    let is_name = name.starts_with(is_word) && !KEYWORDS.contains(&name.as_str());
    (is_name && !no_keyword).then(|| (name.clone(), after))
}

#[cfg(test)]
mod tests {
    use super::super::Source;

    #[test]
    fn items_are_found_with_the_place_of_their_definition() {
        let text = "mod a;\nmod b { pub(crate) struct C<T>(T); }\nimpl Iterator for C { type Item = u8; }\n\
                    type D = u8;\nconst fn e() { struct F; }\nmacro_rules! g { () => {}; }\nlet r#type = 1;\nfn h(s: &'static str, p: *const T) {}";
        let source = Source::parse("src/x.rs", text);
        let found: Vec<_> = source
            .items
            .iter()
            .map(|item| (item.keyword, item.name.as_str(), item.line, item.in_module))
            .collect();
        assert_eq!(
            found,
            [
                ("mod", "a", 1, true),
                ("mod", "b", 2, true),
                ("struct", "C", 2, true),
                ("type", "Item", 3, false),
                ("type", "D", 4, true),
                ("fn", "e", 5, true),
                ("struct", "F", 5, false),
                ("macro_rules", "g", 6, true),
                ("fn", "h", 8, true),
            ]
        );
        let types: Vec<_> =
            source.items.iter().filter(|item| item.is_type()).map(|item| &item.name).collect();
        assert_eq!(types, ["C", "D", "F"]);
        assert!(source.items[0].is_child_file && !source.items[1].is_child_file);
    }
}
