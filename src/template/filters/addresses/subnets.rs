//! Networks in networks: `ipsubnet`, `cidr_merge`, `reduce_on_network`, `usable_range`; and other ways to write an address:
//! `ip4_hex`, `ipv6form`, `ipcut`.

use std::net::Ipv6Addr;

use minijinja::{Error, Value as Jinja};

use super::{Net, names, needed, second};
use crate::template::call::{Call, Spec, ansible, fail, to_int};
use crate::template::{python, python_type};
use crate::value::{Map, Value};

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("ipsubnet"), &["value", "query", "index"], ipsubnet),
    ansible(names!("cidr_merge"), &["value", "action"], cidr_merge),
    ansible(names!("reduce_on_network"), &["value", "network"], reduce_on_network),
    ansible(names!("usable_range"), &["ip"], usable_range),
    ansible(&["ansible.utils.ipcut"], &["value", "amount"], ipcut),
    ansible(names!("ip4_hex"), &["arg", "delimiter"], |c| {
        let net = address(c)?;
        if net.six {
            return Err(fail(format!("{} is no IPv4 address", net.at(net.ip))));
        }
        let bytes: Vec<String> = (0..4).rev().map(|at| format!("{:02x}", net.ip >> (8 * at) & 0xff)).collect();
        Ok(Jinja::from(bytes.join(&c.text_option(1)?.unwrap_or_default())))
    }),
    ansible(names!("ipv6form"), &["value", "format"], |c| {
        let net = address(c)?;
        let groups = |wide: bool| {
            let group = |part: u16| if wide { format!("{part:04x}") } else { format!("{part:x}") };
            Ipv6Addr::from(net.ip).segments().map(group).join(":")
        };
        Ok(Jinja::from(match c.text_option(1)?.as_deref() {
            Some("expand") if net.six => groups(true),
            Some("x509") if net.six => groups(false),
            Some("x509") => return Err(fail(format!("{} is no IPv6 address", net.at(net.ip)))),
            Some("expand" | "compress") => net.at(net.ip),
            _ => return Err(fail("the format must be one of: compress, expand, x509")),
        }))
    }),
];

/// The first bits of an address, or the last when their number is negative, written in groups as addresses are.
fn ipcut(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let net = address(call)?;
    let given = call.option(1)?.unwrap_or_default();
    let Some(amount) = to_int(&given).ok() else {
        let given = python::text(&given);
        return Err(fail(format!("You must pass an integer for arithmetic; {given} is not a valid integer")));
    };
    let count = u32::try_from(amount.unsigned_abs()).unwrap_or(u32::MAX).min(net.width());
    let size = if net.six { 16 } else { 8 };
    // The bits that are wanted, from the left.
    let bits: Vec<u128> = match amount {
        0.. => (0..count).map(|at| net.ip >> (net.width() - 1 - at) & 1).collect(),
        _ => (0..count).rev().map(|at| net.ip >> at & 1).collect(),
    };
    let group = |bits: &[u128]| {
        let number = bits.iter().fold(0, |number, bit| number << 1 | bit);
        if net.six { format!("{number:x}") } else { number.to_string() }
    };
    let groups: Vec<String> = bits.chunks(size).map(group).collect();
    Ok(Jinja::from(groups.join(if net.six { ":" } else { "." })))
}

/// How many addresses `usable_range` counts out at most.
const MOST: u128 = 1 << 20;

/// The value, which must be one address alone.
fn address(call: &Call<'_, '_, '_>) -> Result<Net, Error> {
    let value = call.value(0)?;
    let net = value.as_str().and_then(|_| Net::read(&value, None)).filter(|net| !net.network);
    net.ok_or_else(|| fail(format!("You must pass a valid IP address; {} is invalid", python::text(&value))))
}

fn ipsubnet(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let query = call.text_option(1)?.unwrap_or_default();
    let index = call.option(2)?.map(|i| to_int(&i)).transpose()?;
    let Some(net) = Net::read(&call.value(0)?, None) else { return Ok(Jinja::from(false)) };
    let own = Net { ip: net.first(), ..net };
    let shown = own.with_prefix(own.ip);
    if query.is_empty() {
        return Ok(Jinja::from(shown));
    }
    if !query.bytes().all(|b| b.is_ascii_digit()) {
        let outer = second(call)?;
        if !own.within(&outer) {
            return Err(fail(format!("{shown} is not in the subnet {}", outer.with_prefix(outer.first()))));
        }
        let rank = (own.ip - outer.first()).checked_shr(own.width() - own.prefix).unwrap_or(0);
        return Ok(Jinja::from((rank + 1).to_string()));
    }
    let Some(prefix) = query.parse().ok().filter(|p| *p <= own.width()) else { return Ok(Jinja::from(false)) };
    let found = if net.single() { enclosing(&own, prefix, index)? } else { inside(&own, prefix, index)? };
    Ok(found.map_or(Jinja::from(false), Jinja::from))
}

/// The network of a prefix that an address lies in, or one of those between it and the address.
fn enclosing(own: &Net, prefix: u32, index: Option<i64>) -> Result<Option<String>, Error> {
    if prefix == own.width() {
        return Err(fail("no network lies around one that is the address alone"));
    }
    let count = i64::from(own.width() - prefix);
    let index = index.unwrap_or(0);
    let at = u32::try_from(if index < 0 { index + count } else { index }).ok().filter(|at| i64::from(*at) < count);
    Ok(at.map(|at| {
        let net = Net { prefix: prefix + at, ..*own };
        net.with_prefix(net.first())
    }))
}

