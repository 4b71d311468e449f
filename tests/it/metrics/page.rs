//! The page of metrics, the metrics that the code makes, and the tests that move them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A metric's type and labels, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Described {
    /// `counter`, `gauge` or `histogram`.
    pub(crate) kind: String,
    /// Names of its labels, sorted.
    pub(crate) labels: Vec<String>,
    /// File and line.
    pub(crate) place: String,
}

/// Metrics by name.
pub(crate) type Descriptions = BTreeMap<String, Described>;

/// The methods of `telemetry::Metrics` that make a metric, and what they make.
const MAKERS: &[(&str, &str)] = &[
    (".counter(", "counter"),
    (".counters(", "counter"),
    (".gauge(", "gauge"),
    (".gauges(", "gauge"),
    (".callback_gauge(", "gauge"),
    (".histogram(", "histogram"),
    (".histograms(", "histogram"),
];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of `deploy/METRICS.md`.
pub(crate) fn text() -> String {
    fs::read_to_string(root().join("deploy/METRICS.md")).expect("deploy/METRICS.md")
}

/// The rows of the page's tables, in the order of their lines; one that stands twice fails.
#[track_caller]
pub(crate) fn documented(page: &str) -> Descriptions {
    let mut rows = Descriptions::new();
    for (line, text) in page.lines().enumerate() {
        let cells: Vec<&str> = text.trim().trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, meaning] = cells[..] else { continue };
        if name == "name" || name.starts_with("--") {
            continue;
        }
        let place = format!("deploy/METRICS.md:{}", line + 1);
        assert!(!unit.is_empty() && !meaning.is_empty(), "{place}: unit and meaning are missing");
        let row = Described { kind: kind.into(), labels: ticked(labels), place: place.clone() };
        let name = ticked(name).pop().unwrap_or_else(|| panic!("{place}: no name in backticks"));
        assert!(rows.insert(name.clone(), row).is_none(), "{place}: {name} stands twice");
    }
    rows
}

/// Names in the second table of the page: what CVT has and this does not.
pub(crate) fn without(page: &str) -> Vec<String> {
    let rows =
        page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 3);
    rows.filter_map(|line| line.split('`').nth(1).map(str::to_owned)).collect()
}

/// What stands in backticks, sorted.
fn ticked(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    words.sort();
    words
}

/// The metrics that the code under `src` makes through `telemetry::Metrics`, tests left out.
pub(crate) fn made() -> Descriptions {
    let mut made = Descriptions::new();
    for file in rust_files(&root().join("src")) {
        let text = fs::read_to_string(&file).expect("a source file");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let file = file.strip_prefix(root()).expect("a file of ours").display().to_string();
        for (at, name) in literals(code) {
            let before = &code[..at];
            let line = before.matches('\n').count() + 1;
            let makers = MAKERS.iter().filter_map(|maker| Some((before.rfind(maker.0)?, maker)));
            let Some((from, (call, kind))) = makers.max_by_key(|(from, _)| *from) else { continue };
            let between = &before[from + call.len()..];
            if !between.trim().is_empty() {
                continue;
            }
            let rest = &code[from + call.len()..];
            let labels =
                if call.ends_with("s(") { label_list(arguments(rest)) } else { Vec::new() };
            let place = format!("{file}:{line}");
            made.insert(name.to_owned(), Described { kind: (*kind).into(), labels, place });
        }
    }
    made
}

/// String literals that look like the name of a metric, with their positions.
fn literals(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_name = |text: &str| {
        ["cvt_", "process_"].iter().any(|prefix| text.starts_with(prefix))
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
    };
    code.match_indices('"').filter_map(move |(at, _)| {
        let text = code[at + 1..].split('"').next()?;
        is_name(text).then_some((at, text))
    })
}

/// The arguments of a call, from behind its opening parenthesis to its closing one.
fn arguments(rest: &str) -> &str {
    let mut depth = 1;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &rest[..at];
        }
    }
    rest
}

/// The strings in the last `&[…]` of the arguments, sorted.
fn label_list(arguments: &str) -> Vec<String> {
    let list = arguments.split("&[").nth(1).and_then(|list| list.split(']').next());
    let mut labels: Vec<String> =
        list.unwrap_or_default().split('"').skip(1).step_by(2).map(str::to_owned).collect();
    labels.sort();
    labels
}

/// Files under `tests/it` (this test and its frame left out) and tests under `src` that look at
/// the metric called `name`.
pub(crate) fn tests_naming(name: &str) -> Vec<String> {
    let looks = |text: &str| {
        text.match_indices(name).any(|(at, _)| {
            let after = &text[at + name.len()..];
            let series = ["_count", "_sum", "_bucket"].iter().find_map(|s| after.strip_prefix(s));
            let ends =
                !series.unwrap_or(after).starts_with(|c: char| c.is_alphanumeric() || c == '_');
            text[..at].ends_with('"') && ends
        })
    };
    let tests = rust_files(&root().join("tests/it")).into_iter().filter_map(|file| {
        let inside = file.strip_prefix(root().join("tests/it")).expect("a test file").to_owned();
        let frame = inside.starts_with("support") || inside.starts_with("metrics");
        let text = fs::read_to_string(&file).expect("a test file");
        (!frame && text.contains("#[test]") && looks(&text)).then_some(file)
    });
    let units = rust_files(&root().join("src")).into_iter().filter(|file| {
        let text = fs::read_to_string(file).expect("a source file");
        if file.ends_with("tests.rs") {
            return looks(&text);
        }
        text.split_once("#[cfg(test)]").is_some_and(|(_, tests)| looks(tests))
    });
    tests.chain(units).map(|file| file.display().to_string()).collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn the_metrics_page_parses() {
    let page = "| name | type | labels | unit | meaning |\n|---|---|---|---|---|\n\
        | `a_total` | counter | `y`, `x` | things | That `z`. |\n| `gone` | for a reason |\n";
    let rows = documented(page);
    assert_eq!(rows["a_total"].labels, ["x", "y"]);
    assert_eq!(rows["a_total"].place, "deploy/METRICS.md:3");
    assert_eq!(without(page), ["gone"]);
}
