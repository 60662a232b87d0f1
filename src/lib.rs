//! rplay runs Ansible playbooks from one static binary.
//!
//! The rooms, in the order in which data flows through them, are described in the project's design page: source →
//! inventory and playbook → vars and template → engine → action → remote → connection, with events going to report.

pub mod action;
pub mod cli;
pub mod config;
pub mod connection;
pub mod console;
pub mod diagnostic;
pub mod engine;
pub mod inventory;
pub mod playbook;
pub mod remote;
pub mod report;
pub mod source;
pub mod template;
pub mod value;
pub mod vars;
pub mod vault;
