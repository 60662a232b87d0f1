//! `groupby`: items by an attribute, each group a pair that also has names for its two halves.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value as Jinja};

use super::sequences::{attribute, key, no_attribute};
use crate::template::call::{Call, Spec, ansible, each};
use crate::template::python;
use crate::value::Value;

pub(super) const FILTERS: &[Spec] =
    &[ansible(&["groupby"], &["value", "attribute", "default", "case_sensitive"], group_by)];

/// One group: `(grouper, list)`.
#[derive(Debug)]
pub(in crate::template) struct Group {
    grouper: Jinja,
    list: Jinja,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(self.list.clone()),
            _ => None,
        }
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

fn group_by(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let value = call.need(0)?.clone();
    let path = call.need(1)?.clone();
    let case_sensitive = call.flag(3, false);
    let mut items: Vec<(Value, (Jinja, Jinja))> = Vec::new();
    for item in each(&value)? {
        let item = item?;
        let grouper = attribute(&item, &path)?;
        // Also with a default, which the reference does not come to use.
        if grouper.is_undefined() {
            return Err(no_attribute(&item, &path));
        }
        items.push((key(&grouper, None, case_sensitive)?, (grouper, item)));
    }
    python::sort_by_key(&mut items, false)?;
    let mut groups: Vec<(Value, Jinja, Vec<Jinja>)> = Vec::new();
    for (key, (grouper, item)) in items {
        match groups.last_mut() {
            Some((so_far, _, members)) if *so_far == key => members.push(item),
            _ => groups.push((key, grouper, vec![item])),
        }
    }
    let groups = groups.into_iter().map(|(_, grouper, list)| Jinja::from_object(Group { grouper, list: list.into() }));
    Ok(groups.collect::<Vec<_>>().into())
}
