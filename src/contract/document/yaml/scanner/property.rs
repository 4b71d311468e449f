//! Anchors, aliases, tags and directives.

use crate::contract::document::yaml::cursor::{SyntaxFault, YamlCursor};
use crate::contract::document::yaml::token::TokenKind;

/// Digits that a number of a `%YAML` directive may have.
const MAX_VERSION_DIGITS: usize = 9;

/// Reads the name behind a `&` or `*` at the cursor.
pub(super) fn anchor<'t>(cursor: &mut YamlCursor<'t>) -> Result<&'t str, SyntaxFault> {
    let start = cursor.mark();
    cursor.skip_ascii(1);
    let name = word(cursor);
    let may_follow =
        matches!(cursor.byte(0), b'?' | b':' | b',' | b']' | b'}' | b'%' | b'@' | b'`');
    if name.is_empty() || !(may_follow || cursor.is_space_or_end(0)) {
        return start.fault("the name of an anchor or alias holds other than letters and digits");
    }
    Ok(name)
}

/// Reads a tag that begins at the cursor.
pub(super) fn tag<'t>(
    cursor: &mut YamlCursor<'t>,
    in_flow: bool,
) -> Result<TokenKind<'t>, SyntaxFault> {
    let kind = if cursor.byte(1) == b'<' {
        cursor.skip_ascii(2);
        let suffix = uri(cursor, true, "")?;
        if cursor.byte(0) != b'>' {
            return cursor.mark().fault("the '>' of a tag is missing");
        }
        cursor.skip_ascii(1);
        TokenKind::Tag { handle: "", suffix }
    } else {
        let handle = tag_handle(cursor)?;
        if handle.len() > 1 && handle.ends_with('!') {
            TokenKind::Tag { handle, suffix: uri(cursor, false, "")? }
        } else {
            let suffix = uri(cursor, false, handle)?;
            match suffix.as_str() {
                "" => TokenKind::Tag { handle: "", suffix: "!".to_owned() },
                _ => TokenKind::Tag { handle: "!", suffix },
            }
        }
    };
    if !(cursor.is_space_or_end(0) || in_flow && cursor.byte(0) == b',') {
        return cursor.mark().fault("a tag needs a space behind it");
    }
    Ok(kind)
}

/// Reads a directive whose `%` is at the cursor, and the rest of its line.
pub(super) fn directive<'t>(cursor: &mut YamlCursor<'t>) -> Result<TokenKind<'t>, SyntaxFault> {
    let start = cursor.mark();
    cursor.skip_ascii(1);
    let name = word(cursor);
    if !cursor.is_space_or_end(0) {
        return start.fault("the name of a directive holds other than letters and digits");
    }
    cursor.skip_blanks();
    let kind = match name {
        "YAML" => {
            let major = version_number(cursor)?;
            if cursor.byte(0) != b'.' {
                return cursor.mark().fault("a version of YAML is two numbers with a '.' between");
            }
            cursor.skip_ascii(1);
            TokenKind::VersionDirective { major, minor: version_number(cursor)? }
        }
        "TAG" => tag_directive(cursor)?,
        _ => return start.fault("a directive is neither %YAML nor %TAG"),
    };
    cursor.skip_blanks();
    cursor.skip_comment();
    if !cursor.is_break_or_end(0) {
        return cursor.mark().fault("only a comment may follow a directive in its line");
    }
    cursor.skip_break();
    Ok(kind)
}

fn tag_directive<'t>(cursor: &mut YamlCursor<'t>) -> Result<TokenKind<'t>, SyntaxFault> {
    let handle = tag_handle(cursor)?;
    let is_handle = handle == "!" || handle.ends_with('!');
    if !is_handle || !cursor.is_blank(0) {
        return cursor.mark().fault("a %TAG directive is a handle, a space and a prefix");
    }
    cursor.skip_blanks();
    let prefix = uri(cursor, true, "")?;
    if !cursor.is_space_or_end(0) {
        return cursor.mark().fault("a %TAG directive is a handle, a space and a prefix");
    }
    Ok(TokenKind::TagDirective { handle, prefix })
}

fn version_number(cursor: &mut YamlCursor<'_>) -> Result<u32, SyntaxFault> {
    let len = cursor.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > MAX_VERSION_DIGITS {
        return cursor.mark().fault("a version of YAML is two numbers with a '.' between");
    }
    let digits = cursor.take(len);
    Ok(digits.bytes().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
}

/// `!`, `!name` or `!name!`.
fn tag_handle<'t>(cursor: &mut YamlCursor<'t>) -> Result<&'t str, SyntaxFault> {
    if cursor.byte(0) != b'!' {
        return cursor.mark().fault("a tag begins with '!'");
    }
    let rest = cursor.rest();
    let name = rest.iter().skip(1).take_while(|byte| is_word_byte(**byte)).count();
    let closing = usize::from(rest.get(1 + name) == Some(&b'!'));
    Ok(cursor.take(1 + name + closing))
}

/// The rest of a tag behind a `handle` that turned out to be its beginning; `%` escapes decoded.
fn uri(cursor: &mut YamlCursor<'_>, is_whole: bool, handle: &str) -> Result<String, SyntaxFault> {
    let start = cursor.mark();
    let mut bytes = handle.as_bytes().get(1..).unwrap_or_default().to_vec();
    let mut is_empty = handle.is_empty();
    loop {
        let byte = cursor.byte(0);
        let is_listed = is_word_byte(byte) || b";/?:@&=+$.!~*'()".contains(&byte);
        if byte == b'%' {
            let digit = |ahead| char::from(cursor.byte(ahead)).to_digit(16);
            let octet = digit(1).zip(digit(2)).map(|(high, low)| high << 4 | low);
            let Some(octet) = octet.and_then(|octet| u8::try_from(octet).ok()) else {
                return cursor.mark().fault("a '%' in a tag needs two hexadecimal digits");
            };
            bytes.push(octet);
            cursor.skip_ascii(3);
        } else if is_listed || (is_whole && b",[]".contains(&byte)) {
            bytes.push(byte);
            cursor.skip_ascii(1);
        } else {
            break;
        }
        is_empty = false;
    }
    if is_empty {
        return start.fault("a tag is empty");
    }
    String::from_utf8(bytes).or_else(|_| start.fault("the escapes of a tag are not UTF-8"))
}

fn word<'t>(cursor: &mut YamlCursor<'t>) -> &'t str {
    let len = cursor.rest().iter().take_while(|byte| is_word_byte(**byte)).count();
    cursor.take(len)
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}
