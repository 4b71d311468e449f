//! Numbers as written: exact at any length.
//!
//! JSON has one kind of number, a decimal of any length. Nothing here goes through `f64`:
//! `0.1`, `12345678901234567890` and `1e400` compare, divide and equal as the decimals they are.
//! Cost is linear in the digits, whatever the exponent.

use std::cmp::Ordering;

use smallvec::SmallVec;

/// A decimal number: `digits` × 10^`exponent`.
///
/// Normalised, so that equal numbers have equal fields: no leading and no trailing zero digit, and
/// zero has no digits, exponent 0 and no sign. Exponents saturate at ±2^62, far beyond anything
/// with a meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    digits: SmallVec<[u8; 24]>,
    exponent: i64,
}

/// A positive number that others are to be multiples of.
#[derive(Debug, Clone)]
pub struct Divisor {
    digits: u64,
    exponent: i64,
}

const EXPONENT_CAP: i64 = 1 << 62;

/// Whether `text` is a number in the grammar of RFC 8259 §6.
pub fn is_json_number(text: &[u8]) -> bool {
    scan_number(text) == Some(text.len())
}

/// The length of the JSON number that `text` starts with.
pub(crate) fn scan_number(text: &[u8]) -> Option<usize> {
    let digits_from = |from: usize| {
        text.get(from..).map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count())
    };
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits_from(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits_from(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let signed = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits_from(at + 1 + signed);
        if exponent == 0 {
            return None;
        }
        at += 1 + signed + exponent;
    }
    Some(at)
}

/// The value of a JSON number written as an integer of at most 18 digits (which an `i64` always
/// holds), but not of `-0`.
pub(crate) fn short_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 18 || (negative && digits == b"0") {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    Some(if negative { -value } else { value })
}

/// How a JSON number compares with an integer, where the digits alone decide: at most
/// 18 of them before the point, and no exponent.
pub(crate) fn compare_plain(text: &[u8], limit: i64) -> Option<Ordering> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let whole = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let value = short_integer(digits.get(..whole)?)?;
    let value = if negative { -value } else { value };
    let mut has_fraction = false;
    for byte in digits.get(whole + 1..).unwrap_or_default() {
        match byte {
            b'0' => {}
            b'1'..=b'9' => has_fraction = true,
            _ => return None,
        }
    }
    // A fraction moves a number away from zero, and never past the next integer.
    Some(match value.cmp(&limit) {
        Ordering::Equal if has_fraction && negative => Ordering::Less,
        Ordering::Equal if has_fraction => Ordering::Greater,
        other => other,
    })
}

// === impl Decimal ===

impl Decimal {
    /// Reads a JSON number; `None` when `text` is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if !is_json_number(bytes) {
            return None;
        }
        let (negative, rest) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mantissa_len = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
        let (mantissa, exponent) = rest.split_at(mantissa_len);
        let mut exponent = read_exponent(exponent.get(1..).unwrap_or_default());
        let mut digits = SmallVec::new();
        let mut fraction = false;
        for &byte in mantissa {
            if byte == b'.' {
                fraction = true;
                continue;
            }
            exponent -= i64::from(fraction);
            if byte != b'0' || !digits.is_empty() {
                digits.push(byte - b'0');
            }
        }
        Some(Self { negative, digits, exponent }.normalised())
    }

    /// The decimal of an integer.
    pub fn from_integer(value: i64) -> Self {
        let mut digits = SmallVec::new();
        let mut rest = value.unsigned_abs();
        while rest > 0 {
            digits.push(u8::try_from(rest % 10).unwrap_or_default());
            rest /= 10;
        }
        digits.reverse();
        Self { negative: value < 0, digits, exponent: 0 }.normalised()
    }

    fn normalised(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
            self.exponent += 1;
        }
        if self.digits.is_empty() {
            self.negative = false;
            self.exponent = 0;
        }
        self.exponent = self.exponent.clamp(-EXPONENT_CAP, EXPONENT_CAP);
        self
    }

    /// Whether the number has no fraction (`1.0` and `1e2` have none).
    pub fn is_integer(&self) -> bool {
        self.exponent >= 0
    }

    /// Whether the number is above zero.
    pub fn is_positive(&self) -> bool {
        !self.negative && !self.digits.is_empty()
    }

    /// The number as an `i64`, when it is one.
    pub fn as_integer(&self) -> Option<i64> {
        if self.exponent < 0 || self.magnitude() > 19 {
            return None;
        }
        let digits = self.digits.iter().map(|digit| i128::from(*digit));
        let zeros = std::iter::repeat_n(0, usize::try_from(self.exponent).unwrap_or_default());
        let value = digits.chain(zeros).fold(0i128, |value, digit| value * 10 + digit);
        i64::try_from(if self.negative { -value } else { value }).ok()
    }

    /// A hash that equal numbers share.
    pub(crate) fn short_hash(&self) -> u64 {
        let seed = self.exponent.cast_unsigned() << 1 | u64::from(self.negative);
        self.digits.iter().fold(seed, |hash, digit| {
            hash.rotate_left(5).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(*digit)
        })
    }

    /// Whether the number is a whole multiple of `divisor`.
    pub fn is_multiple_of(&self, divisor: &Divisor) -> bool {
        if self.digits.is_empty() {
            return true;
        }
        // Without trailing zeros, `digits` is not divisible by 10: a coarser divisor never fits.
        let shift = self.exponent.saturating_sub(divisor.exponent);
        if shift < 0 {
            return false;
        }
        let modulus = u128::from(divisor.digits);
        let mut rest = 0u128;
        for &digit in &self.digits {
            rest = (rest * 10 + u128::from(digit)) % modulus;
        }
        (rest * power_of_ten(shift, modulus)).is_multiple_of(modulus)
    }

    /// The magnitude of the first digit: the number is in 0.1..1 × 10^magnitude.
    fn magnitude(&self) -> i64 {
        self.exponent.saturating_add(i64::try_from(self.digits.len()).unwrap_or(i64::MAX))
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            // Digits without trailing zeros compare like fractions: from the left.
            (false, false) => self
                .magnitude()
                .cmp(&other.magnitude())
                .then_with(|| self.digits.as_slice().cmp(other.digits.as_slice())),
        }
    }
}

