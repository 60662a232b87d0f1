//! The messages between rplay and its worker on a managed host.
//!
//! Both directions of a worker's standard input and output carry [`Frame`]s: a fixed header, a JSON message and an
//! optional raw payload. A worker announces itself with [`MAGIC`] and then a frame holding [`Reply::Hello`]; whatever a
//! login shell printed before the magic is noise and skipped. Requests carry ids chosen by the controller; several may
//! be under way at once, and replies name the request they belong to.
//!
//! A frame's `route` says which worker on the host is meant: 0 is the login user's, any other number a become session
//! that [`Request::StartBecome`] opened. The login user's worker relays those frames untouched.

mod frame;
mod message;
pub mod names;

pub use frame::{Frame, FrameError, HEADER_LEN, Header, MAX_MESSAGE, MAX_PAYLOAD};
pub use message::{BecomeSpec, Call, Detach, Hello, Object, Reply, Request, Run, Stream};

/// Version of the messages; a worker of another version is replaced, not talked to.
pub const VERSION: u32 = 3;

/// What a worker writes before its first frame, so that login noise can be told from the protocol.
pub const MAGIC: &[u8; 8] = b"\0rplay1\n";

/// Payload bytes a single frame should carry at most; larger content travels in several frames.
pub const CHUNK: usize = 256 * 1024;
