//! `validate`: exchanges from a file validated against a document, without any traffic.

mod exchange;

use std::collections::HashMap;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};

use self::exchange::{Case, RecordedExchange};
use super::output::{EXIT_ERROR, EXIT_NEGATIVE, EXIT_OK};
use crate::contract::{CompileOptions, Contract, NoDocumentFiles, TrailingSlash, hash_of};
use crate::model::verdict::{SkipReason, Verdict};
use crate::registry::files::Directory;
use crate::validation::{Validator, ValidatorOptions};

/// Validates recorded exchanges against an OpenAPI document.
#[derive(Debug, Clone, Default, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
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
    /// Also refuse what is sent and not declared
    #[arg(long)]
    pub strict_fields: bool,
    /// Do not look for credentials
    #[arg(long)]
    pub no_security: bool,
    /// Replaces the base paths of the document's servers
    #[arg(long, value_name = "PATH")]
    pub base_path: Option<String>,
    /// Take a path with or without its trailing slash
    #[arg(long)]
    pub tolerate_trailing_slash: bool,
}

/// The answer on one exchange.
struct ValidationAnswer {
    id: Value,
    request_valid: Option<bool>,
    response_valid: Option<bool>,
    /// Whether a document is what the specification says, for a line that holds nothing else.
    document_valid: Option<bool>,
    verdicts: Vec<Verdict>,
    error: Option<String>,
}

/// Contracts by the hash of their text, each compiled once.
struct CompiledContracts<'a> {
    options: CompileOptions<'a>,
    common: Option<Arc<Contract>>,
    known: HashMap<String, Result<Arc<Contract>, String>>,
}

/// Validates every exchange of the file and writes the answers in order. Returns 0 when all
/// conform, 1 when some do not, 2 when some could not be validated.
pub fn run(args: &ValidateArgs, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match validate_file(args, out) {
        Ok(code) => code,
        Err(message) => {
            // Nothing can be reported when the error stream is closed.
            let _ = writeln!(err, "error: {message}");
            EXIT_ERROR
        }
    }
}

