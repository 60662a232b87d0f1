//! What lives as long as the run.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::magic::RunInfo;
use crate::inventory::Inventory;
use crate::value::{Key, Map, Value};

/// What a host has gathered during the run.
#[derive(Debug, Clone, Default)]
pub struct HostStore {
    /// `ansible_facts`: names without their `ansible_`.
    pub facts: Arc<Map>,
    /// The facts as variables of their own: names with `ansible_`.
    pub injected: Arc<Map>,
    /// What `include_vars` read.
    pub included: Arc<Map>,
    /// What `set_fact` and `register` kept.
    pub set: Arc<Map>,
}

/// Inventory, extra variables, facts and registered results of a run.
#[derive(Debug)]
pub struct World {
    /// The inventory, replaced when a task changes it.
    pub inventory: RwLock<Arc<Inventory>>,
    /// `--extra-vars`.
    pub extra: Arc<Map>,
    /// What the run was started with.
    pub info: RunInfo,
    /// Whether a play has had hosts.
    started: AtomicBool,
    stores: Mutex<HashMap<String, HostStore>>,
}

impl World {
    /// A world at the start of a run.
    #[must_use]
    pub fn new(inventory: Inventory, extra: Map, info: RunInfo) -> Arc<Self> {
        Arc::new(Self {
            inventory: RwLock::new(Arc::new(inventory)),
            extra: Arc::new(extra),
            info,
            started: AtomicBool::new(false),
            stores: Mutex::default(),
        })
    }

    /// Notes that a play has hosts: from now on the keywords of plays see `hostvars`.
    pub fn start(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    /// Whether a play has had hosts.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }

    /// The inventory as it is now.
    #[must_use]
    pub fn inventory(&self) -> Arc<Inventory> {
        self.inventory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the `localhost` that nobody listed.
    pub fn implicit_localhost(&self, name: &str) {
        let mut shared = self.inventory.write().unwrap_or_else(PoisonError::into_inner);
        let mut inventory = shared.duplicate();
        inventory.implicit_localhost(name);
        *shared = Arc::new(inventory);
    }

    fn stores(&self) -> MutexGuard<'_, HashMap<String, HostStore>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a host has gathered so far; shared, not copied.
    #[must_use]
    pub fn store(&self, host: &str) -> HostStore {
        if let Some(store) = self.stores().get(host) {
            return store.clone();
        }
        let Some(facts) = self.info.fact_cache.as_ref().and_then(|cache| cache.load(host)) else {
            return HostStore::default();
        };
        // Kept facts may only bring in what facts always could.
        self.take_facts(host, &facts);
        self.stores().get(host).cloned().unwrap_or_default()
    }

    /// Keeps values under their names, as `set_fact` and `register` do.
    pub fn set(&self, host: &str, values: impl IntoIterator<Item = (Key, Value)>) {
        Arc::make_mut(&mut self.stores().entry(host.to_owned()).or_default().set).extend(values);
    }

    /// Keeps what `include_vars` read.
    pub fn include(&self, host: &str, values: impl IntoIterator<Item = (Key, Value)>) {
        let mut stores = self.stores();
        let included = Arc::make_mut(&mut stores.entry(host.to_owned()).or_default().included);
        for (key, value) in values {
            let value = match included.get(&key) {
                Some(before) if self.info.merge_hashes => merged(before, &value),
                _ => value,
            };
            included.insert(key, value);
        }
    }

    /// Keeps facts: each as `ansible_facts.name`, and as a variable of its own under the name it came with.
    pub fn add_facts(&self, host: &str, facts: &Map) {
        // Those of an earlier run are below the new ones.
        drop(self.store(host));
        self.take_facts(host, facts);
        if let Some(cache) = &self.info.fact_cache {
            let store = self.store(host);
            // Kept under the names they came with.
            let named = |key: &Key| {
                if store.injected.contains_key(key) || key.as_str() == Some(LOCAL_FACTS) {
                    key.clone()
                } else {
                    Key::from(format!("ansible_{key}"))
                }
            };
            cache.store(host, &store.facts.iter().map(|(key, value)| (named(key), value.clone())).collect());
        }
    }

    fn take_facts(&self, host: &str, facts: &Map) {
        let mut stores = self.stores();
        let store = stores.entry(host.to_owned()).or_default();
        let (own, injected) = (Arc::make_mut(&mut store.facts), Arc::make_mut(&mut store.injected));
        for (key, value) in facts {
            let name = key.to_string();
            let short = if name == LOCAL_FACTS { &name } else { name.strip_prefix("ansible_").unwrap_or(&name) };
            own.insert(Key::from(short), value.clone());
            // A host must not decide how it is logged in to, or what the controller runs.
            if self.info.inject_facts && !is_connection_variable(&name) {
                injected.insert(key.clone(), value.clone());
            }
        }
    }

    /// Forgets a host's facts.
    pub fn clear_facts(&self, host: &str) {
        if let Some(cache) = &self.info.fact_cache {
            cache.remove(host);
        }
        if let Some(store) = self.stores().get_mut(host) {
            store.facts = Arc::default();
            store.injected = Arc::default();
        }
    }
}

/// The facts of the host's own `facts.d`: the one name that `ansible_facts` has in full.
const LOCAL_FACTS: &str = "ansible_local";

/// A stronger value over a weaker one, dictionaries put together at every depth.
#[must_use]
pub fn merged(weak: &Value, strong: &Value) -> Value {
    let (Value::Map(weak), Value::Map(strong)) = (weak, strong) else { return strong.clone() };
    let mut out = weak.as_ref().clone();
    for (key, value) in strong.iter() {
        let value = match out.get(key) {
            Some(before) => merged(before, value),
            None => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::map(out)
}

/// Names that a host may not set by its facts: how it is connected to and what is run with which rights.
fn is_connection_variable(name: &str) -> bool {
    const EXACT: &[&str] = &[
        "ansible_connection",
        "ansible_host",
        "ansible_port",
        "ansible_user",
        "ansible_password",
        "ansible_pass",
        "ansible_shell_executable",
        "ansible_shell_type",
        "ansible_remote_tmp",
        "ansible_private_key_file",
        "ansible_host_key_checking",
        "ansible_facts",
        "ansible_check_mode",
        "ansible_diff_mode",
    ];
    let stem = ["ansible_ssh_", "ansible_become", "ansible_sudo", "ansible_su_"];
    // Host keys are facts with an ssh_ name that mean no harm.
    let harmless = name.starts_with("ansible_ssh_host_key_");
    EXACT.contains(&name) || (stem.iter().any(|s| name.starts_with(s)) && !harmless)
}
