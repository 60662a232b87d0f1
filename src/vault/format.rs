//! The formats 1.1 and 1.2: a line that says what it is, then hexadecimal digits in lines of 80.
//!
//! Below the digits are three parts in lines of their own, hexadecimal again: salt, HMAC-SHA256 of the encrypted bytes, and
//! those bytes: AES-256 in counter mode over the text with PKCS#7 padding. Both keys and the counter's start come from the
//! password by PBKDF2.

use std::borrow::Cow;

use aes::Aes256;
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRngCore;
use sha2_next::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::VaultError;
use crate::connection::Secret;

/// What encrypted text begins with.
pub const HEADER: &str = "$ANSIBLE_VAULT";

/// Rounds of PBKDF2, fixed by the format.
const ROUNDS: u32 = 10_000;
const BLOCK: usize = 16;
const COLUMNS: usize = 80;

/// Whether bytes are encrypted: they begin with the header (and are ASCII, as all of it must be).
#[must_use]
pub fn is_encrypted(data: &[u8]) -> bool {
    data.starts_with(HEADER.as_bytes()) && data.is_ascii()
}

/// Encrypted text, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `AES256`.
    pub cipher: String,
    /// The vault id that the first line names.
    pub id: Option<String>,
    body: Vec<u8>,
}

impl Envelope {
    /// Reads the first line and joins the others.
    pub fn parse(text: &[u8]) -> Result<Self, VaultError> {
        if !is_encrypted(text) {
            return Err(VaultError::NotVault);
        }
        let mut lines = text.split(|byte| *byte == b'\n' || *byte == b'\r');
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        let mut parts = first.trim().split(';').skip(2);
        let cipher = parts.next().ok_or(VaultError::Envelope)?.trim().to_owned();
        let id = parts.next().map(|id| id.trim().to_owned());
        Ok(Self { cipher, id, body: lines.flatten().copied().collect() })
    }

    /// The plain bytes, when `secret` is the password.
    pub(super) fn open(&self, secret: &Secret) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let inner = unhex(&self.body)?;
        let mut parts = inner.splitn(3, |byte| *byte == b'\n');
        let mut part = || parts.next().ok_or(VaultError::Text);
        let (salt, checksum, data) = (unhex(part()?)?, part()?, part()?);
        let mut data = Zeroizing::new(unhex(data)?);
        let checksum = unhex(checksum)?;
        let keys = Keys::derive(secret, &salt);
        keys.hmac(&data)?.verify_slice(&checksum).map_err(|_| VaultError::Checksum)?;
        keys.apply(&mut data)?;
        let padding = usize::from(*data.last().ok_or(VaultError::Padding)?);
        let length = data.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
        let length = length.ok_or(VaultError::Padding)?;
        if data.iter().skip(length).any(|byte| usize::from(*byte) != padding) {
            return Err(VaultError::Padding);
        }
        data.truncate(length);
        Ok(data)
    }
}

/// Encrypts bytes; an id other than `default` goes into the first line. Without a salt one is made.
pub fn encrypt(plain: &[u8], secret: &Secret, id: Option<&str>, salt: Option<&[u8]>) -> Result<String, VaultError> {
    if is_encrypted(plain) {
        return Err(VaultError::Already);
    }
    let salt = match salt {
        Some([]) => return Err(VaultError::Salt),
        Some(salt) => Cow::Borrowed(salt),
        None => {
            let mut fresh = vec![0; 32];
            let failed = |e| VaultError::Source(format!("the system gives no random numbers: {e}"));
            rand::rngs::OsRng.try_fill_bytes(&mut fresh).map_err(failed)?;
            Cow::Owned(fresh)
        }
    };
    let keys = Keys::derive(secret, &salt);
    let padding = BLOCK - plain.len() % BLOCK;
    let mut data = Vec::with_capacity(plain.len() + padding);
    data.extend_from_slice(plain);
    data.resize(plain.len() + padding, u8::try_from(padding).unwrap_or_default());
    keys.apply(&mut data)?;
    let checksum = keys.hmac(&data)?.finalize().into_bytes();
    let inner = [hex(&salt), hex(&checksum), hex(&data)].join("\n");
    let digits = hex(inner.as_bytes());
    let mut out = match id.filter(|id| !id.is_empty() && *id != "default") {
        Some(id) => format!("{HEADER};1.2;AES256;{id}\n"),
        None => format!("{HEADER};1.1;AES256\n"),
    };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % COLUMNS == 0 {
            out.push('\n');
        }
        out.push(digit);
    }
    out.push('\n');
    Ok(out)
}

/// Two keys of 32 bytes and the counter's 16.
struct Keys([u8; 80]);

