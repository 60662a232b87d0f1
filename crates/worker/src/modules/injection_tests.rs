//! What tasks say never becomes an option of a command, or a line of a shell, unless that is what it is for.
//!
//! Modules are called with words that look like options and like shell, one argument at a time, on a host where every
//! program is one that writes down how it was called.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod calls;
mod programs;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::host::{Content, Host};
use crate::modules;
use calls::calls;
use programs::{ANSWERS, PROGRAMS, WITH_VALUE};

const OPTIONS: &[&str] = &["-evil", "--evil=x", "-evil:x:rw"];
/// The one that looks like an entry of a list.
const ENTRY: &str = "-evil:x:rw";
const SHELL: &[&str] = &["$(touch broken)`touch broken`; touch broken #'", "x\ntouch broken\n"];

/// A host where every program notes how it was called.
struct Field {
    dir: ::tempfile::TempDir,
}

impl Field {
    fn new() -> Self {
        let dir = ::tempfile::tempdir().unwrap();
        let bin = dir.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let log = dir.path().join("log");
        let script = format!(
            "#!/bin/sh\nprintf '%s\\0' \"${{0##*/}}\" \"$@\" '<end>' >>{log}\nset -- \"${{0##*/}}\" \"$@\"\n{ANSWERS}",
            log = log.display(),
        );
        let stub = dir.path().join("stub");
        std::fs::write(&stub, script).unwrap();
        std::fs::set_permissions(&stub, std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in PROGRAMS {
            std::os::unix::fs::symlink(dir.path().join("stub"), bin.join(name)).unwrap();
        }
        Self { dir }
    }

    /// The files that are there before a call.
    fn files(&self) {
        let (bin, root) = (self.dir.path().join("bin"), self.dir.path().join("root"));
        let _ = std::fs::remove_dir_all(&root);
        // Programs are found under the same path below the root, where a host looks for them.
        let within = root.join(bin.strip_prefix("/").unwrap());
        std::fs::create_dir_all(within.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&bin, &within).unwrap();
        for name in [
            "etc/selinux",
            "etc/init.d",
            "d/.git",
            "tmp",
            "proc",
            "sys/module/loaded",
            "usr/share/zoneinfo/Europe",
            "run/systemd/system",
            "mounted",
        ] {
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        for (name, text) in [
            ("f", "x\n"),
            ("p", "--- a\n+++ b\n"),
            ("k", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
            ("r", "flask\n"),
            ("a.tar", "no archive"),
            ("etc/apk/world", ""),
            ("a.zip", "PK\u{3}\u{4}"),
            ("etc/fstab", ""),
            ("etc/debian_version", "12\n"),
            ("etc/passwd", "root:x:0:0::/root:/bin/sh\nthere:x:1000:1000:n:/home/there:/bin/bash\n"),
            ("etc/group", "root:x:0:\nusers:x:100:\nwheel:x:10:\nthere:x:1000:\n"),
            ("etc/shadow", "root:*:1::::::\nthere:!:1::::::\n"),
            ("etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
            ("etc/init.d/nginx", "#!/bin/sh\n"),
            ("etc/locale.gen", "# de_DE.UTF-8 UTF-8\n"),
            ("usr/share/zoneinfo/Europe/Berlin", "TZif"),
            ("proc/modules", "loaded 1 0 - Live 0x0\n"),
            ("d/Makefile", "all:\n"),
            ("etc/apt/sources.list", ""),
            ("root/.ssh/x", ""),
            ("proc/self/mountinfo", "1 0 0:1 / / rw - ext4 /dev/r rw\n2 1 0:2 / /mounted rw - ext4 /dev/x rw\n"),
            ("sys/fs/selinux/enforce", "1"),
            ("sys/fs/selinux/booleans/b", "0 0"),
            ("etc/os-release", "ID=debian\nVERSION_ID=12\n"),
            ("var/lib/dpkg/status", "Package: gone\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n\n"),
        ] {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), text).unwrap();
        }
    }

    /// The commands that a call runs, and what it comes to.
    fn commands(&self, module: &str, args: &Value) -> (Vec<Vec<String>>, String) {
        // A call finds nothing of what another changed.
        self.files();
        let log = self.dir.path().join("log");
        let _ = std::fs::remove_file(&log);
        let path = format!("{}:/usr/bin:/bin", self.dir.path().join("bin").display());
        let host = Host::at(self.dir.path().join("root"))
            .with_environment(vec![("PATH".into(), path), ("HOME".into(), "/root".into())])
            .with_content(None::<Content>);
        let result = match (modules::find(module).unwrap().run)(args.as_object().unwrap(), &host) {
            Ok(outcome) => format!("{:?}", outcome.fields),
            Err(failure) => failure.msg,
        };
        let text = String::from_utf8_lossy(&std::fs::read(&log).unwrap_or_default()).into_owned();
        let commands = text.split("<end>\0").filter(|command| !command.is_empty());
        let words = |command: &str| command.trim_end_matches('\0').split('\0').map(ToOwned::to_owned).collect();
        (commands.map(words).collect(), result)
    }
}

/// The call with one of its texts replaced, for each of its texts.
fn replaced(args: &Value, with: &str) -> Vec<Value> {
    let mut out = Vec::new();
    match args {
        Value::String(_) => out.push(json!(with)),
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                out.extend(replaced(item, with).into_iter().map(|new| {
                    let mut copy = items.clone();
                    copy[at] = new;
                    Value::Array(copy)
                }));
            }
        }
        Value::Object(fields) => {
            for (key, value) in fields {
                out.extend(replaced(value, with).into_iter().map(|new| {
                    let mut copy = fields.clone();
                    copy.insert(key.clone(), new);
                    Value::Object(copy)
                }));
            }
        }
        _ => {}
    }
    out
}

