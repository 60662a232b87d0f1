//! Password hashes for `/etc/shadow`, as crypt(5) has them: SHA-512 and SHA-256 crypt, bcrypt, yescrypt, MD5 crypt.

use rand::Rng;
use rplay_worker::crypt::{LETTERS, Sha};

/// What a hash is made with.
pub(super) struct Settings<'a> {
    /// `sha512`, `sha256`, `bcrypt` (`blowfish`), `yescrypt` or `md5`.
    pub kind: &'a str,
    /// The salt; one is made when there is none.
    pub salt: Option<&'a str>,
    /// How long a salt that is made is.
    pub salt_size: Option<usize>,
    /// Rounds, or the cost of bcrypt and yescrypt.
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
        "md5" | "md5_crypt" => md5(password, settings),
        "yescrypt" => yescrypt(password, settings),
        other => Err(format!(
            "{other} is not in the list of supported passlib algorithms: md5, blowfish, sha256, sha512, and yescrypt"
        )),
    }
}

/// The salt to use with a scheme that takes up to `most` letters: the one that is given, or a new one.
fn salt_for(name: &str, settings: &Settings<'_>, most: usize) -> Result<String, String> {
    let Some(salt) = settings.salt.filter(|salt| !salt.is_empty()) else {
        let size = settings.salt_size.unwrap_or(most);
        if size > most {
            return Err(format!("Could not hash the secret: {name}: salt_size ({size}) above max_salt_size ({most})"));
        }
        return Ok(self::salt(size));
    };
    if salt.len() > most || !salt.bytes().all(|b| LETTERS.contains(&b)) {
        return Err(format!(
            "Could not hash the secret: {name}: a salt is at most {most} letters, digits, dots and slashes, got {} characters",
            salt.len()
        ));
    }
    Ok(salt.to_owned())
}

fn md5(password: &str, settings: &Settings<'_>) -> Result<String, String> {
    if settings.rounds.is_some() {
        return Err("md5_crypt has no `rounds`".to_owned());
    }
    let salt = salt_for("md5_crypt", settings, 8)?;
    Ok(rplay_worker::crypt::md5(password.as_bytes(), &salt, "$1$"))
}

/// yescrypt as libxcrypt has it: a salt is crypt's own base 64, the cost is a number from 1 to 11, by default 5.
fn yescrypt(password: &str, settings: &Settings<'_>) -> Result<String, String> {
    use base64ct::{Base64ShaCrypt, Encoding};
    use yescrypt::CustomizedPasswordHasher;
    let wrong = |reason: String| format!("Could not hash the secret: yescrypt: {reason}");
    let salt = match settings.salt.filter(|salt| !salt.is_empty()) {
        Some(salt) if salt.len() > 86 => {
            return Err(wrong("a salt is at most 64 bytes, which are 86 letters".to_owned()));
        }
        Some(salt) => Base64ShaCrypt::decode_vec(salt)
            .map_err(|_| wrong("a salt is whole bytes in letters, digits, dots and slashes".to_owned()))?,
        None => rand::random::<[u8; 16]>().to_vec(),
    };
    let (blocks, exponent) = match settings.rounds.unwrap_or(5) {
        cost @ 1..=2 => (8, cost + 9),
        cost @ 3..=11 => (32, cost + 7),
        other => return Err(wrong(format!("rounds ({other}) must be from 1 to 11"))),
    };
    let params = yescrypt::Params::new(yescrypt::Mode::default(), 1 << exponent, blocks, 1);
    let params = params.map_err(|e| wrong(e.to_string()))?;
    let made =
        yescrypt::Yescrypt::from(params).hash_password_customized(password.as_bytes(), &salt, None, None, params);
    Ok(made.map_err(|e| wrong(e.to_string()))?.to_string())
}

fn sha(password: &str, settings: &Settings<'_>, version: u8, default: u32) -> Result<String, String> {
    let name = if version == 6 { "sha512_crypt" } else { "sha256_crypt" };
    let salt = salt_for(name, settings, 16)?;
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

#[cfg(test)]
mod unit {
    #![allow(clippy::unwrap_used)]

    use super::{Settings, hash};

    fn made(password: &str, kind: &str, salt: &str, rounds: Option<u32>) -> Result<String, String> {
        hash(password, &Settings { kind, salt: Some(salt), salt_size: None, rounds, ident: None })
    }

    /// What crypt(3) of libxcrypt 4.4 makes of the same.
    #[test]
    fn yescrypt_is_that_of_libxcrypt() {
        let cases = [
            ("pw", "saltsaltsaltsalt", None, "$y$j9T$saltsaltsaltsalt$Mkop2YSmqnE/srxZXCgSM8Zno4NJ3fN6dZnE9U8QZpC"),
            (
                "pässword",
                "abcdefghijklmnopqrstu.",
                None,
                "$y$j9T$abcdefghijklmnopqrstu.$VZvGfZ4IwEsVPaX/NErjLcOTPWs8mKMwOUmkboGrRN7",
            ),
            ("pw", "saltsaltsaltsalt", Some(1), "$y$j75$saltsaltsaltsalt$RLZClMRnIFDTdDm8X5TjpZy9KSU9T7BqeKYpMF8pY16"),
            ("pw", "saltsaltsaltsalt", Some(4), "$y$j8T$saltsaltsaltsalt$cVhsePQC60HLpIsy/QfD27v3q441v3jU/MGDslaV0EB"),
        ];
        for (password, salt, rounds, wanted) in cases {
            assert_eq!(made(password, "yescrypt", salt, rounds).unwrap(), wanted);
        }
        let own = hash("pw", &Settings { kind: "yescrypt", salt: None, salt_size: None, rounds: None, ident: None });
        assert_eq!(own.unwrap().len(), "$y$j9T$".len() + 22 + 1 + 43);
        for (salt, rounds) in [("ab", None), ("a", None), ("ä", None), ("saltsalt", Some(12)), ("saltsalt", Some(0))] {
            assert!(made("pw", "yescrypt", salt, rounds).is_err(), "{salt} {rounds:?}");
        }
    }
}
