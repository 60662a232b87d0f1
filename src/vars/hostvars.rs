//! `hostvars`: every host's variables, put together when they are asked for.

use std::sync::Arc;

use minijinja::Value as Jinja;
use minijinja::value::{Enumerator, Object};

use super::scope::{Scope, TaskVars};
use super::world::World;
use crate::template;

/// All hosts by name.
pub(super) fn all(world: &Arc<World>) -> Jinja {
    Jinja::from_object(HostVars(world.clone()))
}

#[derive(Debug)]
struct HostVars(Arc<World>);

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = key.as_str()?;
        let inventory = self.0.inventory();
        inventory.host(name)?;
        // As in the reference, what another host's play or task says is not seen from here.
        let scope = Scope::new(&self.0, name, None, TaskVars::default());
        Some(template::scope_object(Arc::new(scope)))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let inventory = self.0.inventory();
        Enumerator::Values(inventory.hosts().filter(|h| !h.implicit).map(|h| Jinja::from(h.name.as_str())).collect())
    }
}
