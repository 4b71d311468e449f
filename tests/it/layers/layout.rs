//! How long files and functions may be, and what they may be called.

use super::Breach;
use super::source::Source;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 60;
/// For functions whose file says why: one ordered function can serve the reader best.
const LONG_FUNCTION_LINES: usize = 90;
const MAIN_LINES: usize = 40;

/// Names that say nothing about what a module does.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc"];

/// Files over 500 lines and functions over 60 that do not say why; test functions may be tables.
pub(super) fn lengths(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let limit = if source.file == "src/main.rs" { MAIN_LINES } else { FILE_LINES };
    if source.lines > limit && !source.long_because {
        let what =
            format!("{} lines, over {limit}, without a `//! Long because …` line", source.lines);
        breaches.push(Breach::new(&source.file, source.lines, what));
    }
    let in_tests = source.file.starts_with("tests/");
    for function in source.functions.iter().filter(|f| !f.in_test && !in_tests) {
        let limit = if source.long_because { LONG_FUNCTION_LINES } else { FUNCTION_LINES };
        if function.lines > limit {
            let what = format!(
                "`{}` has {} lines, over {limit}, which a `//! Long because …` line raises to \
                 {LONG_FUNCTION_LINES}",
                function.name, function.lines
            );
            breaches.push(Breach::new(&source.file, function.line, what));
        }
    }
    breaches
}

/// `mod.rs`, folders without their facade, and names that say nothing.
pub(super) fn names(files: &[String]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in files {
        let parts: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
        let (folders, name) = parts.split_at(parts.len() - 1);
        if name == ["mod"] {
            breaches.push(Breach::new(file, 1, "the layout is `foo.rs` and `foo/`, not `mod.rs`"));
        }
        if let Some(empty) = parts.iter().find(|part| EMPTY_NAMES.contains(part)) {
            breaches.push(Breach::new(
                file,
                1,
                format!("`{empty}` says nothing; name what it does"),
            ));
        }
        let facade = format!("{}.rs", folders.join("/"));
        if folders.len() > 1 && !files.contains(&facade) {
            breaches.push(Breach::new(file, 1, format!("its folder has no facade `{facade}`")));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> usize {
        lengths(&Source::parse(file, text)).len()
    }

    #[test]
    fn a_long_file_must_say_why() {
        let long = "\n".repeat(501);
        assert_eq!(found("src/a.rs", &long), 1);
        assert_eq!(found("src/a.rs", &format!("//! Long because it is one table.\n{long}")), 0);
        assert_eq!(found("src/a.rs", &"\n".repeat(500)), 0);
        assert_eq!(found("src/main.rs", &"\n".repeat(41)), 1);
    }

    #[test]
    fn a_long_function_is_a_breach_and_a_long_test_is_not() {
        let long = format!("fn f() {{{}}}", "\n".repeat(60));
        assert_eq!(found("src/a.rs", &long), 1);
        assert_eq!(found("src/a.rs", &format!("fn f() {{{}}}", "\n".repeat(59))), 0);
        assert_eq!(found("src/a.rs", &format!("#[cfg(test)] mod tests {{ {long} }}")), 0);
        assert_eq!(found("src/a.rs", &format!("//! Long because it is in order.\n{long}")), 0);
        let longer = format!("fn f() {{{}}}", "\n".repeat(90));
        assert_eq!(found("src/a.rs", &format!("//! Long because it is in order.\n{longer}")), 1);
    }

    #[test]
    fn names_that_break_the_layout_are_found() {
        let names_of = |files: &[&str]| {
            names(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>()).len()
        };
        assert_eq!(names_of(&["src/a.rs", "src/a/b.rs", "src/lib.rs"]), 0);
        assert_eq!(names_of(&["src/a/b.rs"]), 1);
        assert_eq!(names_of(&["src/a.rs", "src/a/mod.rs"]), 1);
        assert_eq!(names_of(&["src/common.rs"]), 1);
    }
}
