//! Addresses and networks: `ipaddr`, `ipv4`, `ipv6`, `ipwrap`, `ipmath`, `nthhost`, `next_nth_usable`, …, as the collection
//! `ansible.utils` has them.

mod hardware;
mod special;
mod subnets;

use std::net::{Ipv4Addr, Ipv6Addr};

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::{python, python_type};
use crate::value::Value;

macro_rules! names {
    ($name:literal) => {
        &[concat!("ansible.utils.", $name), concat!("ansible.netcommon.", $name), $name]
    };
}

use names;

/// Each family's filters.
pub(super) const FAMILIES: &[&[Spec]] = &[FILTERS, hardware::FILTERS, subnets::FILTERS];

const FILTERS: &[Spec] = &[
    ansible(names!("ipaddr"), &["value", "query"], |c| over(c, None)),
    ansible(names!("ipv4"), &["value", "query"], |c| over(c, Some(false))),
    ansible(names!("ipv6"), &["value", "query"], |c| over(c, Some(true))),
    ansible(names!("ipwrap"), &["value"], |c| {
        let wrap = |item: &Value| match Net::read(item, None) {
            None => Ok(item.clone()),
            Some(net) => ask(item, "wrap", Some(net.six)),
        };
        Ok(match c.value(0)? {
            Value::List(items) => Value::list(items.iter().map(wrap).collect::<Result<_, _>>()?).to_jinja(),
            one => wrap(&one)?.to_jinja(),
        })
    }),
    ansible(names!("network_in_network"), &["value", "test"], |c| Ok(Jinja::from(second(c)?.within(&needed(c)?)))),
    ansible(names!("network_in_usable"), &["value", "test"], |c| {
        let (outer, inner) = (needed(c)?, second(c)?);
        let (low, high) = outer.usable();
        Ok(Jinja::from(outer.six == inner.six && low <= inner.first() && inner.last() <= high))
    }),
    ansible(names!("ipmath"), &["value", "amount"], |c| {
        let net = needed(c)?;
        Ok(Jinja::from(net.at(net.moved(net.ip, c.int(1, 0)?)?)))
    }),
    ansible(names!("nthhost"), &["value", "query"], |c| {
        let net = needed(c)?;
        let n = c.int(1, 0)?;
        if net.last() == net.first() && n >= 0 {
            return Ok(Jinja::from(false));
        }
        match net.nth(i128::from(n)) {
            Some(ip) => Ok(Jinja::from(net.at(ip))),
            None => Err(fail("index out range for address range size!")),
        }
    }),
    ansible(names!("next_nth_usable"), &["value", "offset"], |c| step(c, 1)),
    ansible(names!("previous_nth_usable"), &["value", "offset"], |c| step(c, -1)),
];

/// An address in its network.
#[derive(Clone, Copy)]
struct Net {
    six: bool,
    ip: u128,
    prefix: u32,
    /// Whether it was written as a network.
    network: bool,
}

