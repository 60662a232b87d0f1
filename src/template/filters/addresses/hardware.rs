//! Addresses of network cards: `hwaddr`, `macaddr`, and `slaac`, which makes an IPv6 address of one.

use minijinja::{Error, Value as Jinja};

use super::{Net, names};
use crate::template::call::{Call, Spec, ansible, fail};
use crate::template::python;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] = &[
    ansible(names!("hwaddr"), &["value", "query", "alias"], hwaddr),
    ansible(names!("macaddr"), &["value", "query"], hwaddr),
    ansible(names!("slaac"), &["value", "query"], |c| {
        let net = Net::read(&c.value(0)?, None).filter(|net| net.six);
        let card = c.option(1)?.as_ref().and_then(read);
        let (Some(net), Some(card)) = (net, card) else { return Ok(Jinja::from(false)) };
        // The two halves with ff:fe between them, and the bit that says the address is unique turned over.
        let interface = (card >> 24) << 40 | 0xff_fe00_0000 | card & 0xff_ffff;
        let ip = net.first().checked_add(u128::from(interface ^ 0x0200_0000_0000_0000));
        Ok(Jinja::from(net.at(ip.ok_or_else(|| fail("the result is no address"))?)))
    }),
];

/// The 48 bits of an address in one of the forms that are in use.
fn read(value: &Value) -> Option<u64> {
    let number = |n: u64| (n < 1 << 48).then_some(n);
    let text = match value {
        Value::Int(n) => return u64::try_from(*n).ok().and_then(number),
        Value::Str(text) => text.as_str(),
        _ => return None,
    };
    let hex = |group: &str| u64::from_str_radix(group, 16).ok().filter(|_| !group.starts_with('+'));
    let separator = text.chars().find(|c| matches!(c, ':' | '-' | '.'));
    let Some(separator) = separator else {
        return match text.len() {
            11 | 12 => hex(text),
            _ if text.bytes().all(|b| b.is_ascii_digit()) => text.parse().ok().and_then(number),
            _ => None,
        };
    };
    let groups: Vec<&str> = text.split(separator).collect();
    let (least, most) = match (groups.len(), separator) {
        (3, _) => (1, 4),
        (6, ':' | '-') => (1, 2),
        (2, ':' | '-') => (5, 6),
        _ => return None,
    };
    let bits = 48 / groups.len();
    groups.iter().try_fold(0, |so_far, group| {
        (least..=most).contains(&group.len()).then(|| hex(group)).flatten().map(|part| so_far << bits | part)
    })
}

fn hwaddr(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let query = call.text_option(1)?.unwrap_or_default();
    let value = call.value(0)?;
    let Some(card) = read(&value) else {
        return match query.as_str() {
            "" | "bool" => Ok(Jinja::from(())),
            _ => Err(fail(format!("not a hardware address: {}", python::text(&value)))),
        };
    };
    let digits = format!("{card:012x}");
    let groups = |width: usize, separator: &str| {
        let groups: Vec<&str> = (0..12 / width).filter_map(|i| digits.get(i * width..(i + 1) * width)).collect();
        groups.join(separator)
    };
    Ok(Jinja::from(match query.as_str() {
        "" => return Ok(value.to_jinja()),
        "bool" => return Ok(Jinja::from(true)),
        "int" => return Ok(Jinja::from(card)),
        "bare" => digits.to_uppercase(),
        "cisco" => groups(4, "."),
        "eui48" | "win" => groups(2, "-").to_uppercase(),
        "linux" => groups(2, ":"),
        "pgsql" | "postgresql" | "psql" => groups(6, ":"),
        "unix" => {
            let bytes: Vec<String> = (0..6).rev().map(|at| format!("{:x}", card >> (8 * at) & 0xff)).collect();
            bytes.join(":")
        }
        other => return Err(fail(format!("the query '{other}' is not known"))),
    }))
}