fn validate_file(args: &ValidateArgs, out: &mut dyn Write) -> Result<u8, String> {
    let mut contracts = CompiledContracts::new(args)?;
    let text = read_exchanges(args)?;
    let cases = exchange::read(&text);
    if cases.is_empty() {
        return Err(format!("{} holds no exchange", args.exchange.display()));
    }
    let options = ValidatorOptions { security: !args.no_security, ..ValidatorOptions::default() };
    let mut validator = Validator::new(options);
    let mut code = EXIT_OK;
    for case in cases {
        let answer = answer(&mut validator, &mut contracts, case);
        code = code.max(answer.code());
        let written = if args.json { answer.write_json(out) } else { answer.write_text(out) };
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

fn answer(
    validator: &mut Validator,
    contracts: &mut CompiledContracts<'_>,
    case: Case,
) -> ValidationAnswer {
    if let Some(document) = &case.document {
        return contracts.check_document(case.id, document);
    }
    let validated = case.exchange.and_then(|exchange| {
        let contract = contracts.of(case.spec.as_ref())?;
        Ok(validate_exchange(validator, &contract, &exchange))
    });
    match validated {
        Ok((request, response)) => ValidationAnswer::new(case.id, request, response),
        Err(error) => ValidationAnswer {
            id: case.id,
            request_valid: None,
            response_valid: None,
            document_valid: None,
            verdicts: Vec::new(),
            error: Some(error),
        },
    }
}

fn validate_exchange(
    validator: &mut Validator,
    contract: &Contract,
    exchange: &RecordedExchange,
) -> (Verdict, Option<Verdict>) {
    let response = exchange.response.as_ref().map(|(head, body)| (head, body));
    let validation =
        validator.validate_exchange(contract, &exchange.request, &exchange.request_body, response);
    (validation.request, validation.response)
}

// === impl CompiledContracts ===

impl CompiledContracts<'_> {
    fn new(args: &ValidateArgs) -> Result<Self, String> {
        let options = CompileOptions {
            files: &NoDocumentFiles,
            base_path: args.base_path.clone(),
            strict_fields: args.strict_fields,
            trailing_slash: if args.tolerate_trailing_slash {
                TrailingSlash::Tolerated
            } else {
                TrailingSlash::Exact
            },
            ..CompileOptions::default()
        };
        let common = match &args.spec {
            Some(path) => Some(Arc::new(compile_file(path, &options)?)),
            None => None,
        };
        Ok(Self { options, common, known: HashMap::new() })
    }

    /// The contract of an exchange's own document, else the one of the command line.
    fn of(&mut self, spec: Option<&Value>) -> Result<Arc<Contract>, String> {
        let Some(spec) = spec else {
            let missing = || "the exchange carries no spec and there is no --spec".to_owned();
            return self.common.clone().ok_or_else(missing);
        };
        let text = text_of(spec);
        let compiled = self.known.entry(hash_of(text.as_bytes())).or_insert_with(|| {
            let compiled = Contract::compile(text.as_bytes(), &self.options);
            compiled.map(Arc::new).map_err(|error| error.to_string())
        });
        compiled.clone()
    }

    /// Whether a document is what the specification says it is, what nothing uses included.
    /// Slips that do no harm are as wrong here as any other: the document alone is in question.
    fn check_document(&self, id: Value, document: &Value) -> ValidationAnswer {
        let options = CompileOptions { unused_components: true, ..self.options.clone() };
        let error = match Contract::compile(text_of(document).as_bytes(), &options) {
            Ok(contract) => {
                let broken = contract.lints().iter().find(|lint| lint.breaks_specification());
                broken.map(|lint| {
                    format!("the document breaks the OpenAPI specification: {}", lint.sentence())
                })
            }
            Err(error) => Some(error.to_string()),
        };
        ValidationAnswer {
            id,
            request_valid: None,
            response_valid: None,
            document_valid: Some(error.is_none()),
            verdicts: Vec::new(),
            error,
        }
    }
}

/// A document as text; one written as JSON is its own text.
fn text_of(document: &Value) -> String {
    match document {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn compile_file(path: &std::path::Path, options: &CompileOptions<'_>) -> Result<Contract, String> {
    let name = path.display();
    let bytes = std::fs::read(path)
        .map_err(|error| format!("{name}: the document cannot be read: {error}"))?;
    let files = Directory::of(path);
    let options = CompileOptions { files: &files, ..options.clone() };
    Contract::compile(&bytes, &options).map_err(|error| format!("{name}: {error}"))
}

// === impl ValidationAnswer ===

impl ValidationAnswer {
    fn new(id: Value, request: Verdict, response: Option<Verdict>) -> Self {
        let request_valid = validity(&request);
        let response_valid = response.as_ref().and_then(validity);
        let verdicts: Vec<Verdict> = std::iter::once(request).chain(response).collect();
        let unvalidated = verdicts.iter().filter(|verdict| validity(verdict).is_none());
        let reasons: Vec<&str> = unvalidated
            .flat_map(|verdict| &verdict.skipped)
            .map(|reason| reason.as_str())
            .collect();
        let error = (!reasons.is_empty()).then(|| format!("not validated: {}", reasons.join(", ")));
        Self { id, request_valid, response_valid, document_valid: None, verdicts, error }
    }

    fn code(&self) -> u8 {
        if self.document_valid == Some(false) {
            EXIT_NEGATIVE
        } else if self.error.is_some() {
            EXIT_ERROR
        } else if self.verdicts.iter().any(|verdict| !verdict.violations.is_empty()) {
            EXIT_NEGATIVE
        } else {
            EXIT_OK
        }
    }

    fn violations(&self) -> impl Iterator<Item = &crate::model::violation::Violation> {
        self.verdicts.iter().flat_map(|verdict| &verdict.violations)
    }

    fn write_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let violations: Vec<_> = self.violations().collect();
        let mut line = json!({
            "id": self.id,
            "request_valid": self.request_valid,
            "response_valid": self.response_valid,
            "violations": violations,
            "error": self.error,
        });
        if let Some(valid) = self.document_valid {
            line["document_valid"] = json!(valid);
        }
        writeln!(out, "{line}")
    }

    fn write_text(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let word = |valid| match valid {
            Some(true) => "conforms",
            Some(false) => "violates",
            None => "not validated",
        };
        match self.document_valid {
            Some(true) => writeln!(out, "{}: the document is valid", self.id)?,
            Some(false) => writeln!(out, "{}: the document is not valid", self.id)?,
            None => {
                let (request, response) = (word(self.request_valid), word(self.response_valid));
                writeln!(out, "{}: request {request}, response {response}", self.id)?;
            }
        }
        for violation in self.violations() {
            let location = violation.position.map_or_else(String::new, |position| {
                format!(" (line {}, column {})", position.line, position.column)
            });
            writeln!(
                out,
                "  {}  [{}{location}]",
                violation.to_sentence(),
                violation.schema_pointer
            )?;
        }
        match &self.error {
            Some(error) => writeln!(out, "  {error}"),
            None => Ok(()),
        }
    }
}

/// Whether a side conforms; `None` where something of it was not validated. A rule that cannot
/// be enforced, a defect of the document and a pre-flight that it does not list leave nothing open.
fn validity(verdict: &Verdict) -> Option<bool> {
    if !verdict.violations.is_empty() {
        return Some(false);
    }
    let settled = [SkipReason::Unenforceable, SkipReason::Document, SkipReason::Preflight];
    verdict.skipped.iter().all(|reason| settled.contains(reason)).then_some(true)
}
