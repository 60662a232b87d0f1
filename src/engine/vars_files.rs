//! `vars_files`: read as a host sees their names, and as the play itself sees them before there is a host.

use std::sync::{Arc, RwLock};

use super::host::HostPlay;
use super::{Engine, event::Event};
use crate::diagnostic::Diagnostic;
use crate::playbook::{Play, VarsFile, find_file};
use crate::source::load;
use crate::template::Templar;
use crate::value::{Map, Value};
use crate::vars::{PlayVars, Scope, TaskVars, World};

/// The code of a warning of a file that is not there. The reference has none, so it is not shown in its stead.
const MISSING: &str = "playbook::vars-file-missing";

/// What a play's own keywords see: no host, but extra variables, prompts, and the play's variables, files and roles.
///
/// Names of files that need a host are left out, which `warn` is told of.
pub fn own_scope(
    world: &Arc<World>,
    play: &Play,
    prompts: Map,
    task: TaskVars,
    warn: &mut dyn FnMut(Diagnostic),
) -> Result<Scope, Diagnostic> {
    let vars = Arc::new(PlayVars {
        directory: play.directory.clone(),
        vars: play.vars.clone(),
        prompts: Arc::new(prompts),
        roles: RwLock::new(super::public_roles(play)),
        ..PlayVars::default()
    });
    let vars_files = read(world, play, &vars, "", &mut |mut remark| {
        if remark.code != MISSING {
            remark.code = super::EARLY;
            warn(remark);
        }
    })?;
    Ok(Scope::new(world, "", Some(vars), TaskVars { vars_files, ..task }))
}

impl Engine {
    /// Reads the play's `vars_files` as this host sees their names; what is not there is left out, as in the reference.
    pub(super) fn load_vars_files(&self, host: &HostPlay, complain: bool) -> Result<(), Diagnostic> {
        let files = read(&self.world, &host.play.play, &host.play.vars, &host.name, &mut |remark| {
            if complain {
                self.emit(Event::Warning(remark));
            }
        })?;
        host.set_vars_files(files);
        Ok(())
    }
}

/// Reads a play's files as a host, or nobody, sees their names, each with the variables of those before it; `remark` is told
/// of those that are left out.
fn read(
    world: &Arc<World>,
    play: &Play,
    vars: &Arc<PlayVars>,
    host: &str,
    remark: &mut dyn FnMut(Diagnostic),
) -> Result<Vec<Arc<Map>>, Diagnostic> {
    let mut files: Vec<Arc<Map>> = Vec::new();
    let search = Arc::new(vec![play.directory.clone()]);
    for VarsFile { entry, span } in &play.vars_files {
        let task = TaskVars { vars_files: files.clone(), search: search.clone(), ..TaskVars::default() };
        let templar = Templar::new(Arc::new(Scope::new(world, host, Some(vars.clone()), task)));
        let names = match templar.value(entry) {
            Ok(Value::List(names)) => names.to_vec(),
            Ok(name) => vec![name],
            // With the facts of the host at hand nothing more will be known of it.
            Err(error) if error.is_undefined && world.store(host).facts.contains_key("module_setup") => {
                let message = format!(
                    "an undefined variable was found when attempting to template the vars_files item '{}': {}",
                    entry.to_text(),
                    error.message
                );
                return Err(Diagnostic::error("run::vars-files", message).at(*span));
            }
            Err(error) if error.is_undefined => {
                let message = "skipping vars_files item due to an undefined variable";
                remark(Diagnostic::warning("run::vars-files", message).at(*span));
                continue;
            }
            Err(error) => return Err(Diagnostic::error("run::vars-files", error.message).at(*span)),
        };
        if let Some(wrong) = names.iter().find(|name| name.as_str().is_none()) {
            let message = format!("Invalid `vars_files` value of type '{}'.", crate::template::python_type(wrong));
            return Err(Diagnostic::error("playbook::vars-files", message).or_at(entry.origin()).or_at(Some(*span)));
        }
        let names: Vec<String> = names.iter().map(Value::to_text).collect();
        let path = names.iter().find_map(|name| find_file(name, "vars", std::slice::from_ref(&play.directory)));
        let Some(path) = path else {
            let missing: Vec<String> = names.iter().map(|name| format!("vars file {name} was not found")).collect();
            // The reference leaves it out without a word.
            remark(Diagnostic::warning(MISSING, missing.join("; ")).at(*span));
            continue;
        };
        let node = load(&path, &world.info.vault).map_err(|mut error| {
            if error.code == "vault::decrypt" {
                error.code = "run::vars-files";
                let path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
                error.message = format!("Invalid vars_files file '{}': {}", path.display(), error.reference_message());
            }
            error
        })?;
        let Some(node) = node else { continue };
        match node.to_value() {
            Value::Map(map) => files.push(map),
            // As in the reference: several dictionaries, one after the other.
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => {
                files.extend(items.iter().filter_map(|item| match item {
                    Value::Map(map) => Some(map.clone()),
                    _ => None,
                }));
            }
            _ => {
                let help = "Variable files must contain either a dictionary of variables, or a list of dictionaries.";
                let wrong = Diagnostic::error("playbook::variables", "Invalid variable file contents.");
                return Err(wrong.at(node.span).help(help));
            }
        }
    }
    Ok(files)
}
