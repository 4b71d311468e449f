//! Strings of a text, eight bytes at a time: where their plain part ends, and the hash of keys.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The bytes before the next quote, backslash or control character of `text`, or all of it.
#[inline]
pub(super) fn plain_len(text: &[u8]) -> usize {
    let mut rest = text;
    loop {
        let word = first_word(rest);
        let found = specials(word);
        if found != 0 {
            // Of a text that ended the word was filled up with zeros, and those are found.
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = rest.get(8..).unwrap_or_default();
    }
}

/// The same, and the [`key_hash`] of those bytes.
#[inline]
pub(super) fn plain_key(text: &[u8]) -> (usize, u32) {
    let mut rest = text;
    let mut hash = 0;
    loop {
        let word = first_word(rest);
        let found = specials(word);
        if found != 0 {
            // The lowest bit found is the highest of its byte: what is below that byte is plain.
            let below = (found & found.wrapping_neg()) >> 7;
            let len = text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
            return (len, finish(hash, word & (below - 1), len));
        }
        hash = fold(hash, word);
        rest = rest.get(8..).unwrap_or_default();
    }
}

/// The hash by which keys are compared first: cheap on short names, and only ever a hint, since equal
/// hashes are followed by a comparison and nothing is stored in buckets.
#[inline]
pub(crate) fn key_hash(key: &[u8]) -> u32 {
    let mut rest = key;
    let mut hash = 0;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        hash = fold(hash, u64::from_le_bytes(*word));
        rest = after;
    }
    finish(hash, first_word(rest), key.len())
}

#[inline]
fn fold(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}

#[inline]
fn finish(hash: u64, last: u64, len: usize) -> u32 {
    (fold(hash ^ (len as u64) << 56, last) >> 32) as u32
}

/// The first eight bytes of a text, filled up with zeros where it is shorter.
#[inline]
pub(super) fn first_word(text: &[u8]) -> u64 {
    match text.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => short_word(text),
    }
}

/// Fewer than eight bytes as a word, filled up with zeros; without a loop.
#[inline]
fn short_word(text: &[u8]) -> u64 {
    let len = text.len();
    if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
        let last = u64::from(u32::from_le_bytes(*last)) << ((len - 4) * 8);
        return u64::from(u32::from_le_bytes(*first)) | last;
    }
    match (text.first(), text.get(len / 2), text.last()) {
        (Some(first), Some(middle), Some(last)) => {
            let middle = u64::from(*middle) << (len / 2 * 8);
            u64::from(*first) | middle | u64::from(*last) << ((len - 1) * 8)
        }
        _ => 0,
    }
}

/// The highest bit of each byte that ends the plain part of a string: exact for the lowest such
/// byte, and that one is asked. None of them has its highest bit set, so a borrow is all that a
/// zero makes.
#[inline]
fn specials(word: u64) -> u64 {
    let quote = (word ^ (LOW * 0x22)).wrapping_sub(LOW);
    let backslash = (word ^ (LOW * 0x5c)).wrapping_sub(LOW);
    let control = word.wrapping_sub(LOW * 0x20);
    (quote | backslash | control) & !word & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_offset() {
        for byte in 0..=255_u8 {
            for offset in 0..30 {
                let mut text = [b'x'; 30];
                text[offset] = byte;
                let is_special = byte < 0x20 || byte == b'"' || byte == b'\\';
                let expected = if is_special { offset } else { text.len() };
                assert_eq!(plain_len(&text), expected, "{byte} at {offset}");
            }
        }
    }

    #[test]
    fn the_hash_of_a_key_does_not_depend_on_what_follows() {
        let name = "a_name_of_some_length";
        for len in 0..=name.len() {
            let key = &name[..len];
            for after in ["", "\"", "\": 1}", "\\u0041\": 123456", "\u{1}\u{80}\u{ff}zzzzzz"] {
                let text = format!("{key}{after}");
                assert_eq!(plain_key(text.as_bytes()), (len, key_hash(key.as_bytes())), "{text}");
            }
        }
        assert_ne!(key_hash(b""), key_hash(b"\0"));
        assert_ne!(key_hash(b"abcdefgh"), key_hash(b"abcdefgh\0"));
    }
}
