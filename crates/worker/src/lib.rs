//! All the code of rplay that ever runs on a managed host.
//!
//! [`serve()`] reads requests from standard input and answers on standard output. A request names a module of
//! [`modules`]; a module is a struct of arguments ([`args`]) with a `run` that asks [`host::Host`] for everything it reads
//! and everything it changes.

pub mod args;
pub mod crypt;
pub mod csv;
pub mod facts;
pub mod host;
pub mod module;
pub mod modules;
mod mysql;
mod pki;
mod postgres;
pub mod serve;
mod stream;
mod turns;

pub use module::{Failure, Module, Outcome};
