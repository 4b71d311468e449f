//! What is known of a schema's values before any is seen.
//!
//! Parameters, form fields and XML carry text: what a text means depends on its schema. A
//! [`Shape`] holds which types a value may have, what its properties and items are and how XML
//! writes it, through every `$ref`, `allOf`, `oneOf` and `anyOf`. It never validates, and where
//! branches differ it knows the union of them.

mod build;
mod types;

use std::collections::BTreeMap;

use regex::Regex;

pub(super) use build::ShapeBuilder;
pub use types::Types;

/// A shape of a [`Shapes`] store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShapeId(u32);

/// All shapes of one contract. Recursive schemas have recursive shapes.
#[derive(Debug, Default)]
pub struct Shapes {
    known: Vec<ShapeData>,
}

/// What is known of a schema's values.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'s> {
    shapes: &'s Shapes,
    known: &'s ShapeData,
}

/// How XML writes a value: OpenAPI's XML object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct XmlShape {
    /// Element or attribute name; the property's own name where there is none.
    pub name: Option<Box<str>>,
    /// URI of the namespace.
    pub namespace: Option<Box<str>>,
    /// Prefix of the name.
    pub prefix: Option<Box<str>>,
    /// Written as an attribute of the element around it.
    pub attribute: bool,
    /// Written as the text of the element around it.
    pub text: bool,
    /// The items of an array are inside an element of the array's own.
    pub wrapped: bool,
}

#[derive(Debug)]
struct ShapeData {
    types: Types,
    format: Option<Box<str>>,
    content_encoding: Option<Box<str>>,
    content_media_type: Option<Box<str>>,
    properties: BTreeMap<Box<str>, ShapeId>,
    patterns: Vec<(NamePattern, ShapeId)>,
    additional: Additional,
    prefix_items: Vec<ShapeId>,
    items: Option<ShapeId>,
    required: Vec<Box<str>>,
    xml: Option<XmlShape>,
    /// The empty string is among the values that the document lists.
    names_empty_text: bool,
}

/// What the document says of properties it does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additional {
    /// Nothing.
    Unspecified,
    /// There are none.
    Closed,
    /// There may be any.
    Open,
    /// There may be such.
    Like(ShapeId),
}

#[derive(Debug)]
enum NamePattern {
    Regex(Box<Regex>),
    /// Not for the linear engine: taken to match any name, so that nothing is called undeclared
    /// by mistake.
    Unknown,
}

// === impl ShapeId ===

impl ShapeId {
    /// The shape of no schema: it allows everything and names nothing.
    pub const ANY: Self = Self(u32::MAX);
}

// === impl Shapes ===

impl Shapes {
    /// The shape behind `id`, which this store gave out.
    pub fn get(&self, id: ShapeId) -> Shape<'_> {
        static ANY_DATA: ShapeData = ShapeData::any();
        Shape { shapes: self, known: self.known.get(id.0 as usize).unwrap_or(&ANY_DATA) }
    }
}

// === impl Shape ===

impl<'s> Shape<'s> {
    /// The types that values may have; all of them where the schema does not say.
    pub fn types(&self) -> Types {
        self.known.types
    }

