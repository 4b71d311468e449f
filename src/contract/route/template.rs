//! Path templates: literal and templated segments.

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;
use thiserror::Error;

/// Segments a template may have; deeper ones are refused, as the trie is walked recursively.
const MAX_SEGMENTS: usize = 256;

/// The templated parts of the path, as byte ranges, left to right.
pub type Captures = SmallVec<[(usize, usize); 6]>;

/// Why a path of a document is no template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It does not begin with a slash.
    #[error("a path begins with `/`")]
    NoSlash,
    /// Braces that do not pair up, or nothing between them.
    #[error("braces do not pair up, or name no parameter")]
    Braces,
    /// More segments than the engine walks.
    #[error("more than 256 segments")]
    TooDeep,
    /// A query or fragment: requests are matched by their path alone.
    #[error("a query or fragment in a path is never matched; requests are matched by path alone")]
    NotAPath,
}

/// A parsed path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    pub(super) segments: Vec<PathSegment>,
    /// Names of the templated parts, left to right.
    parameters: Vec<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PathSegment {
    /// Decoded literal text.
    Literal(Box<str>),
    /// Literal text around one or more templated parts.
    Pattern(SegmentPattern),
}

/// `prefix{a}between{b}suffix`: always one literal more than there are parts; each may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentPattern {
    literals: SmallVec<[Box<str>; 2]>,
}

// === impl PathTemplate ===

impl PathTemplate {
    /// Reads a key of `paths`.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        if literal_text(rest).any(|literal| literal.contains(['?', '#'])) {
            return Err(TemplateError::NotAPath);
        }
        let mut template = Self { segments: Vec::new(), parameters: Vec::new() };
        for segment in split_outside_braces(rest) {
            if template.segments.len() == MAX_SEGMENTS {
                return Err(TemplateError::TooDeep);
            }
            let segment = template.segment(segment)?;
            template.segments.push(segment);
        }
        Ok(template)
    }

    /// The template that matches the empty base path.
    pub fn empty() -> Self {
        Self { segments: Vec::new(), parameters: Vec::new() }
    }

    /// The template as text.
    pub(super) fn to_text(&self) -> String {
        let mut names = self.parameters.iter();
        let mut text = String::new();
        for segment in &self.segments {
            text.push('/');
            match segment {
                PathSegment::Literal(literal) => text.push_str(literal),
                PathSegment::Pattern(pattern) => {
                    for (at, literal) in pattern.literals.iter().enumerate() {
                        if let Some(name) = (at > 0).then(|| names.next()).flatten() {
                            text.extend(["{", &**name, "}"]);
                        }
                        text.push_str(literal);
                    }
                }
            }
        }
        text
    }

    /// Names of the templated parts, left to right.
    pub fn parameters(&self) -> &[Box<str>] {
        &self.parameters
    }

    /// For each templated part the segment it is in, counted from zero.
    pub fn parameter_segments(&self) -> Vec<usize> {
        let parts = self.segments.iter().enumerate().flat_map(|(at, segment)| {
            let parts = match segment {
                PathSegment::Literal(_) => 0,
                PathSegment::Pattern(pattern) => pattern.literals.len().saturating_sub(1),
            };
            std::iter::repeat_n(at, parts)
        });
        parts.collect()
    }

    /// Whether two parts of a segment follow each other with no text between them.
    pub fn has_adjacent_parameters(&self) -> bool {
        self.segments.iter().any(|segment| match segment {
            PathSegment::Literal(_) => false,
            PathSegment::Pattern(pattern) => {
                let inner = pattern.literals.len().saturating_sub(2);
                pattern.literals.iter().skip(1).take(inner).any(|text| text.is_empty())
            }
        })
    }

    fn segment(&mut self, text: &str) -> Result<PathSegment, TemplateError> {
        let mut literals = SmallVec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, after) = (&rest[..open], &rest[open + 1..]);
            let close = after.find('}').ok_or(TemplateError::Braces)?;
            let name = &after[..close];
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err(TemplateError::Braces);
            }
            literals.push(before.into());
            self.parameters.push(name.into());
            rest = &after[close + 1..];
        }
        if rest.contains('}') {
            return Err(TemplateError::Braces);
        }
        if literals.is_empty() {
            let decoded = percent_decode_str(rest).decode_utf8_lossy();
            return Ok(PathSegment::Literal(decoded.into()));
        }
        literals.push(rest.into());
        Ok(PathSegment::Pattern(SegmentPattern { literals }))
    }
}

