//! The lookups that Ansible adds to Jinja, one file per family.

use minijinja::Environment;

/// Adds all of them.
pub(super) fn add_to(env: &mut Environment<'static>) {
    let _ = env;
}
