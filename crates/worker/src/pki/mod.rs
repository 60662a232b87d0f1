//! Keys, signing requests and certificates, without a program of the host's: what the modules of `community.crypto` do.

pub(crate) mod certificate;
pub(crate) mod extensions;
pub(crate) mod hash;
pub(crate) mod key;
pub(crate) mod keyfile;
pub(crate) mod names;
pub(crate) mod pem;
pub(crate) mod public;
pub(crate) mod request;
pub(crate) mod times;

use serde_json::Value;

/// An unsigned number of any size, most significant byte first: one beyond 64 bits, which JSON has no room for, in decimal digits.
pub(crate) fn number(bytes: &[u8]) -> Value {
    let text = decimal(bytes);
    text.parse::<u64>().map_or(Value::String(text), Value::from)
}

/// An unsigned number in decimal digits.
pub(crate) fn decimal(bytes: &[u8]) -> String {
    const BASE: u64 = 1_000_000_000;
    let mut groups: Vec<u64> = vec![0];
    for byte in bytes {
        let mut carry = u64::from(*byte);
        for group in &mut groups {
            let value = *group * 256 + carry;
            (*group, carry) = (value % BASE, value / BASE);
        }
        if carry > 0 {
            groups.push(carry);
        }
    }
    let mut text = groups.pop().unwrap_or_default().to_string();
    text.extend(groups.iter().rev().map(|group| format!("{group:09}")));
    text
}

/// The bytes of a number in decimal digits, without zeros in front.
pub(crate) fn from_decimal(text: &str) -> Option<Vec<u8>> {
    let mut bytes: Vec<u8> = vec![0];
    for digit in text.chars() {
        let mut carry = digit.to_digit(10)?;
        for byte in bytes.iter_mut().rev() {
            let value = u32::from(*byte) * 10 + carry;
            *byte = (value & 0xff) as u8;
            carry = value >> 8;
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
    }
    (!text.is_empty()).then_some(bytes)
}

/// Bytes as `aa:bb:cc`.
pub(crate) fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// The bytes of hexadecimal digits, with or without colons between them.
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16).map(|d| d as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_any_size() {
        assert_eq!(number(&[1, 0]), 256);
        assert_eq!(number(&[]), 0);
        let big = "340282366920938463463374607431768211456";
        let mut bytes = vec![1];
        bytes.extend([0; 16]);
        assert_eq!(number(&bytes), big);
        assert_eq!(from_decimal(big), Some(bytes));
        assert_eq!(from_decimal("-1"), None);
        assert_eq!(from_decimal(""), None);
        assert_eq!(decimal(&from_decimal("1000000000000000007").unwrap_or_default()), "1000000000000000007");
    }

    #[test]
    fn bytes_are_read_with_and_without_colons() {
        assert_eq!(from_hex("00:aB"), Some(vec![0, 0xab]));
        assert_eq!(from_hex("00ab"), Some(vec![0, 0xab]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("zz"), None);
        assert_eq!(colons(&[0, 0xab]), "00:ab");
    }
}
