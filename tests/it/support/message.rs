//! An HTTP/1.1 message as it stands on the wire, read without changing anything.

use std::io::{self, Read};

/// One message: its head as bytes, its body taken out of its framing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// Start line and headers, up to and with the empty line.
    pub(crate) head: Vec<u8>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
    /// The lines after the last chunk, as sent.
    pub(crate) trailers: String,
}

/// How a body is framed (RFC 9112 §6.3).
enum Framing {
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

// === impl Message ===

impl Message {
    /// Reads one request; `None` when the connection ended before it began.
    pub(crate) fn read_request(from: &mut impl Read) -> io::Result<Option<Self>> {
        let Some(head) = read_head(from)? else { return Ok(None) };
        let mut message = Self { head, ..Self::default() };
        let framing = message.framing().unwrap_or(Framing::None);
        message.read_body(from, &framing)?;
        Ok(Some(message))
    }

    /// Reads one response to a request with `method`; interim ones come out one by one.
    pub(crate) fn read_response(from: &mut impl Read, method: &str) -> io::Result<Self> {
        let mut message = Self::read_response_head(from)?;
        let bodyless = method == "HEAD" || matches!(message.status(), 100..200 | 204 | 304);
        let framing =
            if bodyless { Framing::None } else { message.framing().unwrap_or(Framing::UntilClose) };
        message.read_body(from, &framing)?;
        Ok(message)
    }

    /// Reads the head of a response and leaves its body on the wire.
    pub(crate) fn read_response_head(from: &mut impl Read) -> io::Result<Self> {
        let head = read_head(from)?
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no response"))?;
        Ok(Self { head, ..Self::default() })
    }

    /// The start line and the header lines as text.
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.head).trim_end().lines().map(str::to_owned).collect()
    }

    /// The start line.
    pub(crate) fn start_line(&self) -> String {
        self.lines().swap_remove(0)
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        let line = self.start_line();
        line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
    }

    /// Every value of the header `name`, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let of_name = |line: &String| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        self.lines().iter().skip(1).filter_map(of_name).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    fn framing(&self) -> Option<Framing> {
        if self.all("transfer-encoding").iter().any(|value| value.ends_with("chunked")) {
            return Some(Framing::Chunked);
        }
        let length = self.all("content-length").first()?.parse().ok()?;
        Some(Framing::Length(length))
    }

    fn read_body(&mut self, from: &mut impl Read, framing: &Framing) -> io::Result<()> {
        match framing {
            Framing::None => {}
            Framing::Length(length) => {
                let read = from.take(*length).read_to_end(&mut self.body)?;
                if (read as u64) < *length {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body broke off"));
                }
            }
            Framing::UntilClose => {
                from.read_to_end(&mut self.body)?;
            }
            Framing::Chunked => self.read_chunks(from)?,
        }
        Ok(())
    }

    fn read_chunks(&mut self, from: &mut impl Read) -> io::Result<()> {
        loop {
            let line = read_line(from)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, format!("chunk {line:?}"))
            })?;
            if size == 0 {
                break;
            }
            let before = self.body.len() as u64;
            from.take(size).read_to_end(&mut self.body)?;
            if self.body.len() as u64 - before < size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a chunk broke off"));
            }
            read_line(from)?;
        }
        loop {
            let line = read_line(from)?;
            if line.is_empty() {
                return Ok(());
            }
            self.trailers.push_str(&line);
            self.trailers.push('\n');
        }
    }
}

/// Reads up to and with the empty line; `None` when nothing at all came.
fn read_head(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match read_byte(from)? {
            Some(byte) => head.push(byte),
            None if head.is_empty() => return Ok(None),
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the head broke off")),
        }
    }
    Ok(Some(head))
}

fn read_line(from: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        match read_byte(from)? {
            Some(byte) => line.push(byte),
            None => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a line broke off")),
        }
    }
    Ok(String::from_utf8_lossy(&line[..line.len() - 2]).into_owned())
}

fn read_byte(from: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    Ok((from.read(&mut byte)? == 1).then_some(byte[0]))
}
