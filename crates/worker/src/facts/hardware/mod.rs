//! `hardware`: processors, memory, mounts, block devices, firmware.

mod cpu;
mod devices;
mod dmi;
mod lvm;
mod memory;
mod mounts;

use rplay_protocol::Object;
use serde_json::Value;

use super::Gather;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    cpu::gather(gather, facts);
    memory::gather(gather, facts);
    dmi::gather(gather, facts);
    devices::gather(gather, facts);
    let up = gather.line("/proc/uptime").unwrap_or_default();
    if let Some(seconds) = up.split('.').next().and_then(|s| s.parse::<i64>().ok()) {
        facts.insert("uptime_seconds".into(), seconds.into());
    }
    facts.insert("mounts".into(), mounts::gather(gather));
    facts.insert("lvm".into(), lvm::gather(gather));
}

/// A number of bytes as the reference writes sizes: two decimals and the largest unit that fits.
fn human_size(bytes: u64) -> String {
    let units = [("ZB", 70), ("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    let unit = units.iter().find(|(_, shift)| *shift < 64 && bytes >= 1 << shift);
    match unit {
        Some((name, shift)) => format!("{:.2} {name}", bytes as f64 / 2f64.powi(*shift)),
        None => format!("{:.2} Bytes", bytes as f64),
    }
}

/// A text, or null.
fn or_null(text: Option<String>) -> Value {
    text.map_or(Value::Null, Value::String)
}
