//! `hostvars`: every host's variables, put together when they are asked for.

use std::path::PathBuf;
use std::sync::Arc;

use minijinja::Value as Jinja;
use minijinja::value::{Enumerator, Object};

use super::scope::{Scope, TaskVars};
use super::world::World;
use crate::config::Settings;
use crate::template::{self, Notices, Variable, Variables};
use crate::value::{Map, Value};
use crate::vault::Secrets;

/// All hosts by name.
pub(super) fn all(world: &Arc<World>) -> Jinja {
    Jinja::from_object(HostVars(world.clone()))
}

#[derive(Debug)]
struct HostVars(Arc<World>);

/// One host's variables; for a host that tasks are delegated to, with the address it is reached at.
pub(super) fn one(world: &Arc<World>, name: &str, delegate: bool) -> Jinja {
    let mut task = TaskVars::default();
    let scope = Scope::new(world, name, None, TaskVars::default());
    if delegate && scope.raw("ansible_host").is_none() {
        task.params.push(Arc::new(Map::from_iter([("ansible_host".into(), Value::data(name))])));
    }
    template::scope_object(Arc::new(Shown(Scope::new(world, name, None, task))))
}

/// What is not told of when the variables of a host are listed: what holds all of them again, and what only tasks have.
const UNTOLD: &[&str] = &["ansible_search_path", "environment", "hostvars", "omit"];

/// A host's variables as `hostvars` lists them.
#[derive(Debug)]
struct Shown(Scope);

impl Variables for Shown {
    fn get(&self, name: &str) -> Option<Variable> {
        self.0.get(name)
    }
    fn names(&self) -> Vec<Arc<str>> {
        let mut names = self.0.names();
        names.retain(|name| !UNTOLD.contains(&&**name));
        names
    }
    fn search_path(&self) -> Vec<PathBuf> {
        self.0.search_path()
    }
    fn settings(&self) -> Arc<Settings> {
        self.0.settings()
    }
    fn vault(&self) -> Arc<Secrets> {
        self.0.vault()
    }
    fn notices(&self) -> Option<&Notices> {
        self.0.notices()
    }
}

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Jinja) -> Option<Jinja> {
        let name = key.as_str()?;
        if self.0.inventory().host(name).is_none() {
            if !matches!(name, "localhost" | "127.0.0.1" | "::1") {
                return None;
            }
            self.0.implicit_localhost(name);
        }
        // As in the reference, what another host's play or task says is not seen from here.
        Some(one(&self.0, name, false))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let inventory = self.0.inventory();
        Enumerator::Values(inventory.hosts().filter(|h| !h.implicit).map(|h| Jinja::from(h.name.as_str())).collect())
    }
}