/// Arguments that are words for a program, options included, as their documentation says.
const ARE_OPTIONS: &[&str] =
    &["extra_args", "opts", "ssh_opts", "arguments", "params", "pv_options", "vg_options", "argv"];

fn is_taken_for_an_option(command: &[String], word: &str) -> bool {
    let program = command.first().map(String::as_str).unwrap_or_default();
    let values = WITH_VALUE.iter().find(|(name, _)| *name == program).map(|(_, options)| *options).unwrap_or_default();
    let mut literal = false;
    let mut value = false;
    for current in &command[1..] {
        if !literal && !value && current.starts_with(word) {
            return true;
        }
        literal |= current == "--" && !value;
        value = !value && values.split(' ').any(|option| option == current);
    }
    false
}

/// Looks at each way of a share of the calls; shares are tests of their own, which run side by side.
fn share(number: usize) {
    let mut wrong = Vec::new();
    let field = Field::new();
    for (module, args) in calls().into_iter().skip(number).step_by(4) {
        let (usual, result) = field.commands(module, &args);
        if usual.is_empty() {
            wrong.push(format!("{module} runs nothing with {args}: {result}"));
        }
        for word in OPTIONS.iter().chain(SHELL) {
            for call in replaced(&args, word) {
                let odd = call.as_object().unwrap().iter().find(|(key, value)| Some(*value) != args.get(key.as_str()));
                let Some((key, _)) = odd else { continue };
                if ARE_OPTIONS.contains(&key.as_str()) || (*word == ENTRY && key != "entry") {
                    continue;
                }
                let (commands, _) = field.commands(module, &call);
                let as_option = OPTIONS.contains(word);
                for command in &commands {
                    if as_option && is_taken_for_an_option(command, word) {
                        wrong.push(format!("{module} {key}: {command:?}"));
                    }
                }
                if field.dir.path().join("broken").exists() || Path::new("broken").exists() {
                    let _ = std::fs::remove_file("broken");
                    wrong.push(format!("{module} {key}: ran {word:?}"));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn words_of_tasks_are_no_options_1() {
    share(0);
}

#[test]
fn words_of_tasks_are_no_options_2() {
    share(1);
}

#[test]
fn words_of_tasks_are_no_options_3() {
    share(2);
}

#[test]
fn words_of_tasks_are_no_options_4() {
    share(3);
}
