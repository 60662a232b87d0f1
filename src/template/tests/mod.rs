//! The tests that Ansible adds to Jinja, one file per family.

mod addresses;
mod files;
mod general;
mod results;
mod values;
mod vault;
pub(super) mod versions;

use minijinja::Environment;

use super::call::add_tests;

/// Adds all of them.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for family in
        [addresses::TESTS, files::TESTS, general::TESTS, results::TESTS, values::TESTS, vault::TESTS, versions::TESTS]
    {
        add_tests(env, family);
    }
}
