"""What is asked of every role, in this order; a role's own file in cases/ fills in the rest.

check_on_fresh      check mode on a fresh host succeeds and leaves no trace
converges           the first run
check_was_honest    it changed exactly what the check had announced, but for the tasks in `only_in_run`
changes_nothing     the second run changes nothing, and neither does a check say so
same_as_reference   ansible-core on its own fresh lab ended in the same files, and its second run changes nothing
uses_…              the methods of that name: that it works is seen by using it
change …            a changed variable changes the tasks it should and no other, and so does the way back
drift …             what was broken by hand is found by a check and mended by a run, and the disk is as before
removal             where the role offers it
"""
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import disk
import reference
from lab import manifest, shell
from side import PROJECT, Run, Side

# Every role that has labs up, so that a run that is stopped takes them down.
OPEN: set = set()


def tasks_of(role: str) -> Callable[[str], str]:
    """What makes the full names of a role's tasks, as the output has them."""
    return lambda task: f"{role} : {task}"


@dataclass
class Case:
    """One thing to see: it passes unless it raises AssertionError."""

    name: str
    run: Callable[[], None]


@dataclass
class Change:
    """A variable that somebody changes: the tasks (`role : name`, or a handler's name) that then change something."""

    label: str
    variables: dict
    tasks: set
    only_in_run: set = field(default_factory=set)  # of `tasks`, those that a check cannot know of
    then: Callable | None = None  # called with the suite after the change, before the way back
    back: bool = True  # whether to go back to what it was; the same tasks must change again
    back_tasks: set | None = None  # where the way back is another one


@dataclass
class Drift:
    """Something broken by hand on a host, with the tasks that find it in a check and mend it in a run."""

    label: str
    script: str
    tasks: set
    host: str = ""  # the first one of the lab unless said
    only_in_run: set = field(default_factory=set)
    mended: str = ""  # a script that succeeds when all is well again, for what is not a file


