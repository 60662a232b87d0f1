//! The whole of it, against OpenSSH: its sshd on a loopback port, and its `ssh -G` as the judge of ssh_config.

mod flows;
mod logins;
mod oracle;
mod passwords;
mod refusals;
mod server;
