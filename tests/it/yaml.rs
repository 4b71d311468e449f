//! YAML is read as libyaml reads it: the same tree, or a refusal on both sides.
//!
//! PyYAML over libyaml is the yardstick (`yaml/peer.py`); where it is missing the tests that need
//! it say so and pass. js-yaml and go-yaml write documents too where they are installed.

#[path = "yaml/cases.rs"]
mod cases;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cvt_sidecar::contract::document::read_yaml;
use cvt_sidecar::contract::options::DocumentLimits;
use serde_json::Value;

use cases::{CASES, DIFFERENCES};

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/yaml");
const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");

/// The tree of a text, or why there is none.
type Reading = Result<Value, String>;

fn ours(bytes: &[u8]) -> Reading {
    let limits = DocumentLimits { depth: 1_000, ..DocumentLimits::default() };
    let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
    read_yaml(text, &limits).map_err(|error| error.to_string())
}

fn expected(case: &str) -> Reading {
    match case {
        "refused" => Err(case.to_owned()),
        json => Ok(serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))),
    }
}

/// A Python that has PyYAML over libyaml.
fn python() -> Option<&'static str> {
    let found = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
        let asked = Command::new(python).args(["-c", "import yaml; yaml.CSafeLoader"]).output();
        asked.is_ok_and(|output| output.status.success())
    });
    if found.is_none() {
        println!("skipped: there is no PyYAML; sudo apt-get install -y python3-yaml");
    }
    found
}

/// Runs a command that prints paths, or lines of JSON.
fn lines_of(command: &mut Command, input: &str) -> Vec<String> {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("it has an input");
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("the input is written").expect("the input is read");
    assert!(output.status.success(), "{command:?} failed");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    text.lines().map(str::to_owned).collect()
}

/// How PyYAML reads each of the files.
fn peer_readings(python: &str, how: &str, paths: &[PathBuf]) -> Vec<Reading> {
    let list: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    let list = list.join("\n") + "\n";
    let lines = lines_of(Command::new(python).arg(format!("{HERE}/peer.py")).arg(how), &list);
    assert_eq!(lines.len(), paths.len(), "one answer for each file");
    lines.iter().map(|line| reading(line)).collect()
}

fn reading(line: &str) -> Reading {
    let mut answer: Value = serde_json::from_str(line).expect("PyYAML answers in JSON");
    match answer["refused"].as_str() {
        Some(why) => Err(why.to_owned()),
        None => Ok(answer["tree"].take()),
    }
}

/// Reads every file on both sides, and returns the differences.
fn differences(python: &str, paths: &[PathBuf]) -> Vec<String> {
    let theirs = peer_readings(python, "read", paths);
    let differ = |(path, theirs): (&PathBuf, Reading)| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let path = path.display();
        match (ours(&bytes), theirs) {
            (Ok(ours), Ok(theirs)) if ours == theirs => None,
            (Ok(ours), Ok(theirs)) => {
                let at = first_difference(&ours, &theirs, String::new());
                Some(format!("{path}: the trees differ at {at}"))
            }
            (Err(ours), Ok(_)) => Some(format!("{path}: refused by us alone: {ours}")),
            (Ok(_), Err(theirs)) => Some(format!("{path}: refused by libyaml alone: {theirs}")),
            (Err(_), Err(_)) => None,
        }
    };
    paths.iter().zip(theirs).filter_map(differ).collect()
}

fn first_difference(ours: &Value, theirs: &Value, at: String) -> String {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            let names = left.keys().chain(right.keys());
            let mut differing = names.filter(|name| left.get(*name) != right.get(*name));
            let Some(name) = differing.next() else { return at };
            match (left.get(name), right.get(name)) {
                (Some(left), Some(right)) => first_difference(left, right, format!("{at}/{name}")),
                _ => format!("{at}/{name}, which one of them lacks"),
            }
        }
        (Value::Array(left), Value::Array(right)) => {
            let mut pairs = left.iter().zip(right).enumerate();
            match pairs.find(|(_, (left, right))| left != right) {
                Some((item, (left, right))) => {
                    first_difference(left, right, format!("{at}/{item}"))
                }
                None => format!("{at}: {} and {} items", left.len(), right.len()),
            }
        }
        _ => format!("{at}: {ours} and {theirs}"),
    }
}

