//! No circle of more than two files inside a module.
//!
//! A file uses another when it names something that the other defines, in a `use` or by a path.
//! Two things that every facade does are no use: to hand on what its children define
//! (`pub use`), which counts for those who name it as a use of the child, and to call its
//! children by their names (`child::run()`), as a command line does with its commands. A facade
//! that brings in what a child defines by a private `use` uses it like any other file.

use std::collections::{BTreeMap, BTreeSet};

use super::Breach;
use super::source::{NamedPath, Source};

/// Two files may know each other, as a type and its part; three that do are one file in pieces.
const LARGEST_CIRCLE: usize = 2;

/// How many `use` a name is followed through.
const DEEPEST_FACADE: usize = 16;

/// Where one file uses another: the line and the name.
type Uses<'s> = BTreeMap<(usize, usize), (usize, &'s str)>;

struct Graph<'s> {
    sources: &'s [Source],
    by_module: BTreeMap<Vec<String>, usize>,
}

/// Breaches of "no circle of more than two files inside a top-level module".
pub(super) fn circles(sources: &[Source]) -> Vec<Breach> {
    let graph = Graph::new(sources);
    let uses = graph.uses();
    let mut breaches = Vec::new();
    let mut seen = BTreeSet::new();
    for start in 0..sources.len() {
        let circle = circle_of(start, &uses);
        if circle.len() > LARGEST_CIRCLE && seen.insert(circle.clone()) {
            breaches.push(graph.breach(&circle, &uses));
        }
    }
    breaches
}

// === impl Graph ===

impl<'s> Graph<'s> {
    fn new(sources: &'s [Source]) -> Self {
        let of_module = sources.iter().enumerate().filter(|(_, source)| source.top().is_some());
        let by_module = of_module.map(|(at, source)| (source.module(), at)).collect();
        Self { sources, by_module }
    }

    fn uses(&self) -> Uses<'s> {
        let mut uses = Uses::new();
        for (from, source) in self.sources.iter().enumerate() {
            for path in source.paths.iter().filter(|path| !path.in_test && counts(source, path)) {
                let to = self.definer(&source.written_out(path), 0);
                let inside = |to: &usize| *to != from && self.sources[*to].top() == source.top();
                if let Some(to) = to.filter(inside) {
                    let name = path.segments.last().map_or("", String::as_str);
                    uses.entry((from, to)).or_insert((path.line, name));
                }
            }
        }
        uses
    }

    /// The file that defines what a path names, through any facades; none for a path that leads
    /// out of the crate or that only names a module.
    fn definer(&self, segments: &[String], depth: usize) -> Option<usize> {
        if segments[0] != "crate" || depth > DEEPEST_FACADE {
            return None;
        }
        let (file, rest) = self.file_of(&segments[1..])?;
        let (name, beyond) = rest.split_first()?;
        let source = &self.sources[file];
        if let Some(import) = source.import(name).filter(|_| name != "*") {
            return self.definer(&[&import.segments, beyond].concat(), depth + 1);
        }
        if defines(source, name) {
            return Some(file);
        }
        let globs = source.paths.iter().filter(|path| !path.in_test && is_glob(path));
        let mut through = globs.filter_map(|glob| {
            let (module, _) = glob.segments.split_at(glob.segments.len() - 1);
            let found = self.definer(&[module, std::slice::from_ref(name)].concat(), depth + 1)?;
            defines(&self.sources[found], name).then_some(found)
        });
        through.next().or(Some(file))
    }

    /// The file whose module is the longest beginning of a path, and the rest of the path.
    fn file_of<'p>(&self, path: &'p [String]) -> Option<(usize, &'p [String])> {
        let mut ends = (1..=path.len()).rev();
        ends.find_map(|end| Some((*self.by_module.get(&path[..end])?, &path[end..])))
    }

    fn breach(&self, circle: &BTreeSet<usize>, uses: &Uses<'s>) -> Breach {
        let inside = |(from, to): &(usize, usize)| circle.contains(from) && circle.contains(to);
        let lines: Vec<_> = uses
            .iter()
            .filter(|(edge, _)| inside(edge))
            .map(|((from, to), (line, name))| {
                let (from, to) = (&self.sources[*from].file, &self.sources[*to].file);
                format!("\n    {from}:{line} uses `{name}` of {to}")
            })
            .collect();
        let first = uses.iter().find(|(edge, _)| inside(edge));
        let (file, line) = first.map_or((0, 1), |((from, _), (line, _))| (*from, *line));
        let what = format!(
            "a circle of {} files; move what they share into a file that uses none of them, or \
             pass it as an argument:{}",
            circle.len(),
            lines.concat()
        );
        Breach::new(&self.sources[file].file, line, what)
    }
}

/// Whether a path is a use, and neither handed on nor the call of a child.
fn counts(source: &Source, path: &NamedPath) -> bool {
    match &path.import {
        Some(import) => !import.public || source.words.contains(&import.name),
        None => !path.of_child,
    }
}

