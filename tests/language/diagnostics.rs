//! What is said about playbooks that are wrong: everything at once, each with its place, before anything runs.

use rplay::diagnostic::{Diagnostic, Severity};

use crate::case::Case;
use crate::run;

/// Loads and runs a project (in the form of case files); what is said, one line each, in order of place.
fn said(text: &str) -> Vec<String> {
    let case = Case::parse(text);
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    case.write(&root);
    let ran = run::run(&root, &case.args);
    let prefix = format!("{}/", root.display());
    let line = |d: &Diagnostic| {
        let place = d.span.map_or_else(|| "nowhere".to_owned(), |span| span.location().to_string());
        let mark = if d.severity == Severity::Warning { "warning: " } else { "" };
        let help = d.help_text().filter(|help| help.contains("did you mean")).unwrap_or_default();
        // The names of everything there is are not what this is about.
        let message = d.message.split(". Supported parameters").next().unwrap_or_default();
        format!("{place} {mark}{message} {help}").replace(&prefix, "").trim_end().to_owned()
    };
    let mut lines: Vec<String> = ran.diagnostics.iter().map(line).collect();
    lines.sort();
    lines
}

/// Compares what is said about a project with what should be.
fn check(text: &str, want: &[&str]) {
    assert_eq!(said(text), want, "{text}");
}

#[test]
fn what_module_defaults_give_is_not_missing() {
    check(
        "=== site.yml
- hosts: all
  gather_facts: false
  module_defaults: {file: {path: /nosuch/x}, ansible.builtin.copy: {dest: /nosuch/y}}
  tasks:
    - file: {state: absent}
    - block:
        - {slurp: }
      module_defaults: {slurp: {src: '{{ x }}'}}
      when: false
    - slurp: {}
      when: false
    - copy: {content: x, dets: y}
      when: false
",
        &[
            "site.yml:10:7 slurp: missing required arguments: src",
            "site.yml:12:26 copy: Unsupported parameters for (ansible.legacy.copy) module: dets did you mean `dest`?",
        ],
    );
}

#[test]
fn an_imported_file_without_tasks_is_told_of() {
    check(
        "=== site.yml
- hosts: all
  gather_facts: false
  tasks:
    - import_tasks: none.yml
    - import_tasks: list.yml
    - import_tasks: some.yml
    - include_tasks: none.yml
=== none.yml
---
# nothing
=== list.yml
[]
=== some.yml
- ping:
",
        &[
            "nowhere warning: file list.yml is empty and had no tasks to include",
            "nowhere warning: file none.yml is empty and had no tasks to include",
        ],
    );
}

#[test]
fn everything_static_at_once() {
    check(
        "=== site.yml
- hosts: all
  taks: []
  tasks:
    - name: two misspelled keys
      command: uptime
      wehn: x
      regster: y
    - comand: uptime
    - copy: {srcs: x, dest: /y}
    - debug: {msg: '{{ x'}
      when: a ==
    - name: nothing to do
    - debug: {msg: x}
      loop_control: {loop_vra: y}
    - debug: msg=x
      notify: restrat
    - meta: end_paly
    - meta: end_role
    - command: sleep 5
      async: 10
      poll: 0
    - {debug: {msg: x}, command: y}
    - import_tasks: nope.yml
    - debug: {msg: x}
      loop: 5
      with_items: [1]
    - debug: {msg: x}
      register: a-b
    - set_fact: {x: 1}
      vars: {1x: 2}
  roles: [roel]
  handlers:
    - {name: restart, debug: {msg: x}}
    - {name: no role, include_role: {name: role}}
=== roles/role/tasks/main.yml
",
        &[
            "site.yml:10:24 Syntax error in template: unexpected end of template, expected 'end of print statement'.",
            "site.yml:11:13 Syntax error in expression: unexpected 'end of template'",
            "site.yml:12:7 this task has no module to run",
            "site.yml:14:22 'loop_vra' is not a valid attribute for a LoopControl did you mean `loop_var`?",
            "site.yml:16:15 no handler is called `restrat`, and none listens to it did you mean `restart`?",
            "site.yml:17:13 invalid meta action requested: end_paly did you mean `end_play`?",
            "site.yml:18:7 Cannot execute 'end_role' from outside of a role",
            "site.yml:22:25 conflicting action statements: this task has `debug` and `command`",
            "site.yml:23:7 the imported file of tasks `nope.yml` does not exist",
            "site.yml:25:13 `loop` must be a list, not a number",
            "site.yml:26:7 duplicate loop in task: items",
            "site.yml:28:17 Invalid variable name in 'register' specified: 'a-b'",
            "site.yml:2:3 'taks' is not a valid attribute for a Play did you mean `tasks`?",
            "site.yml:30:14 Invalid variable name '1x'.",
            "site.yml:31:11 the role 'roel' was not found",
            "site.yml:34:23 Using 'include_role' as a handler is not supported.",
            "site.yml:6:7 'wehn' is not a valid attribute for a Task did you mean `when`?",
            "site.yml:7:7 'regster' is not a valid attribute for a Task did you mean `register`?",
            "site.yml:8:7 `comand` is neither a keyword of a task nor a module that rplay has did you mean `command`?",
            "site.yml:9:14 copy: Unsupported parameters for (ansible.legacy.copy) module: srcs did you mean `src`?",
        ],
    );
}

