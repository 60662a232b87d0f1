//! Small subsets: the time, the kernel's command line, the resolver, load, chroot, sshd's host keys.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rplay_protocol::Object;
use serde_json::{Value, json};

use super::Gather;

pub(super) fn date_time(_: &Gather<'_>, facts: &mut Object) {
    let now = jiff::Zoned::now();
    facts.insert("date_time".into(), time_facts(&now));
}

fn time_facts(now: &jiff::Zoned) -> Value {
    let utc = now.with_time_zone(jiff::tz::TimeZone::UTC);
    let local = |format: &str| now.strftime(format).to_string();
    let there = |format: &str| utc.strftime(format).to_string();
    json!({
        "year": local("%Y"),
        "month": local("%m"),
        "weekday": local("%A"),
        "weekday_number": local("%w"),
        "weeknumber": local("%W"),
        "day": local("%d"),
        "hour": local("%H"),
        "minute": local("%M"),
        "second": local("%S"),
        "epoch": now.timestamp().as_second().to_string(),
        "epoch_int": now.timestamp().as_second().to_string(),
        "date": local("%Y-%m-%d"),
        "time": local("%H:%M:%S"),
        "iso8601_micro": there("%Y-%m-%dT%H:%M:%S.%6fZ"),
        "iso8601": there("%Y-%m-%dT%H:%M:%SZ"),
        "iso8601_basic": local("%Y%m%dT%H%M%S%6f"),
        "iso8601_basic_short": local("%Y%m%dT%H%M%S"),
        "tz": local("%Z"),
        "tz_dst": summer_name(now),
        "tz_offset": local("%z"),
    })
}

/// What the zone is called in summer time; its only name where there is none.
fn summer_name(now: &jiff::Zoned) -> String {
    let zone = now.time_zone();
    let summer =
        (0..12).filter_map(|month| now.timestamp().checked_add(jiff::SignedDuration::from_hours(month * 730)).ok());
    let found = summer.map(|t| zone.to_offset_info(t)).find(|info| info.dst().is_dst());
    found.map_or_else(|| now.strftime("%Z").to_string(), |info| info.abbreviation().to_owned())
}

pub(super) fn cmdline(gather: &Gather<'_>, facts: &mut Object) {
    let Some(line) = gather.line("/proc/cmdline") else { return };
    let words = shell_words::split(&line).unwrap_or_else(|_| line.split_whitespace().map(ToOwned::to_owned).collect());
    let (mut last, mut all) = (Object::new(), Object::new());
    for word in words {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), Value::String(value.to_owned())),
            None => (word, Value::Bool(true)),
        };
        last.insert(key.clone(), value.clone());
        match all.get_mut(&key) {
            None => drop(all.insert(key, value)),
            Some(Value::Array(values)) => values.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    facts.insert("cmdline".into(), Value::Object(last));
    facts.insert("proc_cmdline".into(), Value::Object(all));
}

pub(super) fn dns(gather: &Gather<'_>, facts: &mut Object) {
    let mut dns = Object::new();
    for line in gather.host.text("/etc/resolv.conf").unwrap_or_default().lines() {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((keyword, rest)) = words.split_first() else { continue };
        match *keyword {
            "nameserver" | "sortlist" => {
                let key = if *keyword == "nameserver" { "nameservers" } else { "sortlist" };
                if let Some(list) = dns.entry(key).or_insert_with(|| json!([])).as_array_mut() {
                    list.extend(rest.iter().map(|w| Value::from(*w)));
                }
            }
            "domain" => drop(dns.insert("domain".into(), rest.first().copied().unwrap_or_default().into())),
            "search" => drop(dns.insert("search".into(), rest.to_vec().into())),
            "options" => {
                let options = rest.iter().map(|option| match option.split_once(':') {
                    Some((name, value)) => (name.to_owned(), Value::from(value)),
                    None => ((*option).to_owned(), Value::Bool(true)),
                });
                dns.insert("options".into(), Value::Object(options.collect()));
            }
            _ => {}
        }
    }
    facts.insert("dns".into(), Value::Object(dns));
}

