//! Variables: who sees what, and which of several counts.
//!
//! A [`Scope`] is what one host sees at one point of a play: a stack of shared layers and the magic variables, made in a few
//! reference counts for every task and never copied. [`World`] holds what outlives a play: inventory, extra variables, and
//! each host's facts and registered results.

mod cache;
mod hostvars;
mod magic;
mod scope;
mod world;

pub use cache::FactCache;
pub use magic::{ANSIBLE_VERSION, MAGIC_NAMES, RunInfo};
pub use scope::{PlayVars, RoleLayer, RoleNames, Scope, TaskVars};
pub use world::{HostStore, World, merged};
