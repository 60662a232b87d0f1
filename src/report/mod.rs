//! What people see, made from the stream of events.

mod diff;
mod terminal;

pub use diff::unified;
pub use terminal::{Options, Terminal};
