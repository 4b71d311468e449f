//! Exchanges that were written down, validated against documents, without any traffic.

mod exchange_file;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::contract::{CompileOptions, Contract, hash_of};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::Violation;
use crate::validation::{Validator, ValidatorOptions};

pub(crate) use exchange_file::{ExchangeCase, RecordedExchange, read};

/// The answer on one exchange, or on one document.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ValidationAnswer {
    /// The id that the exchange came with, or its position.
    pub(crate) id: Value,
    /// Whether the request conforms; `None` where something of it was not validated.
    pub(crate) request_valid: Option<bool>,
    /// The same of the response; `None` also where there is none.
    pub(crate) response_valid: Option<bool>,
    /// What is broken, on either side.
    pub(crate) violations: Vec<Violation>,
    /// Why there is no full answer.
    pub(crate) error: Option<String>,
    /// Whether a document is what the specification says, for a case that holds nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) document_valid: Option<bool>,
}

/// Validates exchanges against their own documents, or against one for all that carry none.
/// Compiles each document once.
pub(crate) struct ExchangeValidator {
    options: CompileOptions<'static>,
    common: Option<Arc<Contract>>,
    /// By the hash of their text.
    compiled: HashMap<String, Result<Arc<Contract>, String>>,
    validator: Validator,
}

// === impl ExchangeValidator ===

impl ExchangeValidator {
    /// A validator that compiles by `options`; `common` is the contract of exchanges that carry
    /// no document.
    pub(crate) fn new(
        options: CompileOptions<'static>,
        validation: ValidatorOptions,
        common: Option<Arc<Contract>>,
    ) -> Self {
        Self { options, common, compiled: HashMap::new(), validator: Validator::new(validation) }
    }

    /// Validates one exchange, or checks one document. Compiles: not for async threads.
    pub(crate) fn answer(&mut self, case: ExchangeCase) -> ValidationAnswer {
        if let Some(document) = &case.document {
            return self.check_document(case.id, document);
        }
        let validated = case.exchange.and_then(|exchange| {
            let contract = self.contract_of(case.spec.as_ref())?;
            Ok(self.validate(&contract, &exchange))
        });
        match validated {
            Ok((request, response)) => ValidationAnswer::new(case.id, request, response),
            Err(error) => {
                ValidationAnswer { id: case.id, error: Some(error), ..ValidationAnswer::default() }
            }
        }
    }

    fn validate(
        &mut self,
        contract: &Contract,
        exchange: &RecordedExchange,
    ) -> (Verdict, Option<Verdict>) {
        let RecordedExchange { request, request_body, response } = exchange;
        let response = response.as_ref().map(|(head, body)| (head, body));
        let verdicts = self.validator.validate_exchange(contract, request, request_body, response);
        (verdicts.request, verdicts.response)
    }

    /// The contract of an exchange's own document, else the common one.
    fn contract_of(&mut self, spec: Option<&Value>) -> Result<Arc<Contract>, String> {
        let Some(spec) = spec else {
            let missing = || "the exchange carries no spec and there is no --spec".to_owned();
            return self.common.clone().ok_or_else(missing);
        };
        let text = text_of(spec);
        let compiled = self.compiled.entry(hash_of(text.as_bytes())).or_insert_with(|| {
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
        let document_valid = Some(error.is_none());
        ValidationAnswer { id, error, document_valid, ..ValidationAnswer::default() }
    }
}

/// A document as text; one written as JSON is its own text.
fn text_of(document: &Value) -> String {
    match document {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
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
        let violations = verdicts.into_iter().flat_map(|verdict| verdict.violations).collect();
        Self { id, request_valid, response_valid, violations, error, document_valid: None }
    }
}

/// Whether a side conforms; `None` where something of it was not validated. A rule that cannot
/// be enforced, a defect of the document and a pre-flight that it does not list leave nothing open.
fn validity(verdict: &Verdict) -> Option<bool> {
    if !verdict.violations.is_empty() {
        return Some(false);
    }
    let harmless = [SkipReason::Unenforceable, SkipReason::Document, SkipReason::Preflight];
    verdict.skipped.iter().all(|reason| harmless.contains(reason)).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures::DOCUMENT;

    fn answers(common: bool, text: &str) -> Vec<ValidationAnswer> {
        let options = CompileOptions::default();
        let contract = || Arc::new(Contract::compile(DOCUMENT.as_bytes(), &options).unwrap());
        let common = common.then(contract);
        let mut validator =
            ExchangeValidator::new(CompileOptions::default(), ValidatorOptions::default(), common);
        read(text).into_iter().map(|case| validator.answer(case)).collect()
    }

    fn exchange(title: &str) -> String {
        format!(
            r#"{{"id": "{title}", "request": {{"path": "/books/1"}}, "response": {{"status": 200,
             "headers": {{"content-type": "application/json"}}, "body": {{"title": "{title}"}}}}}}"#
        )
        .replace('\n', "")
    }

    #[test]
    fn each_exchange_has_an_answer_in_order() {
        let text = [exchange("Dune"), exchange("Too long"), "nonsense".to_owned()].join("\n");
        let answers = answers(true, &text);
        let valid = |answer: &ValidationAnswer| (answer.request_valid, answer.response_valid);
        assert_eq!(valid(&answers[0]), (Some(true), Some(true)));
        assert_eq!(valid(&answers[1]), (Some(true), Some(false)));
        assert_eq!((answers[1].id.as_str(), answers[1].violations.len()), (Some("Too long"), 1));
        assert!(answers[2].error.as_ref().unwrap().starts_with("line 3 is not JSON"));
    }

    #[test]
    fn an_exchange_without_any_document_is_not_validated() {
        let [answer] = answers(false, &exchange("Dune")).try_into().unwrap();
        assert_eq!(answer.request_valid, None);
        assert_eq!(answer.error.unwrap(), "the exchange carries no spec and there is no --spec");
    }

    #[test]
    fn a_document_alone_is_checked_and_its_answer_has_the_known_form() {
        let broken = serde_json::json!({"id": 1, "document": "openapi: 3.0.3"});
        let good = serde_json::json!({"id": 2, "document": DOCUMENT});
        let answers = answers(false, &format!("{broken}\n{good}"));
        let valid: Vec<_> = answers.iter().map(|answer| answer.document_valid).collect();
        assert_eq!(valid, [Some(false), Some(true)]);
        let json = serde_json::to_string(&answers[1]).unwrap();
        let expected = r#"{"id":2,"request_valid":null,"response_valid":null,"violations":[],"error":null,"document_valid":true}"#;
        assert_eq!(json, expected);
    }
}
