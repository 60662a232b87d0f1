//! Password hashes for `/etc/shadow`: SHA-512 and SHA-256 crypt, and bcrypt.

use rand::Rng;
use rplay_worker::crypt::{LETTERS, Sha};

/// What a hash is made with.
pub(super) struct Settings<'a> {
    /// `sha512`, `sha256` or `bcrypt` (`blowfish`).
    pub kind: &'a str,
    /// The salt; one is made when there is none.
    pub salt: Option<&'a str>,
    /// How long a salt that is made is.
    pub salt_size: Option<usize>,
    /// Rounds, or bcrypt's cost.
    pub rounds: Option<u32>,
    /// bcrypt's version: `2b`, `2y`, `2a`.
    pub ident: Option<&'a str>,
}

/// A password's hash as `vars_prompt` makes it: `kind` is a crypt's name, a salt is made when there is none.
pub fn hash_password(
    password: &str,
    kind: &str,
    salt: Option<&str>,
    salt_size: Option<usize>,
) -> Result<String, String> {
    hash(password, &Settings { kind, salt, salt_size, rounds: None, ident: None })
}

/// Random letters of crypt's alphabet.
pub(super) fn salt(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length).map(|_| char::from(LETTERS[rng.random_range(0..LETTERS.len())])).collect()
}

/// The hash of a password, in crypt's format. Rounds that are not asked for are those of the reference with passlib.
pub(super) fn hash(password: &str, settings: &Settings<'_>) -> Result<String, String> {
    match settings.kind {
        "sha512" | "sha512_crypt" => sha(password, settings, 6, 656_000),
        "sha256" | "sha256_crypt" => sha(password, settings, 5, 535_000),
        "bcrypt" | "blowfish" => bcrypt(password, settings),
        "md5" | "md5_crypt" | "yescrypt" | "des_crypt" => {
            Err(format!("the hash type {} is not supported here: use sha512, sha256 or bcrypt", settings.kind))
        }
        other => {
            Err(format!("{other} is not in the list of supported passlib algorithms: md5, blowfish, sha256, sha512"))
        }
    }
}

fn sha(password: &str, settings: &Settings<'_>, version: u8, default: u32) -> Result<String, String> {
    let name = if version == 6 { "sha512_crypt" } else { "sha256_crypt" };
    let salt = match settings.salt {
        Some(salt) => salt.to_owned(),
        None => {
            let size = settings.salt_size.unwrap_or(16);
            if size > 16 {
                return Err(format!("Could not hash the secret: {name}: salt_size ({size}) above max_salt_size (16)"));
            }
            self::salt(size)
        }
    };
    if salt.len() > 16 || !salt.bytes().all(|b| LETTERS.contains(&b)) {
        return Err(format!(
            "Could not hash the secret: {name}: a salt is at most 16 letters, digits, dots and slashes, got {} characters",
            salt.len()
        ));
    }
    let rounds = settings.rounds.unwrap_or(default);
    let kind = if version == 6 { Sha::Sha512 } else { Sha::Sha256 };
    rplay_worker::crypt::sha(password.as_bytes(), &salt, kind, rounds)
        .map_err(|reason| format!("Could not hash the secret: {name}: {reason}"))
}

fn bcrypt(password: &str, settings: &Settings<'_>) -> Result<String, String> {
    use base64::Engine;
    let raw: [u8; 16] = match settings.salt {
        None => rand::random(),
        Some(salt) => {
            if salt.len() != 22 {
                let message = "Could not hash the secret: bcrypt: a salt has exactly 22 characters";
                return Err(format!("{message}, got {}", salt.len()));
            }
            // The last letter of a salt holds bits that do not count.
            let lenient = base64::engine::GeneralPurpose::new(
                &base64::alphabet::BCRYPT,
                base64::engine::general_purpose::NO_PAD.with_decode_allow_trailing_bits(true),
            );
            let bytes = lenient.decode(salt).map_err(|e| format!("Could not hash the secret: bcrypt: {e}"))?;
            bytes.try_into().map_err(|_| "Could not hash the secret: bcrypt: the salt is too short".to_owned())?
        }
    };
    let version = match settings.ident {
        None | Some("2b" | "$2b$") => bcrypt::Version::TwoB,
        Some("2y" | "$2y$") => bcrypt::Version::TwoY,
        Some("2a" | "$2a$") => bcrypt::Version::TwoA,
        Some(other) => return Err(format!("Could not hash the secret: bcrypt: unknown ident '{other}'")),
    };
    let parts = bcrypt::hash_with_salt(password, settings.rounds.unwrap_or(12), raw)
        .map_err(|e| format!("Could not hash the secret: bcrypt: {e}"))?;
    Ok(parts.format_for_version(version))
}
