//! Roles: found on the roles path, loaded with their dependencies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::Context;
use super::loader::Named;
use super::{Block, Item, Loader, keywords, paths};
use crate::diagnostic::Diagnostic;
use crate::source::{Node, Span};
use crate::value::{Map, Value};

/// A role as one place of a play uses it.
#[derive(Debug)]
pub struct Role {
    /// The name it is used by.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// `defaults`.
    pub defaults: Arc<Map>,
    /// `vars`.
    pub vars: Arc<Map>,
    /// `vars` of the entry in `roles` or `dependencies` that uses it: what it depends on sees them weaker than any role's.
    pub entry_vars: Vec<Arc<Map>>,
    /// Names of the roles that depend on it, nearest first.
    pub parents: Vec<Arc<Role>>,
    /// Whether it may run twice with the same parameters.
    pub allow_duplicates: bool,
    /// `meta/argument_specs`, the options of the entry point that is used.
    pub argument_spec: Option<ArgumentSpec>,
    /// Whether its defaults and vars are there for the whole play.
    pub public: bool,
    /// The parameters it is used with.
    pub params: Vec<Arc<Map>>,
    /// Those of them that stand beside this role's own name, which its specification must know.
    pub own_params: Option<Arc<Map>>,
    /// The tags of the place that uses it.
    pub tags: Vec<Value>,
    /// What tells this use of the role from others: a second one with the same identity does not run again.
    pub identity: String,
    /// How it came into the play.
    pub used: Used,
    /// The roles it depends on, theirs included, in the order in which they run.
    pub dependencies: std::sync::OnceLock<Vec<Arc<Role>>>,
    /// What the role inherits: keywords and variables of what brings it in.
    pub around: Context,
}

/// What a role's `meta/argument_specs` says of an entry point.
#[derive(Debug, Clone)]
pub struct ArgumentSpec {
    /// The entry point.
    pub entry: String,
    /// `options`, `short_description` and the like.
    pub spec: Arc<Map>,
}

/// How a role comes into a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    /// In `roles:`.
    Listed,
    /// Another role depends on it.
    Dependency,
    /// By `import_role`.
    Imported,
    /// By `include_role`.
    Included,
}

/// How a role is used.
#[derive(Debug, Clone)]
pub struct RoleOptions {
    /// `tasks_from`
    pub tasks_from: Option<String>,
    /// `vars_from`
    pub vars_from: Option<String>,
    /// `defaults_from`
    pub defaults_from: Option<String>,
    /// `handlers_from`
    pub handlers_from: Option<String>,
    /// `allow_duplicates`
    pub allow_duplicates: bool,
    /// `public`
    pub public: bool,
    /// `rolespec_validate`
    pub validate: bool,
    /// How it comes into the play.
    pub used: Used,
    /// What the entry that uses it says beside its name, as far as that makes it another use.
    pub entry: String,
    /// `vars` of the entry.
    pub vars: Vec<Arc<Map>>,
    /// The parameters of the entry itself.
    pub own_params: Option<Arc<Map>>,
    /// Where it is used.
    pub span: Option<Span>,
}

impl Default for RoleOptions {
    fn default() -> Self {
        Self {
            tasks_from: None,
            vars_from: None,
            defaults_from: None,
            handlers_from: None,
            allow_duplicates: false,
            public: true,
            validate: true,
            used: Used::Listed,
            entry: String::new(),
            vars: Vec::new(),
            own_params: None,
            span: None,
        }
    }
}

impl Role {
    /// Names and directories of the roles that brought this one in by an import or include, nearest first.
    #[must_use]
    pub fn brought_in_by(&self) -> Vec<(String, PathBuf)> {
        let mut out = Vec::new();
        let mut role = self;
        for parent in &self.parents {
            if matches!(role.used, Used::Imported | Used::Included) {
                out.push((parent.name.clone(), parent.path.clone()));
            }
            role = parent;
        }
        out
    }
}

