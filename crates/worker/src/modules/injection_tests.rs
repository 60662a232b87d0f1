//! What tasks say never becomes an option of a command, or a line of a shell, unless that is what it is for.
//!
//! Modules are called with words that look like options and like shell, one argument at a time, on a host where every
//! program is one that writes down how it was called.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::host::{Content, Host};
use crate::modules;

const OPTIONS: &[&str] = &["-evil", "--evil=x", "-evil:x:rw"];
/// The one that looks like an entry of a list.
const ENTRY: &str = "-evil:x:rw";
const SHELL: &[&str] = &["$(touch broken)`touch broken`; touch broken #'", "x\ntouch broken\n"];

/// Programs that modules call.
const PROGRAMS: &[&str] = &[
    "alternatives",
    "apk",
    "apt-cache",
    "apt-get",
    "apt-key",
    "apt-mark",
    "at",
    "atq",
    "atrm",
    "blkid",
    "btrfs",
    "chage",
    "chattr",
    "chpasswd",
    "composer",
    "crontab",
    "debconf-communicate",
    "debconf-set-selections",
    "debconf-show",
    "dnf",
    "dnf5",
    "dpkg",
    "dpkg-deb",
    "dpkg-query",
    "file",
    "firewall-cmd",
    "firewall-offline-cmd",
    "gem",
    "getcap",
    "getent",
    "getfacl",
    "getsebool",
    "git",
    "gpg",
    "groupadd",
    "groupdel",
    "groupmod",
    "hostname",
    "hostnamectl",
    "hwclock",
    "ip6tables",
    "ip6tables-save",
    "iptables",
    "iptables-save",
    "lchage",
    "lgroupadd",
    "lgroupdel",
    "localectl",
    "locale",
    "locale-gen",
    "lsattr",
    "luseradd",
    "luserdel",
    "lusermod",
    "lvchange",
    "lvcreate",
    "lvextend",
    "lvreduce",
    "lvremove",
    "lvs",
    "lvm",
    "make",
    "mkfs.btrfs",
    "mkfs.ext4",
    "mkfs.xfs",
    "mkswap",
    "modprobe",
    "mount",
    "pacman",
    "parted",
    "passwd",
    "patch",
    "pip3",
    "pvcreate",
    "pvresize",
    "pvs",
    "python3",
    "resize2fs",
    "restorecon",
    "rmdir",
    "rmmod",
    "rpm",
    "service",
    "sestatus",
    "setcap",
    "setenforce",
    "getenforce",
    "setfacl",
    "setsebool",
    "ssh-keygen",
    "svn",
    "sysctl",
    "systemctl",
    "tar",
    "timedatectl",
    "tune2fs",
    "ufw",
    "umount",
    "unzip",
    "update-alternatives",
    "update-initramfs",
    "update-rc.d",
    "useradd",
    "userdel",
    "usermod",
    "vgchange",
    "vgcreate",
    "vgextend",
    "vgreduce",
    "vgremove",
    "vgs",
    "visudo",
    "wipefs",
    "xfs_admin",
    "xfs_growfs",
    "xfs_info",
    "zypper",
];

/// Options whose value is the next word, whatever that begins with.
const WITH_VALUE: &[(&str, &str)] = &[
    ("useradd", "-u -g -G -c -d -s -k -e -p -f -K -Z"),
    ("usermod", "-u -g -G -c -d -s -e -p -f -l -Z"),
    ("luseradd", "-u -g -c -d -s -k"),
    ("lusermod", "-u -g -c -d -s -l"),
    ("groupadd", "-g -K"),
    ("ssh-keygen", "-t -b -f -C -N -F -R -H"),
    ("crontab", "-u"),
    ("tar", "-C -f"),
    ("unzip", "-x -d"),
    // Behind the name of a setting all is its value.
    ("git", "user.name -f -c -C --branch --depth --reference --separate-git-dir --file"),
    ("patch", "-i -d"),
    ("pip3", "-e -r -c"),
    ("python3", "-e -r -c -m"),
    ("getent", "-s"),
    (
        "iptables",
        "--destination-port -t -p -s -d -i -o -j -m -w -P -I -A -D -C --comment --dport --sport --to-destination --to-source --to-ports --match-set --icmp-type --reject-with --uid-owner --gid-owner --limit --limit-burst --log-prefix --log-level --set-dscp-mark --set-dscp-mark-class --src-range --dst-range --ctstate --state --gateway -g --dports --sports --tcp-flags",
    ),
    ("setfacl", "-m -x -M -X"),
    ("mount", "-t -o -T"),
    ("make", "-f --file -C"),
    ("apk", "--repository"),
    ("apt-get", "-t -o"),
    ("zypper", "--type"),
    ("svn", "--username --revision -r"),
    ("chage", "-m -M -W -I -E"),
    ("lvcreate", "-n -L -l -s -T -V"),
    ("vgcreate", "-s"),
    ("firewall-cmd", "--zone"),
    // Its words are no options to its own parser.
    ("ufw", "comment app"),
    ("tune2fs", "-U"),
    ("xfs_admin", "-U"),
    ("dnf", "-x --exclude"),
];

