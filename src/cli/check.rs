//! `cvt-sidecar check`: compile a document and say what is in it, and what is wrong in it.

mod summary;
mod walk;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use clap::Args;

use super::output::{EXIT_ERROR, EXIT_NEGATIVE, EXIT_OK, write_json};
use super::rule_args::RuleArgs;
use crate::contract::{CompileOptions, Contract, ContractError, Grade};
use crate::control::ControlError;
use crate::control::documents::{self, BasePathSummary, DocumentSummary};
use crate::model::violation::Position;

/// Progress is shown from here on.
const PROGRESS_DELAY: Duration = Duration::from_secs(1);

/// Arguments of `check`.
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// OpenAPI documents; with --summary directories too, which are searched for documents
    #[arg(value_name = "FILE", required = true)]
    documents: Vec<PathBuf>,
    /// One JSON object instead of lines for people
    #[arg(long)]
    json: bool,
    /// Slips and defects only, no operations
    #[arg(long)]
    lints: bool,
    /// Exit with 1 where the document has a slip or a defect
    #[arg(long)]
    deny_lints: bool,
    /// How many documents load, and the kinds of slips and defects in all of them
    #[arg(long)]
    summary: bool,
    /// How the document is read
    #[command(flatten)]
    rules: RuleArgs,
}

/// Compiles the documents and prints their operations and lints.
pub fn run(arguments: &CheckArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    let (options, roots) = match arguments.rules.options(environment) {
        Ok(settings) => settings,
        Err(message) => {
            eprintln!("{message}");
            return EXIT_ERROR;
        }
    };
    if arguments.summary {
        let paths = &arguments.documents;
        return summary::run(paths, &roots, &options, arguments.json, out).unwrap_or_else(
            |error| {
                eprintln!("{error}");
                EXIT_ERROR
            },
        );
    }
    let check = |document: &PathBuf| check(arguments, document, (&options, &roots), out);
    arguments.documents.iter().map(check).max().unwrap_or(EXIT_OK)
}

fn check(
    arguments: &CheckArgs,
    document: &Path,
    (options, roots): (&CompileOptions<'static>, &[PathBuf]),
    out: &mut dyn Write,
) -> u8 {
    let name = document.display().to_string();
    let summary = match compile(document, roots, options) {
        Ok(contract) => DocumentSummary::of(&contract),
        Err(message) => {
            eprintln!("{message}");
            return EXIT_ERROR;
        }
    };
    let printed = if arguments.json {
        write_json(&summary, out)
    } else {
        print_lines(&name, &summary, !arguments.lints, out)
    };
    // A reader that has seen enough closes the pipe.
    let _ = printed;
    if arguments.deny_lints && !summary.lints.is_empty() { EXIT_NEGATIVE } else { EXIT_OK }
}

/// Compiles a document from its file; the message of an error names file, line and column.
fn compile(
    path: &Path,
    roots: &[PathBuf],
    options: &CompileOptions<'static>,
) -> Result<Contract, String> {
    let name = path.display();
    if path.is_dir() {
        return Err(format!("{name} is a directory; --summary checks the documents in it"));
    }
    let compile = || documents::compile_file(path, roots, options);
    with_progress(&format!("compiling {name}"), compile).map_err(|error| match error {
        ControlError::InvalidDocument { name, reason } => describe_error(&name, &reason),
        other => other.to_string(),
    })
}

fn describe_error(name: &str, error: &ContractError) -> String {
    let problem = error.diagnostic();
    format!("{}: {error}", location(name, &problem.pointer, problem.position))
}

/// File, line and column of something in the document `name` or in a file that it refers to.
fn location(name: &str, pointer: &str, position: Option<Position>) -> String {
    let other =
        pointer.split_once('#').filter(|(file, _)| !file.is_empty() && !file.starts_with('/'));
    let file = match other {
        Some((file, _)) if file.contains("://") => file.to_owned(),
        Some((file, _)) => Path::new(name).with_file_name("").join(file).display().to_string(),
        None => name.to_owned(),
    };
    match position {
        Some(position) => format!("{file}:{}:{}", position.line, position.column),
        None => file,
    }
}

/// Shows on a terminal that `work` is still going on once it takes long.
fn with_progress<T: Send>(what: &str, work: impl FnOnce() -> T + Send) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, waiting) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut seconds = 0;
            while waiting.recv_timeout(PROGRESS_DELAY) == Err(RecvTimeoutError::Timeout) {
                seconds += 1;
                eprint!("\r{what} … {seconds} s");
            }
            if seconds > 0 {
                eprint!("\r\x1b[K");
            }
        });
        let output = work();
        drop(done);
        output
    })
}

fn print_lines(
    name: &str,
    summary: &DocumentSummary,
    operations: bool,
    out: &mut dyn Write,
) -> std::io::Result<()> {
    writeln!(
        out,
        "{name}: {} {}, OpenAPI {}, {} operations",
        summary.title,
        summary.version,
        summary.openapi_version,
        summary.operations.len()
    )?;
    if operations {
        for base in &summary.base_paths {
            writeln!(out, "  {}", describe_base_path(name, base))?;
        }
        for operation in &summary.operations {
            let id = operation.operation_id.as_deref().unwrap_or("");
            let deprecated = if operation.deprecated { "  deprecated" } else { "" };
            let path = &operation.full_path;
            let line = format!("  {:<7} {path}  {id}{deprecated}", operation.method);
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    if summary.lints.is_empty() {
        return writeln!(out, "Every rule of it can be enforced.");
    }
    for (grade, one, many, cost) in [
        (Grade::Defect, "defect", "defects", "that part is not enforced, everything else is"),
        (Grade::Slip, "slip", "slips", "nothing is left unvalidated"),
    ] {
        let lints = || summary.lints.iter().filter(|lint| lint.grade == grade);
        match lints().count() {
            0 => continue,
            1 => writeln!(out, "1 {one}; {cost}:")?,
            count => writeln!(out, "{count} {many}; {cost}:")?,
        }
        for lint in lints() {
            let position = lint.line.zip(lint.column);
            let position = position.map(|(line, column)| Position { line, column });
            let location = location(name, &lint.pointer, position);
            writeln!(out, "  {location}: {}: {}", lint.code, lint.message)?;
        }
    }
    Ok(())
}

/// Base paths, and what they come from.
fn describe_base_path(name: &str, base: &BasePathSummary) -> String {
    let shown = |path: &String| if path.is_empty() { "/".to_owned() } else { path.clone() };
    let paths = base.paths.iter().map(shown).collect::<Vec<_>>().join(", ");
    let origin = match &*base.source {
        "" => "as the document lists no servers".to_owned(),
        pointer if pointer.starts_with('/') || pointer.contains('#') => {
            format!("from {}", location(name, pointer, base.position))
        }
        setting => format!("from {setting}"),
    };
    format!("base path {paths} ({origin})")
}
