//! Encrypting what is stored, and decrypting it again.
//!
//! What must hold: a sealed value is of no use without its key, cannot be changed unnoticed,
//! and cannot be moved to another place, which goes into its seal. It names its key, so that
//! several keys can be in use at once; the first of a ring seals. Text that only looks sealed
//! is told apart from text that is. XChaCha20-Poly1305: its nonces are so long that they may be
//! drawn by chance for ever, without a count that processes would have to share.
//!
//! In text a sealed value is `cvt1:KEY:DATA` (an eight-digit key id; nonce, ciphertext and tag
//! in base64), and text that was not sealed and begins with `cvt` and a digit and a colon
//! stands behind `cvt0:`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::config::encryption::SecretKey;
use crate::model::chance::{Chance, NoChance};

const NONCE: usize = 24;
const SEALED: &str = "cvt1:";
const CLEAR: &str = "cvt0:";

/// Names a key without telling anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

/// The keys of this process; without any, nothing is sealed. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<Vec<(KeyId, XChaCha20Poly1305)>>,
    chance: Arc<dyn Chance>,
}

/// Why a value stays closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key is not on the ring.
    #[error("it is sealed with key {0}, which is not among the keys")]
    UnknownKey(KeyId),
    /// It was changed, or moved here from another place.
    #[error("it is sealed with key {0}, but was changed since")]
    Changed(KeyId),
    /// It is no sealed value at all.
    #[error("it is no sealed value")]
    Malformed,
}

// === impl KeyId ===

impl KeyId {
    /// The id of a key.
    pub fn of(key: &SecretKey) -> Self {
        let digest = Sha256::new().chain_update(b"cvt-sidecar key id").chain_update(key.bytes());
        let digest = digest.finalize();
        Self([digest[0], digest[1], digest[2], digest[3]])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for KeyId {
    type Err = OpenError;

    fn from_str(text: &str) -> Result<Self, OpenError> {
        let digits =
            text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u32::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(|number| Self(number.to_be_bytes())).ok_or(OpenError::Malformed)
    }
}

// === impl Keyring ===

impl Keyring {
    /// A ring of `keys`, the first of which seals.
    pub fn new(keys: &[SecretKey], chance: Arc<dyn Chance>) -> Self {
        let cipher = |key: &SecretKey| (KeyId::of(key), XChaCha20Poly1305::new(key.bytes().into()));
        Self { keys: Arc::new(keys.iter().map(cipher).collect()), chance }
    }

    /// The key that seals, if there is one.
    pub fn sealing_key(&self) -> Option<KeyId> {
        self.keys.first().map(|(id, _)| *id)
    }

    /// Text sealed for `place`; as it is where there is no key.
    pub fn seal_text<'t>(&self, place: &[u8], text: &'t str) -> Result<Cow<'t, str>, NoChance> {
        let Some(id) = self.sealing_key() else {
            let looks_sealed = text.starts_with(SEALED) || text.starts_with(CLEAR);
            let escaped = || Cow::Owned(format!("{CLEAR}{text}"));
            return Ok(if looks_sealed { escaped() } else { Cow::Borrowed(text) });
        };
        let sealed = self.seal(place, text.as_bytes())?;
        Ok(Cow::Owned(format!("{SEALED}{id}:{}", STANDARD_NO_PAD.encode(sealed))))
    }

