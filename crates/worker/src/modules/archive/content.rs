//! What is in an archive, to tell whether another one holds the same.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::Format;
use crate::host::digest;

/// The content of a compressed file, or of each member of an archive, in the order of their names.
pub(super) fn of(format: Format, archive: bool, file: File) -> io::Result<Vec<String>> {
    let file = BufReader::new(file);
    match format {
        Format::Zip => zip(file.into_inner()),
        Format::Tar => tar(file),
        Format::Gz => either(archive, flate2::bufread::MultiGzDecoder::new(file)),
        Format::Bz2 => either(archive, bzip2::bufread::MultiBzDecoder::new(file)),
        Format::Xz => either(archive, lzma_rust2::XzReader::new(file, true)),
    }
}

fn either(archive: bool, mut content: impl Read) -> io::Result<Vec<String>> {
    if archive { tar(content) } else { Ok(vec![digest(&mut content, "sha1")?]) }
}

fn tar(content: impl Read) -> io::Result<Vec<String>> {
    let mut members = Vec::new();
    let mut archive = tar::Archive::new(content);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let sum = digest(&mut entry, "sha1")?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_end_matches('/').to_owned();
        let link = entry.link_name_bytes().map(|link| String::from_utf8_lossy(&link).into_owned());
        let header = entry.header();
        let kind = header.entry_type().as_byte();
        let (mode, uid, gid) = (header.mode()? & 0o7777, header.uid()?, header.gid()?);
        members.push(format!("{name}\0{kind}\0{mode:o}\0{uid}\0{gid}\0{}\0{link:?}\0{sum}", header.mtime()?));
    }
    members.sort();
    Ok(members)
}

fn zip(file: File) -> io::Result<Vec<String>> {
    let mut archive = zip::ZipArchive::new(file)?;
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index)?;
        let mode = entry.unix_mode().unwrap_or_default();
        members.push(format!(
            "{:?}\0{mode:o}\0{:?}\0{}\0{}",
            entry.name().ok(),
            entry.last_modified(),
            entry.size(),
            entry.crc32()
        ));
    }
    members.sort();
    Ok(members)
}
