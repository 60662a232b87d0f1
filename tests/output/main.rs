//! What is printed under the name `ansible-playbook`, held against what the reference printed.
//!
//! A case file is a row of parts, each begun by a line `=== name`: `args: …` (as on the command line), `env: NAME=value`,
//! `link: NAME -> TARGET`, `status: n`, `input` (standard input), `expect` (standard output), anything else a file of the
//! project. `tests/output/observe` asks the reference for status and output.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[derive(Default)]
struct Case {
    args: Vec<String>,
    env: Vec<(String, String)>,
    status: i32,
    input: String,
    expect: String,
    files: Vec<(String, String)>,
    links: Vec<(String, String)>,
}

impl Case {
    fn parse(text: &str) -> Self {
        let mut case = Self::default();
        for part in text.split("=== ").skip(1) {
            let (header, body) = part.split_once('\n').unwrap();
            let header = header.trim();
            if let Some(args) = header.strip_prefix("args:") {
                case.args = shell_words::split(args).unwrap();
            } else if let Some(pair) = header.strip_prefix("env:") {
                let (name, value) = pair.trim().split_once('=').unwrap();
                case.env.push((name.to_owned(), value.to_owned()));
            } else if let Some(status) = header.strip_prefix("status:") {
                case.status = status.trim().parse().unwrap();
            } else if header == "input" {
                case.input = body.to_owned();
            } else if let Some(link) = header.strip_prefix("link:") {
                let (name, target) = link.trim().split_once(" -> ").unwrap();
                case.links.push((name.to_owned(), target.to_owned()));
            } else if header == "expect" {
                case.expect = body.to_owned();
            } else {
                case.files.push((header.to_owned(), body.to_owned()));
            }
        }
        case
    }

    fn run(&self, root: &Path) -> (i32, String) {
        for (name, body) in &self.files {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, body).unwrap();
        }
        for (name, target) in &self.links {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        let applet = root.join("ansible-playbook");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rplay"), &applet).unwrap();
        let ansible = std::env::vars().filter(|(name, _)| name.starts_with("ANSIBLE_") || name == "NO_COLOR");
        let mut command = Command::new(&applet);
        for (name, _) in ansible {
            command.env_remove(name);
        }
        let envs = self.env.iter().map(|(name, value)| (name, value));
        command.args(&self.args).envs(envs).env("HOME", root).current_dir(root);
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = pipes.spawn().unwrap();
        // Who asks nothing may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(self.input.as_bytes());
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap().replace(&root.display().to_string(), "ROOT");
        (out.status.code().unwrap(), text)
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/output/cases")
}

#[test]
fn prints_what_the_reference_prints() {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory()).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let mut wrong = Vec::new();
    for file in files {
        let case = Case::parse(&std::fs::read_to_string(&file).unwrap());
        let temp = tempfile::tempdir().unwrap();
        let (status, text) = case.run(&temp.path().canonicalize().unwrap());
        if status != case.status || text != case.expect {
            let diff = similar::TextDiff::from_lines(&case.expect, &text);
            let diff = diff.unified_diff().context_radius(3).to_string();
            wrong.push(format!("{}: status {status}, not {}\n{diff}", file.display(), case.status));
        }
    }
    assert!(wrong.is_empty(), "- the reference, + this\n{}", wrong.join("\n"));
}

#[test]
fn check_shows_what_a_run_would_change_and_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let (playbook, target) = (temp.path().join("p.yml"), temp.path().join("out"));
    let task = format!("copy: {{content: \"hi\\n\", dest: {}}}", target.display());
    std::fs::write(&playbook, format!("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - {task}\n")).unwrap();
    let run = |word: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rplay"));
        command.arg(word).arg(&playbook).env("HOME", temp.path()).env("NO_COLOR", "1");
        let out = command.output().unwrap();
        (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
    };
    let (status, text) = run("check");
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("+hi") && text.contains("changed=1"), "{text}");
    assert!(!target.exists());
    let (status, text) = run("run");
    assert_eq!((status, std::fs::read_to_string(&target).unwrap().as_str()), (0, "hi\n"), "{text}");
    let (_, text) = run("check");
    assert!(text.contains("changed=0"), "{text}");
}

