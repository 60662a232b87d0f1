//! Frames: length-prefixed messages with an optional raw payload.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of a frame's header: message length, payload length, request id, route.
pub const HEADER_LEN: usize = 20;

/// The longest message accepted, in bytes; a longer one means that the stream is not ours.
pub const MAX_MESSAGE: u32 = 64 * 1024 * 1024;

/// The longest payload accepted in one frame, in bytes.
pub const MAX_PAYLOAD: u32 = 64 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream failed or ended in the middle of a frame.
    #[error("the stream to the worker broke: {0}")]
    Io(#[from] io::Error),
    /// The header announces more than [`MAX_MESSAGE`] or [`MAX_PAYLOAD`].
    #[error("a frame announces {0} bytes, which is more than is allowed")]
    TooLong(u32),
    /// The message is not what this side expects.
    #[error("a frame holds a message that cannot be understood: {0}")]
    Message(#[from] serde_json::Error),
}

/// A frame's fixed part, in network byte order on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the JSON message.
    pub message_len: u32,
    /// Bytes of the raw payload.
    pub payload_len: u32,
    /// The request that this frame starts, continues or answers.
    pub id: u64,
    /// The worker meant: 0 for the login user's, else a become session's number.
    pub route: u32,
}

impl Header {
    /// The header as it stands on the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..4].copy_from_slice(&self.message_len.to_be_bytes());
        out[4..8].copy_from_slice(&self.payload_len.to_be_bytes());
        out[8..16].copy_from_slice(&self.id.to_be_bytes());
        out[16..].copy_from_slice(&self.route.to_be_bytes());
        out
    }

    /// Reads a header; fails when it announces more than is allowed.
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, FrameError> {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let header = Self {
            message_len: word(0),
            payload_len: word(4),
            id: (u64::from(word(8)) << 32) | u64::from(word(12)),
            route: word(16),
        };
        if header.message_len > MAX_MESSAGE {
            return Err(FrameError::TooLong(header.message_len));
        }
        if header.payload_len > MAX_PAYLOAD {
            return Err(FrameError::TooLong(header.payload_len));
        }
        Ok(header)
    }
}

/// One message on its way, not yet decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The request that this frame starts, continues or answers.
    pub id: u64,
    /// The worker meant.
    pub route: u32,
    /// The JSON message.
    pub message: Vec<u8>,
    /// Raw bytes that belong to the message.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A frame holding `message` and `payload`.
    pub fn new<T: Serialize>(id: u64, route: u32, message: &T, payload: Vec<u8>) -> Result<Self, FrameError> {
        Ok(Self { id, route, message: serde_json::to_vec(message)?, payload })
    }

    /// The message, decoded.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, FrameError> {
        Ok(serde_json::from_slice(&self.message)?)
    }

    /// The header that announces this frame.
    pub fn header(&self) -> Result<Header, FrameError> {
        let len = |n: usize, max: u32| match u32::try_from(n) {
            Ok(len) if len <= max => Ok(len),
            _ => Err(FrameError::TooLong(u32::try_from(n).unwrap_or(u32::MAX))),
        };
        Ok(Header {
            message_len: len(self.message.len(), MAX_MESSAGE)?,
            payload_len: len(self.payload.len(), MAX_PAYLOAD)?,
            id: self.id,
            route: self.route,
        })
    }

    /// The whole frame as it stands on the wire.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FrameError> {
        let mut out = Vec::with_capacity(HEADER_LEN + self.message.len() + self.payload.len());
        out.extend_from_slice(&self.header()?.encode());
        out.extend_from_slice(&self.message);
        out.extend_from_slice(&self.payload);
        Ok(out)
    }

    /// Writes the frame and flushes, so that the other side sees it at once.
    pub fn write_to(&self, out: &mut impl Write) -> Result<(), FrameError> {
        out.write_all(&self.to_bytes()?)?;
        out.flush()?;
        Ok(())
    }

    /// Reads the next frame; `None` when the stream ended between two frames.
    pub fn read_from(input: &mut impl Read) -> Result<Option<Self>, FrameError> {
        let mut head = [0; HEADER_LEN];
        let mut have = 0;
        while have < HEADER_LEN {
            match input.read(&mut head[have..]) {
                Ok(0) if have == 0 => return Ok(None),
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(n) => have += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        let header = Header::decode(&head)?;
        let mut message = vec![0; header.message_len as usize];
        input.read_exact(&mut message)?;
        let mut payload = vec![0; header.payload_len as usize];
        input.read_exact(&mut payload)?;
        Ok(Some(Self { id: header.id, route: header.route, message, payload }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_truncated_frame_is_an_error_and_an_empty_stream_is_the_end() {
        let frame = Frame::new(7, 1, &"hello", b"raw".to_vec()).unwrap();
        let bytes = frame.to_bytes().unwrap();
        assert_eq!(Frame::read_from(&mut &bytes[..]).unwrap().unwrap(), frame);
        assert!(Frame::read_from(&mut &b""[..]).unwrap().is_none());
        for cut in 1..bytes.len() {
            assert!(Frame::read_from(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_absurd_length_is_refused_before_anything_is_allocated() {
        let bytes = [0xff; HEADER_LEN];
        assert!(matches!(Frame::read_from(&mut &bytes[..]), Err(FrameError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn headers_survive_the_wire(message_len in 0..MAX_MESSAGE, payload_len in 0..MAX_PAYLOAD, id: u64, route: u32) {
            let header = Header { message_len, payload_len, id, route };
            prop_assert_eq!(Header::decode(&header.encode()).unwrap(), header);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Frame::read_from(&mut &bytes[..]);
        }
    }
}
