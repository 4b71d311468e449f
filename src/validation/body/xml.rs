//! XML bodies, read the way the `xml` objects of their schema say.
//!
//! Invariants: no document type declaration is ever followed and no entity but the five of
//! XML is expanded (a body that needs more is not validated); depth is bounded; prefixes mean
//! nothing, names and namespaces do.

mod tree;

use super::undeclared;
use crate::contract::shape::{Shape, Types};
use crate::json::{Arena, NodeId};
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::ViolationKind;
use crate::validation::media_type::BodyContext;
use crate::validation::names::quoted;
use crate::validation::value::{ReadingOutcome, record_outcome, try_readings};
use crate::validation::value_reader::{ReadAttempts, ValueKind, ValueReader};
use crate::validation::verdict_builder::VerdictBuilder;

use tree::{XmlElement, XmlFailure};

pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let depth = usize::try_from(arena.max_depth()).unwrap_or(usize::MAX) / 2;
    let root = match tree::parse(text, depth) {
        Ok(root) => root,
        Err(XmlFailure::Malformed) => {
            let message = "the body is not well-formed XML";
            return verdict.add(context.rule(), ViolationKind::Malformed, message);
        }
        Err(XmlFailure::TooDeep) => return verdict.skip(SkipReason::WorkBudget),
        Err(XmlFailure::Declarations) => return verdict.skip(SkipReason::UnsupportedMediaType),
    };
    let media = context.media;
    if media.schema.is_none() {
        return;
    }
    let shape = verdict.contract.shapes().get(media.shape);
    if let Some(xml) = shape.xml()
        && xml.name.is_some()
        && !root.is_named(xml.name.as_deref().unwrap_or_default(), xml.namespace.as_deref())
    {
        let named = quoted(xml.name.as_deref().unwrap_or_default());
        let message = format!("the root element of the body must be {named}");
        return verdict.add(context.rule(), ViolationKind::Malformed, message);
    }
    let outcome =
        try_readings(arena, verdict, media.schema, ReadAttempts::of(ValueKind::Object), |reader| {
            Ok(reader.xml_element(shape, &root))
        });
    record_outcome(arena, verdict, media.schema, context.rule(), outcome);
    if let ReadingOutcome::Accepted(id) | ReadingOutcome::Refused(id) = outcome {
        verdict.observe_body(id);
        if verdict.contract.is_strict(Rule::UndeclaredFields) {
            undeclared::record(verdict, context.rule(), shape, arena.node(id));
        }
    }
}

// === impl ValueReader ===