fn files_below(directory: &Path, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            let is_hidden = entry.file_name().to_string_lossy().starts_with('.');
            let extension = path.extension().and_then(|extension| extension.to_str());
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && !is_hidden {
                directories.push(path);
            } else if extension.is_some_and(|extension| extensions.contains(&extension)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn each_leniency_of_libyaml_gives_the_tree_that_is_meant() {
    let wrong = |(text, tree): &&(&str, &str)| ours(text.as_bytes()).ok() != expected(tree).ok();
    let wrong: Vec<_> = CASES.iter().chain(DIFFERENCES).filter(wrong).collect();
    let readings: Vec<_> = wrong.iter().map(|(text, _)| ours(text.as_bytes())).collect();
    assert!(wrong.is_empty(), "{wrong:#?} are read as {readings:#?}");
}

#[test]
fn libyaml_agrees_but_for_the_differences_that_are_meant() {
    let Some(python) = python() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let write = |(at, (text, _)): (usize, &(&str, &str))| {
        let path = directory.path().join(format!("{at}.yaml"));
        fs::write(&path, text).expect("a case is written");
        path
    };
    let paths: Vec<_> = CASES.iter().chain(DIFFERENCES).enumerate().map(write).collect();
    let (same, different) = paths.split_at(CASES.len());
    let mut wrong = Vec::new();
    for (case, theirs) in CASES.iter().zip(peer_readings(python, "read", same)) {
        if theirs.as_ref().ok() != expected(case.1).as_ref().ok() {
            wrong.push((case, theirs));
        }
    }
    for (case, theirs) in DIFFERENCES.iter().zip(peer_readings(python, "load", different)) {
        if theirs.as_ref().ok() == expected(case.1).as_ref().ok() {
            wrong.push((case, theirs));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn documents_that_pyyaml_js_yaml_and_go_yaml_write_are_read_alike() {
    let Some(python) = python() else { return };
    let specs: Vec<_> = files_below(&Path::new(SHARED).join("specs"), &["json"])
        .into_iter()
        .filter(|path| {
            !path.ends_with("INDEX.json")
                && path.parent().is_some_and(|parent| parent.ends_with("specs"))
        })
        .collect();
    if specs.is_empty() {
        println!("skipped: there is no ../shared/specs");
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let mut sample = Command::new(python);
    sample.arg(format!("{HERE}/peer.py")).arg("sample").arg(directory.path()).args(&specs);
    let mut written = lines_of(&mut sample, "");
    assert_eq!(written.len(), specs.len() * 7, "every style of every document");
    let samples = files_below(directory.path(), &["json"]);
    written.extend(js_yaml(&samples));
    written.extend(go_yaml(directory.path(), &samples));
    let paths: Vec<_> = written.into_iter().map(PathBuf::from).collect();
    let differences = differences(python, &paths);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn small_documents_with_faults_are_read_alike() {
    let Some(python) = python() else { return };
    let paths = files_below(&Path::new(SHARED).join("cases/documents"), &["yaml", "yml"]);
    if paths.is_empty() {
        println!("skipped: there is no ../shared/cases/documents");
    }
    let differences = differences(python, &paths);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
#[ignore = "reads the directory that CVT_DOCUMENTS names; tests/run --documents DIR"]
fn documents() {
    let Some(directory) = std::env::var_os("CVT_DOCUMENTS") else {
        println!("skipped: CVT_DOCUMENTS names no directory");
        return;
    };
    let python = python().expect("PyYAML is installed");
    let paths = files_below(Path::new(&directory), &["yaml", "yml"]);
    let differences = differences(python, &paths);
    println!("{} YAML files, {} are read differently", paths.len(), differences.len());
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What js-yaml writes, if Node finds it.
fn js_yaml(samples: &[PathBuf]) -> Vec<String> {
    let asked = Command::new("node").args(["-e", "require('js-yaml')"]).output();
    if !asked.is_ok_and(|output| output.status.success()) {
        println!("skipped: js-yaml, which Node does not find");
        return Vec::new();
    }
    // Read from standard input, so that Node looks for js-yaml where it did just now.
    let script = fs::read_to_string(format!("{HERE}/write.js")).expect("the script is there");
    lines_of(Command::new("node").arg("-").args(samples), &script)
}

/// What go-yaml writes, if the cache of Go's modules holds it.
fn go_yaml(directory: &Path, samples: &[PathBuf]) -> Vec<String> {
    let module = directory.join("go-yaml");
    fs::create_dir(&module).expect("a directory for the module");
    fs::copy(format!("{HERE}/write.go"), module.join("write.go")).expect("the program is there");
    let needs = "module write\n\ngo 1.20\n\nrequire gopkg.in/yaml.v3 v3.0.1\n";
    fs::write(module.join("go.mod"), needs).expect("the module is written");
    let mut build = Command::new("go");
    build.args(["build", "-o", "write", "."]).current_dir(&module);
    build.env("GOFLAGS", "-mod=mod").env("GOPROXY", "off").env("GONOSUMDB", "*");
    if !build.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: go-yaml, which the cache of Go's modules does not hold");
        return Vec::new();
    }
    lines_of(Command::new(module.join("write")).args(samples), "")
}
