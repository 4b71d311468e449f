//! Literal and folded block scalars.

use crate::contract::document::yaml::cursor::{Mark, SyntaxFault, YamlCursor};

/// What becomes of the line breaks at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

/// Reads a scalar whose `|` or `>` is at the cursor, in a block that is indented by `parent`
/// columns (-1 at the root). Returns where its last line ends too.
pub(super) fn scan(
    cursor: &mut YamlCursor<'_>,
    parent: i64,
) -> Result<(String, Mark), SyntaxFault> {
    let is_literal = cursor.byte(0) == b'|';
    cursor.skip_ascii(1);
    let (chomping, increment) = header(cursor)?;
    let mut lines = BlockLines {
        indent: if increment == 0 { 0 } else { parent.max(0) + increment },
        parent,

        end: cursor.mark(),
    };
    let mut text = String::new();
    let (mut first_break, mut further_breaks) = (String::new(), String::new());
    let mut after_blank = false;
    lines.skip_empty(cursor, &mut further_breaks)?;
    while i64::from(cursor.mark().column) == lines.indent && !cursor.at_end() {
        let is_blank = cursor.is_blank(0);
        if !is_literal && first_break.starts_with('\n') && !after_blank && !is_blank {
            if further_breaks.is_empty() {
                text.push(' ');
            }
        } else {
            text.push_str(&first_break);
        }
        first_break.clear();
        text.push_str(&further_breaks);
        further_breaks.clear();
        after_blank = is_blank;
        text.push_str(cursor.take_line());
        cursor.read_break(&mut first_break);
        lines.skip_empty(cursor, &mut further_breaks)?;
    }
    if chomping != Chomping::Strip {
        text.push_str(&first_break);
    }
    if chomping == Chomping::Keep {
        text.push_str(&further_breaks);
    }
    Ok((text, lines.end))
}

/// Reads what may follow the `|` or `>`: chomping and indentation, in either order, a comment,
/// and the end of the line.
fn header(cursor: &mut YamlCursor<'_>) -> Result<(Chomping, i64), SyntaxFault> {
    let mut chomping = read_chomping(cursor);
    let mut increment = 0;
    if cursor.byte(0) == b'0' {
        return cursor.mark().fault("the indentation of a block text cannot be 0");
    }
    if cursor.byte(0).is_ascii_digit() {
        increment = i64::from(cursor.byte(0) - b'0');
        cursor.skip_ascii(1);
        chomping = chomping.or_else(|| read_chomping(cursor));
    }
    cursor.skip_blanks();
    cursor.skip_comment();
    if !cursor.is_break_or_end(0) {
        return cursor.mark().fault("only a comment may follow '|' or '>' in its line");
    }
    cursor.skip_break();
    Ok((chomping.unwrap_or(Chomping::Clip), increment))
}

fn read_chomping(cursor: &mut YamlCursor<'_>) -> Option<Chomping> {
    let chomping = match cursor.byte(0) {
        b'+' => Chomping::Keep,
        b'-' => Chomping::Strip,
        _ => return None,
    };
    cursor.skip_ascii(1);
    Some(chomping)
}

/// Where the lines of a block scalar begin and end.
struct BlockLines {
    /// Columns before its lines; 0 as long as that is not known.
    indent: i64,
    parent: i64,
    end: Mark,
}

// === impl BlockLines ===

impl BlockLines {
    /// Skips the indentation of a line, and empty lines before it. The first line that is not
    /// empty decides the indentation, unless the header did.
    fn skip_empty(
        &mut self,
        cursor: &mut YamlCursor<'_>,
        breaks: &mut String,
    ) -> Result<(), SyntaxFault> {
        let mut deepest = 0;
        self.end = cursor.mark();
        loop {
            let is_before =
                |cursor: &YamlCursor<'_>, indent| indent == 0 || column(cursor) < indent;
            while is_before(cursor, self.indent) && cursor.byte(0) == b' ' {
                cursor.skip_ascii(1);
            }
            deepest = deepest.max(column(cursor));
            if is_before(cursor, self.indent) && cursor.byte(0) == b'\t' {
                return cursor.mark().fault("a tab is where indentation is expected");
            }
            if !cursor.is_break() {
                break;
            }
            cursor.read_break(breaks);
            self.end = cursor.mark();
        }
        if self.indent == 0 {
            self.indent = deepest.max(self.parent + 1).max(1);
        }
        Ok(())
    }
}

fn column(cursor: &YamlCursor<'_>) -> i64 {
    i64::from(cursor.mark().column)
}
