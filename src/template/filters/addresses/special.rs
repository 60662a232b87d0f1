//! Addresses that the whole internet does not reach, by IANA's registries of special purposes.

use super::Net;

/// The blocks of IPv4.
const FOUR: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
];

/// The blocks of IPv6.
const SIX: &[&str] = &[
    "::/127",
    "::ffff:0:0/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "fc00::/7",
    "fe80::/10",
];

/// What is reached all the same, although it lies in one of them.
const REACHED: &[&str] = &[
    "192.0.0.9/32",
    "192.0.0.10/32",
    "2001:1::1/128",
    "2001:1::2/128",
    "2001:3::/32",
    "2001:4:112::/48",
    "2001:20::/28",
    "2001:30::/28",
];

/// Whether an address is for a special purpose, of those that keep it from the internet.
pub(super) fn is_special(net: &Net) -> bool {
    let blocks = if net.six { SIX } else { FOUR };
    blocks.iter().any(|block| net.in_block(block)) && !REACHED.iter().any(|block| net.in_block(block))
}
