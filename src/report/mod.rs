//! What people see, made from the stream of events.

pub mod default;
mod diff;
pub mod listing;
mod terminal;

pub use diff::unified;
pub use terminal::{Options, Terminal};
