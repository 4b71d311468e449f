//! Fields of a body that the document does not declare (`rules.undeclared_fields`).

use crate::contract::shape::Shape;
use crate::json::Node;
use crate::json::pointer;
use crate::validation::verdict_builder::{RuleLocation, VerdictBuilder};

/// Records a violation for every object with members that its schema does not declare in any
/// branch.
pub(super) fn record(
    verdict: &mut VerdictBuilder<'_>,
    rule: RuleLocation<'_>,
    shape: Shape<'_>,
    node: Node<'_>,
) {
    walk(verdict, rule, shape, node, &mut String::new());
}

/// Recursion ends with the arena's bound on depth.
fn walk(
    verdict: &mut VerdictBuilder<'_>,
    rule: RuleLocation<'_>,
    shape: Shape<'_>,
    node: Node<'_>,
    at: &mut String,
) {
    let len = at.len();
    let mut unknown = Vec::new();
    for (name, value) in node.members() {
        if !shape.declares(name) && !shape.is_free_form() {
            unknown.push(name);
            continue;
        }
        let Some(property) = shape.property(name) else { continue };
        let shown = if verdict.contract.schemas().declares_name(name) { name } else { "*" };
        pointer::push_token(at, shown);
        walk(verdict, rule, property, value, at);
        at.truncate(len);
    }
    for (index, item) in node.items().enumerate() {
        let Some(shape) = shape.item(index) else { continue };
        pointer::push_token(at, &index.to_string());
        walk(verdict, rule, shape, item, at);
        at.truncate(len);
    }
    if !unknown.is_empty() {
        verdict.add_undeclared(rule, at.clone(), unknown.into_iter());
    }
}
