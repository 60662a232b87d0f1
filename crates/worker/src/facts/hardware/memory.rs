//! Memory and swap, from /proc/meminfo.

use std::collections::HashMap;

use rplay_protocol::Object;
use serde_json::json;

use super::Gather;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let text = gather.host.text("/proc/meminfo").unwrap_or_default();
    let kb: HashMap<&str, i64> = text
        .lines()
        .filter_map(|line| {
            let (key, rest) = line.split_once(':')?;
            Some((key, rest.split_whitespace().next()?.parse().ok()?))
        })
        .collect();
    let mb = |key: &str| kb.get(key).map(|kb| kb / 1024);
    for (name, key) in [
        ("memtotal_mb", "MemTotal"),
        ("swaptotal_mb", "SwapTotal"),
        ("memfree_mb", "MemFree"),
        ("swapfree_mb", "SwapFree"),
    ] {
        if let Some(value) = mb(key) {
            facts.insert(name.into(), value.into());
        }
    }
    let (total, free) = (mb("MemTotal"), mb("MemFree"));
    let cached = [mb("Cached"), mb("Buffers")].into_iter().sum::<Option<i64>>();
    let without_cache = free.zip(cached).map(|(free, cached)| free + cached);
    let less = |a: Option<i64>, b: Option<i64>| a.zip(b).map(|(a, b)| a - b);
    let (swap, swap_free) = (mb("SwapTotal"), mb("SwapFree"));
    let all = json!({
        "real": {"total": total, "used": less(total, free), "free": free},
        "nocache": {"free": without_cache, "used": less(total, without_cache)},
        "swap": {"total": swap, "free": swap_free, "used": less(swap, swap_free), "cached": mb("SwapCached")},
    });
    facts.insert("memory_mb".into(), all);
}
