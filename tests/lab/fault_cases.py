"""What goes wrong on servers: one host of three fails, in a way that a person understands, and the others go on."""
import re
import shutil
import tempfile
import time
from pathlib import Path

from lab.lab import Lab
from tool import Outcome, Tool

VICTIM, OTHERS = "host-02", ["host-01", "host-03"]


class Faults:
    """Three hosts; each case breaks one and puts it right again."""

    def __init__(self, tool: Tool):
        self.tool = tool
        self.lab = Lab("judge-faults")

    def up(self) -> None:
        self.lab.down()
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-faults-"))
        self.lab.up("flat:3")
        self.inventory = self.lab.directory / "inventory.yml"

    def down(self) -> None:
        self.lab.down()
        if hasattr(self, "scratch"):
            shutil.rmtree(self.scratch)

    def cases(self):
        return [self.unreachable_host, self.wrong_host_key, self.denied_key, self.full_disk, self.sudo_wants_a_password,
                self.host_dies_mid_task]

    # --- helpers ---

    def playbook(self, tasks: str, header: str = "gather_facts: false") -> Path:
        path = self.scratch / "play.yml"
        tasks = tasks.replace("REACHED", r'"reached\n"')
        lines = "".join(f"    {line}\n" if line else "\n" for line in tasks.strip("\n").splitlines())
        path.write_text(f"- name: A play\n  hosts: all\n  {header}\n  tasks:\n{lines}")
        return path

    def others_have(self, path: str, text: str) -> None:
        for name in OTHERS:
            seen = self.lab.host(name).exec("cat", path).stdout
            assert seen == text, f"{name} did not go on: {path} holds {seen[:80]!r}"

    @staticmethod
    def says(outcome: Outcome, host: str, pattern: str) -> None:
        assert host in outcome.text, f"the output does not name {host}:\n{outcome.text[-2000:]}"
        assert re.search(pattern, outcome.text, re.I), f"the output does not say /{pattern}/:\n{outcome.text[-2000:]}"

    @staticmethod
    def counted(outcome: Outcome, host: str, *counters: str) -> None:
        counts = outcome.recap.get(host, {})
        assert any(counts.get(c, 0) for c in counters), f"the recap does not count {host} as {counters}: {counts}"

    # --- the cases ---

    def unreachable_host(self):
        nobody = self.lab.network.outside(250)
        extra = self.scratch / "inventory.yml"
        ours = self.inventory.read_text().replace("      hosts:\n", f"      hosts:\n        ghost:\n          ansible_host: {nobody}\n", 1)
        extra.write_text(ours)
        play = self.playbook("- name: Write\n  ansible.builtin.copy: {content: REACHED, dest: /root/unreachable}")
        outcome = self.tool.run(play, extra, timeout=60).expect(4)
        self.says(outcome, "ghost", r"no route|timed out|timeout|unreachable")
        self.counted(outcome, "ghost", "unreachable")
        self.others_have("/root/unreachable", "reached\n")

    def wrong_host_key(self):
        known = (self.lab.directory / "known_hosts").read_text().splitlines()
        wrong = next(line.split()[2] for line in known if line.startswith("host-01,") and "ed25519" in line)
        # The victim's only known key is another host's.
        lines = [line for line in known if not line.startswith(f"{VICTIM},")]
        lines.append(f"{VICTIM},{self.lab.host(VICTIM).address} ssh-ed25519 {wrong}")
        (self.scratch / "known_hosts").write_text("\n".join(lines) + "\n")
        config = self.lab.ssh_config.read_text().replace(f"{self.lab.directory}/known_hosts", f"{self.scratch}/known_hosts")
        (self.scratch / "ssh_config").write_text(config)
        inventory = self.scratch / "inventory.yml"
        inventory.write_text(self.inventory.read_text().replace(str(self.lab.ssh_config), f"{self.scratch}/ssh_config"))
        play = self.playbook("- name: Write\n  ansible.builtin.copy: {content: REACHED, dest: /root/hostkey}")
        outcome = self.tool.run(play, inventory, timeout=60).expect(4)
        self.says(outcome, VICTIM, r"host key|host identification")
        self.counted(outcome, VICTIM, "unreachable")
        assert self.lab.host(VICTIM).exec("test -e /root/hostkey").returncode == 1, "wrote to a host that is not the one it knows"
        self.others_have("/root/hostkey", "reached\n")

    def denied_key(self):
        victim = self.lab.host(VICTIM)
        victim.exec("mv /root/.ssh/authorized_keys /root/.ssh/away")
        try:
            play = self.playbook("- name: Write\n  ansible.builtin.copy: {content: REACHED, dest: /root/denied}")
            outcome = self.tool.run(play, self.inventory, timeout=60).expect(4)
        finally:
            victim.exec("mv /root/.ssh/away /root/.ssh/authorized_keys")
        self.says(outcome, VICTIM, r"permission denied|denied|refused.*key|authentication")
        self.counted(outcome, VICTIM, "unreachable")
        self.others_have("/root/denied", "reached\n")

    def full_disk(self):
        for host in self.lab.hosts():
            host.exec("mkdir -p /srv/small; echo old >/srv/small/target")
        victim = self.lab.host(VICTIM)
        victim.exec("mount -t tmpfs -o size=256k tmpfs /srv/small; echo old >/srv/small/target")
        (self.scratch / "big").write_text("new\n" * 250_000)
        try:
            play = self.playbook(f"- name: Copy\n  ansible.builtin.copy: {{src: {self.scratch}/big, dest: /srv/small/target}}")
            outcome = self.tool.run(play, self.inventory, timeout=60).expect(2)
            left = victim.exec("ls -A /srv/small; cat /srv/small/target").stdout
        finally:
            victim.exec("umount /srv/small")
        self.says(outcome, VICTIM, r"no space left|disk.*full|ENOSPC")
        self.counted(outcome, VICTIM, "failed")
        assert left == "target\nold\n", f"left behind on the full disk: {left[:200]!r}"
        self.others_have("/srv/small/target", "new\n" * 250_000)

    def sudo_wants_a_password(self):
        for host in self.lab.hosts():
            rule = "ALL" if host.name == VICTIM else "NOPASSWD: ALL"
            made = host.exec("id carol >/dev/null 2>&1 || useradd -m -s /bin/bash carol; mkdir -p -m 700 ~carol/.ssh;"
                             "cp /root/.ssh/authorized_keys ~carol/.ssh/; chown -R carol: ~carol/.ssh;"
                             f"echo 'carol:secret' | chpasswd; echo 'carol ALL=(ALL) {rule}' >/etc/sudoers.d/carol")
            assert made.returncode == 0, made.stderr
        play = self.playbook("- name: Write\n  ansible.builtin.copy: {content: REACHED, dest: /root/sudo}",
                             header="gather_facts: false\n  become: true")
        outcome = self.tool.run(play, self.inventory, "-e", "ansible_user=carol", timeout=60).expect(2, 4)
        self.says(outcome, VICTIM, r"password")
        self.counted(outcome, VICTIM, "failed", "unreachable")
        self.others_have("/root/sudo", "reached\n")

    def host_dies_mid_task(self):
        victim = self.lab.host(VICTIM)
        play = self.playbook(
            "- name: Wait\n"
            "  ansible.builtin.shell: {cmd: touch /run/waiting; sleep 4}\n"
            "- name: Write\n"
            "  ansible.builtin.copy: {content: REACHED, dest: /root/died}\n")
        child = self.tool.start(play, self.inventory)
        try:
            deadline = time.monotonic() + 30
            while victim.exec("test -e /run/waiting").returncode != 0:
                assert time.monotonic() < deadline and child.poll() is None, "the task did not begin"
                time.sleep(0.05)
            victim.kill()
            outcome = self.tool.finish(child, timeout=90)
        finally:
            if child.poll() is None:
                child.kill()
            self.lab.up("flat:3")
        outcome.expect(4, 2)
        self.says(outcome, VICTIM, r"connection|unreachable|lost|timed out|timeout|broken pipe")
        self.counted(outcome, VICTIM, "unreachable", "failed")
        self.others_have("/root/died", "reached\n")
        assert victim.exec("test -e /root/died").returncode == 1
