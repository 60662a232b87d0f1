//! The filters of the collection `community.general`, one file per family.

mod dicts;
mod durations;
mod ini;
mod lists;
mod patch;
mod text;

pub(super) use dicts::By;

use crate::template::call::Spec;

/// A filter's names: the full one, and the short one where no other collection has it too.
macro_rules! names {
    ($name:literal) => {
        &[concat!("community.general.", $name), $name]
    };
}
use names;

/// Each family's filters.
pub(super) const FAMILIES: &[&[Spec]] =
    &[dicts::FILTERS, durations::FILTERS, ini::FILTERS, lists::FILTERS, patch::FILTERS, text::FILTERS];