impl Net {
    fn read(value: &Value, six: Option<bool>) -> Option<Self> {
        match value {
            Value::Int(i) => {
                let ip = u128::try_from(*i).ok()?;
                let six = six.unwrap_or(ip > u128::from(u32::MAX));
                (six || ip <= u128::from(u32::MAX)).then_some(Self {
                    six,
                    ip,
                    prefix: if six { 128 } else { 32 },
                    network: false,
                })
            }
            Value::Str(text) => {
                let (address, mask) =
                    text.as_str().split_once('/').map_or((text.as_str(), None), |(a, m)| (a, Some(m)));
                if is_number(address) {
                    return Self::numbered(address.parse().ok()?, mask, six);
                }
                let (six, ip) = address_of(address)?;
                let width = if six { 128 } else { 32 };
                let prefix = match mask {
                    None => width,
                    Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
                        digits.parse().ok().filter(|p| *p <= width)?
                    }
                    Some(mask) => {
                        let (of, mask) = address_of(mask).filter(|(of, _)| *of == six)?;
                        let shifted = mask << (if of { 0 } else { 96 });
                        let prefix = shifted.leading_ones();
                        (shifted.count_ones() == prefix).then_some(prefix)?
                    }
                };
                Some(Self { six, ip, prefix, network: mask.is_some() })
            }
            _ => None,
        }
    }

    /// An address that is written as a number, of the older protocol where that is possible.
    fn numbered(ip: u128, mask: Option<&str>, six: Option<bool>) -> Option<Self> {
        let prefix = mask.map(str::parse::<u32>).transpose().ok()?;
        let small = ip <= u128::from(u32::MAX);
        let six = match prefix {
            Some(prefix) => !small || prefix > 32,
            None => six.unwrap_or(!small),
        };
        let width = if six { 128 } else { 32 };
        let fits = (six || small) && prefix.is_none_or(|p| p <= width);
        fits.then_some(Self { six, ip, prefix: prefix.unwrap_or(width), network: mask.is_some() })
    }

    fn width(&self) -> u32 {
        if self.six { 128 } else { 32 }
    }

    /// The bits of the host.
    fn host_bits(&self) -> u128 {
        match self.width() - self.prefix {
            128 => u128::MAX,
            bits => (1u128 << bits) - 1,
        }
    }

    fn all_bits(&self) -> u128 {
        if self.six { u128::MAX } else { u128::from(u32::MAX) }
    }

    fn first(&self) -> u128 {
        self.ip & !self.host_bits()
    }

    fn last(&self) -> u128 {
        self.ip | self.host_bits()
    }

    /// Whether there is but one address, or but two.
    fn single(&self) -> bool {
        self.prefix == self.width()
    }

    fn pair(&self) -> bool {
        self.prefix + 1 == self.width()
    }

    /// The first and the last address that a host can have.
    fn usable(&self) -> (u128, u128) {
        if self.single() || self.pair() { (self.first(), self.last()) } else { (self.first() + 1, self.last() - 1) }
    }

    fn at(&self, ip: u128) -> String {
        match u32::try_from(ip) {
            Ok(four) if !self.six => Ipv4Addr::from(four).to_string(),
            // The old way to carry an address of IPv4, which is written as one.
            Ok(four) if four > 0xffff => format!("::{}", Ipv4Addr::from(four)),
            _ => Ipv6Addr::from(ip).to_string(),
        }
    }

    fn with_prefix(&self, ip: u128) -> String {
        format!("{}/{}", self.at(ip), self.prefix)
    }

    fn moved(&self, from: u128, by: i64) -> Result<u128, Error> {
        let to = from.checked_add_signed(i128::from(by)).filter(|ip| *ip <= self.all_bits());
        to.ok_or_else(|| fail("the result is no address"))
    }

    /// The address at an index, from the end when it is negative.
    fn nth(&self, n: i128) -> Option<u128> {
        let ip = if n < 0 {
            self.last().checked_sub(n.unsigned_abs() - 1)
        } else {
            self.first().checked_add(n.unsigned_abs())
        };
        ip.filter(|ip| (self.first()..=self.last()).contains(ip))
    }

    fn within(&self, other: &Self) -> bool {
        self.six == other.six && other.first() <= self.first() && self.last() <= other.last()
    }

    fn is_multicast(&self) -> bool {
        self.in_block(if self.six { "ff00::/8" } else { "224.0.0.0/4" })
    }

    fn in_block(&self, block: &str) -> bool {
        Self::read(&Value::from(block), None).is_some_and(|block| Self { prefix: self.width(), ..*self }.within(&block))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn address_of(text: &str) -> Option<(bool, u128)> {
    match text.parse::<Ipv4Addr>() {
        Ok(four) => Some((false, u128::from(u32::from(four)))),
        Err(_) => text.parse::<Ipv6Addr>().ok().map(|six| (true, u128::from(six))),
    }
}

fn needed(call: &Call<'_, '_, '_>) -> Result<Net, Error> {
    let value = call.value(0)?;
    Net::read(&value, None)
        .ok_or_else(|| fail(format!("You must pass a valid IP address; {} is invalid", python::text(&value))))
}

/// The address or network that is the second argument.
fn second(call: &Call<'_, '_, '_>) -> Result<Net, Error> {
    let value = call.value(1)?;
    Net::read(&value, None).ok_or_else(|| fail(format!("{} is no IP address or network", python::text(&value))))
}

fn step(call: &mut Call<'_, '_, '_>, way: i64) -> Result<Jinja, Error> {
    let net = needed(call)?;
    let (first, last) = net.usable();
    let to = net.moved(net.ip, way * call.int(1, 0)?);
    Ok(match to {
        Ok(ip) if !net.single() && (first..=last).contains(&ip) => Jinja::from(net.at(ip)),
        _ => Jinja::from(()),
    })
}

/// The query over a value, or over each of a list's, of which those with an answer stay.
fn over(call: &mut Call<'_, '_, '_>, six: Option<bool>) -> Result<Jinja, Error> {
    let query = call.text_option(1)?.unwrap_or_default();
    let value = call.value(0)?;
    match &value {
        // As in the reference: what counts as false is no address.
        Value::Int(0) => Ok(Jinja::from(false)),
        Value::List(items) => {
            let mut out = Vec::new();
            for item in items.iter() {
                let answer = ask(item, &query, six)?;
                if crate::template::truthy(&answer) {
                    out.push(answer);
                }
            }
            Ok(Value::list(out).to_jinja())
        }
        Value::Str(_) | Value::Int(_) | Value::Bool(_) => Ok(ask(&value, &query, six)?.to_jinja()),
        other => {
            let kind = python_type(other);
            Err(fail(format!("Unrecognized type <<class '{kind}'>> for ipaddr filter <value>")))
        }
    }
}

fn ask(value: &Value, query: &str, six: Option<bool>) -> Result<Value, Error> {
    let Some(net) = Net::read(value, six).filter(|net| six.is_none_or(|six| six == net.six)) else {
        return Ok(Value::Bool(false));
    };
    // A number comes back as the address that it is.
    let same = match value {
        Value::Str(text) if !text.as_str().split('/').next().is_some_and(is_number) => value.clone(),
        _ => net.with_prefix(net.ip).into(),
    };
    if let Ok(n) = query.parse::<i128>() {
        return match net.nth(n) {
            _ if net.single() => answer(&net, "", same),
            Some(ip) => Ok(net.with_prefix(ip).into()),
            None => Ok(Value::Bool(false)),
        };
    }
    if let Some(outer) = Net::read(&Value::from(query), None) {
        return Ok(if net.within(&outer) { same } else { Value::Null });
    }
    answer(&net, query, same)
}

fn answer(net: &Net, query: &str, same: Value) -> Result<Value, Error> {
    let on = |holds: bool, value: String| if holds { Value::from(value) } else { Value::Null };
    let many = !net.single();
    let host = net.ip != net.first() || net.single() || net.pair();
    let network_only = || if net.network { Ok(()) } else { Err(fail("Not a network address")) };
    let (low, high) = net.usable();
    let netmask = || net.at(net.all_bits() & !net.host_bits());
    Ok(match query {
        "" => if net.network { net.with_prefix(net.ip) } else { net.at(net.ip) }.into(),
        "address" | "ip" => on(host || net.six, net.at(net.ip)),
        "address/prefix" | "gateway" | "gw" | "host/prefix" | "hostnet" | "router" => {
            let edge = many && !net.pair() && (net.ip == net.first() || net.ip == net.last());
            if edge { Value::Bool(false) } else { net.with_prefix(net.ip).into() }
        }
        "bool" => Value::Bool(true),
        "broadcast" => on(many && !net.pair(), net.at(net.last())),
        "cidr" => net.with_prefix(net.ip).into(),
        "first_usable" => network_only().map(|()| on(many, net.at(low)))?,
        "last_usable" => network_only().map(|()| on(many, net.at(high)))?,
        "range_usable" => network_only().map(|()| on(many, format!("{}-{}", net.at(low), net.at(high))))?,
        "next_usable" | "previous_usable" => {
            network_only()?;
            let to = net.moved(net.ip, if query == "next_usable" { 1 } else { -1 }).ok();
            to.filter(|ip| many && (low..=high).contains(ip)).map_or(Value::Null, |ip| net.at(ip).into())
        }
        "host" => on(host, net.with_prefix(net.ip)),
        "hostmask" | "wildcard" => net.at(net.host_bits()).into(),
        "int" if net.network => format!("{}/{}", net.ip, net.prefix).into(),
        "int" => number(net.ip),
        "ip/prefix" => on(many && host, net.with_prefix(net.ip)),
        "ip_netmask" => on(many && host, format!("{} {}", net.at(net.ip), netmask())),
        "link-local" => only(net.in_block(if net.six { "fe80::/10" } else { "169.254.0.0/16" }), same),
        "lo" | "loopback" => only(net.in_block(if net.six { "::1/128" } else { "127.0.0.0/8" }), same),
        "multicast" => only(net.is_multicast(), same),
        "unicast" => only(!net.is_multicast(), same),
        "public" => only(!net.is_multicast() && !special::is_special(net), same),
        "private" => only(!net.is_multicast() && special::is_special(net), same),
        "6to4" if net.is_multicast() || many && net.ip == net.first() => Value::Bool(false),
        "6to4" if net.six => {
            if net.in_block("2002::/16") {
                same
            } else {
                Value::Bool(false)
            }
        }
        "6to4" => {
            let (high, low) = (net.ip >> 16, net.ip & 0xffff);
            format!("2002:{high:04x}:{low:04x}::1/48").into()
        }
        "net" => on(many && net.ip == net.first(), net.with_prefix(net.ip)),
        "netmask" => netmask().into(),
        "network" | "network_id" => net.at(net.first()).into(),
        "network/prefix" | "subnet" => net.with_prefix(net.first()).into(),
        "network_netmask" => format!("{} {}", net.at(net.first()), netmask()).into(),
        "network_wildcard" => format!("{} {}", net.at(net.first()), net.at(net.host_bits())).into(),
        "peer" => {
            network_only()?;
            net.at(peer(net)?).into()
        }
        "prefix" => Value::Int(i64::from(net.prefix)),
        "revdns" => reverse(net).into(),
        "size" => net.host_bits().checked_add(1).map_or_else(|| ALL.into(), number),
        "size_usable" if net.single() => Value::Int(0),
        "size_usable" => (high - low).checked_add(1).map_or_else(|| ALL.into(), number),
        "type" => if many && net.ip == net.first() { "network" } else { "address" }.into(),
        "version" => Value::Int(if net.six { 6 } else { 4 }),
        "wrap" if net.six && net.network => format!("[{}]/{}", net.at(net.ip), net.prefix).into(),
        "wrap" if net.six => format!("[{}]", net.at(net.ip)).into(),
        "wrap" => same,
        "ipv4" if !net.six => same,
        "ipv6" if net.six => same,
        "ipv6" => {
            let mapped = Net { six: true, ip: net.ip | 0xffff << 32, prefix: net.prefix + 96, network: true };
            mapped.with_prefix(mapped.ip).into()
        }
        other => return Err(fail(format!("the query '{other}' is not supported"))),
    })
}

fn only(holds: bool, value: Value) -> Value {
    if holds { value } else { Value::Null }
}

/// The number of all addresses, which is one too many for 128 bits.
const ALL: &str = "340282366920938463463374607431768211456";

/// A number, by its digits where it is too large for one.
fn number(n: u128) -> Value {
    i64::try_from(n).map_or_else(|_| n.to_string().into(), Value::Int)
}

fn peer(net: &Net) -> Result<u128, Error> {
    match net.width() - net.prefix {
        1 => Ok(net.ip ^ 1),
        2 if net.ip == net.first() => Err(fail("Network address of /30 has no peer")),
        2 if net.ip == net.last() => Err(fail("Broadcast address of /30 has no peer")),
        2 => Ok(net.ip ^ 3),
        _ => Err(fail("Not a point-to-point network")),
    }
}

fn reverse(net: &Net) -> String {
    let (bits, zone) = if net.six { (4, "ip6.arpa.") } else { (8, "in-addr.arpa.") };
    let mut out = String::new();
    for at in 0..net.width() / bits {
        let part = (net.ip >> (at * bits)) & ((1 << bits) - 1);
        out.push_str(&if net.six { format!("{part:x}.") } else { format!("{part}.") });
    }
    out + zone
}
