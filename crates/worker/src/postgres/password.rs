//! Whether a password is the one whose proof a server keeps.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use md5::{Digest, Md5};
use sha2::Sha256;

/// Whether a text is a proof already, which servers keep as it is.
pub fn is_proof(text: &str) -> bool {
    is_md5(text) || Scram::parse(text).is_some()
}

/// Whether a text is `md5` and a hash.
pub fn is_md5(text: &str) -> bool {
    text.strip_prefix("md5").is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether the proof that a server keeps for a user is one of this password.
pub fn proves(proof: &str, password: &str, user: &str) -> bool {
    if is_md5(proof) {
        let hash = Md5::new().chain_update(password).chain_update(user).finalize();
        return proof.get(3..) == Some(&format!("{hash:x}"));
    }
    Scram::parse(proof).is_some_and(|scram| scram.is_of(password))
}

/// `SCRAM-SHA-256$<rounds>:<salt>$<stored key>:<server key>`.
struct Scram {
    rounds: u32,
    salt: Vec<u8>,
    stored: Vec<u8>,
}

/// More rounds than anybody sets, fewer than would keep a host busy.
const ROUNDS: u32 = 10_000_000;

impl Scram {
    fn parse(text: &str) -> Option<Self> {
        let (rounds, rest) = text.strip_prefix("SCRAM-SHA-256$")?.split_once(':')?;
        let (salt, keys) = rest.split_once('$')?;
        let (stored, server) = keys.split_once(':')?;
        let keys = [stored, server].map(|key| STANDARD.decode(key).ok().filter(|key| key.len() == 32));
        let [Some(stored), Some(_)] = keys else { return None };
        let rounds = rounds.parse().ok().filter(|rounds| (1..=ROUNDS).contains(rounds))?;
        Some(Self { rounds, salt: STANDARD.decode(salt).ok()?, stored })
    }

    fn is_of(&self, password: &str) -> bool {
        let prepared = stringprep::saslprep(password).unwrap_or(password.into());
        let key = || Hmac::<Sha256>::new_from_slice(prepared.as_bytes()).ok();
        let Some(first) = key() else { return false };
        let mut block = first.chain_update(&self.salt).chain_update(1u32.to_be_bytes()).finalize().into_bytes();
        let mut salted = block;
        for _ in 1..self.rounds {
            let Some(next) = key() else { return false };
            block = next.chain_update(block).finalize().into_bytes();
            salted.iter_mut().zip(block).for_each(|(sum, byte)| *sum ^= byte);
        }
        let Ok(client) = Hmac::<Sha256>::new_from_slice(&salted) else { return false };
        let client = client.chain_update(b"Client Key").finalize().into_bytes();
        Sha256::digest(client).as_slice() == self.stored
    }
}

#[cfg(test)]
mod tests {
    use postgres_protocol::password::{md5, scram_sha_256};

    use super::*;

    #[test]
    fn proofs_are_of_their_passwords() {
        for password in ["secret", "pässwörd", "a'b\\c\"d", ""] {
            let proof = scram_sha_256(password.as_bytes());
            assert!(is_proof(&proof) && proves(&proof, password, "u"), "{password}");
            assert!(!proves(&proof, "other", "u"));
            let proof = md5(password.as_bytes(), "u");
            assert!(is_proof(&proof) && proves(&proof, password, "u") && !proves(&proof, password, "v"));
        }
    }

    #[test]
    fn other_texts_are_passwords() {
        for text in ["md5pw", "md5", "", "SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "SCRAM-SHA-256$0:AAAA$x:y"] {
            assert!(!is_proof(text) && !proves(text, text, "u"), "{text}");
        }
    }
}
