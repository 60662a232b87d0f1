//! The modules of community.mysql, which talk to the server by [`crate::mysql`].

mod db;
mod info;
mod privs;
mod query;
mod user;
mod variables;

pub use db::Db;
pub use info::Info;
pub use query::Query;
pub use user::User;
pub use variables::Variables;
