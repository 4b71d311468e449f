//! A cursor over the text of a YAML document: characters, line breaks, and where they are.
//!
//! What counts as a line break is what libyaml counts: LF, CR, CRLF, NEL, LS and PS. A text that
//! the cursor is made for holds no NUL ([`YamlCursor::new`] sees to it), so that NUL can mean its end.

/// A position in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Characters before it.
    pub index: usize,
    /// Line, from 1.
    pub line: u32,
    /// Characters before it in its line.
    pub column: u32,
}

/// Why a text is no YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SyntaxFault {
    pub mark: Mark,
    pub message: &'static str,
}

#[derive(Debug)]
pub(super) struct YamlCursor<'t> {
    text: &'t str,
    at: usize,
    mark: Mark,
}

// === impl Mark ===

impl Mark {
    pub(super) const START: Self = Self { index: 0, line: 1, column: 0 };

    pub(super) fn fault<T>(self, message: &'static str) -> Result<T, SyntaxFault> {
        Err(SyntaxFault { mark: self, message })
    }
}

// === impl YamlCursor ===

impl<'t> YamlCursor<'t> {
    /// A cursor at the start of `text`, behind its byte order mark. Characters that YAML does not
    /// allow anywhere are refused here.
    pub(super) fn new(text: &'t str) -> Result<Self, SyntaxFault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut cursor = Self { text, at: 0, mark: Mark::START };
        let Some(bad) = first_unprintable(text) else { return Ok(cursor) };
        while cursor.at < bad {
            match cursor.break_len(0) {
                0 => cursor.skip(),
                _ => cursor.skip_break(),
            }
        }
        cursor.mark.fault("a control character is not allowed in YAML")
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }

    /// Bytes before the cursor.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// The text between two offsets, both at the bounds of characters.
    pub(super) fn slice(&self, from: usize, to: usize) -> &'t str {
        self.text.get(from..to).unwrap_or_default()
    }

    /// The bytes from the cursor on.
    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// The byte so many bytes ahead; NUL beyond the end.
    #[inline]
    pub(super) fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    #[inline]
    pub(super) fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.byte(ahead), b' ' | b'\t')
    }

    /// Length of the line break so many bytes ahead; 0 where there is none.
    #[inline]
    pub(super) fn break_len(&self, ahead: usize) -> usize {
        break_len(self.text.as_bytes(), self.at + ahead)
    }

    #[inline]
    pub(super) fn is_break(&self) -> bool {
        self.break_len(0) != 0
    }

    pub(super) fn is_break_or_end(&self, ahead: usize) -> bool {
        self.byte(ahead) == 0 || self.break_len(ahead) != 0
    }

    pub(super) fn is_space_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    /// Whether a line begins here with `---` or `...` alone.
    pub(super) fn is_document_indicator(&self) -> bool {
        self.mark.column == 0
            && matches!(self.rest().get(..3), Some(b"---" | b"..."))
            && self.is_space_or_end(3)
    }

    /// Goes on by one character, which is no line break.
    pub(super) fn skip(&mut self) {
        self.at += match self.byte(0) {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        self.mark.index += 1;
        self.mark.column += 1;
    }

    /// Goes on by as many ASCII characters, none of them a line break.
    pub(super) fn skip_ascii(&mut self, count: usize) {
        self.at += count;
        self.mark.index += count;
        self.mark.column += u32::try_from(count).unwrap_or(u32::MAX);
    }

    /// Goes on by `len` bytes that hold no line break, and returns them.
    pub(super) fn take(&mut self, len: usize) -> &'t str {
        let taken = self.slice(self.at, self.at + len);
        self.at += len;
        let continuing = taken.bytes().filter(|byte| byte & 0xc0 == 0x80).count();
        let count = len - continuing;
        self.mark.index += count;
        self.mark.column += u32::try_from(count).unwrap_or(u32::MAX);
        taken
    }

    /// Goes on to the end of the line, and returns what was on it.
    pub(super) fn take_line(&mut self) -> &'t str {
        let rest = self.rest();
        let len = (0..rest.len()).find(|at| break_len(rest, *at) != 0).unwrap_or(rest.len());
        self.take(len)
    }

    pub(super) fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.skip_ascii(1);
        }
    }

    /// Goes on behind a comment, if one begins here.
    pub(super) fn skip_comment(&mut self) {
        if self.byte(0) == b'#' {
            self.take_line();
        }
    }

    /// Goes on behind a line break, if one is here.
    pub(super) fn skip_break(&mut self) {
        let len = self.break_len(0);
        if len != 0 {
            self.mark.index += if self.byte(0) == b'\r' { len } else { 1 };
            self.mark.line += 1;
            self.mark.column = 0;
            self.at += len;
        }
    }

    /// Like [`skip_break`](Self::skip_break), and adds to `text` what the line break stands for.
    pub(super) fn read_break(&mut self, text: &mut String) {
        match self.break_len(0) {
            0 => return,
            3 => text.push_str(self.slice(self.at, self.at + 3)),
            _ => text.push('\n'),
        }
        self.skip_break();
    }

    /// The end of the text counts as a line of its own.
    pub(super) fn close_line(&mut self) {
        if self.mark.column != 0 {
            self.mark.column = 0;
            self.mark.line += 1;
        }
    }
}

/// Length of the line break at an offset; 0 where there is none.
#[inline]
fn break_len(bytes: &[u8], at: usize) -> usize {
    let byte = |ahead: usize| bytes.get(at + ahead).copied().unwrap_or(0);
    match byte(0) {
        b'\r' if byte(1) == b'\n' => 2,
        b'\n' | b'\r' => 1,
        0xc2 if byte(1) == 0x85 => 2,
        0xe2 if byte(1) == 0x80 && matches!(byte(2), 0xa8 | 0xa9) => 3,
        _ => 0,
    }
}

/// Offset of the first character that no YAML text may hold.
fn first_unprintable(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let next = bytes.get(at + 1).copied().unwrap_or(0);
        let last = bytes.get(at + 2).copied().unwrap_or(0);
        let bad = match *byte {
            0x09 | 0x0a | 0x0d | 0x20..0x7f => false,
            0..0x80 => true,
            // U+0080 to U+009F but for NEL.
            0xc2 => next < 0xa0 && next != 0x85,
            // U+FFFE and U+FFFF.
            0xef => next == 0xbf && last > 0xbd,
            _ => false,
        };
        if bad {
            return Some(at);
        }
        at += 1;
    }
    None
}
