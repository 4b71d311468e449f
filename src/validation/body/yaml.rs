//! YAML bodies (RFC 9512): the value that the text stands for, validated as JSON is.

use crate::contract::document::{self, YamlFailure};
use crate::contract::shape::Types;
use crate::json::Arena;
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::ViolationKind;
use crate::validation::body::undeclared;
use crate::validation::media_type::BodyContext;
use crate::validation::value::{conforms, record_violations};
use crate::validation::verdict_builder::VerdictBuilder;

/// A schema of text may mean the YAML text itself as well as a string in YAML.
pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    let shape = verdict.contract.shapes().get(media.shape);
    if media.schema.is_none() {
        return;
    }
    if shape.types().intersects(Types::STRING) {
        arena.clear();
        let id = arena.string(text);
        if conforms(arena, verdict, media.schema, id) {
            return;
        }
    }
    let (value, repeated) = match document::yaml_value(text, arena.max_depth()) {
        Ok(read) => read,
        Err(YamlFailure::OverLimit) => return verdict.skip(SkipReason::WorkBudget),
        Err(YamlFailure::Syntax(error)) => {
            let message = format!("the body is not YAML: {error}");
            return verdict.add(context.rule(), ViolationKind::Malformed, message);
        }
    };
    arena.clear();
    let Ok(id) = arena.parse(value.to_string().as_bytes()) else {
        return verdict.skip(SkipReason::WorkBudget);
    };
    verdict.observe_body(id);
    if repeated && verdict.contract.is_strict(Rule::DuplicateKeys) {
        verdict.add(
            context.rule(),
            ViolationKind::Malformed,
            "the body has a mapping with the same key twice",
        );
    }
    if !conforms(arena, verdict, media.schema, id) {
        record_violations(arena, verdict, media.schema, context.rule(), id);
    }
    if verdict.contract.is_strict(Rule::UndeclaredFields) {
        undeclared::record(verdict, context.rule(), shape, arena.node(id));
    }
}
