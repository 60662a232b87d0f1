//! Tests of addresses, as the collection `ansible.utils` has them: `ipv4`, `private`, `in_network`, `mac`, …
//!
//! Unlike the filters they take text alone, and of a network only its first address.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::{Command, Stdio};

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Body, Call, Spec, ansible, fail, inner_type, items};
use crate::value::Value;

macro_rules! names {
    ($name:literal) => {
        &[concat!("ansible.utils.", $name)]
    };
}

pub(super) const TESTS: &[Spec] = &[
    one(names!("ip"), |c| Ok(Jinja::from(network(c, 0)?.is_some()))),
    one(names!("ip_address"), |c| about(c, |_| true)),
    one(names!("ipv4"), |c| Ok(Jinja::from(network(c, 0)?.is_some_and(|net| !net.six)))),
    one(names!("ipv6"), |c| Ok(Jinja::from(network(c, 0)?.is_some_and(|net| net.six)))),
    one(names!("ipv4_address"), |c| about(c, |ip| !ip.six)),
    one(names!("ipv6_address"), |c| about(c, |ip| ip.six)),
    one(names!("ipv4_hostmask"), |c| about(c, |ip| ip.is_mask(!ip.bits, 7..=31))),
    ansible(names!("ipv4_netmask"), &["mask"], |c| about(c, |ip| ip.is_mask(ip.bits, 7..=32))),
    one(names!("ipv6_ipv4_mapped"), |c| about(c, |ip| ip.mapped().is_some())),
    one(names!("ipv6_sixtofour"), |c| about(c, |ip| ip.six && ip.in_any(&["2002::/16"]))),
    one(names!("ipv6_teredo"), |c| about(c, |ip| ip.six && ip.in_any(&["2001::/32"]))),
    one(names!("loopback"), |c| about(c, |ip| ip.in_any(&["127.0.0.0/8", "::1/128"]))),
    one(names!("multicast"), |c| about(c, |ip| ip.in_any(&["224.0.0.0/4", "ff00::/8"]))),
    one(names!("private"), |c| about(c, Address::is_private)),
    one(names!("public"), |c| about(c, |ip| !ip.is_private() && !ip.in_any(&["100.64.0.0/10"]))),
    one(names!("reserved"), |c| about(c, |ip| ip.in_any(RESERVED))),
    one(names!("unspecified"), |c| about(c, |ip| ip.bits == 0)),
    ansible(names!("in_network"), &["ip", "network"], |c| Ok(Jinja::from(within(network(c, 0)?, network(c, 1)?)))),
    ansible(names!("subnet_of"), &["network_a", "network_b"], |c| {
        Ok(Jinja::from(within(network(c, 0)?, network(c, 1)?)))
    }),
    ansible(names!("supernet_of"), &["network_a", "network_b"], |c| {
        Ok(Jinja::from(within(network(c, 1)?, network(c, 0)?)))
    }),
    ansible(names!("in_any_network"), &["ip", "networks"], |c| Ok(Jinja::from(around(c, "in_any_network")? > 0))),
    ansible(names!("in_one_network"), &["ip", "networks"], |c| Ok(Jinja::from(around(c, "in_one_network")? == 1))),
    ansible(names!("mac"), &["mac"], mac),
    ansible(names!("resolvable"), &["host"], resolvable),
];

const fn one(names: &'static [&'static str], body: Body) -> Spec {
    ansible(names, &["ip"], body)
}

/// What is not of the internet at large, by Python's own list.
const PRIVATE: &[&str] = &[
    "0.0.0.0/8",
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/29",
    "192.0.0.170/31",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    "::/127",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
];

/// What nobody has: all of IPv6 but 2000::/3, fc00::/7 and the upper half of fe00::/8.
const RESERVED: &[&str] =
    &["240.0.0.0/4", "::/3", "4000::/2", "8000::/2", "c000::/3", "e000::/4", "f000::/5", "f800::/6", "fe00::/9"];

/// One address.
#[derive(Clone, Copy)]
struct Address {
    six: bool,
    bits: u128,
}

impl Address {
    fn read(text: &str) -> Option<Self> {
        if let Ok(four) = text.parse::<Ipv4Addr>() {
            return Some(Self { six: false, bits: u32::from(four).into() });
        }
        // An address of a link may name the link.
        let text = match text.split_once('%') {
            Some((_, scope)) if scope.is_empty() || scope.contains(['%', '/']) => return None,
            Some((address, _)) => address,
            None => text,
        };
        text.parse::<Ipv6Addr>().ok().map(|six| Self { six: true, bits: six.into() })
    }

    fn width(self) -> u32 {
        if self.six { 128 } else { 32 }
    }