/// Splits at slashes outside braces.
fn split_outside_braces(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |c: char| {
        match c {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        c == '/' && !inside
    })
}

/// The text outside braces.
fn literal_text(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').enumerate().map(|(at, part)| match part.split_once('}') {
        Some((_, after)) if at > 0 => after,
        _ if at > 0 => "",
        _ => part,
    })
}

// === impl SegmentPattern ===

impl SegmentPattern {
    /// Literal characters, then how few parts: the order in which patterns are tried.
    pub(super) fn specificity(&self) -> (usize, std::cmp::Reverse<usize>) {
        let literal = self.literals.iter().map(|text| text.len()).sum();
        (literal, std::cmp::Reverse(self.literals.len()))
    }

    /// The literal text before the first part and after the last one.
    pub(super) fn ends(&self) -> (&str, &str) {
        (self.literals.first().map_or("", |t| t), self.literals.last().map_or("", |t| t))
    }

    /// Matches a whole raw segment that begins at `offset` of the path, and records what its
    /// parts captured. Left parts take as much as they can. Linear in the segment times the
    /// number of parts.
    pub(super) fn capture(&self, raw: &str, offset: usize, out: &mut Captures) -> bool {
        let Some((first, rest)) = self.literals.split_first() else { return false };
        let Some((last, between)) = rest.split_last() else { return false };
        let Some(inner) = raw.strip_prefix(&**first) else { return false };
        let Some(inner) = inner.strip_suffix(&**last) else { return false };
        let start = first.len();
        let base = out.len();
        let mut end = inner.len();
        for literal in between.iter().rev() {
            // The last part keeps at least one character, so the literal ends before `end - 1`.
            let Some(at) = last_split(&inner[..end], literal) else {
                out.truncate(base);
                return false;
            };
            out.push((offset + start + at + literal.len(), offset + start + end));
            end = at;
        }
        if end == 0 {
            out.truncate(base);
            return false;
        }
        out.push((offset + start, offset + start + end));
        out[base..].reverse();
        true
    }
}

/// Where `literal` last occurs in `text` with at least one character on either side.
fn last_split(text: &str, literal: &str) -> Option<usize> {
    let last_char = text.char_indices().next_back()?.0;
    let window = &text[..last_char];
    let at = if literal.is_empty() { Some(window.len()) } else { window.rfind(literal) }?;
    (at > 0).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured<'p>(template: &str, segment: &'p str) -> Option<Vec<&'p str>> {
        let template = PathTemplate::parse(template).unwrap();
        let PathSegment::Pattern(pattern) = &template.segments[0] else { panic!("a literal") };
        let mut out = Captures::new();
        pattern
            .capture(segment, 0, &mut out)
            .then(|| out.iter().map(|(from, to)| &segment[*from..*to]).collect())
    }

    #[test]
    fn parts_of_a_segment_are_split_at_the_text_between() {
        assert_eq!(captured("/{name}.{ext}", "a.tar.gz"), Some(vec!["a.tar", "gz"]));
        assert_eq!(captured("/{x}:verb", "12:verb"), Some(vec!["12"]));
        assert_eq!(captured("/v{a}-{b}-z", "v1-2-3-z"), Some(vec!["1-2", "3"]));
        assert_eq!(captured("/{a}{b}", "xyz"), Some(vec!["xy", "z"]));
        assert_eq!(captured("/{name}.{ext}", ".gz"), None);
        assert_eq!(captured("/{name}.{ext}", "a."), None);
        assert_eq!(captured("/{x}:verb", ":verb"), None);
        assert_eq!(captured("/é{x}é", "éüé"), Some(vec!["ü"]));
    }

    #[test]
    fn broken_templates_are_refused() {
        assert_eq!(PathTemplate::parse("a"), Err(TemplateError::NoSlash));
        assert_eq!(PathTemplate::parse("/{a"), Err(TemplateError::Braces));
        assert_eq!(PathTemplate::parse("/{}"), Err(TemplateError::Braces));
        assert_eq!(PathTemplate::parse("/a}b"), Err(TemplateError::Braces));
        assert_eq!(PathTemplate::parse("/#Action=Run"), Err(TemplateError::NotAPath));
        assert_eq!(PathTemplate::parse(&"/a".repeat(300)), Err(TemplateError::TooDeep));
    }
}
