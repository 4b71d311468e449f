//! Which branch of `oneOf` or `anyOf` was meant, and why it failed.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;

use super::sentence::found;
use super::{Explainer, ViolationSink};
use crate::contract::schema::Discriminator;
use crate::json::pointer;
use crate::validation::names::quoted;

type Branches = [Vec<ValidationError<'static>>];

/// How a branch was chosen.
enum BranchChoice<'d> {
    /// The value's own discriminator names it.
    Named(usize, &'d Discriminator),
    /// The value has a discriminator that names no branch.
    Unnamed(&'d Discriminator),
    /// Its errors are the fewest and deepest.
    Closest(usize),
    /// No branch is clearly the closest.
    None,
}

impl Explainer<'_> {
    /// Records that no branch fits, and the violations of the branch that was meant.
    pub(super) fn record_branches(
        &self,
        root: usize,
        error: &ValidationError<'_>,
        branches: &Branches,
        sink: &mut ViolationSink<'_>,
    ) {
        let keyword = error.kind().keyword();
        let quantity = if keyword == "anyOf" { "at least one branch" } else { "one branch" };
        let mut violation = self.violation(root, error);
        let chosen = self.choose(root, error, branches);
        let hint = match &chosen {
            BranchChoice::Named(index, discriminator) => {
                format!("; its property {} names branch {index}", quoted(&discriminator.property))
            }
            BranchChoice::Unnamed(discriminator) => {
                format!("; its property {} names none of them", quoted(&discriminator.property))
            }
            BranchChoice::Closest(index) => format!("; branch {index} comes closest"),
            BranchChoice::None => String::new(),
        };
        let path = error.instance_path().as_str();
        let (label, found) = (self.value.label(path), found(&self.value, path));
        violation.message = format!("{label} must conform to {quantity} of {keyword}{found}{hint}");
        sink.add(violation);
        if let BranchChoice::Named(index, _) | BranchChoice::Closest(index) = chosen {
            for error in branches.get(index).into_iter().flatten() {
                self.record_error(root, error, sink);
                if sink.is_full() {
                    return;
                }
            }
        }
    }

    fn choose<'s>(
        &'s self,
        root: usize,
        error: &ValidationError<'_>,
        branches: &Branches,
    ) -> BranchChoice<'s> {
        if self.stopped_early {
            return BranchChoice::None;
        }
        let path = error.schema_path().as_str();
        let schema = pointer::split_last(path).map_or("", |(parent, _)| parent);
        let (schema, _) = self.value.schemas.locate(root, schema);
        if let Some(discriminator) = self.value.schemas.discriminator(&schema) {
            let node = self.value.part(error.instance_path().as_str());
            let value = node.and_then(|node| node.get(&discriminator.property)?.as_str());
            match value.map(|value| discriminator.branch(value)) {
                Some(Some(index)) if index < branches.len() => {
                    return BranchChoice::Named(index, discriminator);
                }
                Some(_) => return BranchChoice::Unnamed(discriminator),
                None => {}
            }
        }
        let here = error.instance_path().as_str();
        let scored = branches.iter().enumerate().filter(|(_, errors)| !errors.is_empty());
        let best = scored.min_by_key(|(_, errors)| distance(errors, here));
        match best {
            Some((index, errors)) if distance(errors, here).0 == 0 => BranchChoice::Closest(index),
            _ => BranchChoice::None,
        }
    }
}

/// How far a value is from a branch: first whether it is of another kind altogether (another type,
/// or another value of a property that tells branches apart), then by how many rules.
fn distance(errors: &[ValidationError<'_>], here: &str) -> (usize, usize, usize) {
    let mut kinds = 0;
    let mut constants = 0;
    for error in errors {
        let at = error.instance_path().as_str();
        let inner = at.strip_prefix(here).unwrap_or(at);
        match error.kind() {
            Kind::Type { .. } | Kind::FalseSchema if inner.is_empty() => kinds += 1,
            Kind::Constant { .. } | Kind::Enum { .. } if inner.matches('/').count() <= 1 => {
                constants += 1;
            }
            _ => {}
        }
    }
    (kinds, constants, errors.len())
}
