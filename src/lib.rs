//! rplay runs Ansible playbooks from one static binary.
