//! PostgreSQL's connection texts: the URL form, and libpq's `key=value` form that CVT takes too.

use percent_encoding::percent_decode_str;

use super::{PostgresSettings, SSL_MODES};
use crate::config::parse::choice;

/// Reads either form; what it omits is taken from `parts`. No error repeats any of it: a
/// password may stand anywhere in a text that is not what it should be.
pub(super) fn parse(text: &str, parts: PostgresSettings) -> Result<PostgresSettings, String> {
    let url = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
    match url {
        Some(rest) => parse_url(rest, parts),
        None if text.contains('=') => parse_pairs(text, parts),
        None => Err("expected postgres://USER:PASSWORD@HOST:PORT/DB".to_owned()),
    }
}

/// A port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "expected a port from 1 to 65535".to_owned())
}

fn parse_url(rest: &str, mut parts: PostgresSettings) -> Result<PostgresSettings, String> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if let Some(user) = user {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        parts.user = decode(user)?;
        parts.password = decode(password)?;
    }
    let (host, given) = split_port(host)?;
    if !host.is_empty() {
        parts.host = decode(host)?;
    }
    if let Some(given) = given {
        parts.port = port(given)?;
    }
    if !database.is_empty() {
        parts.database = decode(database)?;
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(&mut parts, key, decode(value)?)?;
    }
    Ok(parts)
}

/// Host and port; an IPv6 address stands in brackets.
fn split_port(host: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = host.strip_prefix('[') {
        let (address, rest) =
            rest.split_once(']').ok_or("expected `]` after an IPv6 address".to_owned())?;
        return Ok((address, rest.strip_prefix(':')));
    }
    Ok(match host.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (host, None),
    })
}

/// `key=value` pairs apart by white space; values may stand in single quotes.
fn parse_pairs(text: &str, mut parts: PostgresSettings) -> Result<PostgresSettings, String> {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').ok_or("expected key=value pairs".to_owned())?;
        let (value, after) = pair_value(after.trim_start())?;
        set(&mut parts, key.trim(), value)?;
        rest = after.trim_start();
    }
    Ok(parts)
}

/// One value, and what follows it.
fn pair_value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted.is_some() => return Ok((value, &body[at + 1..])),
            c if quoted.is_none() && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if quoted.is_some() { Err("expected a closing quote".to_owned()) } else { Ok((value, "")) }
}

fn set(parts: &mut PostgresSettings, key: &str, value: String) -> Result<(), String> {
    match key {
        "host" => parts.host = value,
        "port" => parts.port = port(&value)?,
        "user" => parts.user = value,
        "password" => parts.password = value,
        "dbname" => parts.database = value,
        "sslmode" => parts.ssl_mode = choice(SSL_MODES)(&value)?,
        "sslrootcert" => parts.ssl_root_cert = Some(value.into()),
        _ => {
            return Err("expected only host, port, user, password, dbname, sslmode and \
                 sslrootcert as parameters"
                .to_owned());
        }
    }
    Ok(())
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| "expected UTF-8 after percent-decoding".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{SslMode, StorageSettings};
    use super::*;

    fn read(text: &str) -> Result<PostgresSettings, String> {
        parse(text, PostgresSettings::default())
    }

    #[test]
    fn urls_are_read() {
        let url = "postgres://al%40ice:p%2Fw%3A%40d@db.example:6432/cvt%2Dprod?sslmode=verify-full";
        let settings = read(url).unwrap();
        assert_eq!((&*settings.user, &*settings.password), ("al@ice", "p/w:@d"));
        assert_eq!((&*settings.host, settings.port), ("db.example", 6432));
        assert_eq!((&*settings.database, settings.ssl_mode), ("cvt-prod", SslMode::VerifyFull));
        assert_eq!(read("postgresql://[::1]:5433/x").unwrap().host, "::1");
        assert_eq!(read("postgres:///x?host=/run/pg").unwrap().host, "/run/pg");
        assert_eq!(read("postgres://").unwrap(), PostgresSettings::default());
    }

    #[test]
    fn pairs_are_read() {
        let settings = read(r"host=db port=1 user='a b' password='p\'\\w' dbname = x").unwrap();
        assert_eq!((&*settings.host, settings.port), ("db", 1));
        assert_eq!((&*settings.user, &*settings.password), ("a b", r"p'\w"));
        assert_eq!(settings.database, "x");
    }

    #[test]
    fn errors_never_contain_the_password() {
        for text in [
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h:0/d",
            "postgres://u:hunter2@[::1/d",
            "postgres://u:hunter2@h/d?sslmode=on",
            "postgres://u:hunter2@h/d?application_name=x",
            "postgres://u:hunter2%ff@h/d",
            "password=hunter2 x",
            "password='hunter2",
            "hunter2",
        ] {
            let error = read(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let settings = StorageSettings::parse("postgres://u:hunter2@h/d").unwrap();
        assert_eq!(settings.to_string(), "postgres://u@h:5432/d");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
