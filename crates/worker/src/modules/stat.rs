//! `ansible.builtin.stat`.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rplay_protocol::Object;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::files::text;
use crate::args::{PathArg, yes};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Tells what there is to know about a path.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Stat {
    /// The path.
    #[serde(alias = "dest", alias = "name")]
    path: PathArg,
    /// Whether a link is followed.
    #[serde(default)]
    follow: bool,
    /// Whether a file's checksum is computed.
    #[serde(default = "yes")]
    get_checksum: bool,
    /// By which algorithm.
    #[serde(default, alias = "checksum", alias = "checksum_algo")]
    checksum_algorithm: Algorithm,
    /// Whether file(1) is asked for type and encoding.
    #[serde(default = "yes", alias = "mime", alias = "mime_type", alias = "mime-type")]
    get_mime: bool,
    /// Whether lsattr(1) is asked for attributes.
    #[serde(default = "yes", alias = "attr", alias = "attributes")]
    get_attributes: bool,
}

/// A checksum algorithm.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Md5,
    #[default]
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

impl Module for Stat {
    const NAME: &'static str = "ansible.builtin.stat";

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let meta = match if self.follow { host.look(&path) } else { host.look_at_link(&path) } {
            Ok(meta) => meta,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Outcome::unchanged().with("stat", json!({"exists": false})));
            }
            // As the system says it: "Not a directory", "Permission denied".
            Err(e) => return Err(Failure::new(e.to_string().split(" (os error").next().unwrap_or_default())),
        };
        let mut out = facts(&path, &meta);
        if meta.file_type().is_symlink() {
            out.insert("lnk_source".into(), text(&end_of_link(host, &path)?).into());
            out.insert("lnk_target".into(), text(&host.read_link(&path)?).into());
        }
        for (key, way) in [("readable", "r"), ("writeable", "w"), ("executable", "x")] {
            out.insert(key.into(), host.may(&path, way).into());
        }
        if let Some(user) = host.user_by_id(meta.uid())? {
            out.insert("pw_name".into(), user.name.into());
        }
        if let Some(group) = host.group_by_id(meta.gid())? {
            out.insert("gr_name".into(), group.name.into());
        }
        if self.get_checksum && meta.is_file() && host.may(&path, "r") {
            out.insert("checksum".into(), host.checksum(&path, self.checksum_algorithm.name())?.into());
        }
        if self.get_mime {
            let (mimetype, charset) = mime(host, &path)?;
            out.insert("mimetype".into(), mimetype.into());
            out.insert("charset".into(), charset.into());
        }
        if self.get_attributes {
            out.extend(attributes(host, &path)?);
        }
        Ok(Outcome::unchanged().with("stat", out))
    }
}

/// What the metadata alone tells.
pub(super) fn facts(path: &Path, meta: &Metadata) -> Object {
    let kind = meta.file_type();
    let mode = meta.mode() & 0o7777;
    let seconds = |whole: i64, nanos: i64| Value::from(whole as f64 + nanos as f64 / 1e9);
    let mut out = Object::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    put("exists", true.into());
    put("path", text(path).into());
    put("mode", format!("{mode:04o}").into());
    put("isdir", kind.is_dir().into());
    put("ischr", kind.is_char_device().into());
    put("isblk", kind.is_block_device().into());
    put("isreg", kind.is_file().into());
    put("isfifo", kind.is_fifo().into());
    put("islnk", kind.is_symlink().into());
    put("issock", kind.is_socket().into());
    put("uid", meta.uid().into());
    put("gid", meta.gid().into());
    put("size", meta.len().into());
    put("inode", meta.ino().into());
    put("dev", meta.dev().into());
    put("nlink", meta.nlink().into());
    put("atime", seconds(meta.atime(), meta.atime_nsec()));
    put("mtime", seconds(meta.mtime(), meta.mtime_nsec()));
    put("ctime", seconds(meta.ctime(), meta.ctime_nsec()));
    let bits = [
        ("wusr", 0o200),
        ("rusr", 0o400),
        ("xusr", 0o100),
        ("wgrp", 0o020),
        ("rgrp", 0o040),
        ("xgrp", 0o010),
        ("woth", 0o002),
        ("roth", 0o004),
        ("xoth", 0o001),
        ("isuid", 0o4000),
        ("isgid", 0o2000),
    ];
    for (key, bit) in bits {
        put(key, (mode & bit != 0).into());
    }
    put("blocks", meta.blocks().into());
    put("block_size", meta.blksize().into());
    put("device_type", meta.rdev().into());
    out
}

/// Where a link leads to in the end, also when nothing is there.
fn end_of_link(host: &Host, path: &Path) -> Result<PathBuf, Failure> {
    if host.exists(path)? {
        return host.canonical(path);
    }
    let target = host.read_link(path)?;
    host.canonical(&path.parent().unwrap_or(Path::new("/")).join(target))
}

/// Type and encoding, by file(1); `unknown` where it cannot say.
fn mime(host: &Host, path: &Path) -> Result<(String, String), Failure> {
    let unknown = || ("unknown".to_owned(), "unknown".to_owned());
    if host.find_program("file").is_none() {
        return Ok(unknown());
    }
    let command = Command::new("file").args(["--mime-type", "--mime-encoding", "--"]).arg(path.as_os_str());
    let output = host.query(&command)?;
    let said = output.stdout_text();
    // The path comes first and may hold a colon itself.
    let answer = said.trim_end().rsplit(": ").next().unwrap_or_default();
    Ok(match answer.split_once("; charset=") {
        Some((mimetype, charset)) if output.rc == 0 => (mimetype.trim().to_owned(), charset.trim().to_owned()),
        _ => unknown(),
    })
}

