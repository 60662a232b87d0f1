//! ECDSA keys whose number is short.
//!
//! OpenSSH writes the number of a private key without leading zeros (PROTOCOL.key; RFC 4251, section 5: `mpint`), so that one
//! key of 256 has fewer bytes than its curve, or still fewer. The `ssh-key` library refuses those of P-256, the kind that
//! `ssh-keygen -t ecdsa` makes; here they are read.

use base64::Engine as _;
use russh::keys::PrivateKey;
use russh::keys::ssh_encoding::{Decode, Reader};
use russh::keys::ssh_key::private::{EcdsaKeypair, EcdsaPrivateKey, KeypairData};
use russh::keys::ssh_key::public::{EcdsaPublicKey, KeyData};
use russh::keys::ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

const MAGIC: &[u8] = b"openssh-key-v1\0";
const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
/// The number of bytes of a P-256 key.
const SIZE: usize = 32;

/// Reads a private key of P-256 in OpenSSH's format whose number has fewer bytes than the curve; `None` for any other, and
/// where the passphrase does not open it.
pub fn read(text: &str, passphrase: Option<&str>) -> Option<PrivateKey> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, _) = rest.split_once(END)?;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let bytes = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(body.as_bytes()).ok()?);
    let mut reader = bytes.strip_prefix(MAGIC)?;
    let cipher = Cipher::decode(&mut reader).ok()?;
    let kdf = Kdf::decode(&mut reader).ok()?;
    if u32::decode(&mut reader).ok()? != 1 {
        return None;
    }
    let public = Vec::<u8>::decode(&mut reader).ok()?;
    let KeyData::Ecdsa(EcdsaPublicKey::NistP256(public)) = KeyData::decode(&mut public.as_slice()).ok()? else {
        return None;
    };
    let mut secret = Zeroizing::new(Vec::<u8>::decode(&mut reader).ok()?);
    if cipher.is_some() {
        let (key, iv) = kdf.derive_key_and_iv(cipher, passphrase?).ok()?;
        let mut tag = [0; 16];
        if cipher.has_tag() {
            reader.read(&mut tag).ok()?;
        }
        cipher.decrypt(&key, &iv, &mut secret, cipher.has_tag().then(|| tag.into())).ok()?;
    }
    let (number, comment) = number(&secret, public.as_bytes())?;
    let private = EcdsaPrivateKey::from(*number);
    PrivateKey::new(KeypairData::Ecdsa(EcdsaKeypair::NistP256 { public, private }), comment).ok()
}

/// The number in its full length and the comment, from the part that may be encrypted.
fn number(mut secret: &[u8], public: &[u8]) -> Option<(Zeroizing<[u8; SIZE]>, Vec<u8>)> {
    let reader = &mut secret;
    if u32::decode(reader).ok()? != u32::decode(reader).ok()? {
        return None;
    }
    let (algorithm, curve) = (Vec::<u8>::decode(reader).ok()?, Vec::<u8>::decode(reader).ok()?);
    if algorithm != b"ecdsa-sha2-nistp256" || curve != b"nistp256" || Vec::<u8>::decode(reader).ok()? != public {
        return None;
    }
    let short = Zeroizing::new(Vec::<u8>::decode(reader).ok()?);
    let mut number = Zeroizing::new([0; SIZE]);
    number.get_mut(SIZE.checked_sub(short.len())?..)?.copy_from_slice(&short);
    let comment = Vec::<u8>::decode(reader).ok()?;
    // What fills the last block counts upwards.
    let filled = secret.iter().zip(1..).all(|(byte, count)| *byte == count);
    filled.then_some((number, comment))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use russh::keys::{Algorithm, EcdsaCurve};

    use super::*;

    /// A key that was made for this test, its number one byte short.
    const SHORT: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAaAAAABNl
Y2RzYS1zaGEyLW5pc3RwMjU2AAAACG5pc3RwMjU2AAAAQQQ+AcMgm33QbAU8zHPe
+g/0Kk7i5VY6mrhDEkLbmFPV0YPzTpw/PI2zywLedWmlONJddd4xSoU9axEmI4YW
kjolAAAAmJhSPbKYUj2yAAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAy
NTYAAABBBD4BwyCbfdBsBTzMc976D/QqTuLlVjqauEMSQtuYU9XRg/NOnD88jbPL
At51aaU40l113jFKhT1rESYjhhaSOiUAAAAfKiVYAnanZkie2KSj/KTMI2KY8rko
pNxcu7wD3+AbWwAAAAAB
-----END OPENSSH PRIVATE KEY-----
";

    fn signs(key: &PrivateKey) {
        assert_eq!(key.algorithm(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 });
        let signed = key.sign("test", russh::keys::HashAlg::Sha256, b"message").unwrap();
        key.public_key().verify("test", b"message", &signed).unwrap();
    }

    #[test]
    fn a_short_key_is_read_and_signs() {
        let library = russh::keys::decode_secret_key(SHORT, None);
        assert!(library.is_err(), "the library reads these keys by now: this module can go");
        signs(&read(SHORT, None).unwrap());
    }

    #[test]
    fn an_encrypted_one_with_its_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        for cipher in ["aes256-ctr", "aes256-gcm@openssh.com", "aes128-cbc"] {
            let path = directory.path().join("key");
            std::fs::write(&path, SHORT).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let status = Command::new("ssh-keygen")
                .args(["-q", "-p", "-P", "", "-N", "open sesame", "-a", "2", "-Z", cipher, "-f"])
                .arg(&path)
                .status();
            assert!(status.unwrap().success());
            let text = std::fs::read_to_string(&path).unwrap();
            signs(&read(&text, Some("open sesame")).unwrap());
            assert!(read(&text, Some("close sesame")).is_none());
            assert!(read(&text, None).is_none());
        }
    }

    #[test]
    fn what_is_cut_off_is_no_key() {
        let body = SHORT.lines().filter(|line| !line.starts_with("---")).collect::<String>();
        let whole = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        for length in 0..whole.len() {
            let body = base64::engine::general_purpose::STANDARD.encode(&whole[..length]);
            assert!(read(&format!("{BEGIN}\n{body}\n{END}\n"), None).is_none(), "{length}");
        }
    }
}
