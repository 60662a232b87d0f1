//! The filters that Ansible adds to Jinja, one file per family.

mod addresses;
mod basics;
mod blocks;
mod canonical;
mod crypto;
mod dicts;
mod emitter;
mod facts;
mod general;
mod groups;
pub(super) mod hashes;
pub(super) mod json;
mod json_reader;
pub(super) mod lists;
mod numbers;
pub(super) mod paths;
mod plain;
mod query;
mod regex;
mod rows;
mod scalars;
mod sequences;
mod text;
mod urlize;
pub(super) mod urls;
mod utils;
pub(super) mod vault;
mod xml;
pub(super) mod yaml;

pub use yaml::to_report_yaml;

use minijinja::Environment;

pub(super) use groups::Group;
pub use json::{dumps, plain_json};
pub use numbers::bytes_of;
pub use yaml::dump as dump_yaml;

use super::call::add_filters;
use super::time;

/// Adds all of them.
pub(super) fn add_to(env: &mut Environment<'static>) {
    for family in [
        basics::FILTERS,
        crypto::FILTERS,
        dicts::FILTERS,
        facts::FILTERS,
        groups::FILTERS,
        hashes::FILTERS,
        json::FILTERS,
        lists::FILTERS,
        numbers::FILTERS,
        paths::FILTERS,
        plain::FILTERS,
        query::FILTERS,
        regex::FILTERS,
        rows::FILTERS,
        sequences::FILTERS,
        text::FILTERS,
        time::FILTERS,
        urlize::FILTERS,
        urls::FILTERS,
        utils::FILTERS,
        vault::FILTERS,
        xml::FILTERS,
        yaml::FILTERS,
    ]
    .iter()
    .chain(addresses::FAMILIES)
    .chain(general::FAMILIES)
    {
        add_filters(env, family);
    }
}
