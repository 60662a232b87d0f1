//! The filters that Ansible adds to Jinja, one file per family.

mod basics;
mod dicts;

use minijinja::Environment;

use super::call::add_filters;

/// Adds all of them.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for family in [basics::FILTERS, dicts::FILTERS] {
        add_filters(env, family);
    }
}
