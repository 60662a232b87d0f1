//! What people see, made from the stream of events.

pub mod default;
mod diff;
pub mod listing;
mod minimal;
mod terminal;

pub use diff::unified;
pub use minimal::{Minimal, Shape};
pub use terminal::{Options, Terminal};
