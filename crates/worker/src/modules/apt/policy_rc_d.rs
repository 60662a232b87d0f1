//! /usr/sbin/policy-rc.d: what keeps packages from starting their services, for the time of one command.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::host::{Content, Host, WriteOptions};
use crate::module::Failure;

const PATH: &str = "/usr/sbin/policy-rc.d";

/// What was there before.
pub(super) enum Before {
    /// Nothing was asked for.
    Untouched,
    Absent,
    File(Vec<u8>, u32),
}

/// Makes the policy answer with `code`; nothing when there is no code.
pub(super) fn set(host: &Host, code: Option<i32>) -> Result<Before, Failure> {
    let Some(code) = code else { return Ok(Before::Untouched) };
    let path = Path::new(PATH);
    let before = match (host.read_if_exists(path)?, host.stat(path)?) {
        (Some(content), Some(meta)) => Before::File(content, meta.mode() & 0o7777),
        _ => Before::Absent,
    };
    host.remove(path)?;
    write(host, format!("#!/bin/sh\nexit {code}\n").into_bytes(), 0o755)?;
    Ok(before)
}

fn write(host: &Host, content: Vec<u8>, mode: u32) -> Result<(), Failure> {
    let options = WriteOptions { mode_if_new: Some(mode), ..WriteOptions::default() };
    host.write_file(Path::new(PATH), &Content::from(content), &options).map(drop)
}

impl Before {
    /// Puts back what was there.
    pub(super) fn put_back(self, host: &Host) -> Result<(), Failure> {
        match self {
            Self::Untouched => Ok(()),
            Self::Absent => host.remove(Path::new(PATH)),
            Self::File(content, mode) => {
                host.remove(Path::new(PATH))?;
                write(host, content, mode)
            }
        }
    }
}