    /// The `format`, the first one found.
    pub fn format(&self) -> Option<&'s str> {
        self.known.format.as_deref()
    }

    /// The `contentEncoding`.
    pub fn content_encoding(&self) -> Option<&'s str> {
        self.known.content_encoding.as_deref()
    }

    /// The `contentMediaType`.
    pub fn content_media_type(&self) -> Option<&'s str> {
        self.known.content_media_type.as_deref()
    }

    /// What the document says of a property: by its name, by a pattern, or of all others.
    pub fn property(&self, name: &str) -> Option<Shape<'s>> {
        let known = self.known;
        let named = known.properties.get(name).copied();
        let found = named.or_else(|| self.matching(name)).or(match known.additional {
            Additional::Like(id) => Some(id),
            _ => None,
        });
        found.map(|id| self.shapes.get(id))
    }

    /// Whether the document allows a property by name, by a pattern, or by saying that there may
    /// be others.
    pub fn declares(&self, name: &str) -> bool {
        self.known.properties.contains_key(name)
            || matches!(self.known.additional, Additional::Open | Additional::Like(_))
            || self.matching(name).is_some()
    }

    /// The properties that the document names, by name.
    pub fn properties(&self) -> impl Iterator<Item = (&'s str, Shape<'s>)> + use<'s> {
        let shapes = self.shapes;
        self.known.properties.iter().map(move |(name, id)| (&**name, shapes.get(*id)))
    }

    /// Whether the document names any property.
    pub fn has_properties(&self) -> bool {
        !self.known.properties.is_empty()
    }

    /// What the document says of properties it does not name.
    pub fn additional(&self) -> Option<Shape<'s>> {
        match self.known.additional {
            Additional::Like(id) => Some(self.shapes.get(id)),
            _ => None,
        }
    }

    /// Whether properties that are not named are forbidden.
    pub fn is_closed(&self) -> bool {
        self.known.additional == Additional::Closed
    }

    /// Whether some branch requires a property.
    pub fn requires(&self, name: &str) -> bool {
        self.known.required.iter().any(|required| &**required == name)
    }

    /// The shape of an array's item, counted from zero.
    pub fn item(&self, index: usize) -> Option<Shape<'s>> {
        let id = self.known.prefix_items.get(index).copied().or(self.known.items)?;
        Some(self.shapes.get(id))
    }

    /// How XML writes the value.
    pub fn xml(&self) -> Option<&'s XmlShape> {
        self.known.xml.as_ref()
    }

    /// Whether a property of this name is declared by its name or a pattern.
    pub fn names_property(&self, name: &str) -> bool {
        self.known.properties.contains_key(name) || self.matching(name).is_some()
    }

    /// Whether the document says that there may be properties it does not name.
    pub fn allows_others(&self) -> bool {
        matches!(self.known.additional, Additional::Open | Additional::Like(_))
    }

    /// Whether the document says nothing about properties at all: any is as good as declared.
    pub fn is_free_form(&self) -> bool {
        self.known.properties.is_empty()
            && self.known.patterns.is_empty()
            && self.known.additional == Additional::Unspecified
    }

    /// Whether the document names the empty string as a value: by `enum`, `const` or `default`.
    pub fn names_empty_text(&self) -> bool {
        self.known.names_empty_text
    }

    /// Whether it is raw bytes.
    pub fn is_binary(&self) -> bool {
        self.known.format.as_deref() == Some("binary")
            || self.known.content_media_type.is_some() && self.known.content_encoding.is_none()
    }

    /// The shape of no schema, for what the document does not describe.
    #[must_use]
    pub fn unknown(&self) -> Shape<'s> {
        self.shapes.get(ShapeId::ANY)
    }

    fn matching(&self, name: &str) -> Option<ShapeId> {
        let mut patterns = self.known.patterns.iter();
        patterns.find(|(pattern, _)| pattern.matches(name)).map(|(_, id)| *id)
    }
}

// === impl NamePattern ===

impl NamePattern {
    fn new(pattern: &str) -> Self {
        Regex::new(pattern).map_or(Self::Unknown, |regex| Self::Regex(Box::new(regex)))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(name),
            Self::Unknown => true,
        }
    }
}

// === impl ShapeData ===

impl ShapeData {
    const fn any() -> Self {
        Self {
            types: Types::ANY,
            format: None,
            content_encoding: None,
            content_media_type: None,
            properties: BTreeMap::new(),
            patterns: Vec::new(),
            additional: Additional::Unspecified,
            prefix_items: Vec::new(),
            items: None,
            required: Vec::new(),
            xml: None,
            names_empty_text: false,
        }
    }
}

#[cfg(test)]
mod tests;
