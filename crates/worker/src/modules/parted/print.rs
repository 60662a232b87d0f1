//! What `parted -m … print` says.

use serde_json::{Value, json};

use crate::module::Outcome;

/// A disk and its partitions.
#[derive(Debug, PartialEq)]
pub(super) struct Disk {
    dev: String,
    size: Value,
    unit: String,
    pub logical_block: u64,
    physical_block: u64,
    pub table: String,
    model: String,
    chs_info: Option<Value>,
    partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, PartialEq)]
pub(super) struct Partition {
    num: i64,
    begin: Value,
    end: Value,
    size: Value,
    unit: String,
    fstype: String,
    pub name: String,
    pub flags: Vec<String>,
}

impl Partition {
    /// Where it ends, when the unit is bytes.
    pub(super) fn end_in_bytes(&self) -> Option<f64> {
        self.end.as_f64().filter(|_| self.unit == "b")
    }

    fn value(&self) -> Value {
        json!({
            "num": self.num, "begin": self.begin, "end": self.end, "size": self.size, "fstype": self.fstype,
            "name": self.name, "flags": self.flags, "unit": self.unit,
        })
    }
}

impl Disk {
    /// Reads what parted printed in a unit.
    pub(super) fn parse(text: &str, unit: &str) -> Option<Self> {
        let mut lines = text.lines().map(|line| line.trim_end_matches(';')).skip_while(|line| !is_kind(line));
        let kind = lines.next()?;
        let fields = fields(lines.next()?);
        let [dev, size, _, logical, physical, table, model, ..] = fields.as_slice() else { return None };
        let (size, size_unit) = place(size, unit);
        let mut disk = Self {
            dev: dev.clone(),
            size,
            unit: size_unit,
            logical_block: logical.parse().ok()?,
            physical_block: physical.parse().ok()?,
            table: table.clone(),
            model: model.clone(),
            chs_info: None,
            partitions: Vec::new(),
        };
        if kind != "BYT" {
            disk.chs_info = lines.next().and_then(geometry);
        }
        disk.partitions = lines.filter_map(|line| partition(line, kind == "CHS", unit)).collect();
        Some(disk)
    }

    /// The partition of this number.
    pub(super) fn partition(&self, number: i64) -> Option<&Partition> {
        self.partitions.iter().find(|partition| partition.num == number)
    }

    /// Its size, when the unit is bytes.
    pub(super) fn bytes(&self) -> Option<f64> {
        self.size.as_f64().filter(|_| self.unit == "b")
    }

    /// Adds the return values.
    pub(super) fn tell(&self, outcome: Outcome) -> Outcome {
        let mut disk = json!({
            "dev": self.dev, "size": self.size, "unit": self.unit, "table": self.table, "model": self.model,
            "logical_block": self.logical_block, "physical_block": self.physical_block,
        });
        if let Some(info) = &self.chs_info {
            disk["chs_info"] = info.clone();
        }
        let partitions: Vec<Value> = self.partitions.iter().map(Partition::value).collect();
        outcome.with("disk", disk).with("partitions", partitions)
    }
}

fn is_kind(line: &str) -> bool {
    matches!(line, "BYT" | "CHS" | "CYL")
}

/// The fields of a line; a colon or a backslash that is one of a field has a backslash before it.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => fields.push(String::new()),
            '\\' => fields.last_mut().into_iter().for_each(|field| field.extend(chars.next())),
            other => fields.last_mut().into_iter().for_each(|field| field.push(other)),
        }
    }
    fields
}

/// A place or a size, and its unit in small letters.
fn place(text: &str, unit: &str) -> (Value, String) {
    let parts: Vec<u64> = text.split(',').filter_map(|part| part.parse().ok()).collect();
    if let [cylinder, head, sector] = parts.as_slice() {
        return (json!({"cylinder": cylinder, "head": head, "sector": sector}), "chs".to_owned());
    }
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, own) = text.split_at(at);
    let own = if own.is_empty() { unit } else { own };
    match number.parse::<f64>() {
        Ok(number) => (json!(number), own.to_lowercase()),
        Err(_) => (json!(text), own.to_lowercase()),
    }
}

fn geometry(line: &str) -> Option<Value> {
    let fields = fields(line);
    let [cylinders, heads, sectors, size, ..] = fields.as_slice() else { return None };
    let (size, unit) = place(size, "");
    let number = |text: &String| text.parse::<u64>().ok();
    Some(json!({
        "cylinders": number(cylinders)?, "heads": number(heads)?, "sectors": number(sectors)?, "cyl_size": size,
        "cyl_size_unit": unit,
    }))
}

fn partition(line: &str, chs: bool, unit: &str) -> Option<Partition> {
    let mut fields = fields(line).into_iter();
    let num = fields.next()?.parse().ok()?;
    let (begin, begin_unit) = place(&fields.next()?, unit);
    let (end, _) = place(&fields.next()?, unit);
    // Places of three numbers have no size.
    let (size, unit) = if chs { (json!(""), begin_unit) } else { place(&fields.next()?, unit) };
    let (fstype, name, flags) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    let flags = flags.split(", ").filter(|flag| !flag.is_empty()).map(ToOwned::to_owned).collect();
    Some(Partition { num, begin, end, size, unit, fstype, name, flags })
}