/// Many hosts, groups, variables from everywhere, sets, results and failures: all that might come out of a hash table.
const EVERYTHING: &str = r#"
- hosts: all
  gather_facts: false
  vars: {b: 1, a: 2, zz: 3, c: {y: 1, x: 2, w: 3}, m: "{{ c | dict2items | map(attribute='key') }}"}
  tasks:
    - group_by: {key: "odd_{{ (inventory_hostname[1:] | int) % 2 }}", parents: [made, by, hand]}
    - debug: {msg: "{{ groups }} {{ group_names }} {{ hostvars | length }} {{ m }}"}
    - debug: {var: "vars | select('match', '[a-z]$') | list"}
    - debug: {msg: "{{ ['x', 'q', 'k', 'j'] | union(['r', 'x']) }} {{ ['x', 'q', 'k'] | difference(['q']) }}"}
    - set_fact: {one: 1, two: 2, three: 3, four: "{{ play_hosts }}"}
    - command: echo hi
      register: said
      changed_when: inventory_hostname is match('h[13579]')
      notify: [first, second]
    - debug: {var: "hostvars[inventory_hostname].keys() | list"}
      run_once: true
    - stat: {path: /etc/passwd}
      register: looked
    - debug: {msg: "{{ looked.stat.keys() | list }}"}
    - fail: {msg: "{{ said.keys() | list }}"}
      when: inventory_hostname in groups.by and inventory_hostname is match('h[27]')
    - set_stats: {data: {z: 1, y: 2, "{{ inventory_hostname }}": 3}}
    - debug: {msg: "{{ nonesuch }}"}
      ignore_errors: true
  handlers:
    - {name: first, debug: }
    - {name: second, debug: {var: ansible_play_batch}}
"#;

#[test]
fn the_same_run_twice_says_the_same() {
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path();
    let hosts: String = (1..=12).map(|n| format!("h{n} v{n}={n} w=1 u=2\n")).collect();
    let groups: String = (1..=6).map(|n| format!("[g{n}]\nh{n}\nh{}\n[g{n}:vars]\na{n}=1\nb{n}=2\n", n + 6)).collect();
    let inventory = format!("{hosts}{groups}[up:children]\ng1\ng2\n[all:vars]\nansible_connection=local\n");
    std::fs::write(root.join("hosts"), inventory).unwrap();
    std::fs::write(root.join("site.yml"), EVERYTHING).unwrap();
    let say = |applet: &str, args: &[&str]| {
        let path = root.join(applet);
        if !path.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rplay"), &path).unwrap();
        }
        let mut command = Command::new(&path);
        command
            .args(args)
            .current_dir(root)
            .env("HOME", root)
            .env("NO_COLOR", "1")
            .env("ANSIBLE_SHOW_CUSTOM_STATS", "1");
        let out = command.output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        assert!(!text.is_empty(), "{applet} {args:?} says nothing");
        // Times are told in words of their own.
        let clock = words_of_times();
        text.lines().filter(|line| !clock.iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n")
    };
    for (applet, args) in [
        ("ansible-playbook", &["-i", "hosts", "site.yml", "-v"][..]),
        ("ansible-playbook", &["-i", "hosts", "site.yml", "--list-hosts", "--list-tags", "--list-tasks"]),
        ("rplay", &["run", "-i", "hosts", "site.yml"]),
        ("ansible-inventory", &["-i", "hosts", "--list"]),
        ("ansible-inventory", &["-i", "hosts", "--graph", "--vars"]),
        ("ansible", &["-i", "hosts", "all", "-m", "debug", "-a", "var=hostvars[inventory_hostname]"]),
        ("ansible-config", &["dump"]),
    ] {
        let first = say(applet, args);
        for _ in 0..3 {
            let again = say(applet, args);
            assert!(
                first == again,
                "{applet} {args:?}\n{}",
                similar::TextDiff::from_lines(&first, &again).unified_diff()
            );
        }
    }
}

/// Words of lines that tell a time, which is another one in each run.
fn words_of_times() -> [&'static str; 5] {
    ["\"start\"", "\"end\"", "\"delta\"", "atime", " hosts in "]
}
