//! `validate`: exchanges from a file validated against a document, without any traffic.

use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::output::{EXIT_ERROR, EXIT_NEGATIVE, EXIT_OK, write_json};
use super::rule_args::RuleArgs;
use crate::control::documents;
use crate::control::validate::{self, ExchangeValidator, ValidationAnswer};
use crate::validation::ValidatorOptions;

/// Validates recorded exchanges against an OpenAPI document.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ValidateArgs {
    /// The OpenAPI document; an exchange that carries its own `spec` is validated against that
    #[arg(long, value_name = "FILE")]
    pub spec: Option<PathBuf>,
    /// HAR, one exchange as JSON, or JSON Lines with one exchange per line; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub exchange: PathBuf,
    /// One JSON object per exchange instead of text
    #[arg(long)]
    pub json: bool,
    /// Do not look for credentials
    #[arg(long)]
    pub no_security: bool,
    /// How the document is read
    #[command(flatten)]
    pub rules: RuleArgs,
}

/// Validates every exchange of the file and writes the answers in order. Returns 0 when all
/// conform, 1 when some do not, 2 when some could not be validated.
pub fn run(
    args: &ValidateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    match validate_file(args, environment, out) {
        Ok(code) => code,
        Err(message) => {
            // Nothing can be reported when the error stream is closed.
            let _ = writeln!(err, "error: {message}");
            EXIT_ERROR
        }
    }
}

fn validate_file(
    args: &ValidateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let mut validator = args.validator(environment)?;
    let text = read_exchanges(args)?;
    let cases = validate::read(&text);
    if cases.is_empty() {
        return Err(format!("{} holds no exchange", args.exchange.display()));
    }
    let mut code = EXIT_OK;
    for case in cases {
        let answer = validator.answer(case);
        code = code.max(exit_code(&answer));
        let written = if args.json { write_json(&answer, out) } else { write_text(&answer, out) };
        written.map_err(|error| format!("the answer cannot be written: {error}"))?;
    }
    Ok(code)
}

fn read_exchanges(args: &ValidateArgs) -> Result<String, String> {
    let path = &args.exchange;
    let failed = |error| format!("{}: the exchanges cannot be read: {error}", path.display());
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).map_err(failed);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

fn exit_code(answer: &ValidationAnswer) -> u8 {
    if answer.document_valid == Some(false) {
        EXIT_NEGATIVE
    } else if answer.error.is_some() {
        EXIT_ERROR
    } else if answer.violations.is_empty() {
        EXIT_OK
    } else {
        EXIT_NEGATIVE
    }
}

fn write_text(answer: &ValidationAnswer, out: &mut dyn Write) -> std::io::Result<()> {
    let word = |valid| match valid {
        Some(true) => "conforms",
        Some(false) => "violates",
        None => "not validated",
    };
    match answer.document_valid {
        Some(true) => writeln!(out, "{}: the document is valid", answer.id)?,
        Some(false) => writeln!(out, "{}: the document is not valid", answer.id)?,
        None => {
            let (request, response) = (word(answer.request_valid), word(answer.response_valid));
            writeln!(out, "{}: request {request}, response {response}", answer.id)?;
        }
    }
    for violation in &answer.violations {
        let location = violation.position.map_or_else(String::new, |position| {
            format!(" (line {}, column {})", position.line, position.column)
        });
        writeln!(out, "  {}  [{}{location}]", violation.to_sentence(), violation.schema_pointer)?;
    }
    match &answer.error {
        Some(error) => writeln!(out, "  {error}"),
        None => Ok(()),
    }
}

// === impl ValidateArgs ===

impl ValidateArgs {
    fn validator(&self, environment: &[(String, String)]) -> Result<ExchangeValidator, String> {
        let (options, roots) = self.rules.options(environment)?;
        let common = match &self.spec {
            Some(path) => {
                let compiled = documents::compile_file(path, &roots, &options);
                Some(Arc::new(compiled.map_err(|error| error.to_string())?))
            }
            None => None,
        };
        let validation =
            ValidatorOptions { security: !self.no_security, ..ValidatorOptions::default() };
        Ok(ExchangeValidator::new(options, validation, common))
    }
}
