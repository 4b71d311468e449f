//! The command line: arguments in, exit code out.
//!
//! Exit codes: 0 fine, 1 the answer is no, 2 could not answer. A new command is a variant of
//! [`Command`] and a file of its own.

mod check;
mod consumers;
pub mod demo;
mod export;
mod fault_args;
mod health;
mod keys;
mod maintain;
mod output;
mod purge;
mod report;
mod rule_args;
mod run;
mod selection;
mod settings;
mod store_args;
pub mod validate;
mod validations;
mod violations;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::retired;

use output::{EXIT_ERROR, EXIT_OK};

/// Checks live HTTP traffic against OpenAPI contracts.
#[derive(Debug, Parser)]
// Later wins over earlier, flags among themselves too.
#[command(name = "cvt-sidecar", version, about, max_term_width = 100, args_override_self = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand in front of a service and validate its traffic
    Run(Box<run::RunArgs>),
    /// Ask a running sidecar how it is
    Health(health::HealthArgs),
    /// Compile a document and say what is in it
    Check(check::CheckArgs),
    /// Validate exchanges from files
    Validate(validate::ValidateArgs),
    /// Read back what was recorded
    Validations(validations::ValidationsArgs),
    /// List what breaks the contract by kind and place, or explain one kind
    Violations(Box<violations::ViolationsArgs>),
    /// Show who calls and what they use
    Consumers(consumers::ConsumersArgs),
    /// Say what of the documents is used, by whom, and what is not
    Report(report::ReportArgs),
    /// Write records to a HAR file or as JSON lines
    Export(Box<export::ExportArgs>),
    /// Remove what was recorded of a consumer, or before a time
    Purge(purge::PurgeArgs),
    /// Bring the database to this version's form
    Migrate(maintain::MigrateArgs),
    /// Expire old records
    Retention(maintain::RetentionArgs),
    /// Make keys, and encrypt what was recorded with another one
    Keys(keys::KeysArgs),
    /// Show the sidecar in front of a small bookshop
    Demo(demo::DemoArgs),
}

/// Runs the command that `arguments` name.
pub fn main(
    arguments: impl Iterator<Item = OsString>,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let typed: Vec<OsString> = arguments.collect();
    let arguments = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => arguments,
        Err(error) => {
            if let Some(refusals) = renamed_flags(&error, typed) {
                eprintln!("{refusals}");
                return ExitCode::from(EXIT_ERROR);
            }
            // Help and version are answers, not failures.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_ERROR } else { EXIT_OK });
        }
    };
    let environment: Vec<(String, String)> = environment
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut out = std::io::BufWriter::new(std::io::stdout());
    ExitCode::from(match arguments.command {
        Command::Run(arguments) => run::run(*arguments, &environment),
        Command::Health(arguments) => health::run(&arguments, &environment, &mut out),
        Command::Check(arguments) => check::run(&arguments, &environment, &mut out),
        Command::Validate(arguments) => {
            validate::run(&arguments, &environment, &mut out, &mut std::io::stderr())
        }
        Command::Validations(arguments) => validations::run(arguments, &environment, &mut out),
        Command::Violations(arguments) => violations::run(*arguments, &environment, &mut out),
        Command::Consumers(arguments) => consumers::run(&arguments, &environment, &mut out),
        Command::Report(arguments) => report::run(&arguments, &environment, &mut out),
        Command::Export(arguments) => export::run(&arguments, &environment, &mut out),
        Command::Purge(arguments) => purge::run(&arguments, &environment, &mut out),
        Command::Migrate(arguments) => maintain::migrate(&arguments, &environment, &mut out),
        Command::Retention(arguments) => maintain::retention(&arguments, &environment, &mut out),
        Command::Keys(arguments) => keys::run(&arguments, &environment, &mut out),
        Command::Demo(arguments) => demo::run(&arguments),
    })
}

/// One line for each flag under an old name, if new names are all that is missing: a command that
/// never had the flag refuses it like any other.
fn renamed_flags(error: &clap::Error, typed: Vec<OsString>) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let mut refusals = Vec::new();
    let mut renamed: Vec<OsString> = Vec::new();
    for argument in typed {
        let text = argument.to_str().filter(|text| text.starts_with("--")).unwrap_or_default();
        let (name, value) = text.split_at(text.find('=').unwrap_or(text.len()));
        let Some(new) = retired::replacement(name) else {
            renamed.push(argument);
            continue;
        };
        refusals.extend(retired::refusal("flag", name).map(|line| format!("cvt-sidecar: {line}")));
        // A flag without a value may have become one with a value.
        let (flag, of_flag) = new.split_once(' ').unwrap_or((new, ""));
        if of_flag.is_empty() {
            renamed.push(format!("{flag}{value}").into());
        } else {
            renamed.extend([flag.into(), of_flag.into()]);
        }
    }
    let again = Arguments::try_parse_from(renamed);
    let complete = !again.is_err_and(|error| error.kind() == ErrorKind::UnknownArgument);
    (complete && !refusals.is_empty()).then(|| refusals.join("\n"))
}
