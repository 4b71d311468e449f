//! The XML tree: elements, attributes and character data, nothing that reading values does not need.

use quick_xml::NsReader;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;

/// Attributes of one element, and namespace declarations in scope, that are read.
const MAX_NAMES: usize = 256;

/// The namespace of `xsi:nil` and its kin, which say how an element is written.
const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element with everything in it.
#[derive(Debug, Default)]
pub(super) struct XmlElement {
    /// Name without prefix.
    pub(super) name: Box<str>,
    namespace: Option<Box<str>>,
    pub(super) attributes: Vec<XmlAttribute>,
    pub(super) children: Vec<XmlElement>,
    /// Character data of the element itself, in one piece.
    pub(super) text: String,
    /// `xsi:nil="true"`.
    pub(super) is_nil: bool,
}

/// An attribute that is no namespace declaration.
#[derive(Debug)]
pub(super) struct XmlAttribute {
    /// Name without prefix.
    pub(super) name: Box<str>,
    namespace: Option<Box<str>>,
    pub(super) value: Box<str>,
}

/// Why there is no tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum XmlFailure {
    /// Not well-formed.
    Malformed,
    /// Nested deeper, or with more names, than is read.
    TooDeep,
    /// A document type declaration, or an entity that only one could declare.
    Declarations,
}

