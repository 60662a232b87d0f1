//! Processors, from /proc/cpuinfo.

use std::collections::BTreeMap;

use rplay_protocol::Object;
use serde_json::Value;

use super::Gather;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let text = gather.host.text("/proc/cpuinfo").unwrap_or_default();
    let machine = facts.get("machine").and_then(Value::as_str).unwrap_or_default().to_owned();
    describe(&text, &machine, facts);
    let usable = rustix::thread::sched_getaffinity(None).map(|set| set.count());
    if let Ok(usable) = usable {
        facts.insert("processor_nproc".into(), usable.into());
    }
}

/// What one pass over the lines comes to.
#[derive(Default)]
struct Seen {
    listed: Vec<String>,
    models: usize,
    entries: usize,
    physical: String,
    sockets: BTreeMap<String, usize>,
    cores: BTreeMap<String, usize>,
    siblings: usize,
}

fn describe(text: &str, machine: &str, facts: &mut Object) {
    let mut seen = Seen::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else { continue };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "model name" | "Processor" | "vendor_id" | "cpu" | "Vendor" | "processor" => {
                seen.listed.push(value.to_owned());
                if key == "vendor_id" {
                    seen.models += 1;
                }
                if key == "processor" {
                    seen.entries += 1;
                }
            }
            "physical id" => {
                seen.physical = value.to_owned();
                seen.sockets.entry(value.to_owned()).or_insert(1);
            }
            "cpu cores" => {
                if let Ok(count) = value.parse() {
                    seen.cores.insert(seen.physical.clone(), count);
                }
            }
            "siblings" => seen.siblings = value.parse().unwrap_or(seen.siblings),
            "# processors" => seen.entries = value.parse().unwrap_or(seen.entries),
            "flags" | "Features" if !facts.contains_key("flags") => {
                facts.insert("flags".into(), value.split_whitespace().collect::<Vec<_>>().into());
            }
            _ => {}
        }
    }
    counts(&seen, machine, facts);
    facts.insert("processor".into(), seen.listed.into());
}

fn counts(seen: &Seen, machine: &str, facts: &mut Object) {
    // Where nothing tells sockets apart (ARM, POWER, s390), each processor counts as one.
    let logical = if seen.entries > 0 { seen.entries } else { seen.models };
    let topology = !seen.sockets.is_empty() && !machine.starts_with("s390");
    let sockets = if topology { seen.sockets.len() } else { logical };
    let cores = seen.cores.values().next().copied().filter(|_| topology).unwrap_or(1);
    let threads = if topology && seen.siblings > 0 { (seen.siblings / cores.max(1)).max(1) } else { 1 };
    let all = if topology { sockets * cores * threads } else { logical };
    facts.insert("processor_count".into(), sockets.into());
    facts.insert("processor_cores".into(), cores.into());
    facts.insert("processor_threads_per_core".into(), threads.into());
    facts.insert("processor_vcpus".into(), all.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(text: &str, machine: &str) -> [i64; 4] {
        let mut facts = Object::new();
        describe(text, machine, &mut facts);
        ["count", "cores", "threads_per_core", "vcpus"].map(|k| facts[&format!("processor_{k}")].as_i64().unwrap_or(-1))
    }

    #[test]
    fn sockets_cores_and_threads() {
        let pc = |n: usize, socket: usize| {
            format!(
                "processor\t: {n}\nvendor_id\t: GenuineIntel\nmodel name\t: X\nphysical id\t: {socket}\nsiblings\t: 4\ncpu cores\t: 2\nflags\t: a b\n\n"
            )
        };
        let text: String = (0..8).map(|n| pc(n, n / 4)).collect();
        assert_eq!(counted(&text, "x86_64"), [2, 2, 2, 8]);
        let arm: String = (0..3).map(|n| format!("processor\t: {n}\nFeatures\t: fp\n\n")).collect();
        assert_eq!(counted(&arm, "aarch64"), [3, 1, 1, 3]);
    }
}
