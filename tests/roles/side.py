"""One tool with its lab: runs of playbooks there, and what they said."""
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import tool
import yaml
from lab.lab import Lab
from lab.shell import LabError

PROJECT = Path(__file__).resolve().parent.parent.parent
LIMIT = 3600  # seconds; the reference takes long for a whole site when the machine does other things too

HEAD = re.compile(r"^(?:TASK|RUNNING HANDLER|PLAY) \[(.*)\] \**$")
CHANGED = re.compile(r"^changed: \[([\w.-]+?)(?: ->[^\]]*)?\]")


@dataclass
class Run:
    """One finished run: its status, its output, the recap by host, and the names of the tasks that changed something."""

    code: int
    text: str
    seconds: float
    recap: dict = field(default_factory=dict)
    changed: dict = field(default_factory=dict)  # host -> names in the order of the run, each once

    def expect(self, *codes: int) -> "Run":
        assert self.code in codes, f"exit status {self.code}, expected {codes}:\n{self.text[-4000:]}"
        return self

    def tasks(self) -> set[str]:
        """The names of all tasks that changed something on some host."""
        return {name for names in self.changed.values() for name in names}


def read(code: int, text: str, seconds: float) -> Run:
    """What the output of a run says."""
    run, task = Run(code, text, seconds, tool.parse_recap(text)), ""
    for line in text.splitlines():
        if head := HEAD.match(line):
            task = head[1]
        elif (change := CHANGED.match(line)) and task not in run.changed.setdefault(change[1], []):
            run.changed[change[1]].append(task)
    return run


class Side:
    """`reference` or `rplay`, with a lab of its own and a directory for what it is given."""

    def __init__(self, which: str, command: str, role: str, scratch: Path):
        self.which, self.command = which, command
        self.lab = Lab(f"role-{which}-{role}"[:40].rstrip("-"))
        self.scratch = scratch / which
        self.scratch.mkdir(parents=True, exist_ok=True)
        self.child: subprocess.Popen | None = None
        self.runs = 0

    def host(self, name: str):
        return self.lab.host(name)

    def sh(self, host: str, script: str, timeout: float = 600) -> str:
        """Run a shell script as root on a host of the lab, without the network; it must succeed."""
        done = self.host(host).exec("bash", "-ec", script, timeout=timeout)
        if done.returncode:
            raise LabError(f"{host}: `{script.strip()[:300]}` ended with {done.returncode}: {(done.stderr or done.stdout)[-2000:]}")
        return done.stdout

    def write(self, name: str, content) -> Path:
        """A file for the tool, as YAML unless it is text already."""
        path = self.scratch / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    def run(self, playbook: Path, inventories: list[Path], variables: dict, *arguments: str) -> Run:
        """Run a playbook to its end; one that hangs is killed, and says so."""
        given = self.write("vars.yml", variables)
        places = [word for path in inventories for word in ("-i", str(path))]
        more = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"), "ANSIBLE_DEPRECATION_WARNINGS": "False"}
        self.child = tool.begin([self.command, str(playbook), *places, "-e", f"@{given}", *arguments], playbook.parent, more)
        text, seconds, hung = tool.end(self.child, LIMIT)
        return read(self.child.returncode, text + (f"\nended after {LIMIT} s" if hung else ""), seconds)

    def kill(self) -> None:
        """End what is running of it."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()