#[test]
fn what_is_not_defined_has_its_place() {
    check(
        "=== site.yml
- hosts: a
  vars: {server_name: x, wrong: '{{ sever_name }}'}
  tasks:
    - debug: {msg: x}
      when: nope == 1
      ignore_errors: true
    - debug: {msg: x}
      loop: '{{ nope }}'
      ignore_errors: true
    - debug: {msg: 'x {{ nope }}'}
      ignore_errors: true
    - debug: {msg: '{{ wrong }}'}
      ignore_errors: true
    - template: {src: t.j2, dest: /nonexistent}
      ignore_errors: true
    - command: echo
      changed_when: nope
      ignore_errors: true
    - command: echo
      until: nope
      delay: 0
      retries: 1
      ignore_errors: true
    - debug: {msg: x}
      delegate_to: '{{ nope }}'
      ignore_errors: true
=== templates/t.j2
first
  second {{ nope }}
",
        &[
            "site.yml:10:26 Error while resolving value for 'msg': 'nope' is undefined",
            "site.yml:17:21 'nope' is undefined",
            "site.yml:20:14 Error while evaluating conditional: 'nope' is undefined",
            "site.yml:25:24 'nope' is undefined",
            "site.yml:2:37 Error while resolving value for 'msg': 'sever_name' is undefined",
            "site.yml:5:13 Error while evaluating conditional: 'nope' is undefined",
            "site.yml:8:17 'nope' is undefined",
            "templates/t.j2:2:3 'nope' is undefined",
        ],
    );
}

#[test]
fn missing_files_are_errors_where_nothing_can_make_them() {
    let plain = "=== site.yml
- hosts: all
  tasks:
    - copy: {src: missing.txt, dest: /tmp/x}
    - template: {src: missing.j2, dest: /tmp/x}
    - script: missing.sh --all
    - include_vars: missing.yml
    - template: {src: broken.j2, dest: /tmp/x}
    - copy: {src: missing2.txt, dest: /tmp/x, remote_src: true}
    - copy: {src: '{{ x }}.txt', dest: /tmp/x}
    - copy: {src: there.txt, dest: /tmp/x}
=== templates/broken.j2
fine
{% if x %}
=== files/there.txt
";
    check(
        plain,
        &[
            "site.yml:3:19 copy: the file `missing.txt` does not exist",
            "site.yml:4:23 template: the file `missing.j2` does not exist",
            "site.yml:5:15 script: the file `missing.sh` does not exist",
            "site.yml:6:21 include_vars: the file `missing.yml` does not exist",
            "templates/broken.j2:2:1 Syntax error in template: Unexpected end of template. Jinja was looking for the following \
             tags: 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.",
        ],
    );
    // Where the task may not run, or another may make the file, it is worth a look and no more.
    let guarded = "=== args: --tags none
=== site.yml
- hosts: all
  tasks:
    - copy: {src: a.txt, dest: /tmp/x}
      when: false
    - copy: {src: made.txt, dest: /tmp/x}
    - command: make files/made.txt
    - block:
        - copy: {src: b.txt, dest: /tmp/x}
      rescue:
        - debug: {msg: x}
";
    check(
        guarded,
        &[
            "site.yml:3:19 warning: copy: the file `a.txt` does not exist",
            "site.yml:5:19 warning: copy: the file `made.txt` does not exist",
            "site.yml:8:23 warning: copy: the file `b.txt` does not exist",
        ],
    );
    let local = "=== args: --tags none
=== site.yml
- hosts: localhost
  tasks:
    - copy: {src: a.txt, dest: /tmp/x}
";
    check(local, &["site.yml:3:19 warning: copy: the file `a.txt` does not exist"]);
}

