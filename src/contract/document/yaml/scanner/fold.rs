//! A scalar put together from pieces of the text, lines folded.

use std::borrow::Cow;

use crate::contract::document::yaml::cursor::YamlCursor;

/// Borrows the text as long as the scalar is one piece of it.
#[derive(Debug)]
pub(super) struct ScalarText {
    owned: String,
    is_owned: bool,
    /// Offset in the text from which on nothing has been added yet.
    from: usize,
}

/// Line breaks between two lines of a scalar.
#[derive(Debug, Default)]
pub(super) struct LineBreaks {
    first: String,
    further: String,
}

// === impl ScalarText ===

impl ScalarText {
    pub(super) fn new(from: usize) -> Self {
        Self { owned: String::new(), is_owned: false, from }
    }

    /// Adds the text up to `to`, and goes on at `from`.
    pub(super) fn cut(&mut self, cursor: &YamlCursor<'_>, to: usize, from: usize) {
        self.owned.push_str(cursor.slice(self.from, to));
        self.is_owned = true;
        self.from = from;
    }

    pub(super) fn push(&mut self, added: char) {
        self.owned.push(added);
    }

    pub(super) fn push_breaks(&mut self, breaks: &mut LineBreaks) {
        breaks.fold_into(&mut self.owned);
    }

    /// The scalar, its last piece ending at `to`.
    pub(super) fn finish<'t>(mut self, cursor: &YamlCursor<'t>, to: usize) -> Cow<'t, str> {
        let last = cursor.slice(self.from, to);
        if !self.is_owned {
            return Cow::Borrowed(last);
        }
        self.owned.push_str(last);
        Cow::Owned(self.owned)
    }
}

// === impl LineBreaks ===

impl LineBreaks {
    pub(super) fn read_first(&mut self, cursor: &mut YamlCursor<'_>) {
        cursor.read_break(&mut self.first);
    }

    pub(super) fn read_further(&mut self, cursor: &mut YamlCursor<'_>) {
        cursor.read_break(&mut self.further);
    }

    /// One line break is a space, of more the first is dropped; LS and PS stay what they are.
    fn fold_into(&mut self, text: &mut String) {
        if !self.first.starts_with('\n') {
            text.push_str(&self.first);
        } else if self.further.is_empty() {
            text.push(' ');
        }
        text.push_str(&self.further);
        self.first.clear();
        self.further.clear();
    }
}
