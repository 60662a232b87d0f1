//! The lines of fstab and of the kernel's table of mounts.

use std::borrow::Cow;

/// An entry of fstab, not escaped.
pub(super) struct Entry<'a> {
    pub src: &'a str,
    pub name: &'a str,
    pub fstype: &'a str,
    pub opts: &'a str,
    pub dump: &'a str,
    pub passno: &'a str,
}

impl Entry<'_> {
    fn fields(&self) -> [Cow<'_, str>; 6] {
        [self.src, self.name, self.fstype, self.opts, self.dump, self.passno].map(escape)
    }
}

/// White space and backslashes as fstab writes them.
fn escape(field: &str) -> Cow<'_, str> {
    if !field.contains([' ', '\t', '\n', '\r']) {
        return Cow::Borrowed(field);
    }
    let text = field.replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012").replace('\r', "\\015");
    Cow::Owned(text)
}

/// The fields of an entry, whose last two need not be written; comments and other lines are none.
fn fields(line: &str) -> Option<Vec<&str>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    ((4..=6).contains(&fields.len()) && !line.trim_start().starts_with('#')).then_some(fields)
}

/// Whether an entry is the one for this mount point; those without one (`none`) are told apart by their source.
fn is_for(fields: &[&str], name: &str, src: Option<&str>) -> bool {
    fields[1] == escape(name) && (name != "none" || src.is_none_or(|src| fields[0] == escape(src)))
}

/// The table with this entry; lines that say the same already stay as they are written.
pub(super) fn set(old: &str, entry: &Entry<'_>) -> String {
    let wanted = entry.fields();
    let line = format!("{}\n", wanted.join(" "));
    let mut new = String::with_capacity(old.len() + line.len());
    let mut found = false;
    for held in old.split_inclusive('\n') {
        match fields(held).filter(|fields| is_for(fields, entry.name, Some(entry.src))) {
            Some(fields) => {
                found = true;
                new.push_str(if fields == wanted { held } else { &line });
            }
            None => new.push_str(held),
        }
    }
    if !found {
        if !new.is_empty() && !new.ends_with('\n') {
            new.push('\n');
        }
        new.push_str(&line);
    }
    new
}

/// The table without the entries for this mount point; as the reference has it, those with all six fields.
pub(super) fn unset(old: &str, name: &str, src: Option<&str>) -> String {
    let is_it = |fields: &Vec<&str>| fields.len() == 6 && is_for(fields, name, src);
    let stays = |line: &&str| fields(line).filter(is_it).is_none();
    old.split_inclusive('\n').filter(stays).collect()
}

/// What is mounted somewhere.
#[derive(Debug, PartialEq)]
pub(super) struct Mounted {
    pub source: String,
}

/// The last mount at this path in `/proc/self/mountinfo`.
pub(super) fn mounted(mountinfo: &str, path: &str) -> Option<Mounted> {
    let entry = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        let place = front.split(' ').nth(4)?;
        (unescape(place) == path).then(|| back.split(' ').nth(1).map(|source| Mounted { source: unescape(source) }))?
    };
    mountinfo.lines().rev().find_map(entry)
}

/// A field of the kernel's tables: `\040` is a space.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'\\').then(|| tail.get(..3)).flatten();
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
