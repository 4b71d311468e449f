//! Fields of a body that the document does not declare (`strict_fields`).

use crate::contract::document::pointer;
use crate::contract::instance::Node;
use crate::contract::shape::Shape;
use crate::model::violation::Rule;
use crate::validation::findings::{Findings, Place};

/// Notes every object that holds members its schema does not declare, in any branch.
pub(super) fn note(
    findings: &mut Findings<'_>,
    place: Place<'_>,
    shape: Shape<'_>,
    node: Node<'_>,
) {
    walk(findings, place, shape, node, &mut String::new());
}

/// Recursion ends with the arena's bound on depth.
fn walk(
    findings: &mut Findings<'_>,
    place: Place<'_>,
    shape: Shape<'_>,
    node: Node<'_>,
    at: &mut String,
) {
    let len = at.len();
    let mut unknown = 0;
    for (name, value) in node.members() {
        if !shape.declares(name) && !shape.is_free_form() {
            unknown += 1;
            continue;
        }
        let Some(property) = shape.property(name) else { continue };
        let shown = if findings.contract.schemas().knows_name(name) { name } else { "*" };
        pointer::push_token(at, shown);
        walk(findings, place, property, value, at);
        at.truncate(len);
    }
    for (index, item) in node.items().enumerate() {
        let Some(shape) = shape.item(index) else { continue };
        pointer::push_token(at, &index.to_string());
        walk(findings, place, shape, item, at);
        at.truncate(len);
    }
    if unknown > 0 {
        let message = format!("{unknown} sent that the document does not declare");
        findings.add_at(place, Rule::Undeclared, format!("{at}/*"), message);
    }
}