class Role:
    """A role under test. Subclasses set the attributes and add methods `uses_…`."""

    name = ""
    topology = "single"
    play: list | None = None  # plays; by default the role on all hosts, as root
    playbook: Path | None = None  # a playbook of the project instead
    inventory: dict = {}  # groups and variables over the lab's own inventory
    variables: dict = {}  # what the role is given, as `-e`
    prepare: dict | str = ""  # a shell script that makes a host what the role takes as given; a dict has one by host
    only_in_run: set = set()  # tasks of the first run that a check on a fresh host cannot know of
    always: set = set()  # tasks that are meant to change something in every run
    changes: list[Change] = []
    drifts: list[Drift] = []
    made_up: dict = {}  # patterns of files that each host makes up for itself -> why
    removal: dict = {}  # variables that remove it; `removed` then looks
    reference_too = True

    def __init__(self, rplay: str, suite: str, only: list[str], logs: str | None):
        self.suite, self.only, self.logs = suite, only, logs
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-role-"))
        link = self.scratch / "ansible-playbook"
        link.symlink_to(rplay)
        self.mine = Side("rplay", str(link), self.name, self.scratch)
        self.other = Side("reference", str(reference.ensure() / "ansible-playbook"), self.name, self.scratch)
        self.state: dict = {}
        self.number = 0

    # --- labs ---

    def wants_reference(self) -> bool:
        return self.reference_too and (not self.only or "same_as_reference" in self.only)

    def up(self, keep: bool = False) -> None:
        """Fresh hosts for both tools; `keep` goes on with those that are up."""
        OPEN.add(self)
        if not keep:
            # What a run that was cut off has left would not be fresh.
            self.mine.lab.down()
        fresh = not self.mine.lab.exists()
        self.mine.lab.up(self.topology, self.suite)
        if fresh:
            self._prepare(self.mine)
        if self.wants_reference():
            self.other.lab.down()
            self.other.lab.directory.mkdir(parents=True, exist_ok=True)
            # The same operator's key, so that files that hold it can be equal.
            for name in ("operator", "operator.pub"):
                shutil.copy2(self.mine.lab.directory / name, self.other.lab.directory / name)
            self.other.lab.up(self.topology, self.suite)
            self._prepare(self.other)
            self.meanwhile = threading.Thread(target=self._reference, daemon=True)
            self.meanwhile.start()

    def _prepare(self, side: Side) -> None:
        for host in side.lab.hosts():
            script = self.prepare if isinstance(self.prepare, str) else self.prepare.get(host.name, "")
            side.sh(host.name, "mkdir -p -m 700 /root/.ansible/tmp\n" + script, timeout=900)

    def _reference(self) -> None:
        try:
            for key in ("first", "second"):
                self.state["reference " + key] = self._run(self.other, {})
            self.state["reference files"] = self.files(self.other)
        except Exception as error:  # told by the case that needs it
            self.state["reference error"] = error

    def down(self) -> None:
        """Leave nothing behind."""
        OPEN.discard(self)
        for side in (self.mine, self.other):
            side.kill()
            side.lab.down()
        shutil.rmtree(self.scratch, ignore_errors=True)

    # --- for the cases ---

    def hosts(self) -> list[str]:
        return [host.name for host in self.mine.lab.hosts()]

    def sh(self, host: str, script: str, timeout: float = 600) -> str:
        """Run a shell script as root on a host of rplay's lab; it must succeed."""
        return self.mine.sh(host, script, timeout)

    def run(self, *arguments: str, variables: dict | None = None, playbook: Path | None = None) -> Run:
        """One run of rplay: the role's own play, or `playbook`; `variables` go over the role's."""
        return self._run(self.mine, variables or {}, *arguments, playbook=playbook)

    def check(self, variables: dict | None = None) -> Run:
        return self.run("--check", "--diff", variables=variables).expect(0)

    def sql(self, host: str, query: str, database: str = "postgres") -> str:
        """What a host's PostgreSQL answers its superuser."""
        return self.sh(host, f"cd /; runuser -u postgres -- psql -XAtq {database} <<'E'\n{query}\nE").strip()

    def only_the_deployer_gets_in(self, *hosts: str) -> None:
        """By ssh from the operator's machine: not root, not by a password, and the deploy user becomes root."""
        ssh = ["ssh", "-F", self.mine.lab.ssh_config, "-o", "BatchMode=yes"]
        for host in hosts:
            root = shell.attempt(*ssh, f"root@{host}", "true")
            assert "Permission denied" in root.stderr, f"root gets in on {host}: {root.stderr}"
            assert "password" not in root.stderr.split("(")[-1], f"{host} offers passwords: {root.stderr}"
            deployer = shell.attempt(*ssh, f"deployer@{host}", "sudo -n id -u")
            assert deployer.stdout == "0\n", f"deployer on {host}: {deployer.stderr}"

    def files(self, side: Side) -> dict:
        return {host.name: host.manifest() for host in side.lab.hosts()}

    def needs(self, key: str):
        assert key in self.state, "an earlier case failed"
        return self.state[key]

    def _run(self, side: Side, variables: dict, *arguments: str, playbook: Path | None = None) -> Run:
        plays = self.play or [{"hosts": "all", "become": True, "roles": [self.name]}]
        inventories = [side.lab.directory / "inventory.yml"]
        if self.inventory:
            inventories.append(side.write("groups.yml", self.inventory))
        run = side.run(playbook or self.playbook or side.write("converge.yml", plays), inventories, self.variables | variables, *arguments)
        if self.logs:
            self.number += 1
            (Path(self.logs) / f"{self.name}.{self.number:02}.{side.which}").write_text(run.text)
        return run

    def _mask(self, tasks: set) -> set:
        return tasks - self.always

    # --- the cases ---

    def cases(self) -> list[Case]:
        found = [Case(f.__name__, f) for f in (self.check_on_fresh, self.converges, self.check_was_honest, self.changes_nothing)]
        if self.reference_too:
            found.append(Case("same_as_reference", self.same_as_reference))
        found += [Case(n, getattr(self, n)) for n in vars(type(self)) if n.startswith("uses_")]
        found += [Case(f"change {c.label}", lambda c=c: self._change(c)) for c in self.changes]
        found += [Case(f"drift {d.label}", lambda d=d: self._drift(d)) for d in self.drifts]
        if self.removal:
            found.append(Case("removal", self._removal))
        return found

    def check_on_fresh(self) -> None:
        before = self.files(self.mine)
        self.state["check"] = self.check()
        self._same_disks(before, self.files(self.mine), {})

    def converges(self) -> None:
        self.state["converged"] = self.run().expect(0)

    def check_was_honest(self) -> None:
        foretold, done = self.needs("check").changed, self.needs("converged").changed
        lines = []
        for host in self.hosts():
            said, did = set(foretold.get(host, [])), set(done.get(host, []))
            lines += [f"{host}: a check announced `{task}`, which then changed nothing" for task in sorted(said - did)]
            lines += [f"{host}: `{task}` changed something that the check had not announced" for task in sorted(did - said - self.only_in_run)]
        happened = self.needs("converged").tasks() - self.needs("check").tasks()
        lines += [f"`{task}` is said to change only in a run; it was announced or did not change" for task in sorted(self.only_in_run - happened)]
        assert not lines, "\n".join(lines)

    def changes_nothing(self) -> None:
        self.needs("converged")
        again = self.run().expect(0)
        assert again.tasks() == self.always, f"a second run changed {sorted(again.tasks() - self.always)}"
        self.state["files"] = self.files(self.mine)
        self.state["texts"] = disk.texts(self.mine, self.state["files"])
        said = self.check().tasks()
        assert not self._mask(said), f"a check of a converged host announces {sorted(said)}"

    def same_as_reference(self) -> None:
        ours, texts = self.needs("files"), self.needs("texts")
        self.meanwhile.join()
        if error := self.state.get("reference error"):
            raise error
        first, second = self.needs("reference first").expect(0), self.needs("reference second").expect(0)
        mine = self.needs("converged")
        lines = [f"{host}: changed by the reference {sorted(set(first.changed.get(host, [])) - set(mine.changed.get(host, [])))}, "
                 f"by rplay {sorted(set(mine.changed.get(host, [])) - set(first.changed.get(host, [])))}"
                 for host in self.hosts() if set(first.changed.get(host, [])) != set(mine.changed.get(host, []))]
        if second.tasks() != self.always:
            lines.append(f"a second run of the reference changed {sorted(second.tasks() - self.always)}")
        theirs = self.state["reference files"]
        lines += disk.differences(theirs, disk.texts(self.other, theirs), ours, texts, self.made_up)
        print(f"     {self.name}: {sum(map(len, ours.values()))} files; ansible-core {first.seconds:.0f}+{second.seconds:.0f} s, "
              f"rplay {mine.seconds:.0f} s and {len(mine.tasks())} tasks changed", flush=True)
        assert not lines, "\n".join(lines[:60])

    def _change(self, change: Change) -> None:
        self.needs("converged")
        said = self._mask(self.check(change.variables).tasks())
        assert said == change.tasks - change.only_in_run, _unlike("a check announced", said, change.tasks - change.only_in_run)
        did = self._mask(self.run(variables=change.variables).expect(0).tasks())
        assert did == change.tasks, _unlike("a run changed", did, change.tasks)
        again = self._mask(self.run(variables=change.variables).expect(0).tasks())
        assert not again, f"and once more it changed {sorted(again)}"
        if change.then:
            change.then(self)
        if change.back:
            wanted = change.tasks if change.back_tasks is None else change.back_tasks
            did = self._mask(self.run().expect(0).tasks())
            assert did == wanted, _unlike("the way back changed", did, wanted)

    def _drift(self, drift: Drift) -> None:
        self.needs("converged")
        host = drift.host or self.hosts()[0]
        before = {host: self.mine.host(host).manifest()}
        self.sh(host, drift.script)
        said = self._mask(self.check().tasks())
        assert said == drift.tasks - drift.only_in_run, _unlike("a check found", said, drift.tasks - drift.only_in_run)
        did = self._mask(self.run().expect(0).tasks())
        assert did == drift.tasks, _unlike("a run mended", did, drift.tasks)
        if drift.mended:
            self.sh(host, drift.mended)
        self._same_disks(before, {host: self.mine.host(host).manifest()}, self.made_up)

    def _removal(self) -> None:
        self.needs("converged")
        self.check(self.removal)
        assert self.run(variables=self.removal).expect(0).tasks(), "removing it changed nothing"
        again = self._mask(self.run(variables=self.removal).expect(0).tasks())
        assert not again, f"removing it once more changed {sorted(again)}"
        self.removed()

    def removed(self) -> None:
        """Look that nothing is left; a role with `removal` says what."""
        raise AssertionError(f"cases for {self.name} do not say what its removal leaves")

    @staticmethod
    def _same_disks(before: dict, after: dict, made_up: dict) -> None:
        ignore = (*disk.IGNORE, *made_up)
        lines = [f"{host} {line}" for host in before for line in manifest.diff(before[host], after[host], ignore)]
        assert not lines, "the disk is not as it was:\n" + "\n".join(lines[:40])


def _unlike(what: str, found: set, wanted: set) -> str:
    return f"{what} {sorted(found)}; expected {sorted(wanted)}"


__all__ = ["Case", "Change", "Drift", "PROJECT", "Role", "tasks_of"]
