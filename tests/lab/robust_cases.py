"""File modules where nothing can be written: each fails in the system's words, and every file is as it was."""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.lab import Lab
from tool import Tool

PLACE = "/srv/place"
#: What each module is asked for; `{dest}` is a file that is there, `{source}` a long one elsewhere.
WRITES = {
    "copy": "ansible.builtin.copy: {content: \"{{ long }}\", dest: DEST}",
    "copy_here": "ansible.builtin.copy: {src: SOURCE, dest: DEST, remote_src: true}",
    "template": "ansible.builtin.template: {src: long.j2, dest: DEST}",
    "lineinfile": "ansible.builtin.lineinfile: {path: DEST, line: \"{{ long }}\"}",
    "blockinfile": "ansible.builtin.blockinfile: {path: DEST, block: \"{{ long }}\"}",
    "replace": "ansible.builtin.replace: {path: DEST, regexp: old, replace: \"{{ long }}\"}",
    "ini_file": "community.general.ini_file: {path: DEST, section: s, option: o, value: \"{{ long }}\"}",
    "get_url": "ansible.builtin.get_url: {url: \"file://SOURCE\", dest: DEST, force: true}",
    "assemble": "ansible.builtin.assemble: {src: /srv/parts, dest: DEST}",
}
#: What needs no room, and fails all the same where nothing may be changed.
CHANGES = {
    "unarchive": "ansible.builtin.unarchive: {src: /srv/archive.tar, dest: PLACE, remote_src: true}",
    "mode": "ansible.builtin.file: {path: DEST, mode: '0600'}",
    "touch": "ansible.builtin.file: {path: DEST, state: touch}",
    "absent": "ansible.builtin.file: {path: DEST, state: absent}",
    "link": "ansible.builtin.file: {path: DEST, src: /etc/passwd, state: link, force: true}",
    "hard": "ansible.builtin.file: {path: DEST, src: PLACE/other, state: hard, force: true}",
}