/// How many networks of a prefix a network holds, or one of them.
fn inside(own: &Net, prefix: u32, index: Option<i64>) -> Result<Option<String>, Error> {
    let Some(index) = index else {
        return match prefix.checked_sub(own.prefix) {
            None => Err(fail(format!("Requested subnet size of {prefix} is invalid"))),
            Some(128) => Ok(Some(super::ALL.to_owned())),
            Some(bits) => Ok(Some((1u128 << bits).to_string())),
        };
    };
    if prefix < own.prefix {
        return Ok((index == 0).then(|| format!("{}/{prefix}", own.at(own.ip))));
    }
    let last = match prefix - own.prefix {
        128 => u128::MAX,
        bits => (1u128 << bits) - 1,
    };
    let at =
        if index < 0 { last.checked_sub(u128::from(index.unsigned_abs()) - 1) } else { u128::try_from(index).ok() };
    Ok(at.filter(|at| *at <= last).map(|at| {
        let ip = own.ip + at.checked_shl(own.width() - prefix).unwrap_or(0);
        format!("{}/{prefix}", own.at(ip))
    }))
}

/// The items of a list, or the parts of a text with commas.
fn listed(value: &Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::List(items) => Ok(items.to_vec()),
        Value::Str(text) => Ok(text.as_str().split(',').map(|part| Value::from(part.trim())).collect()),
        Value::Int(_) => Ok(vec![Value::from(python::text(value))]),
        other => Err(fail(format!("a list of networks is needed, not {}", python_type(other)))),
    }
}

fn cidr_merge(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let action = call.text_option(1)?;
    let network = |item: &Value| match item {
        Value::Str(text) if !text.as_str().bytes().all(|b| b.is_ascii_digit()) => Net::read(item, None),
        _ => None,
    };
    let read =
        |item: &Value| network(item).ok_or_else(|| fail(format!("{} is no IP address or network", python::repr(item))));
    let nets: Vec<Net> = listed(&call.value(0)?)?.iter().map(read).collect::<Result<_, _>>()?;
    match action.as_deref() {
        None | Some("merge") => {
            let merged = if nets.len() > 1 { merge(nets) } else { nets };
            Ok(Value::list(merged.iter().map(|net| net.with_prefix(net.ip).into()).collect()).to_jinja())
        }
        Some("span") => match nets.as_slice() {
            [] => Ok(Jinja::from(())),
            [only] => Ok(Jinja::from(only.with_prefix(only.ip))),
            [first, ..] if nets.iter().any(|net| net.six != first.six) => {
                Err(fail("IPv4 and IPv6 have no network in common"))
            }
            [first, ..] => {
                let low = nets.iter().map(Net::first).min().unwrap_or_default();
                let high = nets.iter().map(Net::last).max().unwrap_or_default();
                let same = (low ^ high).leading_zeros() - (128 - first.width());
                let net = Net { ip: low, prefix: same, ..*first };
                Ok(Jinja::from(net.with_prefix(net.first())))
            }
        },
        Some(other) => Err(fail(format!("the action is merge or span, not '{other}'"))),
    }
}

/// The fewest networks that hold the same addresses, in order.
fn merge(mut nets: Vec<Net>) -> Vec<Net> {
    nets.sort_by_key(|net| (net.six, net.first(), net.prefix));
    let mut out: Vec<Net> = Vec::new();
    for net in nets {
        let mut net = Net { ip: net.first(), ..net };
        if out.last().is_some_and(|before| net.within(before)) {
            continue;
        }
        // Two halves of a network are that network, which may be a half itself.
        while let Some(before) = out.last().copied() {
            let whole = Net { prefix: net.prefix.saturating_sub(1), ..before };
            let halves = before.six == net.six
                && before.prefix == net.prefix
                && net.prefix > 0
                && whole.first() == before.ip
                && net.within(&whole);
            if !halves {
                break;
            }
            out.pop();
            net = whole;
        }
        out.push(net);
    }
    out
}

fn reduce_on_network(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let items = listed(&call.value(0)?)?;
    let outer = call.option(1)?.and_then(|network| Net::read(&network, None));
    let inside = |item: &Value| outer.is_some_and(|outer| Net::read(item, None).is_some_and(|net| net.within(&outer)));
    let kept = items.iter().filter(|item| inside(item)).map(|item| python::text(item).into());
    Ok(Value::list(kept.collect()).to_jinja())
}

fn usable_range(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.value(0)?;
    if value.as_str().is_none() {
        return Err(fail(format!("a network is needed, not {}", python_type(&value))));
    }
    let net = needed(call)?;
    if net.ip != net.first() {
        return Err(fail(format!("{} has host bits set", python::text(&value))));
    }
    if net.host_bits() >= MOST {
        return Err(fail(format!("{} has too many addresses to list them", python::text(&value))));
    }
    let ips: Vec<Value> = (net.first()..=net.last()).map(|ip| net.at(ip).into()).collect();
    let count = Value::from(ips.len());
    let entries = [("usable_ips".into(), Value::list(ips)), ("number_of_ips".into(), count)];
    Ok(Value::map(Map::from_iter(entries)).to_jinja())
}
