//! No two files define a type of the same name.

use std::collections::BTreeMap;

use super::Breach;
use super::source::{Item, Source};

/// Breaches of "a type's name is defined in one file", private types included; test code may
/// use any name.
pub(super) fn defined_twice(sources: &[Source]) -> Vec<Breach> {
    let mut places: BTreeMap<&str, Vec<(&str, &Item)>> = BTreeMap::new();
    for source in sources {
        for item in source.items.iter().filter(|item| item.is_type() && !item.in_test) {
            places.entry(&item.name).or_default().push((&source.file, item));
        }
    }
    let mut breaches = Vec::new();
    for (name, places) in places {
        let (first, line) = (places[0].0, places[0].1.line);
        let mut earlier: Vec<&str> = vec![first];
        for (file, item) in &places[1..] {
            if earlier.contains(file) {
                continue;
            }
            earlier.push(file);
            let keyword = item.keyword;
            let what = format!(
                "{keyword} `{name}` is also defined at {first}:{line}; name each after what it is \
                 part of, or use one of them in both places"
            );
            breaches.push(Breach::new(file, item.line, what));
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<_> = files.iter().map(|(file, text)| Source::parse(file, text)).collect();
        let breaches = defined_twice(&sources);
        breaches.iter().map(|breach| format!("{}:{}", breach.file, breach.line)).collect()
    }

    #[test]
    fn a_type_in_two_files_is_a_breach_even_if_private() {
        let a = ("src/a.rs", "pub(crate) struct Plan;\nenum Kind { A }");
        let b = ("src/b/c.rs", "\ntrait Plan {}\nfn f() { struct Kind; }");
        assert_eq!(found(&[a, b]), ["src/b/c.rs:3", "src/b/c.rs:2"]);
        assert_eq!(found(&[a, ("src/b.rs", "type Plan = u8;")]), ["src/b.rs:1"]);
        assert_eq!(found(&[a]).len() + found(&[b]).len(), 0);
    }

    #[test]
    fn variants_associated_types_and_test_types_may_repeat() {
        let a = ("src/a.rs", "struct Plan;\nimpl T for Plan { type Error = E; }");
        let b = ("src/b.rs", "enum Other { Plan }\nimpl T for Other { type Error = E; }");
        let tests = ("src/c.rs", "#[cfg(test)]\nmod tests { struct Plan; }");
        let comment = ("src/d.rs", "// struct Plan\nconst TEXT: &str = \"struct Plan\";");
        let twice = ("src/e.rs", "mod a { struct Own; } mod b { struct Own; }");
        assert!(found(&[a, b, tests, comment, twice]).is_empty());
    }
}