fn is_glob(path: &NamedPath) -> bool {
    path.import.as_ref().is_some_and(|import| import.name == "*")
}

fn defines(source: &Source, name: &str) -> bool {
    source.items.iter().any(|item| item.in_module && item.name == name)
}

/// The files that `start` reaches and that reach it, with itself.
fn circle_of(start: usize, uses: &Uses<'_>) -> BTreeSet<usize> {
    let reached = |forward: bool| {
        let mut seen = BTreeSet::from([start]);
        let mut open = vec![start];
        while let Some(next) = open.pop() {
            for (from, to) in uses.keys() {
                let (here, there) = if forward { (from, to) } else { (to, from) };
                if *here == next && seen.insert(*there) {
                    open.push(*there);
                }
            }
        }
        seen
    };
    &reached(true) & &reached(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<(String, usize)> {
        let sources: Vec<_> = files.iter().map(|(file, text)| Source::parse(file, text)).collect();
        circles(&sources).into_iter().map(|breach| (breach.file, breach.line)).collect()
    }

    #[test]
    fn a_circle_of_three_files_is_a_breach_and_one_of_two_is_not() {
        let a = ("src/m/a.rs", "use super::b::B;\npub struct A(B);");
        let b = ("src/m/b.rs", "\npub struct B(crate::m::c::C);");
        let back_to_a = ("src/m/c.rs", "use crate::m::a::A;\npub struct C(A);");
        let back_to_b = ("src/m/c.rs", "use crate::m::b::B;\npub struct C(B);");
        assert_eq!(found(&[a, b, back_to_a]), [("src/m/a.rs".to_owned(), 1)]);
        assert!(found(&[a, b, back_to_b]).is_empty());
        let sources = [a, b, back_to_a].map(|(file, text)| Source::parse(file, text));
        let what = &circles(&sources)[0].what;
        assert!(what.contains("circle of 3 files"), "{what}");
        assert!(what.contains("src/m/b.rs:2 uses `C` of src/m/c.rs"), "{what}");
    }

    #[test]
    fn a_facade_alone_closes_no_circle() {
        let facade = ("src/m.rs", "mod a;\nmod b;\nmod c;\npub use a::A;\npub(crate) use b::*;");
        let a = ("src/m/a.rs", "use super::B;\npub struct A(B);");
        let b = ("src/m/b.rs", "use super::c;\npub struct B(c::C);");
        let c = ("src/m/c.rs", "pub struct C;");
        assert!(found(&[facade, a, b, c]).is_empty());
        let closing = ("src/m/c.rs", "use super::A;\npub struct C(A);");
        assert_eq!(found(&[facade, a, b, closing]).len(), 1, "through the facade");
    }

    #[test]
    fn a_facade_with_code_of_its_own_is_a_file_like_any_other() {
        let facade = ("src/m.rs", "mod a;\nmod b;\npub use a::A;\npub struct M(A);");
        let a = ("src/m/a.rs", "use super::b::B;\npub struct A(B);");
        let b = ("src/m/b.rs", "use super::M;\npub struct B(M);");
        assert_eq!(found(&[facade, a, b]).len(), 1);
        let facade = ("src/m.rs", "mod a;\nmod b;\npub use a::A;\npub struct M;");
        assert!(found(&[facade, a, b]).is_empty());
        let facade = ("src/m.rs", "mod a;\nmod b;\npub struct M;\nfn f() { a::run() }");
        assert!(found(&[facade, a, b]).is_empty(), "calls of a child");
    }

    #[test]
    fn other_modules_and_tests_close_no_circle() {
        let a = ("src/m/a.rs", "use super::b::B;\npub struct A(B);");
        let b = ("src/m/b.rs", "use crate::n::C;\npub struct B(C);");
        let elsewhere = ("src/n.rs", "use crate::m::a::A;\npub struct C(A);");
        assert!(found(&[a, b, elsewhere]).is_empty());
        let b = ("src/m/b.rs", "use super::c::C;\npub struct B(C);");
        let test =
            ("src/m/c.rs", "pub struct C;\n#[cfg(test)]\nmod tests { use super::super::a::A; }");
        assert!(found(&[a, b, test]).is_empty());
    }

    #[test]
    fn names_are_followed_through_aliases_and_private_use() {
        let facade = ("src/m.rs", "mod a;\nmod b;\nmod c;\nuse a::A;");
        let a = ("src/m/a.rs", "use super::b as other;\npub struct A;\nfn f() { other::g() }");
        let b = ("src/m/b.rs", "use super::c::C as D;\npub fn g() { D::new() }");
        let c = ("src/m/c.rs", "use super::A as E;\npub struct C(E);");
        assert_eq!(found(&[facade, a, b, c]), [("src/m/a.rs".to_owned(), 3)]);
    }
}
