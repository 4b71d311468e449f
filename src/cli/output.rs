//! Exit codes, and text for people.

use std::io::{self, Write};

/// The answer is yes, or the work is done.
pub(crate) const EXIT_OK: u8 = 0;
/// The answer is no: violations, breaking changes, not safe.
pub(crate) const EXIT_NEGATIVE: u8 = 1;
/// There is no answer: bad input, unreachable.
pub(crate) const EXIT_ERROR: u8 = 2;

/// `text` with nothing in it that a terminal would act on.
pub(super) fn sanitize(text: &str) -> String {
    let harmless = |c: char| c == '\n' || c == '\t' || !c.is_control();
    text.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect()
}

/// One JSON value on a line of its own.
pub(super) fn write_json<T: serde::Serialize>(value: &T, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// A few names, then how many more there are.
pub(super) fn name_list(all: &[String], shown: usize) -> String {
    let first: Vec<&str> = all.iter().take(shown).map(String::as_str).collect();
    match all.len().saturating_sub(shown) {
        0 => sanitize(&first.join(", ")),
        more => sanitize(&format!("{} and {more} more", first.join(", "))),
    }
}

/// A number with its thousands apart.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_lists_shortened_and_control_characters_replaced() {
        let numbers = [0, 999, 1_000, 1_234_567].map(thousands);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let all = ["a", "b", "c\u{1b}[2J"].map(str::to_owned);
        assert_eq!(name_list(&all, 2), "a, b and 1 more");
        assert_eq!(name_list(&all, 3), "a, b, c\u{fffd}[2J");
    }
}