impl ValueReader<'_> {
    /// Writes an element as the value that `shape` allows it to be. Recursion ends with the
    /// bound on depth.
    fn xml_element(&mut self, shape: Shape<'_>, element: &XmlElement) -> NodeId {
        if element.is_nil {
            return self.arena.null();
        }
        let types = shape.types();
        let is_composite = !element.children.is_empty() || !element.attributes.is_empty();
        let object = types.intersects(Types::OBJECT)
            && (!types.any_scalar() || is_composite || shape.has_properties());
        if object && (!types.intersects(Types::ARRAY) || is_composite || types.is_any()) {
            return self.xml_object(shape, element);
        }
        if types.intersects(Types::ARRAY) && !types.any_scalar() {
            return self.xml_items(shape, element.children.iter());
        }
        let text = element.text.as_str();
        let keeps_space = types.intersects(Types::STRING);
        self.scalar(shape, if keeps_space { text } else { text.trim() })
    }

    fn xml_object(&mut self, shape: Shape<'_>, element: &XmlElement) -> NodeId {
        self.arena.begin_object();
        let mut taken = vec![false; element.children.len()];
        let mut taken_attributes = vec![false; element.attributes.len()];
        for (name, property) in shape.properties() {
            let xml = property.xml();
            let own = xml.and_then(|xml| xml.name.as_deref()).unwrap_or(name);
            let namespace = xml.and_then(|xml| xml.namespace.as_deref());
            if xml.is_some_and(|xml| xml.attribute) {
                let found = element.attributes.iter().position(|one| one.is_named(own, namespace));
                if let Some(at) = found {
                    taken_attributes[at] = true;
                    self.arena.key(name);
                    self.scalar(property, &element.attributes[at].value);
                }
                continue;
            }
            let types = property.types();
            if xml.is_some_and(|xml| xml.text) {
                self.arena.key(name);
                let keeps_space = types.intersects(Types::STRING);
                let text = element.text.as_str();
                self.scalar(property, if keeps_space { text } else { text.trim() });
                continue;
            }
            if types.intersects(Types::ARRAY) && !types.any_scalar() {
                self.array_property(shape, name, property, element, &mut taken);
                continue;
            }
            let matching = element.children.iter().enumerate();
            let matching = matching.filter(|(_, child)| child.is_named(own, namespace));
            let found: Vec<usize> = matching.map(|(at, _)| at).collect();
            self.member(name, property, element, &found);
            for at in &found {
                taken[*at] = true;
            }
        }
        self.others(shape, element, &taken, &taken_attributes);
        self.arena.end()
    }

    /// A property with the elements found for it; several are an array, which its schema refuses.
    fn member(&mut self, name: &str, shape: Shape<'_>, parent: &XmlElement, found: &[usize]) {
        match found {
            [] => {}
            [one] => {
                self.arena.key(name);
                self.xml_element(shape, &parent.children[*one]);
            }
            many => {
                self.arena.key(name);
                self.arena.begin_array();
                for at in many {
                    self.xml_element(shape, &parent.children[*at]);
                }
                self.arena.end();
            }
        }
    }

    /// An array: its items stand in an element of its own where it is `wrapped`, else among the
    /// children of its parent.
    fn array_property(
        &mut self,
        parent_shape: Shape<'_>,
        name: &str,
        shape: Shape<'_>,
        parent: &XmlElement,
        taken: &mut [bool],
    ) {
        let xml = shape.xml();
        let own = xml.and_then(|xml| xml.name.as_deref()).unwrap_or(name);
        let namespace = xml.and_then(|xml| xml.namespace.as_deref());
        if xml.is_some_and(|xml| xml.wrapped) {
            let found = parent.children.iter().position(|child| child.is_named(own, namespace));
            if let Some(at) = found {
                taken[at] = true;
                self.arena.key(name);
                self.xml_items(shape, parent.children[at].children.iter());
            }
            return;
        }
        let item = shape.item(0).unwrap_or(shape.unknown());
        let named = item.xml().and_then(|xml| xml.name.as_deref());
        let item_space = item.xml().and_then(|xml| xml.namespace.as_deref());
        let matches = |child: &XmlElement| match named {
            Some(named) => child.is_named(named, item_space),
            None => child.is_named(own, namespace) || child.is_named(name, namespace),
        };
        let found: Vec<usize> = parent
            .children
            .iter()
            .enumerate()
            .filter(|(_, child)| matches(child))
            .map(|(at, _)| at)
            .collect();
        for at in &found {
            taken[*at] = true;
        }
        if found.is_empty() {
            // No element at all is how an empty array is written, and an absent one.
            self.ambiguities.has_lenient = true;
            if self.attempt.lenient != parent_shape.requires(name) {
                self.arena.key(name);
                self.arena.begin_array();
                self.arena.end();
            }
            return;
        }
        self.arena.key(name);
        self.xml_items(shape, found.iter().map(|at| &parent.children[*at]));
    }

    fn xml_items<'e>(
        &mut self,
        shape: Shape<'_>,
        items: impl Iterator<Item = &'e XmlElement>,
    ) -> NodeId {
        self.arena.begin_array();
        for (at, item) in items.enumerate() {
            self.xml_element(shape.item(at).unwrap_or(shape.unknown()), item);
        }
        self.arena.end()
    }

    /// Writes what no property of the schema names under its own name.
    fn others(
        &mut self,
        shape: Shape<'_>,
        element: &XmlElement,
        taken: &[bool],
        taken_attributes: &[bool],
    ) {
        for (attribute, taken) in element.attributes.iter().zip(taken_attributes) {
            if !taken {
                self.arena.key(&attribute.name);
                let property = shape.property(&attribute.name).unwrap_or(shape.unknown());
                self.scalar(property, &attribute.value);
            }
        }
        let mut rest: Vec<&XmlElement> = element
            .children
            .iter()
            .zip(taken)
            .filter(|(_, taken)| !**taken)
            .map(|(child, _)| child)
            .collect();
        rest.sort_by(|a, b| a.name.cmp(&b.name));
        for run in rest.chunk_by(|a, b| a.name == b.name) {
            let Some(first) = run.first() else { continue };
            let property = shape.property(&first.name).unwrap_or(shape.unknown());
            self.arena.key(&first.name);
            if let [one] = run {
                self.xml_element(property, one);
            } else {
                self.xml_items(property, run.iter().copied());
            }
        }
    }
}
