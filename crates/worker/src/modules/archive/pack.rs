//! Writing archives.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use flate2::{Compression, GzBuilder};
use lzma_rust2::{XzOptions, XzWriter};

use super::{Format, Member, Plan, text};
use crate::host::Host;

/// Writes all members to a file; a failure names the member.
pub(super) fn pack(host: &Host, format: Format, plan: &Plan, members: &[Member], file: &File) -> Result<(), String> {
    let out = BufWriter::new(file);
    let said = |e: io::Error| e.to_string();
    match format {
        Format::Zip => zip(host, members, out),
        Format::Tar => fill(host, plan, members, out).and_then(|mut out| out.flush().map_err(said)),
        Format::Gz => {
            let name = plan.dest.file_name().unwrap_or_default().as_bytes().to_vec();
            // The name is the file's own without the ending.
            let name = name.strip_suffix(b".gz").map(<[u8]>::to_vec).unwrap_or(name);
            let out = GzBuilder::new().filename(name).write(out, Compression::best());
            fill(host, plan, members, out)?.finish().and_then(|mut out| out.flush()).map_err(said)
        }
        Format::Bz2 => {
            let out = bzip2::write::BzEncoder::new(out, bzip2::Compression::best());
            fill(host, plan, members, out)?.finish().and_then(|mut out| out.flush()).map_err(said)
        }
        Format::Xz => {
            let out = XzWriter::new(out, XzOptions::with_preset(6)).map_err(said)?;
            fill(host, plan, members, out)?.finish().and_then(|mut out| out.flush()).map_err(said)
        }
    }
}

/// Writes the members as a tar archive, or the one member as it is.
fn fill<W: Write>(host: &Host, plan: &Plan, members: &[Member], mut out: W) -> Result<W, String> {
    if plan.archive {
        return tar(host, members, out);
    }
    for member in members {
        let said = |e: io::Error| format!("{}: {e}", text(&member.path));
        let mut file = host.open(&member.path).map_err(|failure| failure.msg)?;
        io::copy(&mut file, &mut out).map_err(said)?;
    }
    Ok(out)
}

fn tar<W: Write>(host: &Host, members: &[Member], out: W) -> Result<W, String> {
    let mut builder = tar::Builder::new(out);
    // Names of one file: the first one has the content.
    let mut seen: HashMap<(u64, u64), PathBuf> = HashMap::new();
    for member in members {
        let said = |e: io::Error| format!("{}: {e}", text(&member.path));
        let meta = host.look_at_link(&member.path).map_err(said)?;
        let mut header = header(host, &meta)?;
        if meta.mtime_nsec() != 0 {
            let time = format!("{}.{:09}", meta.mtime(), meta.mtime_nsec());
            builder.append_pax_extensions([("mtime", time.as_bytes())]).map_err(said)?;
        }
        if meta.is_symlink() {
            let target: PathBuf = host.read_link(&member.path).map_err(|failure| failure.msg)?;
            builder.append_link(&mut header, &member.name, target).map_err(said)?;
            continue;
        }
        let key = (meta.dev(), meta.ino());
        if let Some(first) = seen.get(&key).filter(|_| meta.is_file() && meta.nlink() > 1) {
            header.set_entry_type(tar::EntryType::Link);
            header.set_size(0);
            builder.append_link(&mut header, &member.name, first).map_err(said)?;
            continue;
        }
        if meta.is_file() {
            let file = host.open(&member.path).map_err(|failure| failure.msg)?;
            builder.append_data(&mut header, &member.name, Exactly { file, left: meta.len() }).map_err(said)?;
            seen.insert(key, member.name.clone());
            continue;
        }
        let kind = meta.file_type();
        if !(kind.is_dir() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device()) {
            return Err(format!("{}: a socket cannot be archived", text(&member.path)));
        }
        // With nothing behind the last slash a name is that of a directory.
        let name = if kind.is_dir() { member.name.join("") } else { member.name.clone() };
        builder.append_data(&mut header, name, io::empty()).map_err(said)?;
    }
    builder.into_inner().map_err(|e| e.to_string())
}

/// A member's header with everything but its name.
fn header(host: &Host, meta: &Metadata) -> Result<tar::Header, String> {
    let mut header = tar::Header::new_gnu();
    header.set_metadata_in_mode(meta, tar::HeaderMode::Complete);
    header.set_mode(meta.mode() & 0o7777);
    header.set_size(if meta.is_file() { meta.len() } else { 0 });
    let owner = host.user_by_id(meta.uid()).map_err(|failure| failure.msg)?;
    let group = host.group_by_id(meta.gid()).map_err(|failure| failure.msg)?;
    if let Some(owner) = owner {
        header.set_username(&owner.name).map_err(|e| e.to_string())?;
    }
    if let Some(group) = group {
        header.set_groupname(&group.name).map_err(|e| e.to_string())?;
    }
    Ok(header)
}

/// A file of which exactly as much is read as its header says, even while somebody writes to it.
struct Exactly {
    file: File,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.file.read(&mut buffer[..wanted])?;
        if got == 0 && wanted > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter while it was read"));
        }
        self.left -= got as u64;
        Ok(got)
    }
}

fn zip<W: Write + io::Seek>(host: &Host, members: &[Member], out: W) -> Result<(), String> {
    let mut writer = zip::ZipWriter::new(out);
    let mut done = std::collections::HashSet::new();
    for member in members.iter().filter(|member| done.insert(&member.name)) {
        let said = |e: io::Error| format!("{}: {e}", text(&member.path));
        let told = |e: zip::result::ZipError| format!("{}: {e}", text(&member.path));
        // Links are followed.
        let meta = host.look(&member.path).map_err(said)?;
        let name = member.name.to_str().ok_or_else(|| format!("{}: its name is not UTF-8", text(&member.path)))?;
        let options = zip::write::SimpleFileOptions::default()
            .compression_level(Some(6))
            .last_modified_time(time(&meta))
            .unix_permissions(meta.mode() & 0o7777)
            .large_file(meta.len() > u64::from(u32::MAX));
        if meta.is_dir() {
            writer.add_directory(name, options).map_err(told)?;
            continue;
        }
        if !meta.is_file() {
            return Err(format!("{}: only files and directories can be in a zip archive", text(&member.path)));
        }
        writer.start_file(name, options).map_err(told)?;
        let mut file = host.open(&member.path).map_err(|failure| failure.msg)?;
        io::copy(&mut file, &mut writer).map_err(said)?;
    }
    let mut out = writer.finish().map_err(|e| e.to_string())?;
    out.flush().map_err(|e| e.to_string())
}

/// A file's time as zip archives have it: local, and no earlier than 1980.
fn time(meta: &Metadata) -> zip::DateTime {
    let zoned = jiff::Timestamp::from_second(meta.mtime()).map(|time| time.to_zoned(jiff::tz::TimeZone::system()));
    let parts = zoned.ok().and_then(|zoned| {
        let part = |value: i8| u8::try_from(value).ok();
        let (date, clock) = (zoned.date(), zoned.time());
        let year = u16::try_from(date.year()).ok()?;
        let (hour, minute, second) = (part(clock.hour())?, part(clock.minute())?, part(clock.second())?);
        zip::DateTime::from_date_and_time(year, part(date.month())?, part(date.day())?, hour, minute, second).ok()
    });
    parts.unwrap_or_default()
}
