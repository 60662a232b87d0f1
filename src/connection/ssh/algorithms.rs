//! Which algorithms are offered: russh's, in rplay's order, as far as ssh_config allows.

use std::borrow::Cow;

use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Preferred, cipher, compression, kex, mac};

use super::config::{Options, wildcard};

/// What is offered in the key exchange, and which keys are used to log in.
#[derive(Debug, Clone)]
pub struct Algorithms {
    /// For russh. Its host-key algorithms are put in order once the known hosts have been looked at.
    pub preferred: Preferred,
    /// Whether `HostKeyAlgorithms` fixes the order of the host-key algorithms.
    pub fixed_host_keys: bool,
    /// `PubkeyAcceptedAlgorithms`, as names; `None` allows all.
    pub pubkey: Option<Vec<String>>,
}

const KEX: [kex::Name; 12] = [
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::MLKEM768X25519_SHA256,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_GEX_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_G15_SHA512,
    kex::DH_G14_SHA256,
];
/// Known, and offered only where ssh_config asks for it.
const KEX_WEAK: [kex::Name; 3] = [kex::DH_GEX_SHA1, kex::DH_G14_SHA1, kex::DH_G1_SHA1];

const CIPHERS: [cipher::Name; 6] = [
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];
const CIPHERS_WEAK: [cipher::Name; 3] = [cipher::AES_256_CBC, cipher::AES_192_CBC, cipher::AES_128_CBC];

const MACS: [mac::Name; 4] = [mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM, mac::HMAC_SHA256, mac::HMAC_SHA512];
const MACS_WEAK: [mac::Name; 2] = [mac::HMAC_SHA1_ETM, mac::HMAC_SHA1];

/// Host-key algorithms by preference; `ssh-rsa` (SHA-1) only where asked for.
fn host_keys() -> Vec<Algorithm> {
    vec![
        Algorithm::Ed25519,
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
        Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
        Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
        Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
    ]
}

/// Applies `Ciphers`, `MACs`, `KexAlgorithms`, `HostKeyAlgorithms` and `PubkeyAcceptedAlgorithms`.
///
/// A list that leaves nothing russh knows is an error that says what it does know.
pub fn select(options: &Options) -> Result<Algorithms, String> {
    let mut kex = names("KexAlgorithms", options.kex_algorithms.as_deref(), &KEX, &KEX_WEAK)?;
    kex.extend([kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT]);
    let cipher = names("Ciphers", options.ciphers.as_deref(), &CIPHERS, &CIPHERS_WEAK)?;
    let mac = names("MACs", options.macs.as_deref(), &MACS, &MACS_WEAK)?;
    let key = match options.host_key_algorithms.as_deref() {
        None => host_keys(),
        Some(list) => host_key_list(list)?,
    };
    let compression = match options.compression {
        Some(true) => vec![compression::ZLIB_LEGACY, compression::ZLIB, compression::NONE],
        _ => vec![compression::NONE],
    };
    let fixed = options.host_key_algorithms.as_deref().is_some_and(|list| !list.starts_with(['+', '-']));
    Ok(Algorithms {
        preferred: Preferred {
            kex: Cow::Owned(kex),
            key: Cow::Owned(key),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Owned(cipher),
            mac: Cow::Owned(mac),
            compression: Cow::Owned(compression),
        },
        fixed_host_keys: fixed,
        pubkey: options.pubkey_accepted_algorithms.as_deref().map(pubkey_list),
    })
}

/// Applies one list with OpenSSH's `+` (append), `-` (remove) and `^` (prefer) forms.
fn apply(list: &str, default: &[String], all: &[String]) -> Vec<String> {
    let known = |list: &str| -> Vec<String> {
        list.split(',').filter(|name| all.iter().any(|known| known == name)).map(str::to_owned).collect()
    };
    let unique = |names: Vec<String>| {
        let mut seen = Vec::new();
        for name in names {
            if !seen.contains(&name) {
                seen.push(name);
            }
        }
        seen
    };
    if let Some(more) = list.strip_prefix('+') {
        unique([default.to_vec(), known(more)].concat())
    } else if let Some(less) = list.strip_prefix('-') {
        let gone = |name: &String| less.split(',').any(|pattern| wildcard(name, pattern));
        default.iter().filter(|name| !gone(name)).cloned().collect()
    } else if let Some(head) = list.strip_prefix('^') {
        unique([known(head), default.to_vec()].concat())
    } else {
        unique(known(list))
    }
}

fn names<N: AsRef<str> + Copy>(keyword: &str, list: Option<&str>, default: &[N], weak: &[N]) -> Result<Vec<N>, String> {
    let Some(list) = list else {
        return Ok(default.to_vec());
    };
    let all: Vec<N> = default.iter().chain(weak).copied().collect();
    let text = |names: &[N]| names.iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>();
    let chosen = apply(list, &text(default), &text(&all));
    if chosen.is_empty() {
        return Err(format!("`{keyword} {list}`: rplay knows none of them; it knows {}", text(&all).join(", ")));
    }
    Ok(chosen.iter().filter_map(|name| all.iter().find(|known| known.as_ref() == name).copied()).collect())
}

fn host_key_list(list: &str) -> Result<Vec<Algorithm>, String> {
    let text = |algorithms: &[Algorithm]| algorithms.iter().map(Algorithm::to_string).collect::<Vec<_>>();
    let default = host_keys();
    let mut all = default.clone();
    all.push(Algorithm::Rsa { hash: None });
    let chosen = apply(list, &text(&default), &text(&all));
    if chosen.is_empty() {
        return Err(format!(
            "`HostKeyAlgorithms {list}`: rplay knows none of them; it knows {}",
            text(&all).join(", ")
        ));
    }
    Ok(chosen.iter().filter_map(|name| all.iter().find(|known| known.to_string() == *name).cloned()).collect())
}

fn pubkey_list(list: &str) -> Vec<String> {
    let mut default: Vec<String> = host_keys().iter().map(Algorithm::to_string).collect();
    default.extend(["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"].map(str::to_owned));
    let certificates: Vec<String> = host_keys().iter().map(Algorithm::to_certificate_type).collect();
    default.extend(certificates);
    let mut all = default.clone();
    all.push("ssh-rsa".into());
    apply(list, &default, &all)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ciphers(list: &str) -> Result<Vec<String>, String> {
        let options = Options { ciphers: Some(list.into()), ..Options::default() };
        let chosen = select(&options)?.preferred.cipher.iter().map(|name| name.as_ref().to_owned()).collect();
        Ok(chosen)
    }

    #[test]
    fn the_four_forms_of_a_list() {
        assert_eq!(ciphers("aes128-ctr,unknown").unwrap(), ["aes128-ctr"]);
        assert_eq!(ciphers("^aes128-ctr").unwrap()[0], "aes128-ctr");
        assert_eq!(ciphers("^aes128-ctr").unwrap().len(), 6);
        assert_eq!(ciphers("+aes128-cbc").unwrap().last().unwrap(), "aes128-cbc");
        assert_eq!(ciphers("-aes*-ctr").unwrap().len(), 3);
        assert!(ciphers("arcfour").unwrap_err().contains("aes256-gcm@openssh.com"));
    }

    #[test]
    fn sha1_signatures_only_where_asked_for() {
        let keys = |list: &str| host_key_list(list).unwrap();
        assert!(!keys("-ssh-ed25519").contains(&Algorithm::Rsa { hash: None }));
        assert!(keys("+ssh-rsa").contains(&Algorithm::Rsa { hash: None }));
    }
}
