//! Streams taken apart into items: NDJSON, JSON text sequences, server-sent events.
//!
//! What must hold: lazily, one pass, memory of one item at a time.

use std::borrow::Cow;

/// One server-sent event (WHATWG HTML §9.2.6).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event<'b> {
    /// The `data` lines, joined by line feeds.
    pub(crate) data: Option<Cow<'b, str>>,
    /// The `event` field.
    pub(crate) event: Option<&'b str>,
    /// The `id` field.
    pub(crate) id: Option<&'b str>,
    /// The `retry` field, where it is digits only.
    pub(crate) retry: Option<&'b str>,
}

/// The JSON texts of a body: one per line, or one per record separator (RFC 7464). Blank ones
/// are nothing.
pub(crate) fn json_items(text: &str) -> impl Iterator<Item = &str> {
    let separator = if text.trim_start().starts_with('\u{1e}') { '\u{1e}' } else { '\n' };
    text.split(separator)
        .map(|item| item.trim_matches([' ', '\t', '\r', '\n']))
        .filter(|item| !item.is_empty())
}

/// The events of a body. One that the body breaks off before its blank line is no event.
pub(crate) fn events(text: &str) -> Events<'_> {
    Events { rest: text.strip_prefix('\u{feff}').unwrap_or(text) }
}

/// Walks the events of a body.
pub(crate) struct Events<'b> {
    rest: &'b str,
}

// === impl Events ===

impl<'b> Iterator for Events<'b> {
    type Item = Event<'b>;

    fn next(&mut self) -> Option<Event<'b>> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if event == Event::default() {
                    continue;
                }
                return Some(event);
            }
            event.field(line);
        }
    }
}

impl<'b> Events<'b> {
    /// The next whole line; ends are CRLF, LF or CR.
    fn line(&mut self) -> Option<&'b str> {
        let end = self.rest.find(['\r', '\n'])?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        Some(line)
    }
}

// === impl Event ===

impl<'b> Event<'b> {
    fn field(&mut self, line: &'b str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    let data = data.to_mut();
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(Cow::Borrowed(value)),
            },
            "event" => self.event = Some(value),
            "id" if !value.contains('\0') => self.id = Some(value),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = Some(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_record_separators() {
        assert_eq!(json_items("{}\r\n\n [1] \n").collect::<Vec<_>>(), ["{}", "[1]"]);
        let sequence = "\u{1e}{\n}\n\u{1e}2\n";
        assert_eq!(json_items(sequence).collect::<Vec<_>>(), ["{\n}", "2"]);
    }

    #[test]
    fn events_end_at_blank_lines() {
        let text = ":hi\ndata: a\ndata:b\nid: 7\n\n\nevent: e\r\nretry: 10\r\ndata\r\n\r\nretry: x\n\ndata: cut";
        let all: Vec<_> = events(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].data.as_deref(), all[0].id), (Some("a\nb"), Some("7")));
        assert_eq!((all[1].event, all[1].retry, all[1].data.as_deref()), (Some("e"), Some("10"), Some("")));
    }
}
