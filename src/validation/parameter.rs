//! Values in the styles of the specification's table, read into an arena.

use std::borrow::Cow;
use std::cmp::Ordering;

use smallvec::SmallVec;

use crate::contract::serialization::{Serialization, Style};
use crate::contract::shape::{Shape, Types};
use crate::json::NodeId;
use crate::validation::value_reader::{
    Decoding, ReadError, ValueKind, ValueReader, has_encoded_comma, split_at,
};

/// Brackets that a `deepObject` key may nest.
const MAX_BRACKETS: usize = 16;

/// One text value of a parameter, its key beside it where it has one of its own.
#[derive(Debug, Clone)]
pub(crate) struct SentValue<'m> {
    /// The key, decoded: a property of an exploded object, or the whole `name[a][b]`.
    pub(crate) key: Cow<'m, str>,
    /// The value, undecoded.
    pub(crate) value: &'m str,
}

/// The texts of a parameter in the order they were sent.
pub(crate) type SentValues<'m> = SmallVec<[SentValue<'m>; 4]>;

/// The path of a key with brackets, and its value.
struct BracketedKey<'m> {
    path: SmallVec<[&'m str; 4]>,
    value: &'m str,
}

// === impl ValueReader ===

impl ValueReader<'_> {
    /// Writes the value that `fields` stand for. `name` is the parameter's name, which the
    /// `matrix` style repeats and `deepObject` keys begin with.
    pub(crate) fn styled(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        fields: &[SentValue<'_>],
    ) -> Result<NodeId, ReadError> {
        match self.attempt.kind {
            _ if form.style == Style::DeepObject => self.deep(decoding, shape, name, fields),
            ValueKind::Object if form.repeats_key() => {
                self.exploded_object(decoding, shape, fields)
            }
            ValueKind::Array if form.repeats_key() => {
                self.arena.begin_array();
                let items = fields.iter().map(|field| field.value);
                let read = self.items(form, decoding, shape, items, 0);
                self.close(read)
            }
            kind => {
                let [field] = fields else { return Err(ReadError::Repeated) };
                match kind {
                    ValueKind::Primitive => {
                        self.primitive(form, decoding, shape, name, field.value)
                    }
                    ValueKind::Array => self.array(form, decoding, shape, name, field.value),
                    ValueKind::Object => self.object(form, decoding, shape, name, field.value),
                }
            }
        }
    }

    /// Ends the container that was begun, even if a member could not be read.
    fn close(&mut self, read: Result<(), ReadError>) -> Result<NodeId, ReadError> {
        let id = self.arena.end();
        read.map(|()| id)
    }

    fn primitive(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        text: &str,
    ) -> Result<NodeId, ReadError> {
        let text = match form.style {
            Style::Label => text.strip_prefix('.').ok_or(ReadError::Style)?,
            Style::Matrix => matrix_value(text, name)?,
            _ => text,
        };
        let text = decoding.decode(text)?;
        Ok(self.leaf(shape, &text))
    }

    fn array(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        text: &str,
    ) -> Result<NodeId, ReadError> {
        self.arena.begin_array();
        let read = self.array_items(form, decoding, shape, name, text);
        self.close(read)
    }

    fn array_items(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        text: &str,
    ) -> Result<(), ReadError> {
        match (form.style, form.explode) {
            (Style::Matrix, true) => {
                let pieces = text.strip_prefix(';').ok_or(ReadError::Style)?.split(';');
                let values: Result<SmallVec<[&str; 8]>, _> =
                    pieces.map(|piece| named_piece(piece, name)).collect();
                self.items(form, decoding, shape, values?.into_iter(), 0)
            }
            (Style::Matrix, false) => {
                let text = matrix_value(text, name)?;
                self.split_items(form, decoding, shape, text, ',', 0)
            }
            (Style::Label, explode) => {
                let text = text.strip_prefix('.').ok_or(ReadError::Style)?;
                let separator = self.label_separator(form, explode);
                self.split_items(form, decoding, shape, text, separator, 0)
            }
            _ => self.split_items(form, decoding, shape, text, form.separator(), 0),
        }
    }

    fn label_separator(&mut self, form: &Serialization, explode: bool) -> char {
        self.ambiguities.older_label |= form.dotted_label && !explode;
        if explode || self.attempt.dotted { '.' } else { ',' }
    }

    fn split_items(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        text: &str,
        separator: char,
        depth: usize,
    ) -> Result<(), ReadError> {
        let encoded = self.splits_encoded(decoding, text, separator);
        self.items(form, decoding, shape, split_at(text, separator, encoded), depth)
    }

    /// Whether the percent-encoded form of a separator separates too.
    fn splits_encoded(&mut self, decoding: Decoding, text: &str, separator: char) -> bool {
        if decoding == Decoding::None {
            return false;
        }
        if separator != ',' {
            // A space, a tab or a pipe has no other form in a URL.
            return matches!(separator, ' ' | '\t' | '|');
        }
        if self.attempt.lenient {
            return true;
        }
        self.ambiguities.has_lenient |= has_encoded_comma(text);
        false
    }

    fn items<'t>(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        pieces: impl Iterator<Item = &'t str>,
        depth: usize,
    ) -> Result<(), ReadError> {
        for (at, piece) in pieces.enumerate() {
            let item = shape.item(at).unwrap_or(shape.unknown());
            match form.nested.get(depth) {
                Some(separator) if item.types().intersects(Types::ARRAY) => {
                    self.arena.begin_array();
                    let read = self.split_items(form, decoding, item, piece, *separator, depth + 1);
                    self.close(read)?;
                }
                _ => {
                    // Commas of a header field may have white space around them.
                    let piece = if decoding == Decoding::None { piece.trim() } else { piece };
                    let text = decoding.decode(piece)?;
                    self.leaf(item, &text);
                }
            }
        }
        Ok(())
    }

    fn object(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        text: &str,
    ) -> Result<NodeId, ReadError> {
        self.arena.begin_object();
        let read = self.object_members(form, decoding, shape, name, text);
        self.close(read)
    }

    fn object_members(
        &mut self,
        form: &Serialization,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        text: &str,
    ) -> Result<(), ReadError> {
        let (text, separator) = match form.style {
            Style::Matrix if form.explode => (text.strip_prefix(';').ok_or(ReadError::Style)?, ';'),
            Style::Matrix => (matrix_value(text, name)?, ','),
            Style::Label => {
                let text = text.strip_prefix('.').ok_or(ReadError::Style)?;
                (text, self.label_separator(form, form.explode))
            }
            _ => (text, form.separator()),
        };
        let encoded = self.splits_encoded(decoding, text, separator);
        let mut pieces = split_at(text, separator, encoded);
        while let Some(piece) = pieces.next() {
            let (key, value) = if form.explode {
                piece.split_once('=').ok_or(ReadError::Style)?
            } else if piece.is_empty() && text.is_empty() {
                return Ok(());
            } else {
                (piece, pieces.next().ok_or(ReadError::Style)?)
            };
            let trim = decoding == Decoding::None;
            let (key, value) = if trim { (key.trim(), value.trim()) } else { (key, value) };
            let (key, value) = (decoding.decode(key)?, decoding.decode(value)?);
            self.arena.key(&key);
            self.leaf(shape.property(&key).unwrap_or(shape.unknown()), &value);
        }
        Ok(())
    }

    /// An object whose properties are keys of their own. A key that occurs repeatedly, and one
    /// whose schema is an array, is an array.
    pub(crate) fn exploded_object(
        &mut self,
        decoding: Decoding,
        shape: Shape<'_>,
        fields: &[SentValue<'_>],
    ) -> Result<NodeId, ReadError> {
        let mut sorted: SmallVec<[&SentValue<'_>; 16]> = fields.iter().collect();
        sorted.sort_by(|a, b| a.key.cmp(&b.key));
        self.arena.begin_object();
        let mut read = Ok(());
        for run in sorted.chunk_by(|a, b| a.key == b.key) {
            let Some(first) = run.first() else { continue };
            let property = shape.property(&first.key).unwrap_or(shape.unknown());
            self.arena.key(&first.key);
            let values = run.iter().map(|field| field.value);
            read = self.repeated(decoding, property, values, run.len());
            if read.is_err() {
                break;
            }
        }
        self.close(read)
    }

    /// The values of one key: an array where the schema is one or there are several of them.
    pub(crate) fn repeated<'t>(
        &mut self,
        decoding: Decoding,
        shape: Shape<'_>,
        mut values: impl Iterator<Item = &'t str>,
        count: usize,
    ) -> Result<(), ReadError> {
        let types = shape.types();
        let list = types.intersects(Types::ARRAY) && (count > 1 || !types.any_scalar());
        if !list && count > 1 && !types.is_any() {
            return Err(ReadError::Repeated);
        }
        if list || count > 1 {
            self.arena.begin_array();
            let mut read = Ok(());
            for (at, value) in values.enumerate() {
                let item = shape.item(at).unwrap_or(shape.unknown());
                match decoding.decode(value) {
                    Ok(text) => _ = self.leaf(item, &text),
                    Err(error) => {
                        read = Err(error);
                        break;
                    }
                }
            }
            return self.close(read).map(|_| ());
        }
        let text = decoding.decode(values.next().unwrap_or_default())?;
        self.leaf(shape, &text);
        Ok(())
    }

    fn deep(
        &mut self,
        decoding: Decoding,
        shape: Shape<'_>,
        name: &str,
        fields: &[SentValue<'_>],
    ) -> Result<NodeId, ReadError> {
        let mut all: SmallVec<[BracketedKey<'_>; 8]> = SmallVec::with_capacity(fields.len());
        for field in fields {
            let path = brackets(field.key.get(name.len()..).unwrap_or_default())?;
            all.push(BracketedKey { path, value: field.value });
        }
        all.sort_by(|a, b| compare_paths(&a.path, &b.path));
        self.deep_value(decoding, shape, &all, 0)
    }

    fn deep_value(
        &mut self,
        decoding: Decoding,
        shape: Shape<'_>,
        all: &[BracketedKey<'_>],
        depth: usize,
    ) -> Result<NodeId, ReadError> {
        let types = shape.types();
        let is_list = types.intersects(Types::ARRAY)
            && (!types.intersects(Types::OBJECT)
                || all.iter().all(|one| one.path.get(depth).is_some_and(|step| is_index(step))));
        if is_list {
            self.arena.begin_array();
        } else {
            self.arena.begin_object();
        }
        let mut read = Ok(());
        // `a[]=1&a[]=2` and `a=1&a=2` are items; equal steps of another kind are one member.
        let same = |a: &BracketedKey<'_>, b: &BracketedKey<'_>| {
            let step = a.path.get(depth);
            step == b.path.get(depth) && step.is_some_and(|step| !(is_list && step.is_empty()))
        };
        for (at, group) in all.chunk_by(same).enumerate() {
            let Some(first) = group.first() else { continue };
            let child = match (first.path.get(depth), is_list) {
                (_, true) => shape.item(at),
                (Some(step), false) => {
                    self.arena.key(step);
                    shape.property(step)
                }
                (None, false) => {
                    read = Err(ReadError::Style);
                    break;
                }
            };
            let child = child.unwrap_or(shape.unknown());
            let next = depth + usize::from(first.path.len() > depth);
            read = self.deep_member(decoding, child, group, next);
            if read.is_err() {
                break;
            }
        }
        self.close(read)
    }

    fn deep_member(
        &mut self,
        decoding: Decoding,
        shape: Shape<'_>,
        group: &[BracketedKey<'_>],
        depth: usize,
    ) -> Result<(), ReadError> {
        let leaves = group.iter().filter(|one| one.path.len() == depth).count();
        if leaves == group.len() {
            let values = group.iter().map(|one| one.value);
            return self.repeated(decoding, shape, values, group.len());
        }
        if leaves > 0 {
            return Err(ReadError::Style);
        }
        self.deep_value(decoding, shape, group, depth).map(|_| ())
    }
}

/// The value behind `;name=`.
fn matrix_value<'t>(text: &'t str, name: &str) -> Result<&'t str, ReadError> {
    named_piece(text.strip_prefix(';').ok_or(ReadError::Style)?, name)
}

fn named_piece<'t>(piece: &'t str, name: &str) -> Result<&'t str, ReadError> {
    let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
    if Decoding::Percent.decode(key)? == name { Ok(value) } else { Err(ReadError::Style) }
}

/// The steps of `[a][b]`.
fn brackets(mut text: &str) -> Result<SmallVec<[&str; 4]>, ReadError> {
    let mut path = SmallVec::new();
    while !text.is_empty() {
        let inner = text.strip_prefix('[').ok_or(ReadError::Style)?;
        let (step, rest) = inner.split_once(']').ok_or(ReadError::Style)?;
        if path.len() == MAX_BRACKETS {
            return Err(ReadError::TooDeep);
        }
        path.push(step);
        text = rest;
    }
    Ok(path)
}

fn is_index(step: &str) -> bool {
    step.bytes().all(|byte| byte.is_ascii_digit())
}

/// Indices by their number before everything else by its text; what is equal keeps its order.
fn compare_paths(a: &[&str], b: &[&str]) -> Ordering {
    let rank = |step: &str| step.parse::<u64>().map_or((true, 0), |index| (false, index));
    for (a, b) in a.iter().zip(b) {
        // `01` and `1` are different keys all the same.
        let order = rank(a).cmp(&rank(b)).then_with(|| a.cmp(b));
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}
