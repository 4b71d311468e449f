//! Readers of single values; each says what it expected.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::RangeInclusive;
use std::time::Duration;

/// `true`, `false`, `1`, `0`, `yes`, `no`, `on`, `off`.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

/// A whole number within `range`.
pub fn integer(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<u64, String> {
    move |text| {
        let expected =
            || format!("expected a whole number from {} to {}", range.start(), range.end());
        text.parse().ok().filter(|n| range.contains(n)).ok_or_else(expected)
    }
}

/// Bytes: `4096`, `64KiB`, `1MiB`, `2GiB`, `10kB`, `5MB`.
pub fn bytes(range: RangeInclusive<u64>) -> impl FnOnce(&str) -> Result<usize, String> {
    move |text| {
        let expected = || "expected a size such as 65536, 64KiB or 1MiB".to_owned();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let factor: u64 = match unit.trim() {
            "" | "B" => 1,
            "KiB" | "k" | "K" => 1 << 10,
            "MiB" | "m" | "M" => 1 << 20,
            "GiB" | "g" | "G" => 1 << 30,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            _ => return Err(expected()),
        };
        let value = number.parse::<u64>().ok().and_then(|n| n.checked_mul(factor));
        let value = value.ok_or_else(expected)?;
        if !range.contains(&value) {
            return Err(format!("expected a size from {} to {} bytes", range.start(), range.end()));
        }
        usize::try_from(value).map_err(|_| expected())
    }
}

/// A duration: `250ms`, `5s`, `2m`, `24h`; a bare number means seconds.
pub fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(&str) -> Result<Duration, String> {
    move |text| {
        let expected = || "expected a duration such as 250ms, 5s or 2m".to_owned();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| expected())?;
        let value = match unit.trim() {
            "ms" => Duration::from_millis(number),
            "" | "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.saturating_mul(60)),
            "h" => Duration::from_secs(number.saturating_mul(3600)),
            "d" => Duration::from_secs(number.saturating_mul(86_400)),
            _ => return Err(expected()),
        };
        if !range.contains(&value) {
            return Err(format!(
                "expected a duration from {:?} to {:?}",
                range.start(),
                range.end()
            ));
        }
        Ok(value)
    }
}

/// An address to listen on: `HOST:PORT`, port 0 for any free one.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let expected = || "expected ADDRESS:PORT such as 127.0.0.1:9080".to_owned();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    match text.strip_prefix("localhost:") {
        Some(_) => text.to_socket_addrs().ok().and_then(|mut all| all.next()).ok_or_else(expected),
        None => Err(expected()),
    }
}

/// A list separated by commas; blanks around items are dropped, empty items refused.
pub fn list(text: &str) -> Result<Vec<String>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|item| match item.trim() {
            "" => Err("expected a list separated by commas, without empty items".to_owned()),
            item => Ok(item.to_owned()),
        })
        .collect()
}

/// One of `choices`, by name.
pub fn choice<T: Copy>(choices: &[(&str, T)]) -> impl FnOnce(&str) -> Result<T, String> {
    move |text| {
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            format!("expected one of {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_sizes_accept_binary_units() {
        let read = |text: &str| bytes(0..=u64::MAX)(text);
        assert_eq!(read("4096"), Ok(4096));
        assert_eq!(read("1MiB"), Ok(1 << 20));
        assert_eq!(read("10kB"), Ok(10_000));
        for bad in ["", "x", "1.5MiB", "-1", "99999999999GiB", "1 parsec"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(bytes(10..=20)("21").unwrap_err().contains("from 10 to 20"));
    }

    #[test]
    fn durations_accept_units() {
        let read = |text: &str| duration(Duration::ZERO..=Duration::from_hours(1))(text);
        assert_eq!(read("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(read("5"), Ok(Duration::from_secs(5)));
        assert_eq!(read("2m"), Ok(Duration::from_mins(2)));
        assert!(read("2h").is_err());
        assert!(read("soon").is_err());
    }

    #[test]
    fn listen_addresses_and_lists_are_parsed() {
        assert!(listen_address("[::1]:80").is_ok());
        assert!(listen_address("80").is_err());
        assert_eq!(list("a, b"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert!(list("a,,b").is_err());
    }
}