impl RoleOptions {
    /// What makes an entry another use of its role, as text.
    #[must_use]
    pub fn entry_of(said: Map) -> String {
        if said.is_empty() {
            return String::new();
        }
        // In which order it says that does not matter.
        let mut said = Value::map(said).to_json();
        said.sort_all_objects();
        said.to_string()
    }

    fn identity(&self, path: &Path) -> String {
        let from = [&self.tasks_from, &self.vars_from, &self.defaults_from, &self.handlers_from];
        // What tasks bring in is never the same use as what the play or another role lists.
        let by_task = matches!(self.used, Used::Imported | Used::Included);
        format!("{}\0{from:?}\0{by_task}\0{}", path.display(), self.entry)
    }
}

/// The parameters that an entry adds to those around it.
fn params_of(context: &Context, outer: &Context) -> Map {
    let own = context.params.iter().skip(outer.params.len());
    own.flat_map(|map| map.iter()).map(|(k, v)| (k.clone(), v.clone())).collect()
}

/// Where a role really is: `role_path` and all its files are called by that, however links lead there.
fn real(path: PathBuf) -> PathBuf {
    std::fs::canonicalize(&path).unwrap_or(path)
}

/// How deep roles may depend on each other.
const MAX_DEPTH: usize = 50;

impl Loader<'_> {
    /// The roles of `roles:`.
    pub(super) fn roles(&mut self, node: &Node, context: &Context) -> Vec<Item> {
        let Some(list) = node.as_list() else {
            if !node.is_null() {
                let message = format!(
                    "A malformed role declaration was encountered. `roles` must be a list, not {}",
                    node.describe()
                );
                self.report(Diagnostic::error("playbook::not-a-list", message).at(node.span));
            }
            return Vec::new();
        };
        self.read_roles_ahead(list, context);
        list.iter().flat_map(|entry| self.role_entry(entry, context, Used::Listed)).collect()
    }

    /// Reads the files of roles that are listed by their plain names.
    fn read_roles_ahead(&mut self, list: &[Node], context: &Context) {
        let names = list.iter().filter_map(|entry| entry.as_str().or_else(|| entry.get("role")?.as_str()));
        let places = self.role_places(context);
        let found = names.filter_map(|name| self.role_directory(name, &places, context));
        let main = |role: PathBuf| {
            ["meta", "defaults", "vars", "handlers", "tasks"].map(|kind| role.join(kind).join("main.yml"))
        };
        let paths = found.flat_map(main).collect();
        self.read_ahead(paths);
    }

    /// One entry of `roles:` or of a role's dependencies.
    fn role_entry(&mut self, node: &Node, outer: &Context, used: Used) -> Vec<Item> {
        // Who depends on a role passes on whether its variables are for everybody.
        let public = match (used, &outer.role) {
            (Used::Dependency, Some(role)) => role.public,
            _ => !self.options().private_role_vars,
        };
        if node.as_str().is_some() {
            let Some(name) = self.static_text(node, Named::Role, outer) else { return Vec::new() };
            if name.contains(',') {
                let message = format!("Invalid old style role requirement: {name}");
                self.report(Diagnostic::error("playbook::nameless-role", message).at(node.span));
                return Vec::new();
            }
            let options = RoleOptions { span: Some(node.span), used, public, ..RoleOptions::default() };
            return self.role(&name, Some(node.span), &options, outer);
        }
        let name_node = node.get("role").or_else(|| node.get("name")).or_else(|| node.get("src"));
        let Some(name_node) = name_node else {
            let message = "a role must be a name, or a dictionary with the name under `role`";
            let code = if node.as_map().is_some() { "playbook::nameless-role" } else { "playbook::role" };
            self.report(Diagnostic::error(code, message).at(node.span));
            return Vec::new();
        };
        let Some(name) = self.static_text(name_node, Named::Role, outer) else { return Vec::new() };
        let mut context = outer.with(node, false, self);
        // Weaker than what stands beside the role's name: these are to its tasks as a block's are.
        let vars = node.get("vars").map(|vars| self.vars(vars)).unwrap_or_default();
        let known = [keywords::SHARED, keywords::CONDITIONAL, &["role", "src", "version", "scm"]];
        let mut params = Map::new();
        for (key, value) in node.as_map().unwrap_or_default() {
            let word = key.as_str().unwrap_or_default();
            if !known.iter().any(|set| set.contains(&word)) {
                self.check_templates(value);
                params.insert(word.into(), value.to_value());
            }
        }
        if !params.is_empty() {
            context.params.push(Arc::new(params));
        }
        let own_params = context.params.get(outer.params.len()).cloned();
        let mut said = params_of(&context, outer);
        said.extend(vars.iter().flat_map(|map| map.iter()).map(|(k, v)| (k.clone(), v.clone())));
        for key in ["when", "tags"] {
            said.extend(node.get(key).map(|value| (format!("\0{key}").into(), value.to_value())));
        }
        let entry = RoleOptions::entry_of(said);
        let options =
            RoleOptions { span: Some(name_node.span), used, public, entry, vars, own_params, ..RoleOptions::default() };
        self.role(&name, Some(name_node.span), &options, &context)
    }

    /// A role: its dependencies, then its tasks as a block.
    pub(super) fn role(&mut self, name: &str, span: Option<Span>, options: &RoleOptions, outer: &Context) -> Vec<Item> {
        let Some((path, shown)) = self.find_role(name, span, outer) else { return Vec::new() };
        // A role may import another of its own files.
        let loaded = path.join("tasks").join(options.tasks_from.as_deref().unwrap_or("main"));
        if self.loading_roles.contains(&loaded) || self.loading_roles.len() > MAX_DEPTH {
            let message = format!("the role `{name}` depends on itself");
            self.report(Diagnostic::error("playbook::role-loop", message).or_at(span));
            return Vec::new();
        }
        self.loading_roles.push(loaded);
        let mut out = Vec::new();
        let meta = self.role_file(&path, "meta", None, span);
        let mut parents: Vec<Arc<Role>> = Vec::new();
        if let Some(role) = &outer.role {
            parents.push(role.clone());
            parents.extend(role.parents.iter().cloned());
        }
        let mut around = outer.clone();
        around.vars.extend(options.vars.iter().cloned());
        let duplicates = meta.as_ref().and_then(|m| m.get("allow_duplicates")?.to_value().to_bool()).unwrap_or(false);
        let role = Arc::new(Role {
            name: shown,
            defaults: self.role_vars(&path, "defaults", options.defaults_from.as_deref(), span),
            vars: self.role_vars(&path, "vars", options.vars_from.as_deref(), span),
            parents,
            allow_duplicates: duplicates || options.allow_duplicates,
            argument_spec: if options.validate { self.argument_spec(&path, options, meta.as_deref()) } else { None },
            public: options.public,
            params: outer.params.clone(),
            own_params: options.own_params.clone(),
            tags: outer.tags.clone(),
            identity: options.identity(&path),
            used: options.used,
            dependencies: std::sync::OnceLock::new(),
            entry_vars: options.vars.clone(),
            around,
            path: path.clone(),
        });
        let mut context = outer.clone();
        context.role = Some(role.clone());
        if let Some(meta) = &meta {
            self.check_meta(meta, &role.name);
        }
        if let Some(dependencies) = meta.as_ref().and_then(|m| m.get("dependencies"))
            && let Some(list) = dependencies.as_list()
        {
            let before = self.play_roles.len();
            for dependency in list {
                out.extend(self.role_entry(dependency, &context, Used::Dependency));
            }
            // It was made a moment ago: nobody else can have set it.
            let _ = role.dependencies.set(self.play_roles.get(before..).unwrap_or_default().to_vec());
        }
        context.vars.extend(options.vars.iter().cloned());
        let handlers = self.role_file(&path, "handlers", options.handlers_from.as_deref(), span);
        if let Some(node) = handlers {
            // Handlers run on their own: neither the condition nor the tags of where the role is used are theirs.
            let mut own = context.clone();
            own.tags.clear();
            let body = self.items(&node, &own, true, "handlers");
            // A list of its own: where several handlers have a name, the list counts in which they stand.
            self.role_handlers.push(Item::Block(Arc::new(Block { body, ..Block::empty(node.span) })));
        }
        let body = match self.role_file(&path, "tasks", options.tasks_from.as_deref(), span) {
            Some(node) => self.items(&node, &context, false, "tasks"),
            None => Vec::new(),
        };
        self.play_roles.push(role.clone());
        self.loading_roles.pop();
        let span =
            span.unwrap_or_else(|| crate::source::register(path.display().to_string(), Some(&path), String::new()));
        out.push(Item::Block(Arc::new(Block { body, role: Some(role), nested: self.depth > 0, ..Block::empty(span) })));
        out
    }

    /// A role's directory, and what it is called: what it is used by, or the directory's name where that is a path which
    /// only means something from where the run was started.
    fn find_role(&mut self, name: &str, span: Option<Span>, outer: &Context) -> Option<(PathBuf, String)> {
        let places = self.role_places(outer);
        if let Some(path) = self.role_directory(name, &places, outer) {
            return Some((path, name.to_owned()));
        }
        let started = paths::expand_home(name);
        if !name.is_empty() && started.is_dir() {
            let path = paths::clean(&std::path::absolute(&started).unwrap_or(started));
            let shown =
                Path::new(name).file_name().map_or_else(|| name.to_owned(), |n| n.to_string_lossy().into_owned());
            return Some((real(path), shown));
        }
        let shown = |place: &PathBuf| std::path::absolute(paths::clean(place)).unwrap_or_else(|_| place.clone());
        let mut tried: Vec<String> = places.iter().map(|place| shown(place).display().to_string()).collect();
        tried.dedup();
        let message = format!("the role '{name}' was not found");
        let diagnostic = Diagnostic::error("playbook::missing-role", message)
            .or_at(span)
            .help(format!("looked in {}", tried.join(":")));
        let near = self.nearest_role(name, &places);
        self.report(match near {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic,
        });
        None
    }

    /// The directories that roles are looked for in.
    fn role_places(&self, outer: &Context) -> Vec<PathBuf> {
        let mut places = vec![self.directory.join("roles")];
        places.extend(self.options().roles_path.iter().cloned());
        // A role beside the one that uses it.
        places.extend(outer.role.iter().filter_map(|role| role.path.parent().map(Path::to_path_buf)));
        places.push(self.directory.clone());
        places
    }

    /// The directory of a role by its name, as [`real`] has it: a collection's, or the first of the places that has it.
    fn role_directory(&self, name: &str, places: &[PathBuf], outer: &Context) -> Option<PathBuf> {
        if let Some(path) = self.collection_role(name, &outer.collections) {
            return Some(real(path));
        }
        // As the words say, whether or not each directory on the way is there: `roles` often is not.
        let joined = |place: &PathBuf| std::path::absolute(place.join(name)).unwrap_or_else(|_| place.join(name));
        places.iter().map(|place| paths::clean(&joined(place))).find(|path| path.is_dir()).map(real)
    }

    /// A role of a collection: named in full, or one of the collections that are searched has it.
    fn collection_role(&self, name: &str, collections: &[String]) -> Option<PathBuf> {
        // A path, too, may have points in it.
        let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let wanted: Vec<String> = match name.split('.').count() {
            _ if !name.split('.').all(word) => return None,
            3.. => vec![name.to_owned()],
            1 => collections.iter().map(|collection| format!("{collection}.{name}")).collect(),
            _ => return None,
        };
        let own = [self.directory.join("collections")];
        let places: Vec<&PathBuf> = own.iter().chain(&self.options().collections_path).collect();
        wanted.iter().find_map(|full| {
            let mut parts = full.splitn(3, '.');
            let (namespace, collection, role) = (parts.next()?, parts.next()?, parts.next()?);
            let inside: PathBuf =
                ["ansible_collections", namespace, collection, "roles", &role.replace('.', "/")].iter().collect();
            places.iter().map(|place| place.join(&inside)).find(|path| path.is_dir()).map(|path| paths::clean(&path))
        })
    }

    fn nearest_role(&self, name: &str, places: &[PathBuf]) -> Option<String> {
        let names: Vec<String> = places
            .iter()
            .filter_map(|place| std::fs::read_dir(place).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        crate::diagnostic::nearest(name, names.iter().map(String::as_str)).map(ToOwned::to_owned)
    }

    /// A role's `main` (or another) file of one kind.
    fn role_file(&mut self, role: &Path, kind: &str, from: Option<&str>, span: Option<Span>) -> Option<Arc<Node>> {
        let name = from.unwrap_or("main");
        let base = role.join(kind).join(name);
        let mut candidates = Vec::new();
        if from.is_some() {
            candidates.push(base.clone());
        }
        for ending in ["yml", "yaml", "json"] {
            let mut path = base.clone().into_os_string();
            path.push(format!(".{ending}"));
            candidates.push(PathBuf::from(path));
        }
        match candidates.iter().find(|path| path.is_file()) {
            Some(path)
                if !crate::config::absolute_path(path).starts_with(crate::config::absolute_path(&role.join(kind))) =>
            {
                let message = format!(
                    "Failed loading '{}' for role ({}) as it is not inside the expected role path: '{}'",
                    path.display(),
                    role.file_name().unwrap_or_default().to_string_lossy(),
                    role.join(kind).display()
                );
                self.report(Diagnostic::error("playbook::role-file-outside", message).or_at(span));
                None
            }
            Some(path) => self.yaml(path),
            None => {
                // As in the reference, a role that has none of a kind at all is not asked for one, be it tasks.
                if let Some(from) = from.filter(|_| role.join(kind).is_dir()) {
                    let message = format!("Could not find specified file in role: {kind}/{from}");
                    self.report(Diagnostic::error("playbook::missing-role-file", message).or_at(span));
                }
                None
            }
        }
    }

    /// Variables of a role: `main.yml`, or every file of a directory `main`.
    fn role_vars(&mut self, role: &Path, kind: &str, from: Option<&str>, span: Option<Span>) -> Arc<Map> {
        let directory = role.join(kind).join(from.unwrap_or("main"));
        let mut nodes = Vec::new();
        if directory.is_dir() {
            let mut files: Vec<PathBuf> = std::fs::read_dir(&directory)
                .map(|entries| entries.filter_map(Result::ok).map(|e| e.path()).collect())
                .unwrap_or_default();
            files.sort();
            for file in files {
                if file.extension().is_some_and(|e| e == "yml" || e == "yaml" || e == "json") {
                    nodes.extend(self.yaml(&file));
                }
            }
        } else {
            nodes.extend(self.role_file(role, kind, from, span));
        }
        let mut out = Map::new();
        for node in nodes {
            for map in self.role_file_vars(&node) {
                out.extend(map.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
        Arc::new(out)
    }

    /// The options of the entry point used, from `meta/argument_specs.yml` or `meta/main.yml`.
    fn argument_spec(&mut self, role: &Path, options: &RoleOptions, meta: Option<&Node>) -> Option<ArgumentSpec> {
        let own = ["yml", "yaml", "json"].iter().map(|e| role.join("meta").join(format!("argument_specs.{e}")));
        let file = own.into_iter().find(|path| path.is_file());
        let node = match file {
            Some(path) => self.yaml(&path),
            None => None,
        };
        let root = node.as_deref().or(meta)?;
        let entry = options.tasks_from.as_deref().unwrap_or("main");
        let entry = entry.trim_end_matches(".yml").trim_end_matches(".yaml");
        let spec = root.get("argument_specs")?.get(entry)?;
        match spec.to_value() {
            Value::Map(map) => Some(ArgumentSpec { entry: entry.to_owned(), spec: map }),
            _ => None,
        }
    }
}