    /// The address of IPv4 that one of IPv6 stands for.
    fn mapped(self) -> Option<Self> {
        (self.six && self.bits >> 32 == 0xffff).then_some(Self { six: false, bits: self.bits & 0xffff_ffff })
    }

    fn is_private(self) -> bool {
        self.mapped().unwrap_or(self).in_any(PRIVATE)
    }

    fn in_any(self, blocks: &[&str]) -> bool {
        let own = Network { six: self.six, first: self.bits, prefix: self.width() };
        blocks.iter().any(|block| Network::read(block).is_some_and(|block| own.within(block)))
    }

    /// Whether bits of IPv4 are some of these counts of ones in front of zeros.
    fn is_mask(self, bits: u128, counts: std::ops::RangeInclusive<u32>) -> bool {
        let mask = bits as u32;
        !self.six && mask.leading_ones() == mask.count_ones() && counts.contains(&mask.count_ones())
    }
}

/// One network, written by its first address.
#[derive(Clone, Copy)]
struct Network {
    six: bool,
    first: u128,
    prefix: u32,
}

impl Network {
    fn read(text: &str) -> Option<Self> {
        let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
        let ip = Address::read(address)?;
        let prefix = match mask {
            None => ip.width(),
            Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            // IPv4 alone has masks of bits, of the network or of the host.
            Some(mask) => {
                let mask = u32::from(mask.parse::<Ipv4Addr>().ok().filter(|_| !ip.six)?);
                let bits = if mask >> 31 == 0 && mask != 0 { !mask } else { mask };
                (bits.leading_ones() == bits.count_ones()).then_some(bits.count_ones())?
            }
        };
        let host = ip.width().checked_sub(prefix)?;
        let clean = host == 0 || ip.bits.trailing_zeros() >= host;
        clean.then_some(Self { six: ip.six, first: ip.bits, prefix })
    }

    fn within(self, outer: Self) -> bool {
        let host = if outer.six { 128 } else { 32 } - outer.prefix;
        let same = (self.first ^ outer.first).checked_shr(host).unwrap_or(0) == 0;
        self.six == outer.six && self.prefix >= outer.prefix && same
    }
}

fn within(inner: Option<Network>, outer: Option<Network>) -> bool {
    inner.zip(outer).is_some_and(|(inner, outer)| inner.within(outer))
}

/// The argument at a place as a network or an address, unless it is neither.
fn network(call: &Call<'_, '_, '_>, at: usize) -> Result<Option<Network>, Error> {
    Ok(call.value(at)?.as_str().and_then(Network::read))
}

/// Whether the value is an address of which something holds.
fn about(call: &Call<'_, '_, '_>, holds: impl Fn(Address) -> bool) -> Result<Jinja, Error> {
    Ok(Jinja::from(call.value(0)?.as_str().and_then(Address::read).is_some_and(holds)))
}

/// How many of the networks the value lies in.
fn around(call: &Call<'_, '_, '_>, test: &str) -> Result<usize, Error> {
    let inner = network(call, 0)?;
    let networks = match call.value(1)? {
        Value::Null => {
            return Err(fail(format!(
                "argspec validation failed for {test} test plugin with errors: [\"argument 'networks' is of type NoneType \
                 and we were unable to convert to list: <class 'NoneType'> cannot be converted to a list\"]"
            )));
        }
        given => items(&given)?,
    };
    Ok(networks.iter().filter(|outer| within(inner, outer.as_str().and_then(Network::read))).count())
}

/// Six bytes in pairs of digits behind `:` or `-`, in three groups behind dots, or in one.
fn mac(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let Value::Str(text) = call.value(0)? else {
        let got = inner_type(call.need(0)?);
        return Err(fail(format!("expected string or bytes-like object, got '{got}'")));
    };
    let groups = |parts: Vec<&str>, count: usize| {
        let digits = |part: &&str| part.len() == 12 / count && part.bytes().all(|b| b.is_ascii_hexdigit());
        parts.len() == count && parts.iter().all(digits)
    };
    let text = text.as_str();
    let known = groups(text.split([':', '-']).collect(), 6) || groups(text.split('.').collect(), 3);
    Ok(Jinja::from(known || groups(vec![text], 1)))
}

/// Whether a name has an address, or an address a name, by all that this machine asks.
fn resolvable(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let Value::Str(host) = call.value(0)? else { return Ok(Jinja::from(false)) };
    if host.as_str().is_empty() {
        return Ok(Jinja::from(false));
    }
    let mut getent = Command::new("getent");
    getent.args(["hosts", "--", host.as_str()]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = getent.status().map_err(|e| fail(format!("cannot run `getent hosts`: {e}")))?;
    Ok(Jinja::from(status.success()))
}
