//! Content that a host sends back, of any length.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::sync::Arc;

/// What is longer than this is kept in a file, in bytes.
const IN_MEMORY: usize = 4 * 1024 * 1024;

/// Content received: short content in memory, long content in a file that has no name.
#[derive(Debug, Clone, Default)]
pub struct Received {
    bytes: Vec<u8>,
    file: Option<Arc<File>>,
}

impl Received {
    /// Adds a piece.
    pub fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        if self.file.is_none() && self.bytes.len() + piece.len() > IN_MEMORY {
            let mut file = tempfile::tempfile()?;
            file.write_all(&std::mem::take(&mut self.bytes))?;
            self.file = Some(Arc::new(file));
        }
        match &self.file {
            Some(file) => (&**file).write_all(piece),
            None => {
                self.bytes.extend(piece);
                Ok(())
            }
        }
    }

    /// A reader from the start; one at a time.
    pub fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        match &self.file {
            Some(file) => {
                (&**file).rewind()?;
                Ok(Box::new(&**file))
            }
            None => Ok(Box::new(Cursor::new(&self.bytes))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_any_length_is_kept() {
        for pieces in [0, 1, 5] {
            let mut received = Received::default();
            for number in 0..pieces {
                received.push(&vec![number; 1_000_000]).unwrap();
            }
            let mut seen = Vec::new();
            for _ in 0..2 {
                seen.clear();
                received.open().unwrap().read_to_end(&mut seen).unwrap();
            }
            let wanted: Vec<u8> = (0..pieces).flat_map(|number| vec![number; 1_000_000]).collect();
            assert!(seen == wanted);
            assert_eq!(received.file.is_some(), pieces == 5);
        }
    }
}
