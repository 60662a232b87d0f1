"""A table: the cases of one module or of a family, read from YAML."""
import copy
import fnmatch
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
RUNS = {"check", "run", "again"}
KEYS = {"packages", "start", "controller", "vars", "flags", "runs", "fast", "serve", "files", "known", "cases"}
# Keywords of a task, so that what remains is the name of its module.
KEYWORDS = {"become", "become_user", "become_method", "environment", "vars", "args", "loop", "check_mode", "diff", "name",
            "when", "async", "poll", "delegate_to", "no_log", "timeout"}


@dataclass
class Case:
    """One task, run once: `step` says whether in check mode, for real, or for real once more."""

    number: int
    module: str
    step: str
    task: dict
    differs: str

    @property
    def label(self) -> str:
        """The case in a few words, as it is in the table."""
        return re.sub(r"\s+", " ", f"{self.module} {self.task[self.module]}")[:160] + f" [{self.step}]"

    def for_playbook(self) -> dict:
        """The task that runs it."""
        task = {"name": f"case {self.number}", **self.task, "register": f"r{self.number}", "ignore_errors": True}
        return task | {"check_mode": True} if self.step == "check" else task


@dataclass
class Table:
    """What a file in tables/ says."""

    name: str
    cases: list
    packages: list = field(default_factory=list)
    start: str = ""
    controller: str = ""
    vars: dict = field(default_factory=dict)
    flags: list = field(default_factory=list)
    fast: bool = False
    serve: bool = False
    files: dict = field(default_factory=dict)  # pattern of paths -> why these differ
    known: list = field(default_factory=list)  # whole classes of differences

    def playbook(self) -> str:
        """All cases in order, and at the end their results in one file on the host."""
        results = ", ".join(f'"r{c.number}": r{c.number}' for c in self.cases)
        write = {"name": "Results", "check_mode": False, "diff": False,
                 "copy": {"dest": "/root/matrix.json", "content": "{{ {" + results + "} | to_json }}"}}
        play = {"name": "The matrix", "hosts": "all", "gather_facts": False, "vars": self.vars,
                "tasks": [c.for_playbook() for c in self.cases] + [write]}
        return yaml.safe_dump([play], sort_keys=False, width=10_000, allow_unicode=True)


@dataclass
class Known:
    """Keys that differ in many cases for one reason: those of some modules, in some runs."""

    modules: list
    keys: list
    why: str
    steps: list = field(default_factory=lambda: sorted(RUNS))
    used: bool = False

    def covers(self, case: Case, path: str) -> bool:
        """Whether a difference is of this class."""
        return case.module in self.modules and case.step in self.steps and any(fnmatch.fnmatchcase(path, k) for k in self.keys)


class Wrong(Exception):
    """A table that says something nobody understands."""


def names() -> list[str]:
    """Those there are."""
    return sorted(p.stem for p in (HERE / "tables").glob("*.yml"))


def read(name: str) -> Table:
    """A table of tables/."""
    content = yaml.safe_load((HERE / "tables" / f"{name}.yml").read_text())
    if unknown := set(content) - KEYS:
        raise Wrong(f"{name}: nothing is called {', '.join(sorted(unknown))}")
    runs = content.pop("runs", ["run"])
    known = [Known(**entry) for entry in content.pop("known", [])]
    cases = []
    for entry in content.pop("cases"):
        cases += _expand(name, entry, runs, len(cases))
    return Table(name=name, cases=cases, known=known, **content)


def _expand(name: str, entry: dict, runs: list, first: int) -> list[Case]:
    entry = copy.deepcopy(entry)
    runs, differs = entry.pop("runs", runs), entry.pop("differs", {})
    if bad := set(runs) - RUNS:
        raise Wrong(f"{name}: no run is called {', '.join(sorted(bad))}")
    modules = [k for k in entry if k not in KEYWORDS]
    if len(modules) != 1:
        raise Wrong(f"{name}: a case has one module, this one {modules}")
    if isinstance(differs, str):
        differs = {step: differs for step in runs}
    if bad := set(differs) - set(runs):
        raise Wrong(f"{name}: `differs` of {entry} is about runs that are not made: {', '.join(sorted(bad))}")
    # Each case has its own copy of its task, or YAML would write the later ones as references.
    return [Case(first + n, modules[0], step, copy.deepcopy(entry), differs.get(step, "")) for n, step in enumerate(runs)]
