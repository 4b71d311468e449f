//! What a violation is about: the part of the message, called by its name.

use std::sync::Arc;

use crate::contract::schema::SchemaSet;
use crate::json::{Node, pointer};
use crate::model::violation::{Location, ViolationCode};
use crate::redaction::Redactor;
use crate::validation::names::{part_of_message, quoted};

/// The code and name that the violations of a value get.
#[derive(Debug, Clone)]
pub struct ViolationSubject {
    /// The code that violations get.
    pub code: ViolationCode,
    /// The documented name of the parameter or header.
    pub name: Option<Arc<str>>,
    /// Pointer to the value in the body, where it is one of several.
    pub prefix: String,
    /// Decides which names that callers invent are shown.
    pub redactor: Arc<Redactor>,
}

/// A value whose violations are recorded.
#[derive(Clone, Copy)]
pub(super) struct InspectedValue<'e> {
    pub(super) schemas: &'e SchemaSet,
    pub(super) subject: &'e ViolationSubject,
    /// The whole value, to find the parts that errors refer to.
    pub(super) whole: Node<'e>,
}

/// One step from a value into a part of it.
enum InstanceStep {
    Item(String),
    Property(Option<String>),
}

// === impl ViolationSubject ===

impl ViolationSubject {
    /// The whole value.
    fn label(&self) -> String {
        match self.prefix.strip_prefix('/') {
            Some(item) => format!("item {item} of the body"),
            None => part_of_message(self.code.location, self.name.as_deref()),
        }
    }
}

// === impl InspectedValue ===

impl<'e> InspectedValue<'e> {
    /// The part of the value that an error's path leads to.
    pub(super) fn part(&self, path: &str) -> Option<Node<'e>> {
        inner_tokens(path)
            .try_fold(self.whole, |node, token| child(node, &pointer::unescape(token)))
    }

    /// The pointer to a part in the message, without names that the document does not declare.
    pub(super) fn pointer(&self, path: &str) -> String {
        let mut shown = self.subject.prefix.clone();
        let mut node = Some(self.whole);
        for token in inner_tokens(path) {
            let token = pointer::unescape(token);
            let in_array = node.is_some_and(|node| node.is_array());
            node = node.and_then(|node| child(node, &token));
            if in_array || self.schemas.declares_name(&token) {
                pointer::push_token(&mut shown, &token);
            } else {
                shown.push_str("/*");
            }
        }
        shown
    }

    /// A part as the subject of a sentence: `property "price"`, `item 3 of property "tags"`.
    pub(super) fn label(&self, path: &str) -> String {
        let mut steps = Vec::new();
        let mut node = Some(self.whole);
        for token in inner_tokens(path) {
            let token = pointer::unescape(token);
            let in_array = node.is_some_and(|node| node.is_array());
            node = node.and_then(|node| child(node, &token));
            steps.push(if in_array {
                InstanceStep::Item(token.into_owned())
            } else {
                InstanceStep::Property(self.may_show(&token).then(|| quoted(&token)))
            });
        }
        self.label_of(&steps)
    }

    /// Whether a property's name may be shown.
    pub(super) fn may_show(&self, name: &str) -> bool {
        self.schemas.declares_name(name) || self.subject.redactor.may_show_name(name)
    }

    /// Steps up to and with the last property that has a name.
    fn label_of(&self, steps: &[InstanceStep]) -> String {
        const SHOWN_STEPS: usize = 4;
        let mut parts = Vec::new();
        let mut is_named = false;
        for step in steps.iter().rev().take(SHOWN_STEPS) {
            match step {
                InstanceStep::Item(index) => parts.push(format!("item {index}")),
                InstanceStep::Property(None) => parts.push("a property".to_owned()),
                InstanceStep::Property(Some(name)) => {
                    parts.push(format!("property {name}"));
                    is_named = true;
                    break;
                }
            }
        }
        let in_body =
            self.subject.code.location == Location::Body && self.subject.prefix.is_empty();
        if !in_body || !is_named && parts.len() == steps.len() {
            parts.push(self.subject.label());
        }
        parts.join(" of ")
    }
}

/// The tokens of an error's path within the value: the first one leads into it.
fn inner_tokens(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(2)
}

fn child<'a>(node: Node<'a>, token: &str) -> Option<Node<'a>> {
    if node.is_array() { node.items().nth(token.parse().ok()?) } else { node.get(token) }
}