pub(super) fn load(_: &Gather<'_>, facts: &mut Object) {
    let loads = rustix::system::sysinfo().loads;
    let load = |n: u64| n as f64 / 65536.0;
    facts.insert("loadavg".into(), json!({"1m": load(loads[0]), "5m": load(loads[1]), "15m": load(loads[2])}));
}

pub(super) fn chroot(gather: &Gather<'_>, facts: &mut Object) {
    let identity = |path: &str| {
        let meta = gather.host.stat(Path::new(path)).ok().flatten()?;
        Some((meta.dev(), meta.ino()))
    };
    let own = identity("/");
    // Where process 1's root may not be looked at, the usual inodes of a root directory tell.
    let inside = match identity("/proc/1/root/.") {
        Some(first) => own != Some(first),
        None => {
            gather.host.env("debian_chroot").is_some() || own.is_some_and(|(_, inode)| !matches!(inode, 2 | 128 | 256))
        }
    };
    facts.insert("is_chroot".into(), inside.into());
}

pub(super) fn ssh_keys(gather: &Gather<'_>, facts: &mut Object) {
    for directory in ["/etc/ssh", "/etc/openssh", "/etc"] {
        let mut found = false;
        for kind in ["dsa", "rsa", "ecdsa", "ed25519"] {
            let text = gather.line(format!("{directory}/ssh_host_{kind}_key.pub")).unwrap_or_default();
            let mut words = text.split_whitespace();
            if let (Some(keytype), Some(key)) = (words.next(), words.next()) {
                facts.insert(format!("ssh_host_key_{kind}_public"), key.into());
                facts.insert(format!("ssh_host_key_{kind}_public_keytype"), keytype.into());
                found = true;
            }
        }
        if found {
            return;
        }
    }
}

#[cfg(test)]
// The tests prepare their own little host.
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::host::Host;

    fn of(path: &str, content: &str, subset: fn(&Gather<'_>, &mut Object)) -> Object {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::write(&real, content).unwrap();
        let host = Host::at(dir.path());
        let mut facts = Object::new();
        subset(&Gather::new(&host), &mut facts);
        facts
    }

    #[test]
    fn command_line_keeps_the_last_and_all() {
        let facts = of("/proc/cmdline", "root=/dev/vda1 quiet console=tty0 console=ttyS0,115200 x=\"a b\"\n", cmdline);
        assert_eq!(
            facts["cmdline"],
            json!({"root": "/dev/vda1", "quiet": true, "console": "ttyS0,115200", "x": "a b"})
        );
        assert_eq!(facts["proc_cmdline"]["console"], json!(["tty0", "ttyS0,115200"]));
    }

    #[test]
    fn resolver() {
        let text = "# x\nnameserver 10.0.0.1\nnameserver fd00::1\nsearch a.example b.example\ndomain a.example\noptions ndots:2 rotate\n";
        let want = json!({
            "nameservers": ["10.0.0.1", "fd00::1"],
            "search": ["a.example", "b.example"],
            "domain": "a.example",
            "options": {"ndots": "2", "rotate": true},
        });
        assert_eq!(of("/etc/resolv.conf", text, dns)["dns"], want);
    }

    #[test]
    fn host_keys() {
        let facts = of("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAA root@x\n", ssh_keys);
        assert_eq!(facts["ssh_host_key_ed25519_public"], "AAAA");
        assert_eq!(facts["ssh_host_key_ed25519_public_keytype"], "ssh-ed25519");
    }

    #[test]
    fn time_in_a_zone_with_summer_time() {
        let time: jiff::Zoned = "2026-01-05T03:04:05.000006+01:00[Europe/Berlin]".parse().unwrap();
        let facts = time_facts(&time);
        for (key, want) in [
            ("weekday", "Monday"),
            ("weekday_number", "1"),
            ("weeknumber", "01"),
            ("iso8601_micro", "2026-01-05T02:04:05.000006Z"),
            ("iso8601_basic", "20260105T030405000006"),
            ("tz", "CET"),
            ("tz_dst", "CEST"),
            ("tz_offset", "+0100"),
        ] {
            assert_eq!(facts[key], want, "{key}");
        }
    }
}
