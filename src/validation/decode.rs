//! Content codings and charsets: from the bytes on the wire to the text that is validated.
//!
//! Invariants:
//! - decoding works on a copy and never touches what is forwarded;
//! - no more than the limit is ever produced, whatever the input claims;
//! - an unknown coding or charset is a reason to skip, bytes that do not decode are a violation
//!   (`malformed`).

use std::borrow::Cow;
use std::io::{self, Read};

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use crate::model::verdict::SkipReason;

/// Codings that may be stacked on one body.
const MAX_CODINGS: usize = 4;

/// Why a body has no decoded form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeFailure {
    /// Not validated, for the reason given.
    Skip(SkipReason),
    /// The bytes are not what `Content-Encoding` says.
    Corrupt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// Undoes the codings of `Content-Encoding`, last applied first, keeping at most `limit` bytes.
/// Borrows where there is nothing to undo. An empty body is never decoded.
pub(crate) fn decode_content<'b>(
    headers: &HeaderMap,
    body: Cow<'b, [u8]>,
    limit: usize,
) -> Result<Cow<'b, [u8]>, DecodeFailure> {
    if body.is_empty() || !headers.contains_key(CONTENT_ENCODING) {
        return Ok(body);
    }
    let codings = codings(headers)?;
    let mut body = body;
    for coding in codings.into_iter().rev() {
        body = Cow::Owned(undo(coding, &body, limit)?);
    }
    Ok(body)
}

fn codings(headers: &HeaderMap) -> Result<Vec<Coding>, DecodeFailure> {
    let unknown = DecodeFailure::Skip(SkipReason::UnknownContentEncoding);
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        for name in value.to_str().map_err(|_| unknown)?.split(',') {
            let coding = match name.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Coding::Gzip,
                "deflate" => Coding::Deflate,
                "br" => Coding::Brotli,
                "zstd" => Coding::Zstd,
                _ => return Err(unknown),
            };
            if found.len() == MAX_CODINGS {
                return Err(DecodeFailure::Skip(SkipReason::WorkBudget));
            }
            found.push(coding);
        }
    }
    Ok(found)
}

fn undo(coding: Coding, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFailure> {
    match coding {
        Coding::Gzip => read_capped(flate2::read::MultiGzDecoder::new(body), limit),
        // RFC 9110 §8.4.1.2 means the zlib format; many senders omit its wrapper.
        Coding::Deflate => match read_capped(flate2::read::ZlibDecoder::new(body), limit) {
            Err(DecodeFailure::Corrupt) => {
                read_capped(flate2::read::DeflateDecoder::new(body), limit)
            }
            other => other,
        },
        Coding::Brotli => read_capped(brotli::Decompressor::new(body, 4096), limit),
        Coding::Zstd => {
            let mut decoder =
                zstd::stream::read::Decoder::new(body).map_err(|_| DecodeFailure::Corrupt)?;
            // RFC 8878 §3.1.1.1.2 recommends 8 MiB windows; a larger one is memory on demand.
            decoder.window_log_max(23).map_err(|_| DecodeFailure::Corrupt)?;
            read_capped(decoder, limit)
        }
    }
}

fn read_capped(reader: impl Read, limit: usize) -> Result<Vec<u8>, DecodeFailure> {
    let mut out = Vec::new();
    let mut capped = reader.take(limit as u64 + 1);
    match io::copy(&mut capped, &mut out) {
        Ok(_) if out.len() > limit => Err(DecodeFailure::Skip(SkipReason::DecodedOverLimit)),
        Ok(_) => Ok(out),
        Err(_) => Err(DecodeFailure::Corrupt),
    }
}

/// The text of a body in the charset its media type names; UTF-8 where it names none. A byte
/// order mark is removed. An unknown charset is a reason to skip, text that is not in the
/// charset is corrupt.
pub(crate) fn decode_charset<'b>(
    body: &'b [u8],
    charset: Option<&str>,
) -> Result<Cow<'b, str>, DecodeFailure> {
    let encoding = match charset {
        None => encoding_rs::UTF_8,
        Some(label) => encoding_rs::Encoding::for_label_no_replacement(label.trim().as_bytes())
            .ok_or(DecodeFailure::Skip(SkipReason::UnknownCharset))?,
    };
    if encoding == encoding_rs::UTF_8 {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        return std::str::from_utf8(body).map(Cow::Borrowed).map_err(|_| DecodeFailure::Corrupt);
    }
    let (text, _, malformed) = encoding.decode(body);
    if malformed { Err(DecodeFailure::Corrupt) } else { Ok(text) }
}

