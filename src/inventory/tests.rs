//! Sources of every kind, read from files as a run reads them.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value as Json, json};

use super::{GroupNames, Inventory, LoadOptions, load};
use crate::value::{Map, Value};

struct Stage(tempfile::TempDir);

impl Stage {
    fn new(files: &[(&str, &str)]) -> Self {
        let stage = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = stage.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        stage
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn executable(self, name: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(self.path().join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn load(&self, names: &[&str]) -> Inventory {
        self.load_with(names, &LoadOptions::default()).unwrap()
    }

    fn load_with(&self, names: &[&str], options: &LoadOptions) -> Result<Inventory, Vec<String>> {
        let sources: Vec<String> = names.iter().map(|name| self.path().join(name).display().to_string()).collect();
        load(&sources, options).map_err(|errors| errors.into_iter().map(|error| error.message).collect())
    }
}

fn messages(inventory: &Inventory) -> String {
    inventory.warnings.iter().map(|warning| format!("{}\n", warning.message)).collect()
}

fn vars(inventory: &Inventory, host: &str) -> Json {
    Value::map(inventory.own_host_variables(host)).to_json()
}

#[test]
fn kinds_are_tried_in_turn_and_only_a_source_that_none_can_read_is_spoken_of() {
    let stage = Stage::new(&[("hosts", "[web]\na\n"), ("bad", "[web]\na x=1 y\n"), ("list", "web\ndb\n")]);
    let inventory = stage.load(&["hosts", "list"]);
    assert_eq!(inventory.members("all"), ["web", "db", "a"]);
    // `web` is a group in one source and a host in the other.
    assert_eq!(messages(&inventory), "Found both group and host with same name: web\n");

    let inventory = stage.load(&["bad"]);
    let said = messages(&inventory);
    assert!(said.contains("with 'ini' plugin: Failed to parse inventory: Expected key=value host variable"), "{said}");
    assert!(said.contains("as an inventory source\nNo inventory was parsed, only implicit localhost"), "{said}");
    assert!(inventory.hosts().next().is_none(), "what was read before the mistake is not run on");

    let strict = LoadOptions { unparsed_is_failed: true, ..LoadOptions::default() };
    assert!(stage.load_with(&["bad", "hosts"], &strict).is_ok());
    assert!(stage.load_with(&["bad"], &strict).unwrap_err().concat().contains("please check your configuration"));
    let strict = LoadOptions { any_unparsed_is_failed: true, ..LoadOptions::default() };
    let error = stage.load_with(&["bad", "hosts"], &strict).unwrap_err().concat();
    assert!(error.starts_with("Completely failed to parse inventory source"), "{error}");
    let only = LoadOptions { enabled: vec!["yaml".into()], ..LoadOptions::default() };
    assert!(stage.load_with(&["hosts"], &only).unwrap().hosts().next().is_none());
}

#[test]
fn a_directory_is_read_in_order_without_what_is_ignored() {
    let stage = Stage::new(&[
        ("d/02.yml", "web: {hosts: {b: {v: 2}}}"),
        ("d/01", "[web]\na v=1\n"),
        ("d/03.bak", "[web]\nno\n"),
        ("d/.hidden", "[web]\nno\n"),
        ("d/sub/x.toml", "[db]\nchildren = ['kid']\n[kid.hosts]\nc = {n = 1}\n[kid.vars]\nt = 1.5\n"),
        ("d/group_vars/web.yml", "g: file\n"),
        ("d/group_vars/web/x.yml", "g: directory\n"),
        ("d/host_vars/a", "v: file\n"),
    ]);
    let inventory = stage.load(&["d"]);
    assert_eq!(inventory.members("all"), ["a", "b", "c"]);
    assert_eq!(inventory.members("db"), ["c"]);
    assert_eq!(vars(&inventory, "a"), json!({"v": "file"}));
    let group = |name: &str| Value::map(inventory.own_group_variables(name)).to_json();
    assert_eq!((group("web"), group("kid")), (json!({"g": "directory"}), json!({"t": 1.5})));
    assert_eq!(inventory.host("b").unwrap().source.as_deref(), Some(stage.path().join("d/02.yml").as_path()));
}

#[test]
fn scripts_tell_hosts_groups_and_variables() {
    let all = "#!/bin/sh\necho '{\"web\": {\"hosts\": [\"a\"], \"vars\": {\"t\": \"{{ x }}\"}, \"children\": [\"kid\"]}, \
               \"kid\": [\"b\"], \"_meta\": {\"hostvars\": {\"a\": {\"u\": {\"__ansible_unsafe\": \"{{ y }}\"}}}}}'\n";
    let each = "#!/bin/sh\n[ \"$1\" = --list ] && echo '{\"web\": {\"hosts\": [\"a\"]}}' || echo \"{\\\"me\\\": \\\"$2\\\"}\"\n";
    let stage =
        Stage::new(&[("all", all), ("each", each), ("fails", "#!/bin/sh\nexit 3\n"), ("text", "#!/bin/sh\necho x\n")])
            .executable("all")
            .executable("each")
            .executable("fails")
            .executable("text");
    let inventory = stage.load(&["all"]);
    assert_eq!(inventory.members("web"), ["a", "b"]);
    let trusted = |map: Map, name: &str| matches!(&map[name], Value::Str(text) if text.is_trusted());
    assert!(trusted(inventory.own_group_variables("web"), "t"));
    assert!(!trusted(inventory.own_host_variables("a"), "u"));
    assert_eq!(vars(&stage.load(&["each"]), "a"), json!({"me": "a"}));
    assert!(messages(&stage.load(&["fails"])).contains("Inventory script returned non-zero exit code 3"));
    assert!(messages(&stage.load(&["text"])).contains("Value could not be parsed as JSON"));
}

const HOSTS: &str =
    "all:\n  hosts:\n    h: {a: 1, tags: {x: 1, y: ''}, l: [p, ''], s: 'str ing', none: ~}\n    i: {a: 2}\n";

fn groups(config: &str) -> (Vec<String>, String) {
    let stage = Stage::new(&[("hosts.yml", HOSTS), ("c.yml", &format!("plugin: constructed\n{config}"))]);
    let inventory = stage.load(&["hosts.yml", "c.yml"]);
    let known = ["all", "ungrouped"];
    let names = inventory.groups().map(|group| group.name.clone()).filter(|name| !known.contains(&name.as_str()));
    (names.collect(), messages(&inventory))
}

#[test]
fn constructed_makes_groups_of_variables() {
    let cases = [
        ("groups: {big: a > 1, odd-name: a == 1, broken: nope}", "big odd_name"),
        ("keyed_groups: [{key: tags, prefix: t}]", "t_x_1 t_y_"),
        ("keyed_groups: [{key: tags, prefix: t, trailing_separator: false}]", "t_x_1 t_y"),
        ("keyed_groups: [{key: tags, prefix: t, default_value: d}]", "t_x_1 t_y_d"),
        ("keyed_groups: [{key: l, prefix: L, parent_group: par}]", "L_p L_ par"),
        ("keyed_groups: [{key: s, separator: ''}]", "str_ing"),
        ("keyed_groups: [{key: s}]", "_str_ing"),
        ("leading_separator: false\nkeyed_groups: [{key: s}]", "str_ing"),
        ("keyed_groups: [{key: none, default_value: d, prefix: n}]", "n_d"),
        ("keyed_groups: [{key: '[]', default_value: d, prefix: n}]", ""),
    ];
    for (config, want) in cases {
        let (mut names, said) = groups(config);
        let mut want: Vec<&str> = want.split_whitespace().collect();
        names.sort();
        want.sort_unstable();
        assert_eq!(names, want, "{config}: {said}");
    }
    let refused = [
        ("strict: true\ncompose: {x: nope}", "Could not set x for host h: 'nope' is undefined"),
        ("keyed_groups: [{key: a}]", "Invalid group name format, expected a string or a list of them or dictionary"),
        ("keyed_groups: {key: a}", "Invalid value provided for 'list'"),
        ("keyed_groups: [x]", "Invalid keyed group entry, it must be a dictionary: x"),
    ];
    for (config, want) in refused {
        assert!(groups(config).1.contains(want), "{config}: {}", groups(config).1);
    }
}

#[test]
fn constructed_composes_variables_and_sees_files_when_told() {
    let config = "plugin: constructed\nuse_vars_plugins: true\ncompose: {c: a + 1, d: c * 2, f: file, e: extra}\n";
    let stage = Stage::new(&[("hosts.yml", HOSTS), ("c.yml", config), ("host_vars/i", "file: yes it is\n")]);
    let extra: Map = [("extra".into(), Value::Int(7))].into_iter().collect();
    let options = LoadOptions { use_extra_vars: true, extra: extra.into(), ..LoadOptions::default() };
    let inventory = stage.load_with(&["hosts.yml", "c.yml"], &options).unwrap();
    let want = json!({"a": 2, "c": 3, "d": 6, "f": "yes it is", "e": 7, "file": "yes it is"});
    assert_eq!(vars(&inventory, "i"), want);
}

#[test]
fn the_generator_combines_layers() {
    let text = "plugin: ansible.builtin.generator\nhosts:\n  name: '{{ op }}_{{ env }}'\n  parents:\n    - name: '{{ op }}'\n      \
                vars: {op: '{{ op }}', later: '{{ of_the_play }}'}\n      parents: [{name: top}]\nlayers:\n  op: [build, run]\n  env: [dev, prod]\n";
    let stage = Stage::new(&[
        ("g.yml", text),
        ("n.yml", "plugin: generator\nhosts: {name: h, parents: [{}]}\nlayers: {a: [b]}\n"),
    ]);
    let inventory = stage.load(&["g.yml"]);
    assert_eq!(inventory.members("top"), ["build_dev", "build_prod", "run_dev", "run_prod"]);
    let group = Value::map(inventory.own_group_variables("run")).to_json();
    assert_eq!(group, json!({"op": "run", "later": "{{ of_the_play }}"}));
    assert!(messages(&stage.load(&["n.yml"])).contains("Element h has a parent with no name."));
}

#[test]
fn plugins_that_are_not_there_are_refused_by_name() {
    let stage = Stage::new(&[("aws_ec2.yml", "plugin: amazon.aws.aws_ec2\n")]);
    let error = stage.load_with(&["aws_ec2.yml"], &LoadOptions::default()).unwrap_err().concat();
    assert!(error.contains("`amazon.aws.aws_ec2` is not supported"), "{error}");
}

#[test]
fn odd_names_of_groups_are_treated_as_settings_say() {
    let stage = Stage::new(&[("hosts", "[a-b]\nh\n[top:children]\na-b\n[a-b:vars]\nv=1\n")]);
    for (names, group, said) in [
        (GroupNames::Never, "a-b", "but not replaced"),
        (GroupNames::Ignore, "a-b", ""),
        (GroupNames::Always, "a_b", "and automatically replaced"),
        (GroupNames::Silently, "a_b", ""),
    ] {
        let options = LoadOptions { group_names: names, ..LoadOptions::default() };
        let inventory = stage.load_with(&["hosts"], &options).unwrap();
        assert_eq!(inventory.members(group), ["h"]);
        assert_eq!(inventory.group_names("h"), [group, "top"]);
        assert!(messages(&inventory).contains(said) && messages(&inventory).is_empty() == said.is_empty());
    }
}

#[test]
fn variables_are_in_files_of_any_name_that_a_host_may_have() {
    let stage = Stage::new(&[
        ("hosts", "a.example.com\nb.example.com\nz.json\nc\n[g.prod]\nc\n"),
        ("host_vars/a.example.com", "v: plain\n"),
        ("host_vars/a.example.com.yml", "v: not read\n"),
        ("host_vars/b.example.com.yml", "v: yml\n"),
        ("host_vars/z.json", "v: json\n"),
        ("host_vars/c/one.yml", "v: one\n"),
        ("host_vars/c/two.conf", "v: not read\n"),
        ("host_vars/nobody.example.com", "v: [\n"),
        ("group_vars/g.prod", "w: group\n"),
    ]);
    let inventory = stage.load(&["hosts"]);
    let found = ["a.example.com", "b.example.com", "z.json", "c"].map(|host| vars(&inventory, host));
    assert_eq!(found, ["plain", "yml", "json", "one"].map(|v| json!({"v": v})));
    assert_eq!(Value::map(inventory.own_group_variables("g.prod")).to_json(), json!({"w": "group"}));
    // What nobody uses may be broken.
    assert!(["a.example.com", "c"].iter().all(|host| inventory.locked(host).is_none()));
}

#[test]
fn a_group_that_is_made_later_is_a_later_child() {
    let text = "[a:vars]\nx=1\n[b]\nh\n[a]\ni\n[p:children]\nz\na\ny\n[q:children]\ny\nb\n[y]\nk\n[z]\nl\n[p:children]\nw\n[w]\nm\n";
    let inventory = Stage::new(&[("hosts", text)]).load(&["hosts"]);
    let children = |name: &str| inventory.group(name).unwrap().children.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!((children("p"), children("q")), ("a y z w".to_owned(), "b y".to_owned()));
    assert_eq!(inventory.members("p"), ["i", "k", "l", "m"]);
    // One that is made nowhere is none.
    let stage = Stage::new(&[("hosts", "[k:children]\nnope\n[l]\nc\n"), ("more", "d\n")]);
    assert!(stage.load(&["hosts", "more"]).group("nope").is_none());
}

#[test]
fn variables_of_a_host_that_is_called_as_a_group_are_the_groups() {
    let stage = Stage::new(&[("ini", "x v=1\n[x]\no\nx w=2\n"), ("y.yml", "x: {hosts: {x: {w: 2}, o: }}\n")]);
    for source in ["ini", "y.yml"] {
        let inventory = stage.load(&[source]);
        assert_eq!(Value::map(inventory.own_group_variables("x")).to_json(), json!({"w": 2}), "{source}");
        assert_eq!(vars(&inventory, "o"), json!({}));
    }
    assert_eq!(vars(&stage.load(&["ini"]), "x"), json!({"v": 1}));
}

#[test]
fn a_child_that_is_no_group_ends_a_yaml_source() {
    let text = "all:\n  children:\n    g: {hosts: {a: }}\n    h: [x]\n    k: {hosts: {b: }}\n";
    let stage = Stage::new(&[("hosts.yml", text), ("more", "c\n")]);
    let inventory = stage.load(&["hosts.yml", "more"]);
    assert_eq!((inventory.members("g"), inventory.group("k").is_some()), (vec!["a".to_owned()], false));
    assert!(messages(&inventory).contains("h is not a known host nor group"), "{}", messages(&inventory));
}

#[test]
fn priority_decides_between_groups_of_one_depth() {
    let text = "[a]\nh\n[b]\nh\n[a:vars]\nv=a\nansible_group_priority=10\n[b:vars]\nv=b\n";
    let stage = Stage::new(&[("hosts", text)]);
    let inventory = stage.load(&["hosts"]);
    let layers = inventory.layers("h");
    let value = layers.iter().find_map(|layer| layer.get("v")).map(Value::to_text);
    assert_eq!(value.as_deref(), Some("a"));
    assert!(layers.iter().all(|layer| !layer.contains_key("ansible_group_priority")));
}

#[test]
fn reading_again_keeps_what_tasks_added() {
    let stage = Stage::new(&[("hosts", "[web]\na v=1\nb\n")]);
    let mut inventory = stage.load(&["hosts"]);
    inventory.add_dynamic_host("dyn", Map::new(), vec!["web".into(), "extra".into()]);
    inventory.add_dynamic_group("by_a", "a", vec!["all".into()]);
    inventory.add_dynamic_group("by_b", "b", vec!["all".into()]);
    std::fs::write(stage.path().join("hosts"), "[web]\na v=2\nc\n").unwrap();
    let fresh = inventory.reload().unwrap();
    assert_eq!(fresh.members("web"), ["a", "c", "dyn"]);
    assert_eq!(vars(&fresh, "a"), json!({"v": 2}));
    assert_eq!((fresh.members("by_a"), fresh.members("extra")), (vec!["a".to_owned()], vec!["dyn".to_owned()]));
    assert!(fresh.host("b").is_none() && fresh.members("by_b").is_empty());
}

#[test]
fn loading_is_linear() {
    let text = |hosts: usize| {
        let mut text = String::new();
        for group in 0..hosts / 100 {
            text.push_str(&format!("[g{group}]\n"));
            (0..100).for_each(|h| {
                text.push_str(&format!("h{group}-{h} ansible_host=10.0.0.{h} l=\"['a', {{'b': 1}}]\"\n"))
            });
        }
        text.push_str("[prod:children]\n");
        (0..hosts / 100).for_each(|group| text.push_str(&format!("g{group}\n")));
        text
    };
    let time = |hosts: usize| {
        let stage = Stage::new(&[("hosts", &text(hosts))]);
        let start = Instant::now();
        let inventory = stage.load(&["hosts"]);
        assert_eq!(inventory.members("prod").len(), hosts);
        start.elapsed()
    };
    let few = time(2_000);
    let many = time(16_000);
    // Eight times the hosts in eight times the time; a square would take sixty-four.
    assert!(many < few * 32, "{few:?} for 2,000 hosts, {many:?} for 16,000");
}

/// What is made to be hard to read is read or refused soon, whatever its size.
#[test]
fn hostile_sources_take_as_long_as_they_are() {
    let many = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let chain = many(20_000, &|at| format!("[g{at}:children]\ng{}\n", at + 1)) + "[g20000]\nh\n";
    let hosts = many(100_000, &|at| format!("h{at}\n"));
    let words = format!("h {}\n", many(50_000, &|at| format!("v{at}={at} ")));
    let brackets = format!("h a={}\n", "[".repeat(100_000));
    let ladder = many(300, &|at| format!("[g{at}:children]\ng{n}\nk{n}\n[k{at}:children]\ng{n}\nk{n}\n", n = at + 1));
    let stage = Stage::new(&[
        ("chain", &chain),
        ("hosts", &hosts),
        ("words", &words),
        ("brackets", &brackets),
        ("ladder", &(ladder + "[g300]\nh\n[k300]\nh\n")),
        ("range", "h[1:2000000]\n"),
        ("ranges", "h[1:1000]x[1:1000]y[1:1000]\n"),
    ]);
    for name in ["chain", "hosts", "words", "brackets", "ladder", "range", "ranges"] {
        let began = Instant::now();
        let inventory = stage.load(&[name]);
        assert_eq!(inventory.members("all").is_empty(), name.starts_with("range"), "{name}");
        assert!(inventory.layers("h").len() < 100, "{name}");
        assert!(began.elapsed().as_secs() < 20, "{name}: {:?}", began.elapsed());
    }
}
