"""The fortress's logins and way out from fresh to converged, against ansible-core doing the same next door."""
import os
import re
import shutil
import signal
import subprocess
import threading

from lab import manifest, shell
from lab.lab import Lab
from tool import ACCESS, SITE, Outcome, Tool

PRIVATE = ["app-01", "app-02", "db-primary", "db-replica", "jobs-01", "monitor-01"]
MANAGED = ["bastion-01", *PRIVATE]
UPDATE = "timeout {} apt-get -q -o APT::Update::Error-Mode=any update"

# Changes that a check cannot foresee, because they happen only when an earlier change has happened: sshd's reload
# everywhere; on the bastion also enabling the new unit and loading the rules by a handler.
DEPENDENT = {"bastion-01": 3} | {host: 1 for host in PRIVATE}


class Fortress:
    """Two labs, one for each tool, with the same operator's key so that the files they end in can be equal."""

    def __init__(self, tool: Tool, standard: Tool):
        self.tool, self.standard = tool, standard
        self.lab, self.other = Lab("judge-rplay"), Lab("judge-reference")
        self.state: dict = {}

    def up(self) -> None:
        for lab in (self.lab, self.other):
            lab.down()
        self.lab.up("fortress")
        self.other.directory.mkdir(parents=True, exist_ok=True)
        for name in ("operator", "operator.pub"):
            shutil.copy2(self.lab.directory / name, self.other.directory / name)
        self.other.up("fortress")
        self.pristine = self.manifests(self.lab)
        # The reference takes its time; it has its own lab and can do so meanwhile.
        self.meanwhile = self.standard.start(SITE, self.other.directory / "inventory.yml", *ACCESS)

    def down(self) -> None:
        if getattr(self, "meanwhile", None) and self.meanwhile.poll() is None:
            os.killpg(self.meanwhile.pid, signal.SIGKILL)
            self.meanwhile.wait()
        self.lab.down()
        self.other.down()

    @staticmethod
    def manifests(lab: Lab) -> dict:
        return {host: lab.host(host).manifest() for host in MANAGED}

    def run(self, *args: str) -> Outcome:
        return self.tool.run(SITE, self.lab.directory / "inventory.yml", *ACCESS, *args)

    # --- the cases, in order ---

    def cases(self):
        return [self.no_way_out_before, self.check_changes_nothing, self.converges, self.one_connection,
                self.check_predicted_the_same, self.way_out_after, self.only_the_deploy_user_gets_in,
                self.second_run_changes_nothing, self.check_finds_nothing, self.same_files_as_the_reference,
                self.drift_is_repaired, self.unproven_sshd_change_is_taken_back, self.nat_survives_a_reboot]

    def no_way_out_before(self):
        done = self.lab.host("app-01").exec(UPDATE.format(5))
        assert done.returncode != 0, "apt-get update works on app-01 although there is no NAT yet"

    def check_changes_nothing(self):
        self.state["check"] = self.run("--check", "--diff").expect(0)
        after = self.manifests(self.lab)
        lines = [f"{h} {line}" for h in MANAGED for line in manifest.diff(self.pristine[h], after[h])]
        assert not lines, "\n".join(lines)
        for needle in ("+PermitRootLogin no", "+deployer ALL=(ALL:ALL) NOPASSWD: ALL"):
            assert needle in self.state["check"].text, f"the diff does not show `{needle}`"

    def converges(self):
        watch = JumpWatch(self.lab)
        try:
            self.state["converged"] = self.run().expect(0)
        finally:
            self.state["jumps"] = watch.stop()
        missing = [h for h in MANAGED if self.state["converged"].recap.get(h, {}).get("changed", 0) == 0]
        assert not missing, f"no changes reported for {missing}:\n{self.state['converged'].text[-2000:]}"

    def one_connection(self):
        jumps = self.needs("jumps")
        reached = {target for targets in jumps.values() for target in targets}
        addresses = {self.lab.host(h).address for h in PRIVATE}
        assert reached == addresses, f"saw connections to {sorted(reached)} only"
        assert len(jumps) == 1, f"{len(jumps)} connections to the bastion carried the private hosts, not one"

    def check_predicted_the_same(self):
        predicted, real = self.needs("check").changed(), self.needs("converged").changed()
        wrong = {h: (predicted.get(h), real.get(h)) for h in MANAGED if predicted.get(h, 0) + DEPENDENT[h] != real.get(h)}
        assert not wrong, f"changed in check and in the real run (dependent changes are {DEPENDENT}): {wrong}"

    def way_out_after(self):
        self.needs("converged")
        done = self.lab.host("app-01").exec(UPDATE.format(60))
        assert done.returncode == 0, done.stdout + done.stderr

    def only_the_deploy_user_gets_in(self):
        self.needs("converged")
        ssh = ["ssh", "-F", self.lab.ssh_config, "-o", "BatchMode=yes"]
        for host in MANAGED:
            root = shell.attempt(*ssh, f"root@{host}", "true")
            assert "Permission denied" in root.stderr, f"root gets in on {host}: {root.stderr}"
            deployer = shell.attempt(*ssh, host, "sudo -n id -u")
            assert deployer.stdout == "0\n", f"deployer on {host}: {deployer.stderr}"

    def second_run_changes_nothing(self):
        self.needs("converged")
        again = self.run().expect(0)
        self.state["again"] = again
        assert again.changed() == {h: 0 for h in MANAGED}, f"changed: {again.changed()}\n{again.text[-2000:]}"

    def check_finds_nothing(self):
        self.needs("converged")
        again = self.run("--check", "--diff").expect(0)
        assert again.changed() == {h: 0 for h in MANAGED}, f"changed: {again.changed()}\n{again.text[-2000:]}"

    def same_files_as_the_reference(self):
        self.needs("converged")
        self.standard.finish(self.meanwhile).expect(0)
        ours, theirs = self.manifests(self.lab), self.manifests(self.other)
        lines = [f"{h} {line}" for h in MANAGED for line in manifest.diff(theirs[h], ours[h])]
        assert not lines, "reference -> tool:\n" + "\n".join(lines)

    def drift_is_repaired(self):
        """A stray key, a wrong mode, a weakened sshd: all put right, and no backup or other trace left."""
        self.needs("converged")
        host = self.lab.host("app-01")
        before = host.manifest()
        done = host.exec("echo 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIcOO/tZEqC7TpxSjuL+YaXmAiMUK4DYFyCzeaarJgU x'"
                         " >>/home/deployer/.ssh/authorized_keys; chmod 644 /etc/sudoers.d/50-deployer;"
                         "sed -i 's/^PermitRootLogin no/PermitRootLogin yes/' /etc/ssh/sshd_config.d/00-harden.conf; systemctl reload ssh")
        assert done.returncode == 0, done.stderr
        outcome = self.run("-l", "app-01").expect(0)
        # Keys, mode, drop-in, and the reload that follows from the last; the former drop-in's removal is one more.
        assert outcome.changed() == {"app-01": 5}, f"{outcome.changed()}\n{outcome.text[-3000:]}"
        lines = manifest.diff(before, host.manifest())
        assert not lines, "\n".join(lines)

    def unproven_sshd_change_is_taken_back(self):
        """A change that locks the deploy user out fails, and the host goes back to what it had by itself."""
        self.needs("converged")
        host = self.lab.host("app-02")
        before = host.manifest()
        # That sshd knows of the change is what counts, so the group exists and the deploy user is not in it.
        lock_out = '{"harden_ssh_allow_groups": ["games"], "harden_ssh_rollback_after": 12}'
        outcome = self.run("-l", "app-02", "-e", lock_out).expect(2)
        assert "runs with the former one again" in outcome.text, outcome.text[-3000:]
        assert outcome.recap["app-02"]["failed"] == 1, outcome.recap
        login = shell.attempt("ssh", "-F", self.lab.ssh_config, "-o", "BatchMode=yes", "app-02", "id -un")
        assert login.stdout == "deployer\n", login.stderr
        lines = manifest.diff(before, host.manifest())
        assert not lines, "\n".join(lines)

    def nat_survives_a_reboot(self):
        self.needs("converged")
        bastion = self.lab.host("bastion")
        bastion.reboot()
        self.way_out_after()

    def needs(self, key: str):
        assert key in self.state, "an earlier case failed"
        return self.state[key]


class JumpWatch:
    """Which connections to the bastion carry traffic to private hosts, seen on the bastion.

    sshd has one process per incoming connection, and that process opens the outgoing ones. So each process id that owns
    connections to port 22 of private addresses stands for one TCP connection to the bastion.
    """

    LOOP = "while :; do ss -Htnp state established dport = :22; echo; sleep 0.02; done"

    def __init__(self, lab: Lab):
        self.owners: dict[str, set] = {}
        self.child = subprocess.Popen(lab.host("bastion").exec_command(self.LOOP), text=True, start_new_session=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.child.stdout:
            words = line.split()
            if len(words) >= 5 and (owner := re.search(r'"sshd",pid=(\d+)', line)):
                self.owners.setdefault(owner[1], set()).add(words[3].rsplit(":", 1)[0])

    def stop(self) -> dict[str, set]:
        self.child.kill()
        self.child.wait()
        self.reader.join(5)
        return self.owners
