//! What the firmware says of the machine, from sysfs; `NA` where it says nothing.

use rplay_protocol::Object;

use super::Gather;

/// Facts by the file that holds them.
const FACTS: &[(&str, &str)] = &[
    ("bios_date", "bios_date"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("system_vendor", "sys_vendor"),
];

/// Kinds of chassis by the number that SMBIOS gives them.
const FORM_FACTORS: [&str; 36] = [
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All In One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "Sub Chassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system",
    "CompactPCI",
    "AdvancedTCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
];

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let read = |file: &str| gather.line(format!("/sys/devices/virtual/dmi/id/{file}"));
    for (name, file) in FACTS {
        facts.insert((*name).to_owned(), read(file).unwrap_or_else(|| "NA".to_owned()).into());
    }
    let kind = read("chassis_type");
    let form = kind.map(|kind| match kind.parse::<usize>().ok().and_then(|n| FORM_FACTORS.get(n)) {
        Some(name) => (*name).to_owned(),
        None => format!("unknown ({kind})"),
    });
    facts.insert("form_factor".into(), form.unwrap_or_else(|| "NA".to_owned()).into());
}
