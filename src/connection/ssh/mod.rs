//! SSH as OpenSSH's users know it: ssh_config, known_hosts, keys, agents and jump hosts, over russh.
//!
//! [`Pool::connect`] takes [`SshOptions`] and goes: `resolve` (arguments and ssh_config to a [`Target`]) → `pool`
//! (is the login there already?) → `stream` (TCP, a proxy command or a channel of the jump host) → `session`
//! (handshake) → `host_key` → `auth`. A [`Session`] then runs commands, each on a `channel`.

mod algorithms;
mod auth;
mod blocking;
mod channel;
pub mod config;
mod environment;
mod handler;
mod host_key;
mod identity;
mod known_hosts;
mod pool;
mod resolve;
mod session;
mod short_key;
mod stream;
mod words;

#[cfg(test)]
mod tests;

pub use environment::Environment;
pub use pool::Pool;
pub use resolve::{Identity, Route, SshOptions, Target};
pub use session::Session;
