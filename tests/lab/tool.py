"""A playbook runner under test, and what it said."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import reference

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "playbooks/site.yml"
# Accounts, sshd and the way out: the part of the fortress that takes seconds; tests/roles has the whole.
ACCESS = ("-t", "users,harden-ssh,nat-gateway")


@dataclass
class Outcome:
    """One finished run; `recap` maps a host to its counters (`ok`, `changed`, `unreachable`, `failed`, …)."""

    code: int
    text: str
    seconds: float
    recap: dict = field(default_factory=dict)

    def changed(self) -> dict[str, int]:
        return {host: counts["changed"] for host, counts in self.recap.items()}

    def expect(self, *codes: int) -> "Outcome":
        assert self.code in codes, f"exit code {self.code}, expected {codes}:\n{self.text[-3000:]}"
        return self


def parse_recap(text: str) -> dict[str, dict[str, int]]:
    """Counters by host from lines such as `web1 : ok=3 changed=1 unreachable=0 failed=0`."""
    found = {}
    for line in text.splitlines():
        counts = dict(re.findall(r"\b(\w+)=(\d+)", line))
        if {"ok", "changed"} <= counts.keys():
            host = re.match(r"\W*([\w.-]+)", line)
            if host:
                found[host[1]] = {k: int(v) for k, v in counts.items()}
    return found


def begin(command: list[str], cwd: Path | None = None, more: dict | None = None) -> subprocess.Popen:
    """Start a tool; its output goes to a file, since nobody reads while a case does something else, and a full pipe would stop it."""
    # A fresh place for the reference's own, so that each run has to log in anew.
    home = tempfile.mkdtemp(prefix="rp-")
    env = reference.environment() | {"NO_COLOR": "1", "ANSIBLE_HOME": home, "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{home}/cp"} | (more or {})
    output = tempfile.TemporaryFile("w+", errors="replace")
    child = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                             start_new_session=True)
    child.output, child.started, child.home = output, time.monotonic(), home
    return child


def end(child: subprocess.Popen, timeout: float) -> tuple[str, float, bool]:
    """Wait for a tool that was started: what it printed, without colours, how long it took, and whether it hung and was killed."""
    hung = False
    try:
        child.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        hung = True
    seconds = time.monotonic() - child.started
    shutil.rmtree(child.home, ignore_errors=True)
    child.output.seek(0)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.output.read())
    child.output.close()
    return text, seconds, hung


class Tool:
    """`rplay` or something that takes its command line."""

    def __init__(self, path: str):
        self.path = path

    def run(self, playbook: Path, inventory: Path, *args: str, timeout: float = 600) -> Outcome:
        """Run a playbook to its end."""
        return self.finish(self.start(playbook, inventory, *args), timeout)

    def start(self, playbook: Path, inventory: Path, *args: str) -> subprocess.Popen:
        """Begin a run, for cases that do something meanwhile."""
        return begin([self.path, "run", str(playbook), "-i", str(inventory), *args])

    def finish(self, child: subprocess.Popen, timeout: float = 600) -> Outcome:
        """Wait for the end of a run that was begun; one that hangs is killed and fails the case."""
        text, seconds, hung = end(child, timeout)
        assert not hung, f"hung for {timeout:.0f} s:\n{text[-3000:]}"
        return Outcome(child.returncode, text, seconds, parse_recap(text))