/// Calls that make modules run commands; every text in them is replaced in turn.
fn calls() -> Vec<(&'static str, Value)> {
    let posix = |short: &str, args: Value| (format!("ansible.posix.{short}"), args);
    let builtin = |short: &str, args: Value| (format!("ansible.builtin.{short}"), args);
    let general = |short: &str, args: Value| (format!("community.general.{short}"), args);
    let all = vec![
        posix("acl", json!({"path": "/f", "entity": "who", "etype": "user", "permissions": "rw", "state": "present"})),
        posix("acl", json!({"path": "/f", "entry": "default:user:who:rw", "state": "present"})),
        posix("acl", json!({"path": "/f", "entity": "who", "etype": "group", "state": "absent"})),
        posix("at", json!({"command": "ls", "count": 1, "units": "minutes"})),
        posix("mount", json!({"path": "/mnt", "src": "/dev/x", "fstype": "ext4", "opts": "ro", "state": "mounted"})),
        posix("mount", json!({"path": "/mnt", "src": "/dev/x", "fstype": "ext4", "opts": "ro", "state": "ephemeral"})),
        posix("mount", json!({"path": "/mounted", "state": "unmounted"})),
        posix("mount", json!({"path": "/mounted", "opts": "ro", "state": "remounted"})),
        posix("patch", json!({"src": "/p", "dest": "/f", "remote_src": true})),
        posix("patch", json!({"src": "/p", "basedir": "/d", "remote_src": true})),
        posix("seboolean", json!({"name": "b", "state": true})),
        posix("sysctl", json!({"name": "net.x", "value": "1", "sysctl_set": true, "reload": true})),
        posix("firewalld", json!({"zone": "public", "service": "http", "permanent": true, "state": "enabled"})),
        posix("firewalld", json!({"zone": "public", "port": "80/tcp", "immediate": true, "state": "enabled"})),
        posix(
            "firewalld",
            json!({"zone": "public", "rich_rule": "rule accept", "permanent": true, "state": "disabled"}),
        ),
        posix("firewalld", json!({"zone": "public", "interface": "eth0", "permanent": true, "state": "enabled"})),
        posix("firewalld", json!({"zone": "public", "source": "10.0.0.0/8", "permanent": true, "state": "enabled"})),
        posix("firewalld", json!({"zone": "mine", "permanent": true, "state": "present"})),
        builtin("apt", json!({"name": ["nginx"], "default_release": "stable"})),
        builtin("apt", json!({"name": ["gone=1"], "state": "absent"})),
        builtin("apt", json!({"deb": "/f"})),
        builtin("apt_key", json!({"id": "DEADBEEF", "keyserver": "keys.example"})),
        builtin("apt_key", json!({"file": "/f", "keyring": "/k"})),
        builtin("cron", json!({"name": "x", "job": "ls", "user": "root", "minute": "1"})),
        builtin("cron", json!({"name": "PATH", "job": "/bin", "env": true, "user": "root"})),
        builtin("debconf", json!({"name": "pkg", "question": "pkg/q", "vtype": "string", "value": "v"})),
        builtin("debconf", json!({"name": "pkg", "question": "pkg/q", "vtype": "password", "value": "v"})),
        builtin("dnf", json!({"name": ["nginx"], "enablerepo": "r", "exclude": "e", "releasever": "9"})),
        builtin("dnf", json!({"name": ["gone"], "state": "absent"})),
        builtin("dpkg_selections", json!({"name": "pkg", "selection": "hold"})),
        builtin("file", json!({"path": "/f", "attributes": "+d", "state": "file"})),
        builtin("getent", json!({"database": "passwd", "key": "root", "service": "files"})),
        builtin(
            "git",
            json!({"repo": "https://x/y", "dest": "/clone", "version": "main", "remote": "origin", "refspec": "a"}),
        ),
        builtin(
            "git",
            json!({"repo": "https://x/y", "dest": "/clone", "reference": "/r", "depth": 1, "ssh_opts": "-v", "key_file": "/k"}),
        ),
        builtin("group", json!({"name": "people", "gid": 7, "system": true})),
        builtin("group", json!({"name": "people", "local": true})),
        builtin("hostname", json!({"name": "box", "use": "systemd"})),
        builtin(
            "iptables",
            json!({"chain": "INPUT", "protocol": "tcp", "source": "a", "destination": "b", "jump": "ACCEPT",
            "in_interface": "i", "out_interface": "o", "destination_port": "80", "comment": "c", "ctstate": "NEW"}),
        ),
        builtin("iptables", json!({"chain": "FRESH", "chain_management": true, "table": "filter"})),
        builtin("iptables", json!({"chain": "INPUT", "policy": "DROP"})),
        builtin("pip", json!({"name": ["flask"], "executable": "pip3", "extra_args": "--user", "chdir": "/"})),
        builtin("pip", json!({"requirements": "/r", "virtualenv": "/v", "virtualenv_command": "python3 -m venv"})),
        builtin("pip", json!({"name": ["gone"], "state": "absent", "executable": "pip3"})),
        builtin("rpm_key", json!({"key": "/k", "fingerprint": "EBC6E12C62B1C734026B21222A20E52146B8D79E"})),
        builtin("rpm_key", json!({"key": "deadbeef", "state": "absent"})),
        builtin("service", json!({"name": "nginx", "state": "started", "enabled": true})),
        builtin("stat", json!({"path": "/f"})),
        builtin(
            "subversion",
            json!({"repo": "https://x/y", "dest": "/co", "revision": "7", "username": "u", "password": "p"}),
        ),
        builtin(
            "systemd_service",
            json!({"name": "nginx", "state": "started", "enabled": true, "daemon_reload": true}),
        ),
        builtin("systemd_service", json!({"name": "nginx", "masked": true, "scope": "user"})),
        builtin(
            "sysvinit",
            json!({"name": "nginx", "state": "started", "enabled": true, "pattern": "x", "arguments": "a"}),
        ),
        builtin("unarchive", json!({"src": "/a.tar", "dest": "/d", "remote_src": true, "exclude": ["e"]})),
        builtin("unarchive", json!({"src": "/a.zip", "dest": "/d", "remote_src": true, "include": ["e"]})),
        builtin(
            "user",
            json!({"name": "carol", "comment": "c", "home": "/home/carol", "shell": "/bin/sh", "group": "users",
            "groups": ["wheel"], "password": "$6$x", "skeleton": "/skel", "login_class": "l", "role": "r", "seuser": "s"}),
        ),
        builtin(
            "user",
            json!({"name": "there", "comment": "c", "home": "/home/new", "move_home": true, "shell": "/bin/sh",
            "group": "users", "groups": ["wheel"], "password": "$6$x"}),
        ),
        builtin("user", json!({"name": "there", "state": "absent", "remove": true, "force": true})),
        builtin(
            "user",
            json!({"name": "there", "generate_ssh_key": true, "ssh_key_file": "k", "ssh_key_comment": "c",
            "ssh_key_passphrase": "p", "ssh_key_type": "rsa"}),
        ),
        general("alternatives", json!({"name": "editor", "path": "/f", "link": "/l", "priority": 1})),
        general("apk", json!({"name": ["nginx"], "repository": ["r"]})),
        general("apk", json!({"name": ["gone"], "state": "absent"})),
        general("capabilities", json!({"path": "/f", "capability": "cap_net_raw+ep"})),
        general("cronvar", json!({"name": "PATH", "value": "/bin", "user": "root"})),
        general("filesystem", json!({"dev": "/f", "fstype": "ext4", "opts": "-F"})),
        general("filesystem", json!({"dev": "/f", "fstype": "ext4", "uuid": "random"})),
        general("filesystem", json!({"dev": "/f", "state": "absent"})),
        general("git_config", json!({"name": "user.name", "value": "v", "scope": "file", "file": "/f"})),
        general("git_config", json!({"name": "user.name", "state": "absent", "scope": "local", "repo": "/"})),
        general("locale_gen", json!({"name": ["de_DE.UTF-8"]})),
        general("lvg", json!({"vg": "vg0", "pvs": ["/f"], "pesize": "4"})),
        general("lvg", json!({"vg": "vg0", "state": "absent"})),
        general("lvol", json!({"vg": "vg0", "lv": "data", "size": "10", "pvs": ["/f"]})),
        general("lvol", json!({"vg": "vg0", "lv": "data", "snapshot": "s", "size": "10"})),
        general("lvol", json!({"vg": "vg0", "lv": "data", "thinpool": "t", "size": "10"})),
        general("make", json!({"chdir": "/", "target": "all", "file": "/d/Makefile", "params": {"KEY": "value"}})),
        general("modprobe", json!({"name": "dummy", "params": "a=1"})),
        general("modprobe", json!({"name": "loaded", "state": "absent"})),
        general("pacman", json!({"name": ["nginx"]})),
        general("pacman", json!({"name": ["gone"], "state": "absent"})),
        general(
            "parted",
            json!({"device": "/f", "number": 1, "state": "present", "name": "n", "label": "gpt",
            "part_start": "1MiB", "part_end": "2MiB", "fs_type": "ext4", "flags": ["boot"]}),
        ),
        general("sudoers", json!({"name": "x", "user": "carol", "commands": "ALL"})),
        general("timezone", json!({"name": "Europe/Berlin"})),
        general(
            "ufw",
            json!({"rule": "allow", "port": "80", "proto": "tcp", "from_ip": "10.0.0.1", "comment": "c",
            "interface": "eth0", "direction": "in"}),
        ),
        general("ufw", json!({"rule": "allow", "name": "OpenSSH"})),
        general("zypper", json!({"name": ["nginx"]})),
        general("zypper", json!({"name": ["gone"], "state": "absent"})),
    ];
    all.into_iter().filter_map(|(name, args)| Some((modules::find(&name)?.name, args))).collect()
}

