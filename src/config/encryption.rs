//! The keys that what is stored is encrypted with.

use std::fmt;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::{Problems, Setting, Values};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("encryption.key_file", &["CVT_ENCRYPTION_KEY_FILE"]),
    Setting::new("encryption.key", &["CVT_ENCRYPTION_KEY"]),
];

/// A key of 32 bytes. Never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey([u8; 32]);

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum EncryptionSettings {
    /// Nowhere: nothing is encrypted.
    #[default]
    Off,
    /// Here: the first encrypts, all decrypt.
    Keys(Vec<SecretKey>),
    /// In a file, in the same order, one a line.
    File(PathBuf),
}

/// Reads and checks this section. No message holds anything of a key.
pub fn read(values: &Values, problems: &mut Problems) -> EncryptionSettings {
    if let (Some(_), Some((_, source))) =
        (values.get("encryption.key_file"), values.get("encryption.key"))
    {
        let both = "encryption.key: encryption.key_file is set too; name the keys in one place";
        problems.push(source.clone(), both);
    }
    let keys = values.read("encryption.key", EncryptionSettings::Off, problems, |text| {
        parse_keys(&text.replace(',', "\n")).map(EncryptionSettings::Keys)
    });
    values.read("encryption.key_file", keys, problems, |text| match text {
        "" => Err("expected the path of a file".into()),
        path => Ok(EncryptionSettings::File(path.into())),
    })
}

/// Keys, one a line; lines that begin with `#` and empty ones do not count.
pub fn parse_keys(text: &str) -> Result<Vec<SecretKey>, String> {
    let mut keys: Vec<SecretKey> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = SecretKey::parse(line).ok_or_else(|| {
            let number = index + 1;
            format!(
                "key {number}: expected 32 bytes in base64 or hex; `cvt-sidecar keys generate` \
                 makes one"
            )
        })?;
        if keys.contains(&key) {
            return Err(format!("key {}: it stands twice", index + 1));
        }
        keys.push(key);
    }
    if keys.is_empty() {
        return Err("there is no key; `cvt-sidecar keys generate` makes one".to_owned());
    }
    Ok(keys)
}

// === impl SecretKey ===

impl SecretKey {
    /// A key made of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as it is written down.
    pub fn to_text(&self) -> String {
        STANDARD.encode(self.0)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            64 => (0..32)
                .map(|at| u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok())
                .collect::<Option<Vec<u8>>>()?,
            43 => URL_SAFE.decode(format!("{text}=").replace('+', "-").replace('/', "_")).ok()?,
            _ => URL_SAFE.decode(text.replace('+', "-").replace('/', "_")).ok()?,
        };
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::super::RawSettings;
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<EncryptionSettings, String> {
        let environment = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let mut problems = Problems::default();
        let values = Values::collect(
            RawSettings { environment, ..RawSettings::default() },
            crate::config::Config::TABLES,
            &mut problems,
        );
        let settings = read(&values, &mut problems);
        problems.or_fail().map(|()| settings).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_are_read_in_every_common_form() {
        let key = SecretKey::new([0xfb; 32]);
        let hex = "fb".repeat(32);
        let padded = key.to_text();
        let bare = padded.trim_end_matches('=').replace('+', "-").replace('/', "_");
        for text in [&hex, &hex.to_uppercase(), &padded, &bare] {
            assert_eq!(parse_keys(text), Ok(vec![key.clone()]), "{text}");
        }
        let other = SecretKey::new([1; 32]);
        let file = format!("# new\n{padded}\n\n# old\n{}\n", other.to_text());
        assert_eq!(parse_keys(&file), Ok(vec![key, other]));
        assert_eq!(load(&[]), Ok(EncryptionSettings::Off));
    }

    #[test]
    fn trap_t28_a_wrong_key_is_an_error_that_shows_nothing_of_it() {
        let secret = "aHVudGVyMg==";
        let error = load(&[("CVT_ENCRYPTION_KEY", secret)]).unwrap_err();
        assert!(error.contains("CVT_ENCRYPTION_KEY") && error.contains("keys generate"), "{error}");
        assert!(!error.contains(secret), "{error}");
        let twice = format!("{0},{0}", SecretKey::new([7; 32]).to_text());
        assert!(load(&[("CVT_ENCRYPTION_KEY", &twice)]).unwrap_err().contains("twice"));
        let key = SecretKey::new([7; 32]).to_text();
        let both = [("CVT_ENCRYPTION_KEY", key.as_str()), ("CVT_ENCRYPTION_KEY_FILE", "keys")];
        assert!(load(&both).unwrap_err().contains("one place"));
        assert_eq!(format!("{:?}", SecretKey::new([7; 32])), "SecretKey");
    }
}
