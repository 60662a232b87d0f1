//! What is said about playbooks that are wrong.