/// Bytes as text: UTF-8 where they are valid, else ISO 8859-1, so that lengths count bytes.
pub(crate) fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, value.parse().unwrap());
        headers
    }

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    fn zlib(body: &[u8], wrapped: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let level = flate2::Compression::fast();
        if wrapped {
            flate2::read::ZlibEncoder::new(body, level).read_to_end(&mut out).unwrap();
        } else {
            flate2::read::DeflateEncoder::new(body, level).read_to_end(&mut out).unwrap();
        }
        out
    }

    fn br(body: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        brotli::CompressorReader::new(body, 4096, 5, 20).read_to_end(&mut out).unwrap();
        out
    }

    fn decode(coding: &str, body: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFailure> {
        decode_content(&headers(coding), Cow::Borrowed(body), limit).map(Cow::into_owned)
    }

    #[test]
    fn trap_t12_every_coding_alone_and_stacked() {
        let body = b"{\"a\": 1}".repeat(50);
        let zstd = zstd::encode_all(&*body, 3).unwrap();
        assert_eq!(decode("gzip", &gzip(&body), 1000).unwrap(), body);
        assert_eq!(decode("deflate", &zlib(&body, true), 1000).unwrap(), body);
        assert_eq!(decode("deflate", &zlib(&body, false), 1000).unwrap(), body);
        assert_eq!(decode("BR", &br(&body), 1000).unwrap(), body);
        assert_eq!(decode("zstd", &zstd, 1000).unwrap(), body);
        assert_eq!(decode("br, identity, gzip", &gzip(&br(&body)), 1000).unwrap(), body);
        assert_eq!(decode("gzip", b"", 1000).unwrap(), b"");
    }

    #[test]
    fn trap_t12_bombs_unknown_codings_and_corrupt_bytes() {
        let bomb = gzip(&vec![0u8; 20 << 20]);
        let over = Err(DecodeFailure::Skip(SkipReason::DecodedOverLimit));
        assert_eq!(decode("gzip", &bomb, 1 << 20), over);
        assert_eq!(decode("gzip, gzip", &gzip(&bomb), 1 << 20), over);
        assert_eq!(decode("zstd", &zstd::encode_all(&*vec![0u8; 9 << 20], 3).unwrap(), 1000), over);
        let unknown = Err(DecodeFailure::Skip(SkipReason::UnknownContentEncoding));
        assert_eq!(decode("compress", b"x", 1000), unknown);
        assert_eq!(decode("gzip", b"not gzip", 1000), Err(DecodeFailure::Corrupt));
        assert_eq!(decode("gzip", &gzip(b"cut off")[..12], 1000), Err(DecodeFailure::Corrupt));
        assert_eq!(
            decode("gzip,gzip,gzip,gzip,gzip", b"x", 10),
            Err(DecodeFailure::Skip(SkipReason::WorkBudget))
        );
    }

    #[test]
    fn charsets_are_decoded_or_skipped_as_unknown() {
        assert_eq!(decode_charset(b"\xEF\xBB\xBF{}", None).unwrap(), "{}");
        assert_eq!(decode_charset(b"\xe9", Some("latin1")).unwrap(), "é");
        assert_eq!(decode_charset(b"\xe9", Some("UTF-8")), Err(DecodeFailure::Corrupt));
        assert_eq!(
            decode_charset(b"x", Some("klingon")),
            Err(DecodeFailure::Skip(SkipReason::UnknownCharset))
        );
    }
}
