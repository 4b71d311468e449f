//! How a value is written into a parameter, a header or a form field: style and explode.
//!
//! Invariants: every row of the specification's style table, with its defaults, decided
//! once at registration. Combinations that the specification leaves undefined are read the way
//! their closest defined neighbour is, and never refused.

use serde_json::Value;
use smallvec::SmallVec;

/// The extension under which an upgraded Swagger 2.0 document keeps `collectionFormat`.
pub const COLLECTION_FORMAT: &str = "x-cvt-collection-format";

/// Where a parameter is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are OpenAPI's own")]
pub enum ParameterLocation {
    Path,
    Query,
    /// The whole query string as one value (OpenAPI 3.2).
    QueryString,
    Header,
    Cookie,
}

/// The style of the specification, or the separator of a Swagger 2.0 collection format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are OpenAPI's own")]
pub enum Style {
    Matrix,
    Label,
    Simple,
    Form,
    /// `form` without percent-encoding (OpenAPI 3.2).
    Cookie,
    SpaceDelimited,
    PipeDelimited,
    DeepObject,
    /// `collectionFormat: tsv`.
    TabDelimited,
}

/// Style, explode and what follows from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serialization {
    /// The style.
    pub style: Style,
    /// Whether members of arrays and objects are written apart.
    pub explode: bool,
    /// Whether the document says `allowReserved: false` in so many words.
    pub reserved_refused: bool,
    /// The table up to 3.0.3 and in 3.1.0 separated the members of an unexploded `label` by
    /// dots; later ones by commas. Both are read where the document is that old.
    pub dotted_label: bool,
    /// Separators of arrays in arrays (Swagger 2.0), outermost first.
    pub nested: SmallVec<[char; 2]>,
}

// === impl ParameterLocation ===

impl ParameterLocation {
    /// Reads the `in` of a parameter.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "path" => Self::Path,
            "query" => Self::Query,
            "querystring" => Self::QueryString,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            _ => return None,
        })
    }
}

// === impl Serialization ===

impl Serialization {
    /// Reads a parameter, header or encoding object with the defaults of its location.
    pub fn of(object: &Value, location: ParameterLocation, openapi_version: &str) -> Self {
        let text = |key: &str| object.get(key).and_then(Value::as_str);
        let default = match location {
            ParameterLocation::Path | ParameterLocation::Header => Style::Simple,
            _ => Style::Form,
        };
        let style = text("style").and_then(Style::parse).unwrap_or(default);
        let explode = object.get("explode").and_then(Value::as_bool);
        let mut serialization = Self {
            style,
            explode: explode.unwrap_or(matches!(style, Style::Form | Style::Cookie)),
            reserved_refused: object.get("allowReserved") == Some(&Value::Bool(false)),
            dotted_label: is_older_text(openapi_version),
            nested: SmallVec::new(),
        };
        if let Some(format) = text(COLLECTION_FORMAT) {
            serialization.collection_format(format, location);
            serialization.nested = nested_separators(object.get("schema").unwrap_or(object));
        }
        serialization
    }

    fn collection_format(&mut self, format: &str, location: ParameterLocation) {
        let plain = match location {
            ParameterLocation::Path | ParameterLocation::Header => Style::Simple,
            _ => Style::Form,
        };
        (self.style, self.explode) = match format {
            "multi" => (Style::Form, true),
            "ssv" => (Style::SpaceDelimited, false),
            "tsv" => (Style::TabDelimited, false),
            "pipes" => (Style::PipeDelimited, false),
            _ => (plain, false),
        };
    }

    /// What separates the members of an unexploded array or object.
    pub fn separator(&self) -> char {
        match self.style {
            Style::SpaceDelimited => ' ',
            Style::PipeDelimited => '|',
            Style::TabDelimited => '\t',
            _ => ',',
        }
    }

    /// Whether every item of an array has a key of its own.
    pub fn repeats_key(&self) -> bool {
        let repeats = matches!(
            self.style,
            Style::Form
                | Style::Cookie
                | Style::SpaceDelimited
                | Style::PipeDelimited
                | Style::TabDelimited
        );
        self.explode && repeats
    }
}

/// Whether a document follows the texts before 3.0.4 and 3.1.1, which revised the style table.
pub(super) fn is_older_text(version: &str) -> bool {
    matches!(version, "3.0.0" | "3.0.1" | "3.0.2" | "3.0.3" | "3.1.0")
}

fn nested_separators(schema: &Value) -> SmallVec<[char; 2]> {
    let mut separators = SmallVec::new();
    let mut schema = schema.get("items");
    while let Some(inner) =
        schema.filter(|s| s.get("type").and_then(Value::as_str) == Some("array"))
    {
        let format = [COLLECTION_FORMAT, "collectionFormat"].iter().find_map(|key| inner.get(*key));
        separators.push(match format.and_then(Value::as_str) {
            Some("ssv") => ' ',
            Some("tsv") => '\t',
            Some("pipes") => '|',
            _ => ',',
        });
        schema = inner.get("items");
    }
    separators
}

// === impl Style ===

impl Style {
    /// The style as documents write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matrix => "matrix",
            Self::Label => "label",
            Self::Simple => "simple",
            Self::Form => "form",
            Self::Cookie => "cookie",
            Self::SpaceDelimited => "spaceDelimited",
            Self::PipeDelimited => "pipeDelimited",
            Self::DeepObject => "deepObject",
            Self::TabDelimited => "tabDelimited",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "matrix" => Self::Matrix,
            "label" => Self::Label,
            "simple" => Self::Simple,
            "form" => Self::Form,
            "cookie" => Self::Cookie,
            "spaceDelimited" => Self::SpaceDelimited,
            "pipeDelimited" => Self::PipeDelimited,
            "deepObject" => Self::DeepObject,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_follow_the_location() {
        let of = |location| Serialization::of(&json!({}), location, "3.1.1");
        let path = of(ParameterLocation::Path);
        assert_eq!((path.style, path.explode), (Style::Simple, false));
        let cookie = of(ParameterLocation::Cookie);
        assert_eq!((cookie.style, cookie.explode), (Style::Form, true));
        let spaced = json!({"style": "spaceDelimited"});
        let spaced = Serialization::of(&spaced, ParameterLocation::Query, "3.1.1");
        assert_eq!((spaced.separator(), spaced.repeats_key()), (' ', false));
    }

    #[test]
    fn collection_formats_nest() {
        let parameter = json!({
            COLLECTION_FORMAT: "tsv",
            "schema": {"type": "array", "items": {
                "type": "array", "collectionFormat": "pipes",
                "items": {"type": "array", "items": {"type": "string"}}
            }}
        });
        let read = Serialization::of(&parameter, ParameterLocation::Query, "3.0.3");
        assert_eq!((read.separator(), read.nested.as_slice()), ('\t', &['|', ','][..]));
        let multi = json!({COLLECTION_FORMAT: "multi"});
        assert!(Serialization::of(&multi, ParameterLocation::Query, "3.0.3").repeats_key());
    }

    #[test]
    fn older_versions_separate_labels_by_dots() {
        let label = json!({"style": "label"});
        assert!(Serialization::of(&label, ParameterLocation::Path, "3.1.0").dotted_label);
        assert!(!Serialization::of(&label, ParameterLocation::Path, "3.0.4").dotted_label);
    }
}
