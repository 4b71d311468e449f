//! Cuts a Rust source into words, without comments and texts.

/// A word or a sign.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    /// The line it is on, from 1.
    pub(super) line: usize,
}

/// Replaces comments, texts and character literals by spaces; lines stay where they are.
pub(in super::super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, text or character that starts at `at`; `at` when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let after_word = at > 0 && is_word(chars[at - 1]);
    match (chars[at], next(1)) {
        ('/', '/') => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => text_end(chars, at + 1),
        ('r' | 'b' | 'c', '"' | '#' | 'r') if !after_word => raw_text_end(chars, at),
        ('\'', '\\') => {
            (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1)
        }
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let (mut depth, mut at) = (0, start);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn text_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// Ends of `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`; `start` when it is a plain word or `r#name`.
fn raw_text_end(chars: &[char], start: usize) -> usize {
    let prefix = chars[start..].iter().take_while(|c| "rbc".contains(**c)).count();
    let raw = chars[start..start + prefix].contains(&'r');
    let hashes = chars[start + prefix..].iter().take_while(|c| **c == '#').count();
    let open = start + prefix + hashes;
    if prefix > 2 || chars.get(open) != Some(&'"') {
        return start;
    }
    if !raw {
        return text_end(chars, open + 1);
    }
    let closes = |at: &usize| {
        chars[*at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes
    };
    (open + 1..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes)
}

pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(super) fn tokenize(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut line = 1;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        if c.is_whitespace() {
            continue;
        }
        let mut token = c.to_string();
        if is_word(c) {
            while let Some(more) = chars.next_if(|c| is_word(*c)) {
                token.push(more);
            }
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            token.push(':');
        }
        tokens.push(Token { text: token, line });
    }
    tokens
}
