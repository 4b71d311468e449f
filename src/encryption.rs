//! Encrypting what is stored, and decrypting it again.
//!
//! Invariants:
//! - An encrypted value is of no use without its key and cannot be changed unnoticed.
//! - It cannot be moved to another row or field: both are part of its associated data.
//! - It names its key, so that several keys can be in use at once; the first of a ring encrypts.
//! - Text that only looks encrypted is distinguished from text that is.
//!
//! XChaCha20-Poly1305: its nonces are so long that they may be random for ever, without a
//! counter that processes would have to share.
//!
//! In text an encrypted value is `cvt1:KEY:DATA` (an eight-digit key id; nonce, ciphertext and tag
//! in base64), and text that was not encrypted and begins like one gets the prefix
//! `cvt0:`.

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
use crate::model::random::{RandomSource, RandomUnavailable};

const NONCE_LEN: usize = 24;
const ENCRYPTED_PREFIX: &str = "cvt1:";
const ESCAPED_PREFIX: &str = "cvt0:";

/// Identifies a key without revealing anything of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 4]);

/// The keys of this process; without any, nothing is encrypted. Cheap to clone.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<Vec<(KeyId, XChaCha20Poly1305)>>,
    random: Arc<dyn RandomSource>,
}

/// Why a value cannot be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// Its key is not on the ring.
    #[error("it is encrypted with key {0}, which is not among the keys")]
    UnknownKey(KeyId),
    /// It was changed, or moved here from another row or field.
    #[error("it is encrypted with key {0}, but was changed since")]
    Changed(KeyId),
    /// It is not an encrypted value.
    #[error("it is not an encrypted value")]
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
    type Err = DecryptError;

    fn from_str(text: &str) -> Result<Self, DecryptError> {
        let digits =
            text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u32::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(|number| Self(number.to_be_bytes())).ok_or(DecryptError::Malformed)
    }
}

// === impl Keyring ===

impl Keyring {
    /// A ring of `keys`, the first of which encrypts.
    pub fn new(keys: &[SecretKey], random: Arc<dyn RandomSource>) -> Self {
        let cipher = |key: &SecretKey| (KeyId::of(key), XChaCha20Poly1305::new(key.bytes().into()));
        Self { keys: Arc::new(keys.iter().map(cipher).collect()), random }
    }

    /// The key that encrypts, if there is one.
    pub fn active_key_id(&self) -> Option<KeyId> {
        self.keys.first().map(|(id, _)| *id)
    }