/// What programs have to say before modules go on.
const ANSWERS: &str = "case \"$*\" in\n\
            'rpm '*|'dpkg-query '*) exit 1;;\n'getfacl '*) echo '# file: f'; echo user::rw-;;\n\
            'dpkg --get-selections'*) echo 'pkg install';;\n'getsebool '*) echo 'b --> off';;\n\
            'git --version') echo git version 2.39.0;;\n'sestatus'*) echo 'Loaded policy name: targeted';;\n\
            'parted --version'*|'parted -v'*) echo 'parted (GNU parted) 3.5';;\n'parted '*) echo 'BYT;'; echo '/f:102400kiB:file:512:512:gpt::;';;\n\
            'lvm version'*) echo '  LVM version:     2.03.16(2)';;\n'vgs '*) ;;\n\
            'firewall-cmd --state'*) echo running;;\n'firewall-cmd '*query*) exit 1;;\n'firewall-cmd --get-default-zone') echo public;;\n\
            'blkid '*) exit 2;;\n'mkfs.ext4 -V'*) echo 'mke2fs 1.47.0' >&2;;\n\
            'iptables --version') echo 'iptables v1.8.9 (nf_tables)';;\n'iptables '*' -C '*|'iptables '*' -n -L '*) exit 1;;\n\
            'svn --version'*) echo 1.14.2;;\n'hostnamectl '*) ;;\nesac\nexit 0\n";

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
