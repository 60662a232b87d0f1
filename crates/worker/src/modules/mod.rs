//! Every module that runs on a managed host, one file each.

mod command;
mod group;
mod ping;
mod setup;
#[cfg(test)]
mod stage;
mod steps;
mod user;

use crate::module::Entry;

/// All modules, by full name.
pub static MODULES: &[Entry] = &[
    Entry::of::<command::CommandArgs>(),
    Entry::of::<command::ShellArgs>(),
    Entry::of::<ping::Ping>(),
    Entry::of::<setup::Setup>(),
    Entry::of::<group::Group>(),
    Entry::of::<user::User>(),
];

/// The module of this full name (`ansible.builtin.copy`); `ansible.legacy` means `ansible.builtin`.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    let legacy = name.strip_prefix("ansible.legacy.").map(|short| format!("ansible.builtin.{short}"));
    let name = legacy.as_deref().unwrap_or(name);
    MODULES.iter().find(|entry| entry.name == name)
}