/// The letters of lsattr(1) and what they are called.
const FLAGS: [(char, &str); 19] = [
    ('A', "noatime"),
    ('C', "nocow"),
    ('D', "dirsync"),
    ('E', "encrypted"),
    ('I', "indexed"),
    ('N', "inline"),
    ('S', "synchronous"),
    ('T', "blockroot"),
    ('X', "compressedraw"),
    ('Z', "compresseddirty"),
    ('a', "append"),
    ('c', "compressed"),
    ('d', "nodump"),
    ('e', "extents"),
    ('h', "blocksize"),
    ('i', "immutable"),
    ('j', "journalled"),
    ('s', "zero"),
    ('t', "notail"),
];

/// `version`, `attr_flags` and `attributes`; nothing where the file system has none.
fn attributes(host: &Host, path: &Path) -> Result<Object, Failure> {
    let nothing = [("version", Value::Null), ("attr_flags", "".into()), ("attributes", json!([]))];
    let mut out: Object = nothing.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    if host.find_program("lsattr").is_none() {
        return Ok(Object::new());
    }
    let ask =
        |options: &str| host.query(&Command::new("lsattr").args([options, "--"]).arg(path.as_os_str()).c_locale());
    let mut output = ask("-vd")?;
    if output.rc != 0 {
        // Some file systems have flags but no version.
        output = ask("-d")?;
    }
    let said = output.stdout_text();
    let words: Vec<&str> = said.split_whitespace().collect();
    let (version, flags) = match words.as_slice() {
        _ if output.rc != 0 => return Ok(out),
        [version, flags, _, ..] if version.bytes().all(|b| b.is_ascii_digit()) => (json!(version), *flags),
        [flags, _, ..] => (Value::Null, *flags),
        _ => return Ok(out),
    };
    let set: String = flags.chars().filter(|c| *c != '-').collect();
    let names: Vec<&str> =
        set.chars().filter_map(|c| FLAGS.iter().find(|(letter, _)| *letter == c).map(|(_, name)| *name)).collect();
    out.insert("version".into(), version);
    out.insert("attr_flags".into(), set.clone().into());
    out.insert("attributes".into(), json!(names));
    Ok(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::args;
    use crate::host::{Content, WriteOptions};

    fn stat(host: &Host, args: Value) -> Value {
        let stat: Stat = args::parse(args.as_object().unwrap()).unwrap();
        stat.run(host).unwrap().fields["stat"].clone()
    }

    #[test]
    fn tells_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::at(dir.path());
        let options = WriteOptions { mode_if_new: Some(0o4751), ..Default::default() };
        host.write_file(Path::new("/f"), &Content::from(b"hi\n".to_vec()), &options).unwrap();
        host.make_symlink(Path::new("/l"), Path::new("f")).unwrap();
        host.make_symlink(Path::new("/broken"), Path::new("none")).unwrap();
        let f = stat(&host, json!({"path": "/f", "mime": false, "attr": false}));
        assert_eq!(
            (&f["mode"], &f["size"], &f["isreg"], &f["isuid"]),
            (&json!("4751"), &json!(3), &json!(true), &json!(true))
        );
        assert_eq!(f["checksum"], "55ca6286e3e4f4fba5d0448333fa99fc5a404a73");
        let md5 = stat(&host, json!({"name": "/f", "checksum_algo": "md5"}));
        assert_eq!(md5["checksum"], "764efa883dda1e11db47671c4a3bbd9e");
        assert!(stat(&host, json!({"path": "/f", "get_checksum": "no"})).get("checksum").is_none());
        let l = stat(&host, json!({"path": "/l"}));
        assert_eq!((&l["islnk"], &l["lnk_source"], &l["lnk_target"]), (&json!(true), &json!("/f"), &json!("f")));
        assert_eq!(stat(&host, json!({"path": "/l", "follow": true}))["isreg"], true);
        assert_eq!(stat(&host, json!({"path": "/broken"}))["lnk_source"], "/none");
        assert_eq!(stat(&host, json!({"path": "/broken", "follow": true})), json!({"exists": false}));
        assert_eq!(stat(&host, json!({"path": "/none"})), json!({"exists": false}));
    }

    #[test]
    fn asks_file_for_the_type() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new();
        let path = dir.path().join("a: b");
        host.write_file(&path, &Content::from(b"#!/bin/sh\n".to_vec()), &WriteOptions::default()).unwrap();
        let got = stat(&host, json!({"path": text(&path)}));
        let expected = if host.find_program("file").is_some() { "text/x-shellscript" } else { "unknown" };
        assert_eq!(got["mimetype"], expected);
    }

    #[test]
    fn knows_the_algorithms() {
        let args = json!({"path": "/", "checksum_algorithm": "crc"});
        let error = args::parse::<Stat>(args.as_object().unwrap()).unwrap_err().to_string();
        assert!(error.contains("sha512"), "{error}");
    }
}