impl Keys {
    fn derive(secret: &Secret, salt: &[u8]) -> Self {
        let mut out = Self([0; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(secret.bytes(), salt, ROUNDS, &mut out.0);
        out
    }

    /// Encrypts or decrypts, which is the same in counter mode.
    fn apply(&self, data: &mut [u8]) -> Result<(), VaultError> {
        let mut cipher =
            Ctr128BE::<Aes256>::new_from_slices(&self.0[..32], &self.0[64..]).map_err(|_| VaultError::Text)?;
        cipher.try_apply_keystream(data).map_err(|_| VaultError::Text)
    }

    fn hmac(&self, data: &[u8]) -> Result<Hmac<Sha256>, VaultError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[32..64]).map_err(|_| VaultError::Text)?;
        mac.update(data);
        Ok(mac)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

fn unhex(digits: &[u8]) -> Result<Vec<u8>, VaultError> {
    if !digits.len().is_multiple_of(2) {
        return Err(VaultError::Hex("Odd-length string"));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    let all: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
    all.ok_or(VaultError::Hex("Non-hexadecimal digit found"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Made by the reference, with the salt `salty`, the password `pässword` and the id `prod`.
    const VECTOR: &str = include_str!("vector.txt");

    #[test]
    fn writes_and_reads_what_the_reference_does() {
        let secret = Secret::from("pässword");
        let plain = "user: ädmin\npassword: \"{{ x }}\"\n".repeat(4);
        assert_eq!(encrypt(plain.as_bytes(), &secret, Some("prod"), Some(b"salty")).unwrap(), VECTOR);
        let envelope = Envelope::parse(VECTOR.as_bytes()).unwrap();
        assert_eq!((envelope.cipher.as_str(), envelope.id.as_deref()), ("AES256", Some("prod")));
        assert_eq!(*envelope.open(&secret).unwrap(), plain.as_bytes());
        assert_eq!(envelope.open(&Secret::from("other")).unwrap_err(), VaultError::Checksum);
    }

    #[test]
    fn any_length_comes_back() {
        let secret = Secret::from("p");
        for length in [0usize, 1, 15, 16, 17, 1000] {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let text = encrypt(&plain, &secret, None, None).unwrap();
            assert!(text.starts_with("$ANSIBLE_VAULT;1.1;AES256\n") && text.lines().all(|l| l.len() <= COLUMNS));
            assert_eq!(*Envelope::parse(text.as_bytes()).unwrap().open(&secret).unwrap(), plain);
        }
        assert_eq!(encrypt(VECTOR.as_bytes(), &secret, None, None).unwrap_err(), VaultError::Already);
        assert_eq!(encrypt(b"x", &secret, None, Some(b"")).unwrap_err(), VaultError::Salt);
    }

    #[test]
    fn what_was_changed_is_refused() {
        let secret = Secret::from("p");
        let text = encrypt(b"secret", &secret, None, Some(b"s")).unwrap();
        let open = |text: &str| Envelope::parse(text.as_bytes()).and_then(|e| e.open(&secret));
        assert_eq!(open(&text[..text.len() - 2]).unwrap_err(), VaultError::Hex("Odd-length string"));
        let broken = text.replacen('3', "g", 1);
        assert_eq!(open(&broken).unwrap_err(), VaultError::Hex("Non-hexadecimal digit found"));
        assert_eq!(open("$ANSIBLE_VAULT;1.1;AES256\n").unwrap_err(), VaultError::Text);
        assert_eq!(open("$ANSIBLE_VAULT;1.1").unwrap_err(), VaultError::Envelope);
        assert_eq!(open("plain").unwrap_err(), VaultError::NotVault);
        // The last digit of the encrypted bytes, two layers down.
        let flipped = if text.ends_with("30\n") { "31\n" } else { "30\n" };
        let other = format!("{}{flipped}", &text[..text.len() - 3]);
        assert_eq!(open(&other).unwrap_err(), VaultError::Checksum);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

        #[test]
        fn hostile_bytes_are_refused(noise: Vec<u8>, digits in "[0-9a-g\n]{0,200}", inner in "[0-9a-f\n]{0,80}") {
            let secret = Secret::from("p");
            let nested = format!("{HEADER};1.2;AES256;x\n{}", hex(inner.as_bytes()));
            let text = format!("{HEADER};1.1;AES256\n{digits}");
            for bytes in [noise.as_slice(), text.as_bytes(), nested.as_bytes(), &[HEADER.as_bytes(), &noise].concat()] {
                if let Ok(envelope) = Envelope::parse(bytes) {
                    proptest::prop_assert!(envelope.open(&secret).is_err());
                }
            }
        }
    }
}