#[test]
fn conditions_that_cannot_be_right_are_warned_of() {
    check(
        "=== args: --tags none
=== site.yml
- hosts: a
  tasks:
    - {debug: {msg: x}, when: '{{ x }} == 1'}
    - {debug: {msg: x}, when: 1}
    - {debug: {msg: x}, when: [x is defined, '{{ x == 1 }}', true]}
",
        &[
            "site.yml:3:31 warning: this condition is text with a template in it, which is never true or false",
            "site.yml:4:31 warning: this condition is a number, which is neither true nor false",
        ],
    );
}

#[test]
fn files_that_are_no_playbooks() {
    check("=== site.yml\n", &["nowhere `site.yml` holds no plays"]);
    check("=== site.yml\n[]\n", &["site.yml:1:1 A playbook must contain at least one play"]);
    check("=== site.yml\nhosts: all\n", &["site.yml:1:1 a playbook must be a list of plays, not a dictionary"]);
    check("=== site.yml\n- name: x\n  tasks: []\n", &["site.yml:1:3 this play has no `hosts`"]);
    check(
        "=== site.yml\n- hosts: all\n  tasks: [debug]\n",
        &["site.yml:2:11 a task must be a dictionary, not a string"],
    );
    check(
        "=== site.yml\n- hosts: all\n  tasks: {debug: }\n",
        &[
            "site.yml:2:10 A malformed block was encountered while loading tasks: {'debug': None} should be a list or None",
        ],
    );
    check(
        "=== site.yml\n- import_playbook: other.yml\n",
        &["site.yml:1:20 the imported playbook `other.yml` does not exist"],
    );
    check("=== site.yml\n- import_playbook: site.yml\n", &["site.yml:1:20 `site.yml` imports itself"]);
    check(
        "=== site.yml\n- hosts: all\n  tasks:\n    - import_tasks: a.yml\n=== a.yml\n- import_tasks: a.yml\n",
        &["a.yml:1:3 `a.yml` imports itself"],
    );
}

#[test]
fn secrets_are_not_in_what_is_said() {
    let text = "=== site.yml
- hosts: a
  vars: {secret: hunter2}
  tasks:
    - {debug: {msg: '{{ secret }} {{ nope }}'}, no_log: true, ignore_errors: true}
    - {command: 'echo {{ secret }}', no_log: true, register: r}
    - {command: 'echo {{ item }}', no_log: true, loop: ['{{ secret }}', x], failed_when: true, ignore_errors: true}
    - {command: 'echo {{ item }}', no_log: true, loop: ['{{ secret }}'], until: false, retries: 1, delay: 0, ignore_errors: true}
    - {fail: {msg: '{{ secret }}'}, no_log: true, ignore_errors: true, loop: ['{{ secret }}'], loop_control: {label: '{{ secret }}'}}
    - {command: '/bin/{{ secret }}', no_log: true}
";
    let case = Case::parse(text);
    let temp = tempfile::tempdir().unwrap();
    case.write(temp.path());
    let ran = run::run(temp.path(), &[]);
    let mut seen = 0;
    for event in &ran.events {
        use rplay::engine::event::Event;
        let shown = match event {
            Event::Item { result, label } => format!("{} {:?}", result.result.to_json(), label),
            Event::Result(result) | Event::Retry { result, .. } => result.result.to_json().to_string(),
            Event::Error(diagnostic) | Event::Warning(diagnostic) => diagnostic.to_string(),
            Event::TaskStarted { title, .. } => title.clone(),
            _ => continue,
        };
        seen += 1;
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(seen > 15, "{}", ran.trace);
}
