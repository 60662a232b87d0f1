//! A small reader of rtnetlink(7): links, addresses and routes, as the kernel tells them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// Bytes of a message's header.
const HEADER: usize = 16;

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// Hardware type, an `ARPHRD_*` number.
    pub(super) hardware: u16,
    /// `IFF_*` flags.
    pub(super) flags: u32,
    pub(super) mtu: u32,
    pub(super) hardware_address: Vec<u8>,
}

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) index: u32,
    pub(super) address: IpAddr,
    pub(super) broadcast: Option<IpAddr>,
    pub(super) prefix: u8,
    pub(super) scope: u8,
    pub(super) secondary: bool,
    /// The name it goes by, where that is not the device's own.
    pub(super) label: Option<String>,
}

/// A route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) destination: Option<IpAddr>,
    pub(super) prefix: u8,
    pub(super) kind: u8,
    pub(super) table: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) source: Option<IpAddr>,
    pub(super) index: u32,
}

/// A connection to the kernel.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    /// Opens one; a kernel that does not answer within a second is given up on.
    pub(super) fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        // Protocol 0 of this family is NETLINK_ROUTE.
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(std::time::Duration::from_secs(1)))?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self(socket))
    }

    /// All devices, by index.
    pub(super) fn links(&self) -> Result<Vec<Link>, Errno> {
        let answers = self.ask(RTM_GETLINK, true, &[0; 16])?;
        Ok(answers.iter().filter(|(kind, _)| *kind == RTM_NEWLINK).filter_map(|(_, body)| link(body)).collect())
    }

    /// All addresses, in the kernel's order.
    pub(super) fn addresses(&self) -> Result<Vec<Address>, Errno> {
        let answers = self.ask(RTM_GETADDR, true, &[0; 8])?;
        Ok(answers.iter().filter(|(kind, _)| *kind == RTM_NEWADDR).filter_map(|(_, body)| address(body)).collect())
    }

    /// All routes of a family.
    pub(super) fn routes(&self, v6: bool) -> Result<Vec<Route>, Errno> {
        let mut body = [0; 12];
        body[0] = family(v6);
        let answers = self.ask(RTM_GETROUTE, true, &body)?;
        Ok(answers.iter().filter(|(kind, _)| *kind == RTM_NEWROUTE).filter_map(|(_, body)| route(body)).collect())
    }

    /// The way that a packet to `target` would take; `None` when there is none.
    pub(super) fn route_to(&self, target: IpAddr) -> Option<Route> {
        let bytes = match target {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        let mut body = vec![0; 12];
        body[0] = family(target.is_ipv6());
        body[1] = u8::try_from(bytes.len() * 8).unwrap_or(32);
        body.extend(u16::try_from(bytes.len() + 4).unwrap_or(8).to_ne_bytes());
        body.extend(RTA_DST.to_ne_bytes());
        body.extend(bytes);
        let answers = self.ask(RTM_GETROUTE, false, &body).ok()?;
        answers.iter().find(|(kind, _)| *kind == RTM_NEWROUTE).and_then(|(_, body)| route(body))
    }

    /// Sends one request and collects the messages of its answer.
    fn ask(&self, kind: u16, dump: bool, body: &[u8]) -> Result<Vec<(u16, Vec<u8>)>, Errno> {
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend(u32::try_from(HEADER + body.len()).unwrap_or(0).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | if dump { NLM_F_DUMP } else { 0 }).to_ne_bytes());
        message.extend([0; 8]);
        message.extend(body);
        rustix::net::sendto(&self.0, &message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
        let mut answers = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let (_, length) = rustix::net::recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let received = buffer.get(..length).unwrap_or_default();
            if length == 0 || collect(received, &mut answers)? || !dump {
                return Ok(answers);
            }
        }
    }
}

/// Takes the messages out of what one read gave; says whether the last of a series was among them.
fn collect(mut rest: &[u8], answers: &mut Vec<(u16, Vec<u8>)>) -> Result<bool, Errno> {
    while rest.len() >= HEADER {
        let length = u32_at(rest, 0) as usize;
        let Some(message) = rest.get(HEADER..length) else { return Ok(true) };
        match u16_at(rest, 4) {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let code = i32::from_ne_bytes(u32_at(message, 0).to_ne_bytes());
                return if code == 0 { Ok(true) } else { Err(Errno::from_raw_os_error(-code)) };
            }
            kind => answers.push((kind, message.to_vec())),
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn family(v6: bool) -> u8 {
    u8::try_from(if v6 { AddressFamily::INET6 } else { AddressFamily::INET }.as_raw()).unwrap_or(2)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

const RTA_DST: u16 = 1;

/// The attributes after a message's fixed part.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0));
        let value = rest.get(4..length)?;
        let kind = u16_at(rest, 2) & 0x3fff;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|b| IpAddr::V4(Ipv4Addr::from(b))),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|b| IpAddr::V6(Ipv6Addr::from(b))),
        _ => None,
    }
}

fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link =
        Link { hardware: u16_at(body, 2), index: u32_at(body, 4), flags: u32_at(body, 8), ..Link::default() };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            1 => link.hardware_address = value.to_vec(),
            3 => link.name = name(value),
            4 => link.mtu = u32_at(value, 0),
            _ => {}
        }
    }
    Some(link)
}

fn address(body: &[u8]) -> Option<Address> {
    const IFA_F_SECONDARY: u32 = 1;
    let (mut own, mut peer, mut broadcast, mut label) = (None, None, None, None);
    let mut flags = u32::from(*body.get(2)?);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            1 => peer = ip(value),
            2 => own = ip(value),
            3 => label = Some(name(value)),
            4 => broadcast = ip(value),
            8 => flags = u32_at(value, 0),
            _ => {}
        }
    }
    Some(Address {
        index: u32_at(body, 4),
        address: own.or(peer)?,
        broadcast,
        prefix: *body.get(1)?,
        scope: *body.get(3)?,
        // For IPv6 the same bit marks a temporary address.
        secondary: flags & IFA_F_SECONDARY != 0,
        label,
    })
}

fn route(body: &[u8]) -> Option<Route> {
    let mut route =
        Route { prefix: *body.get(1)?, table: u32::from(*body.get(4)?), kind: *body.get(7)?, ..Route::default() };
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            RTA_DST => route.destination = ip(value),
            4 => route.index = u32_at(value, 0),
            5 => route.gateway = ip(value),
            7 => route.source = ip(value),
            15 => route.table = u32_at(value, 0),
            _ => {}
        }
    }
    Some(route)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let netlink = Netlink::open().unwrap();
        let links = netlink.links().unwrap();
        let loopback = links.iter().find(|l| l.name == "lo").unwrap();
        assert_eq!(loopback.hardware, 772);
        let addresses = netlink.addresses().unwrap();
        assert!(addresses.iter().all(|a| links.iter().any(|l| l.index == a.index)));
        let own = netlink.route_to(Ipv4Addr::LOCALHOST.into()).unwrap();
        assert_eq!((own.index, own.kind), (loopback.index, 2));
    }

    #[test]
    fn cut_messages_are_not_followed() {
        let mut answers = Vec::new();
        assert!(collect(&[0xff; 20], &mut answers).unwrap());
        assert!(!collect(&[0; 3], &mut answers).unwrap());
        assert!(answers.is_empty());
        assert_eq!(attributes(&[8, 0, 1, 0, 1, 2]).count(), 0);
        assert_eq!(attributes(&[0; 8]).count(), 0);
        assert!(link(&[0; 4]).is_none() && address(&[]).is_none() && route(&[1]).is_none());
    }
}
