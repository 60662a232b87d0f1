//! Password hashes as crypt(3), Apache and LDAP have them.

mod des;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;

/// The letters of crypt's own base 64, which salts are made of too.
pub const LETTERS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A way to hash a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Apache's variant of MD5 crypt (`$apr1$`).
    AprMd5,
    /// MD5 crypt (`$1$`).
    Md5,
    /// bcrypt (`$2b$`).
    Bcrypt,
    /// SHA-256 crypt (`$5$`).
    Sha256,
    /// SHA-512 crypt (`$6$`).
    Sha512,
    /// The traditional crypt, of which only eight letters count.
    Des,
    /// LDAP's SHA-1 without a salt (`{SHA}`).
    LdapSha1,
    /// LDAP's SHA-1 with a salt (`{SSHA}`).
    LdapSaltedSha1,
    /// The password itself.
    Plain,
}

impl Scheme {
    /// All of them, by the names that passlib has for them.
    pub const ALL: [(&'static str, Self); 9] = [
        ("apr_md5_crypt", Self::AprMd5),
        ("bcrypt", Self::Bcrypt),
        ("des_crypt", Self::Des),
        ("ldap_salted_sha1", Self::LdapSaltedSha1),
        ("ldap_sha1", Self::LdapSha1),
        ("md5_crypt", Self::Md5),
        ("plaintext", Self::Plain),
        ("sha256_crypt", Self::Sha256),
        ("sha512_crypt", Self::Sha512),
    ];

    /// The hash of a password, with a salt of `random` bytes; rounds are those that passlib takes by default.
    pub fn hash(self, password: &[u8], random: [u8; 16]) -> Result<String, String> {
        let salt: String = random.iter().map(|byte| char::from(LETTERS[usize::from(byte & 63)])).collect();
        match self {
            Self::AprMd5 => Ok(md5(password, &salt[..8], "$apr1$")),
            Self::Md5 => Ok(md5(password, &salt[..8], "$1$")),
            Self::Bcrypt => {
                let parts = bcrypt::hash_with_salt(password, 12, random).map_err(|e| e.to_string())?;
                Ok(parts.format_for_version(bcrypt::Version::TwoB))
            }
            Self::Sha256 => sha(password, &salt, Sha::Sha256, 535_000),
            Self::Sha512 => sha(password, &salt, Sha::Sha512, 656_000),
            Self::Des => Ok(des::crypt(password, [salt.as_bytes()[0], salt.as_bytes()[1]])),
            Self::LdapSha1 => Ok(format!("{{SHA}}{}", STANDARD.encode(Sha1::digest(password)))),
            Self::LdapSaltedSha1 => Ok(ldap_salted(password, &random[..8])),
            Self::Plain => String::from_utf8(password.to_vec()).map_err(|e| e.to_string()),
        }
    }
}

/// Bytes for a salt.
pub fn random() -> Result<[u8; 16], String> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    got.map(|_| bytes).map_err(|e| format!("cannot get random bytes: {e}"))
}

/// Whether a password has this hash, of whatever scheme it is.
#[must_use]
pub fn verify(password: &[u8], hash: &str) -> bool {
    let fields: Vec<&str> = hash.split('$').collect();
    let made = match fields[..] {
        ["", "apr1", salt, _] => Some(md5(password, salt, "$apr1$")),
        ["", "1", salt, _] => Some(md5(password, salt, "$1$")),
        ["", "2a" | "2b" | "2x" | "2y", ..] => return bcrypt::verify(password, hash).unwrap_or(false),
        ["", "5", salt, _] => sha(password, salt, Sha::Sha256, 5000).ok(),
        ["", "6", salt, _] => sha(password, salt, Sha::Sha512, 5000).ok(),
        ["", "5", rounds, salt, _] => {
            rounds_of(rounds).and_then(|rounds| sha(password, salt, Sha::Sha256, rounds).ok())
        }
        ["", "6", rounds, salt, _] => {
            rounds_of(rounds).and_then(|rounds| sha(password, salt, Sha::Sha512, rounds).ok())
        }
        _ => None,
    };
    if let Some(made) = made {
        return made == hash;
    }
    if let Some(digest) = hash.strip_prefix("{SHA}") {
        return digest == STANDARD.encode(Sha1::digest(password));
    }
    if let Some(salted) = hash.strip_prefix("{SSHA}") {
        let bytes = STANDARD.decode(salted).unwrap_or_default();
        return bytes.get(20..).is_some_and(|salt| ldap_salted(password, salt) == hash);
    }
    match hash.as_bytes() {
        bytes @ [first, second, ..] if bytes.len() == 13 && bytes.iter().all(|byte| LETTERS.contains(byte)) => {
            des::crypt(password, [*first, *second]) == hash
        }
        bytes => bytes == password,
    }
}

fn rounds_of(field: &str) -> Option<u32> {
    field.strip_prefix("rounds=")?.parse().ok()
}

fn ldap_salted(password: &[u8], salt: &[u8]) -> String {
    let mut bytes = Sha1::new().chain_update(password).chain_update(salt).finalize().to_vec();
    bytes.extend_from_slice(salt);
    format!("{{SSHA}}{}", STANDARD.encode(bytes))
}

/// The two lengths of SHA crypt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sha {
    /// `$5$`
    Sha256,
    /// `$6$`
    Sha512,
}

