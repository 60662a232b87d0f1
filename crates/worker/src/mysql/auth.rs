//! How a user proves a password without sending it, where the server's way of logging in allows that.

use sha1::{Digest, Sha1};
use sha2::Sha256;

/// The oldest way that is still in use, and MariaDB's default.
pub const NATIVE: &str = "mysql_native_password";

/// What is sent as a proof; nothing where this way of logging in is not known here.
pub fn proof(plugin: &str, password: &str, salt: &[u8]) -> Option<Vec<u8>> {
    match plugin {
        // The server asks the kernel who is on the other side of the socket.
        "unix_socket" | "auth_socket" => Some(Vec::new()),
        NATIVE | "caching_sha2_password" if password.is_empty() => Some(Vec::new()),
        NATIVE => {
            let once = Sha1::digest(password.as_bytes());
            let twice = Sha1::digest(once);
            let mixed = Sha1::new().chain_update(salt).chain_update(twice).finalize();
            Some(once.iter().zip(mixed).map(|(a, b)| a ^ b).collect())
        }
        "caching_sha2_password" => {
            let once = Sha256::digest(password.as_bytes());
            let mixed = Sha256::new().chain_update(Sha256::digest(once)).chain_update(salt).finalize();
            Some(once.iter().zip(mixed).map(|(a, b)| a ^ b).collect())
        }
        _ => None,
    }
}

/// The hash that `mysql_native_password` keeps of a password; an empty one has none.
pub fn native_hash(password: &str) -> String {
    if password.is_empty() {
        return String::new();
    }
    let twice = Sha1::digest(Sha1::digest(password.as_bytes()));
    twice.iter().fold("*".to_owned(), |text, byte| format!("{text}{byte:02X}"))
}

/// Whether a text is such a hash.
pub fn is_native_hash(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix('*').is_some_and(|hex| hex.len() == 40 && hex.chars().all(|c| c.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_a_hash() {
        assert_eq!(native_hash("123456"), "*6BB4837EB74329105EE4568DDA7DC67ED2CA2AD9");
        assert!(is_native_hash(&native_hash("x")) && is_native_hash(""));
        assert!(!is_native_hash("*12") && !is_native_hash("123456"));
    }

    #[test]
    fn a_proof_needs_a_password_and_a_way_that_is_known() {
        assert_eq!(proof(NATIVE, "", b"salt"), Some(Vec::new()));
        assert_eq!(proof("unix_socket", "x", b"salt"), Some(Vec::new()));
        assert_eq!(proof(NATIVE, "x", b"salt").map(|p| p.len()), Some(20));
        assert_eq!(proof("caching_sha2_password", "x", b"salt").map(|p| p.len()), Some(32));
        assert_eq!(proof("client_ed25519", "x", b"salt"), None);
    }
}