/// Reads a whole text. No recursion; memory linear in the text.
pub(super) fn parse(text: &str, max_depth: usize) -> Result<XmlElement, XmlFailure> {
    let mut reader = NsReader::from_str(text);
    let mut open: Vec<(XmlElement, usize)> = Vec::new();
    let mut root = None;
    let mut in_scope = 0;
    loop {
        match reader.read_event().map_err(|_| XmlFailure::Malformed)? {
            Event::Start(start) => {
                let (element, declared) = begin(&reader, &start)?;
                in_scope += declared;
                if open.len() >= max_depth || in_scope > MAX_NAMES {
                    return Err(XmlFailure::TooDeep);
                }
                open.push((element, declared));
            }
            Event::Empty(start) => {
                let (element, _) = begin(&reader, &start)?;
                attach(element, &mut open, &mut root)?;
            }
            Event::End(_) => {
                let (element, declared) = open.pop().ok_or(XmlFailure::Malformed)?;
                in_scope -= declared;
                attach(element, &mut open, &mut root)?;
            }
            Event::Text(text) => append(&mut open, &text.xml10_content())?,
            Event::CData(text) => append(&mut open, &text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let char = reference.resolve_char_ref().map_err(|_| XmlFailure::Malformed)?;
                let char = char.or_else(|| match &*reference.xml10_content() {
                    "lt" => Some('<'),
                    "gt" => Some('>'),
                    "amp" => Some('&'),
                    "apos" => Some('\''),
                    "quot" => Some('"'),
                    _ => None,
                });
                let char = char.ok_or(XmlFailure::Declarations)?;
                append(&mut open, char.encode_utf8(&mut [0; 4]))?;
            }
            Event::DocType(_) => return Err(XmlFailure::Declarations),
            Event::Eof => break,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    if open.is_empty() { root.ok_or(XmlFailure::Malformed) } else { Err(XmlFailure::Malformed) }
}

fn attach(
    element: XmlElement,
    open: &mut [(XmlElement, usize)],
    root: &mut Option<XmlElement>,
) -> Result<(), XmlFailure> {
    match open.last_mut() {
        Some((parent, _)) => parent.children.push(element),
        None if root.is_none() => *root = Some(element),
        None => return Err(XmlFailure::Malformed),
    }
    Ok(())
}

fn append(open: &mut [(XmlElement, usize)], text: &str) -> Result<(), XmlFailure> {
    match open.last_mut() {
        Some((element, _)) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(XmlFailure::Malformed),
    }
    Ok(())
}

/// An element as its start tag says, and how many namespaces it declares.
fn begin(
    reader: &NsReader<&[u8]>,
    start: &BytesStart<'_>,
) -> Result<(XmlElement, usize), XmlFailure> {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    let mut element = XmlElement {
        name: name.into_inner().into(),
        namespace: namespace_of(&namespace),
        ..XmlElement::default()
    };
    let mut declared = 0;
    for (at, attribute) in start.attributes().with_checks(false).enumerate() {
        if at >= MAX_NAMES {
            return Err(XmlFailure::TooDeep);
        }
        let attribute = attribute.map_err(|_| XmlFailure::Malformed)?;
        if attribute.key.as_namespace_binding().is_some() {
            declared += 1;
            continue;
        }
        let version = quick_xml::XmlVersion::Implicit1_0;
        let value = attribute.normalized_value(version).map_err(|_| XmlFailure::Declarations)?;
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        let namespace = namespace_of(&namespace);
        if namespace.as_deref() == Some(SCHEMA_INSTANCE) {
            element.is_nil |= name.into_inner() == "nil" && matches!(value.trim(), "true" | "1");
            continue;
        }
        if attribute.key.prefix().is_some_and(|prefix| prefix.into_inner() == "xml") {
            continue;
        }
        let name = name.into_inner().into();
        element.attributes.push(XmlAttribute { name, namespace, value: value.into() });
    }
    Ok((element, declared))
}

fn namespace_of(resolved: &ResolveResult<'_>) -> Option<Box<str>> {
    match resolved {
        ResolveResult::Bound(namespace) => Some(namespace.into_inner().into()),
        _ => None,
    }
}

// === impl XmlElement ===

impl XmlElement {
    /// Whether this is the element of that name; any namespace will do where none is asked for.
    pub(super) fn is_named(&self, name: &str, namespace: Option<&str>) -> bool {
        *self.name == *name
            && namespace.is_none_or(|asked| self.namespace.as_deref() == Some(asked))
    }
}

// === impl XmlAttribute ===

impl XmlAttribute {
    /// Whether this is the attribute of that name.
    pub(super) fn is_named(&self, name: &str, namespace: Option<&str>) -> bool {
        // An attribute without a prefix is in no namespace, whatever its element is in.
        let namespace = namespace.filter(|_| self.namespace.is_some());
        *self.name == *name
            && namespace.is_none_or(|asked| self.namespace.as_deref() == Some(asked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_parsed() {
        let text = "<?xml version='1.0'?><!-- c --><p:a xmlns:p='u' xmlns='v' x='1&lt;' p:y='2'>\
                    t&amp;<![CDATA[<b>]]>&#x41;<b/><c xmlns:i='http://www.w3.org/2001/XMLSchema-instance' i:nil='true'/></p:a>";
        let root = parse(text, 10).unwrap();
        assert!(root.is_named("a", Some("u")) && !root.is_named("a", Some("v")));
        assert_eq!(root.text, "t&<b>A");
        assert_eq!(&*root.attributes[0].value, "1<");
        assert!(root.attributes[1].is_named("y", Some("u")));
        assert!(root.children[0].is_named("b", Some("v")));
        assert!(root.children[1].is_nil);
    }

    #[test]
    fn hostile_xml_is_refused() {
        assert_eq!(parse("<a><b></a></b>", 10).unwrap_err(), XmlFailure::Malformed);
        assert_eq!(parse("<a/><b/>", 10).unwrap_err(), XmlFailure::Malformed);
        assert_eq!(parse("", 10).unwrap_err(), XmlFailure::Malformed);
        assert_eq!(parse(&"<a>".repeat(11), 10).unwrap_err(), XmlFailure::TooDeep);
        let bomb = "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>";
        assert_eq!(parse(bomb, 10).unwrap_err(), XmlFailure::Declarations);
        assert_eq!(parse("<a>&x;</a>", 10).unwrap_err(), XmlFailure::Declarations);
    }
}