/// SHA crypt; the salt is of at most 16 of crypt's letters, the rounds are from 1000 to 999999999.
pub fn sha(password: &[u8], salt: &str, kind: Sha, rounds: u32) -> Result<String, String> {
    let params =
        sha_crypt::Params::new(rounds).map_err(|_| format!("rounds ({rounds}) must be from 1000 to 999999999"))?;
    let mut out = if kind == Sha::Sha512 { "$6$" } else { "$5$" }.to_owned();
    // As passlib writes it: the default of crypt itself goes without saying.
    if rounds != 5000 {
        out.push_str(&format!("rounds={rounds}$"));
    }
    out.push_str(salt);
    out.push('$');
    if kind == Sha::Sha512 {
        let digest = sha_crypt::sha512_crypt(password, salt.as_bytes(), params);
        let mut triple = (0, 21, 42);
        for _ in 0..21 {
            letters(&mut out, [digest[triple.0], digest[triple.1], digest[triple.2]], 4);
            triple = (triple.1 + 1, triple.2 + 1, triple.0 + 1);
        }
        letters(&mut out, [0, 0, digest[63]], 2);
    } else {
        let digest = sha_crypt::sha256_crypt(password, salt.as_bytes(), params);
        let mut triple = (0, 10, 20);
        for _ in 0..10 {
            letters(&mut out, [digest[triple.0], digest[triple.1], digest[triple.2]], 4);
            triple = (triple.2 + 1, triple.0 + 1, triple.1 + 1);
        }
        letters(&mut out, [0, digest[31], digest[30]], 3);
    }
    Ok(out)
}

/// MD5 crypt, in one of its two variants: `$1$` or `$apr1$`.
#[must_use]
pub fn md5(password: &[u8], salt: &str, magic: &str) -> String {
    let salt = salt.get(..8).unwrap_or(salt);
    let both = Md5::new().chain_update(password).chain_update(salt).chain_update(password).finalize();
    let mut hash = Md5::new().chain_update(password).chain_update(magic).chain_update(salt);
    for chunk in password.chunks(16) {
        hash.update(&both[..chunk.len()]);
    }
    let mut bits = password.len();
    while bits > 0 {
        hash.update(if bits & 1 == 1 { &[0] } else { &password[..1] });
        bits >>= 1;
    }
    let mut digest = hash.finalize();
    for round in 0..1000 {
        let mut hash = Md5::new();
        hash.update(if round % 2 == 1 { password } else { &digest[..] });
        if round % 3 != 0 {
            hash.update(salt);
        }
        if round % 7 != 0 {
            hash.update(password);
        }
        hash.update(if round % 2 == 1 { &digest[..] } else { password });
        digest = hash.finalize();
    }
    let mut out = format!("{magic}{salt}$");
    for (a, b, c) in [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)] {
        letters(&mut out, [digest[a], digest[b], digest[c]], 4);
    }
    letters(&mut out, [0, 0, digest[11]], 2);
    out
}

/// Three bytes in crypt's letters, the low bits first.
fn letters(out: &mut String, [a, b, c]: [u8; 3], count: usize) {
    let mut word = u32::from(a) << 16 | u32::from(b) << 8 | u32::from(c);
    for _ in 0..count {
        out.push(char::from(LETTERS[(word & 0x3f) as usize]));
        word >>= 6;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_others_are_known() {
        let long = "a much longer password of many letters \u{e9}";
        for (password, hash) in [
            ("", "$apr1$abcdefgh$L.PT565ESX4Tp2bqNs7Ie."),
            ("p", "$apr1$abcdefgh$C5orPJWI8v4Qy8kOPQ1vA."),
            (long, "$apr1$abcdefgh$zTyeicam3Mf6Imxz2Mxeg/"),
            ("p", "$1$xY$F/7ijd30nmF/xYxX0VJxh/"),
            (long, "$1$xY$gjH9yb6HPU1AJL1Gcsgjx/"),
            ("p", "$5$rounds=1000$ab$fp7PfLdieWpeZF6V2vcZbowEYlqCSHzwv8otnnj8FJ."),
            ("p", "{SSHA}KDmg9JCTxh5949CUB7WCtcQ0a01hYmNkZWZnaA=="),
            ("p", "{SHA}UWuXg/ylF+7L0dBk2i0WUxCxl1k="),
            ("p", "ab8Smhzf5D4wA"),
            ("correct horse", "./DA5yokVJ1R2"),
            ("", "zZO7u0HfQST3A"),
            ("p", "p"),
        ] {
            assert!(verify(password.as_bytes(), hash), "{password} {hash}");
            assert!(!verify(b"other", hash), "{hash}");
        }
        for broken in
            ["", "$", "$1$", "$1$$", "$5$rounds=x$a$b", "$5$rounds=1$a$b", "$2b$", "{SSHA}", "{SSHA}AA", "\u{e9}"]
        {
            assert!(!verify(b"p", broken), "{broken}");
        }
    }

    #[test]
    fn what_is_made_is_accepted() {
        for (name, scheme) in Scheme::ALL {
            // These take long without optimisation.
            if !matches!(scheme, Scheme::Bcrypt | Scheme::Sha256 | Scheme::Sha512) {
                let hash = scheme.hash(b"secret", *b"0123456789abcdef").unwrap();
                assert!(verify(b"secret", &hash) && !verify(b"secre", &hash), "{name}");
            }
        }
    }
}