fn read_exponent(text: &[u8]) -> i64 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let mut value = 0i64;
    for &byte in digits {
        value = (value * 10 + i64::from(byte - b'0')).min(EXPONENT_CAP / 16);
    }
    if negative { -value } else { value }
}

/// 10^`power` modulo `modulus`, which fits 64 bits.
fn power_of_ten(mut power: i64, modulus: u128) -> u128 {
    let mut base = 10 % modulus;
    let mut result = 1 % modulus;
    while power > 0 {
        if power & 1 == 1 {
            result = result * base % modulus;
        }
        base = base * base % modulus;
        power >>= 1;
    }
    result
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.cmp_magnitude(other),
            (true, true) => other.cmp_magnitude(self),
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

// === impl Divisor ===

impl Divisor {
    /// The divisor of a `multipleOf`; `None` unless it is positive and has at most 19 digits.
    pub fn new(decimal: &Decimal) -> Option<Self> {
        if decimal.negative || decimal.digits.is_empty() {
            return None;
        }
        let mut digits = 0u64;
        for &digit in &decimal.digits {
            digits = digits.checked_mul(10)?.checked_add(u64::from(digit))?;
        }
        Some(Self { digits, exponent: decimal.exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn only_the_grammar_of_rfc_8259_is_a_number() {
        for good in ["0", "-0", "1", "10.50", "1e5", "1E+5", "-1.5e-7", "1e400"] {
            assert!(is_json_number(good.as_bytes()), "{good}");
        }
        for bad in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "NaN", "0x10", "1 ", "--1"] {
            assert!(!is_json_number(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn order_is_that_of_the_numbers_as_written() {
        let ascending = [
            "-1e400",
            "-12345678901234567891",
            "-12345678901234567890",
            "-2",
            "-1.5",
            "-1e-400",
            "0",
            "1e-400",
            "0.1",
            "0.10000000000000000001",
            "1",
            "2",
            "10",
            "12345678901234567890",
            "12345678901234567890.5",
            "1e400",
            "1e99999999999999999999",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(decimal(a).cmp(&decimal(b)), i.cmp(&j), "{a} {b}");
            }
        }
    }

    #[test]
    fn plain_numbers_compare_as_decimals_do() {
        let limits = [-2, -1, 0, 1, 12, 100_000_000_000_000_000];
        for text in ["0", "-0", "0.0", "-0.5", "0.5", "-1", "-1.0", "-1.5", "12.000", "12.5", "1.9"]
        {
            for limit in limits {
                let exact = decimal(text).cmp(&Decimal::from_integer(limit));
                assert_eq!(compare_plain(text.as_bytes(), limit), Some(exact), "{text} {limit}");
            }
        }
        for text in ["1e2", "1.5E1", "1234567890123456789", "1234567890123456789.5"] {
            assert_eq!(compare_plain(text.as_bytes(), 0), None, "{text}");
        }
    }

    #[test]
    fn equal_numbers_are_equal_however_written() {
        for (a, b) in
            [("1", "1.0"), ("100", "1e2"), ("0", "-0.00"), ("0e9", "0"), ("12.50", "125e-1")]
        {
            assert_eq!(decimal(a), decimal(b), "{a} {b}");
        }
        assert_eq!(decimal("-9223372036854775808"), Decimal::from_integer(i64::MIN));
    }

    #[test]
    fn multiples_are_exact() {
        let multiple =
            |a: &str, b: &str| decimal(a).is_multiple_of(&Divisor::new(&decimal(b)).unwrap());
        assert!(multiple("0.3", "0.1"));
        assert!(multiple("19.99", "0.01"));
        assert!(!multiple("19.995", "0.01"));
        assert!(multiple("0.0075", "0.0001"));
        assert!(!multiple("0.00751", "0.0001"));
        assert!(!multiple("1e308", "0.123456789"));
        assert!(multiple("12345678901234567890", "10"));
        assert!(!multiple("12345678901234567891", "10"));
        assert!(!multiple("1e400", "7"));
        assert!(multiple("7e400", "7"));
        assert!(multiple("0", "3"));
        assert!(multiple("-9", "3"));
    }

    #[test]
    fn a_huge_exponent_costs_nothing() {
        let huge = decimal("1e999999999999");
        assert!(huge.is_integer());
        assert!(huge > decimal("1e999999999998"));
        assert!(huge.is_multiple_of(&Divisor::new(&decimal("4")).unwrap()));
    }
}
