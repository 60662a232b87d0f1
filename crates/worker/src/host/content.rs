//! Content on its way to a file, wherever it is kept meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

use super::Content;

impl Content {
    /// A reader from the start.
    pub fn open(&self) -> io::Result<Box<dyn io::Read + '_>> {
        match self {
            Self::Bytes(bytes) => Ok(Box::new(&bytes[..])),
            Self::File(file) => Ok(Box::new(file.reopen()?)),
            Self::Nameless(file) => Ok(Box::new(FromStart { file, at: 0 })),
            Self::Path(path) => Ok(Box::new(File::open(path)?)),
        }
    }

    /// Length in bytes.
    pub fn len(&self) -> io::Result<u64> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.len() as u64),
            Self::File(file) => Ok(file.as_file().metadata()?.len()),
            Self::Nameless(file) => Ok(file.metadata()?.len()),
            Self::Path(path) => Ok(fs::metadata(path)?.len()),
        }
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// All of it, in memory.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Its checksum in hex, by one of the algorithms of [`super::digest`].
    pub fn checksum(&self, algorithm: &str) -> io::Result<String> {
        super::digest(&mut *self.open()?, algorithm)
    }
}

/// Reads a file without moving the place at which others read it.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.at)?;
        self.at += len as u64;
        Ok(len)
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(std::sync::Arc::new(bytes))
    }
}
