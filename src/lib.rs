//! rplay runs Ansible playbooks from one static binary.
pub mod connection;