    /// Encrypts text, bound to `aad`; returns it as it is without a key.
    pub fn encrypt_text<'t>(
        &self,
        aad: &[u8],
        text: &'t str,
    ) -> Result<Cow<'t, str>, RandomUnavailable> {
        let Some(id) = self.active_key_id() else {
            let looks_encrypted =
                text.starts_with(ENCRYPTED_PREFIX) || text.starts_with(ESCAPED_PREFIX);
            let escaped = || Cow::Owned(format!("{ESCAPED_PREFIX}{text}"));
            return Ok(if looks_encrypted { escaped() } else { Cow::Borrowed(text) });
        };
        let encrypted = self.encrypt(aad, text.as_bytes())?;
        Ok(Cow::Owned(format!("{ENCRYPTED_PREFIX}{id}:{}", STANDARD_NO_PAD.encode(encrypted))))
    }

    /// Reverses [`Keyring::encrypt_text`].
    pub fn decrypt_text<'t>(
        &self,
        aad: &[u8],
        text: &'t str,
    ) -> Result<Cow<'t, str>, DecryptError> {
        if let Some(clear) = text.strip_prefix(ESCAPED_PREFIX) {
            return Ok(Cow::Borrowed(clear));
        }
        let Some(encrypted) = text.strip_prefix(ENCRYPTED_PREFIX) else {
            return Ok(Cow::Borrowed(text));
        };
        let (id, data) = encrypted.split_once(':').ok_or(DecryptError::Malformed)?;
        let id: KeyId = id.parse()?;
        let data = STANDARD_NO_PAD.decode(data).map_err(|_| DecryptError::Changed(id))?;
        let decrypted = self.decrypt(id, aad, &data)?;
        String::from_utf8(decrypted).map(Cow::Owned).map_err(|_| DecryptError::Changed(id))
    }

    /// The key that a text is encrypted with, if it is encrypted.
    pub fn key_id_of(text: &str) -> Option<KeyId> {
        text.strip_prefix(ENCRYPTED_PREFIX)?.split(':').next()?.parse().ok()
    }

    /// Encrypts bytes with the active key, bound to `aad`; returns them as they are without a key.
    pub fn encrypt(&self, aad: &[u8], bytes: &[u8]) -> Result<Vec<u8>, RandomUnavailable> {
        let Some((_, cipher)) = self.keys.first() else { return Ok(bytes.to_vec()) };
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce)?;
        let payload = Payload { msg: bytes, aad };
        // Fails for messages of 256 GiB only.
        let encrypted =
            cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| RandomUnavailable)?;
        Ok([nonce.as_slice(), &encrypted].concat())
    }

    /// Reverses [`Keyring::encrypt`].
    pub fn decrypt(
        &self,
        id: KeyId,
        aad: &[u8],
        encrypted: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let key = self.keys.iter().find(|(known, _)| *known == id);
        let (_, cipher) = key.ok_or(DecryptError::UnknownKey(id))?;
        let (nonce, data) =
            encrypted.split_first_chunk::<NONCE_LEN>().ok_or(DecryptError::Changed(id))?;
        let payload = Payload { msg: data, aad };
        cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| DecryptError::Changed(id))
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
    use crate::model::random::SeededRandom;

    fn ring(keys: &[u8]) -> Keyring {
        let keys: Vec<_> = keys.iter().map(|byte| SecretKey::new([*byte; 32])).collect();
        Keyring::new(&keys, Arc::new(SeededRandom::new(1)))
    }

    #[test]
    fn text_decrypts_with_its_key_and_its_associated_data_alone() {
        let ring_1 = ring(&[1]);
        let encrypted = ring_1.encrypt_text(b"here", "a secret").unwrap().into_owned();
        assert!(!encrypted.contains("secret"));
        assert_eq!(Keyring::key_id_of(&encrypted), ring_1.active_key_id());
        assert_eq!(ring_1.decrypt_text(b"here", &encrypted).unwrap(), "a secret");
        assert_eq!(ring(&[2, 1]).decrypt_text(b"here", &encrypted).unwrap(), "a secret");
        let id = ring_1.active_key_id().unwrap();
        assert_eq!(ring_1.decrypt_text(b"there", &encrypted), Err(DecryptError::Changed(id)));
        assert_eq!(ring(&[2]).decrypt_text(b"here", &encrypted), Err(DecryptError::UnknownKey(id)));
        assert_eq!(ring(&[]).decrypt_text(b"here", &encrypted), Err(DecryptError::UnknownKey(id)));
        let again = ring_1.encrypt_text(b"here", "a secret").unwrap();
        assert_ne!(again, encrypted, "equal texts do not look equal");
    }

    #[test]
    fn text_that_only_looks_encrypted_is_unchanged() {
        for text in ["cvt1:deadbeef:AAAA", "cvt1:", "cvt0:x", "plain", ""] {
            let stored = ring(&[]).encrypt_text(b"", text).unwrap().into_owned();
            assert_eq!(ring(&[1]).decrypt_text(b"", &stored).unwrap(), text);
            assert_eq!(Keyring::key_id_of(&stored), None, "{stored}");
        }
    }

    #[test]
    fn a_key_never_appears_in_its_id_or_debug_output() {
        assert_eq!(KeyId::of(&SecretKey::new([1; 32])).to_string().len(), 8);
        assert!(!format!("{:?}", ring(&[1, 2])).contains("01, 01"));
        let id = KeyId::of(&SecretKey::new([9; 32]));
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    proptest! {
        #[test]
        fn any_change_is_detected(text in ".{0,60}", position in any::<prop::sample::Index>(), bit in 0..7_u8) {
            let ring = ring(&[1]);
            let encrypted = ring.encrypt_text(b"p", &text).unwrap().into_owned();
            prop_assert_eq!(ring.decrypt_text(b"p", &encrypted).unwrap(), text.as_str());
            let mut bytes = encrypted.clone().into_bytes();
            let at = ENCRYPTED_PREFIX.len() + position.index(bytes.len() - ENCRYPTED_PREFIX.len());
            bytes[at] ^= 1 << bit;
            if let Ok(changed) = String::from_utf8(bytes) {
                // The last digit of base64 has bits that mean nothing; the decoder refuses them.
                prop_assert!(changed == encrypted || ring.decrypt_text(b"p", &changed).is_err(), "{}", changed);
            }
        }
    }
}