class Robust:
    """One host with a file system of its own below /srv."""

    def __init__(self, tool: Tool):
        self.tool = tool
        self.lab = Lab("judge-robust")

    def up(self) -> None:
        self.lab.down()
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-robust-"))
        self.lab.up("flat:1")
        self.host = self.lab.hosts()[0]
        self.inventory = self.lab.directory / "inventory.yml"
        (self.scratch / "long.j2").write_text("{{ long }}\n")
        self.run("mkdir -p /srv/place /srv/parts; head -c 600000 /dev/zero | tr '\\0' x >/srv/long; cp /srv/long /srv/parts/1;"
                 " mkdir -p /srv/d; echo new >/srv/d/unarchive; tar cf /srv/archive.tar -C /srv/d unarchive")

    def down(self) -> None:
        self.lab.down()
        if hasattr(self, "scratch"):
            shutil.rmtree(self.scratch)

    def cases(self):
        return [self.full_disk, self.read_only_mount, self.immutable_files, self.synchronize]

    def run(self, line: str) -> str:
        done = self.host.exec(line)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        return done.stdout

    def all_refused(self, tasks: dict[str, str], words: str, size: int = 400_000) -> None:
        """Runs the tasks, all of which fail, on files that stay as they are."""
        shape = f"cd {PLACE}; for f in $(ls -A); do stat -c '%n %a %F %Y %h' $f; [ -f $f ] && cksum <$f; done"
        before = self.run(shape)
        lines = ["- hosts: all", "  gather_facts: false", "  vars: {long: \"{{ 'x' * " + str(size) + " }}\"}", "  tasks:"]
        for name, task in tasks.items():
            task = task.replace("DEST", f"{PLACE}/{name}").replace("SOURCE", "/srv/long").replace("PLACE", PLACE)
            lines += [f"  - {task}", "    ignore_errors: true", "    register: done",
                      "  - ansible.builtin.debug: {msg: \"" + name + " says {{ done.failed }} {{ done.msg | default('') | string | truncate(300) }}"
                      " {{ done.extract_results.err | default('') }}\"}"]
        play = self.scratch / "play.yml"
        play.write_text("\n".join(lines) + "\n")
        outcome = self.tool.run(play, self.inventory, timeout=120).expect(0)
        for name in tasks:
            said = re.search(rf"{name} says (True|False)(.*)", outcome.text)
            assert said, f"{name} was not run:\n{outcome.text[-2000:]}"
            # tar, which unpacks, finds the file that it could not remove.
            wanted = f"{words}|cannot open: file exists" if name == "unarchive" else words
            assert said[1] == "True" and re.search(wanted, said[2], re.I), f"{name}: {said[0]}"
        after = self.run(shape)
        assert after == before, f"changed:\n{before}\n---\n{after}"

    def fill(self, names, options: str) -> None:
        self.run(f"mount -t tmpfs {options} tmpfs {PLACE} && cd {PLACE} && for f in {' '.join(names)} other; do echo old >$f; done")

    def synchronize(self) -> None:
        """rsync over the login of the run, and as another user whose sudo asks for a password."""
        for install in (self.run, lambda line: subprocess.run(line, shell=True, check=True)):
            install("command -v rsync >/dev/null || { apt-get update -qq && apt-get install -y -qq rsync; } >/dev/null 2>&1")
        self.run("useradd -m dora && echo dora:secret | chpasswd && echo 'dora ALL=(ALL) ALL' >/etc/sudoers.d/dora"
                 " && cp -r /root/.ssh ~dora/ && chown -R dora: ~dora/.ssh")
        source, back = self.scratch / "sent", self.scratch / "back"
        (source / "it's a $HOME").mkdir(parents=True)
        (source / "it's a $HOME" / "b").write_text("b\n")
        (source / "big").write_bytes(os.urandom(5_000_000))
        play = self.scratch / "play.yml"
        push = f"ansible.posix.synchronize: {{src: {source}/, dest: /srv/got}}"
        play.write_text(f"""\
- hosts: all
  gather_facts: false
  tasks:
  - {push}
    check_mode: true
  - ansible.builtin.command: {{cmd: test ! -e /srv/got}}
  - {push}
    register: once
  - {push}
    register: twice
  - ansible.builtin.assert: {{that: [once is changed, twice is not changed]}}
  - ansible.posix.synchronize: {{src: /srv/got/, dest: {back}, mode: pull}}
  - ansible.posix.synchronize: {{src: /srv/got/, dest: /srv/again}}
    delegate_to: "{{{{ inventory_hostname }}}}"
  - ansible.posix.synchronize: {{src: {source}/, dest: /srv/become}}
    become: true
    vars: {{ansible_user: dora, ansible_become_password: secret}}
""")
        self.tool.run(play, self.inventory, timeout=120).expect(0)
        sums = "find . -type f -exec cksum {} + | sort"
        here = subprocess.run(sums, cwd=source, shell=True, capture_output=True, text=True, check=True).stdout
        assert here.count("\n") == 2, here
        for place in ("/srv/got", "/srv/again", "/srv/become"):
            there = self.run(f"cd {place} && {sums}")
            assert there == here, f"{place}: {there}"
        pulled = subprocess.run(sums, cwd=back, shell=True, capture_output=True, text=True, check=True).stdout
        assert pulled == here, pulled

    def full_disk(self) -> None:
        self.fill(WRITES, "-o size=256k")
        try:
            self.all_refused(WRITES, "no space left on device")
        finally:
            self.run(f"umount {PLACE}")

    def read_only_mount(self) -> None:
        tasks = WRITES | CHANGES
        self.fill(tasks, "-o size=10m")
        try:
            self.run(f"mount -o remount,ro {PLACE}")
            self.all_refused(tasks, "read-only file system", size=100)
        finally:
            self.run(f"umount {PLACE}")

    def immutable_files(self) -> None:
        tasks = WRITES | CHANGES
        self.fill(tasks, "-o size=10m")
        try:
            self.run(f"chattr +i {PLACE}/*")
            self.all_refused(tasks, "operation not permitted", size=100)
        finally:
            self.run(f"chattr -i {PLACE}/*; umount {PLACE}")