    /// What [`Keyring::seal_text`] was given.
    pub fn open_text<'t>(&self, place: &[u8], text: &'t str) -> Result<Cow<'t, str>, OpenError> {
        if let Some(clear) = text.strip_prefix(CLEAR) {
            return Ok(Cow::Borrowed(clear));
        }
        let Some(sealed) = text.strip_prefix(SEALED) else { return Ok(Cow::Borrowed(text)) };
        let (id, data) = sealed.split_once(':').ok_or(OpenError::Malformed)?;
        let id: KeyId = id.parse()?;
        let data = STANDARD_NO_PAD.decode(data).map_err(|_| OpenError::Changed(id))?;
        let opened = self.open(id, place, &data)?;
        String::from_utf8(opened).map(Cow::Owned).map_err(|_| OpenError::Changed(id))
    }

    /// The key that a text is sealed with, if it is sealed.
    pub fn key_of(text: &str) -> Option<KeyId> {
        text.strip_prefix(SEALED)?.split(':').next()?.parse().ok()
    }

    /// Bytes sealed with the sealing key for `place`; as they are where there is none.
    pub fn seal(&self, place: &[u8], bytes: &[u8]) -> Result<Vec<u8>, NoChance> {
        let Some((_, cipher)) = self.keys.first() else { return Ok(bytes.to_vec()) };
        let mut nonce = [0; NONCE];
        self.chance.fill(&mut nonce)?;
        let payload = Payload { msg: bytes, aad: place };
        // Fails for messages of 256 GiB only.
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| NoChance)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    /// What [`Keyring::seal`] was given.
    pub fn open(&self, id: KeyId, place: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let key = self.keys.iter().find(|(known, _)| *known == id);
        let (_, cipher) = key.ok_or(OpenError::UnknownKey(id))?;
        let (nonce, data) = sealed.split_first_chunk::<NONCE>().ok_or(OpenError::Changed(id))?;
        let payload = Payload { msg: data, aad: place };
        cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| OpenError::Changed(id))
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::chance::SeededChance;

    fn ring(keys: &[u8]) -> Keyring {
        let keys: Vec<_> = keys.iter().map(|byte| SecretKey::new([*byte; 32])).collect();
        Keyring::new(&keys, Arc::new(SeededChance::new(1)))
    }

    #[test]
    fn sealed_text_opens_in_its_place_with_its_key_and_nowhere_else() {
        let ring_1 = ring(&[1]);
        let sealed = ring_1.seal_text(b"here", "a secret").unwrap().into_owned();
        assert!(!sealed.contains("secret"));
        assert_eq!(Keyring::key_of(&sealed), ring_1.sealing_key());
        assert_eq!(ring_1.open_text(b"here", &sealed).unwrap(), "a secret");
        assert_eq!(ring(&[2, 1]).open_text(b"here", &sealed).unwrap(), "a secret");
        let id = ring_1.sealing_key().unwrap();
        assert_eq!(ring_1.open_text(b"there", &sealed), Err(OpenError::Changed(id)));
        assert_eq!(ring(&[2]).open_text(b"here", &sealed), Err(OpenError::UnknownKey(id)));
        assert_eq!(ring(&[]).open_text(b"here", &sealed), Err(OpenError::UnknownKey(id)));
        let again = ring_1.seal_text(b"here", "a secret").unwrap();
        assert_ne!(again, sealed, "equal texts do not look equal");
    }

    #[test]
    fn text_that_only_looks_sealed_stays_what_it_is() {
        for text in ["cvt1:deadbeef:AAAA", "cvt1:", "cvt0:x", "plain", ""] {
            let stored = ring(&[]).seal_text(b"", text).unwrap().into_owned();
            assert_eq!(ring(&[1]).open_text(b"", &stored).unwrap(), text);
            assert_eq!(Keyring::key_of(&stored), None, "{stored}");
        }
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        assert_eq!(KeyId::of(&SecretKey::new([1; 32])).to_string().len(), 8);
        assert!(!format!("{:?}", ring(&[1, 2])).contains("01, 01"));
        let id = KeyId::of(&SecretKey::new([9; 32]));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    proptest! {
        #[test]
        fn any_change_is_noticed(text in ".{0,60}", place in any::<prop::sample::Index>(), bit in 0..7_u8) {
            let ring = ring(&[1]);
            let sealed = ring.seal_text(b"p", &text).unwrap().into_owned();
            prop_assert_eq!(ring.open_text(b"p", &sealed).unwrap(), text.as_str());
            let mut bytes = sealed.clone().into_bytes();
            let at = SEALED.len() + place.index(bytes.len() - SEALED.len());
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                // The last digit of base64 has bits that mean nothing; the decoder refuses them.
                prop_assert!(changed == sealed || ring.open_text(b"p", &changed).is_err(), "{}", changed);
            }
        }
    }
}
