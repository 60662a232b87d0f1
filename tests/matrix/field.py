"""Where a table is run: two labs of one fresh host each, with the same name and the same start."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import reference
from lab import manifest
from lab.lab import Lab
from lab.shell import LabError

HERE = Path(__file__).resolve().parent
LIMIT = 1800  # seconds that one tool may take for a table
PLACE = "/srv/m"  # where cases work on a host, and the current directory of `start`


class Side:
    """One tool with its host and its project directory."""

    def __init__(self, table, tool: str, command: str, scratch: Path):
        self.table, self.tool, self.command = table, tool, command
        self.lab = Lab(f"matrix-{table.name.replace('_', '-')}-{tool}")
        self.project = scratch / tool
        self.output, self.results, self.files, self.local = "", None, {}, {}
        self.child: subprocess.Popen | None = None

    def prepare(self) -> None:
        """A fresh host, brought to where the table starts."""
        self.lab.down()
        self.lab.up("single")
        self.host = self.lab.hosts()[0]
        self.project.mkdir(parents=True)
        (self.project / "playbook.yml").write_text(self.table.playbook())
        # A first login of the reference warns about the directory it makes.
        self._shell(f"mkdir -p {PLACE}; mkdir -p -m 700 /root/.ansible/tmp")
        if self.table.packages:
            self._shell("export DEBIAN_FRONTEND=noninteractive; apt-get -qq update; apt-get -qq -y --no-install-recommends install "
                        + " ".join(self.table.packages))
        if self.table.serve:
            shutil.copy(HERE / "server.py", self.host.root / "srv/server.py")
            self._shell("mkdir -p /srv/serve; cd /srv/serve; systemd-run --quiet --unit=serve --working-directory=/srv/serve "
                        "python3 -B /srv/server.py 8000; for i in $(seq 50); do "
                        "python3 -c 'import socket; socket.create_connection((\"127.0.0.1\", 8000))' 2>/dev/null && break; sleep 0.1; done")
        self._shell(f"cd {PLACE}\n{self.table.start}")
        done = subprocess.run(["sh", "-ec", self.table.controller], cwd=self.project, capture_output=True, text=True)
        if done.returncode:
            raise LabError(f"{self.table.name}: `controller` failed: {done.stderr}")
        self.before = self.host.manifest()

    def _shell(self, script: str) -> None:
        done = self.host.exec("bash", "-ec", script)
        if done.returncode:
            raise LabError(f"{self.table.name}: could not prepare the host: {(done.stderr or done.stdout)[-2000:]}")

    def run(self) -> None:
        """The cases; what they said and what they left."""
        inventory = self.lab.directory / "inventory.yml"
        with tempfile.TemporaryDirectory(prefix="rm-") as home:
            env = reference.environment() | {
                "NO_COLOR": "1", "ANSIBLE_HOME": home, "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{home}/cp", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
            command = [self.command, "playbook.yml", "-i", str(inventory), *self.table.flags]
            self.child = subprocess.Popen(command, cwd=self.project, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                          stderr=subprocess.STDOUT, start_new_session=True)
            try:
                output, _ = self.child.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                output, _ = self.child.communicate()
                output += f"\nended after {LIMIT} s".encode()
        self.output = output.decode(errors="replace")
        written = self.host.root / "root/matrix.json"
        if written.exists():
            self.results = json.loads(written.read_text())
        self.files = self.host.manifest()
        self.local = manifest.collect(self.project, Path("/nonexistent"))

    def kill(self) -> None:
        """End what is running of it."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)


class Field:
    """Both sides of one table."""

    def __init__(self, table, rplay: str):
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-matrix-"))
        link = self.scratch / "ansible-playbook"
        link.symlink_to(rplay)
        self.reference = Side(table, "reference", str(reference.ensure() / "ansible-playbook"), self.scratch)
        self.rplay = Side(table, "rplay", str(link), self.scratch)
        self.sides = (self.reference, self.rplay)

    def __enter__(self) -> "Field":
        return self

    def play(self) -> float:
        """Prepare and run both, at the same time; how long it took."""
        started = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda s: s.prepare(), self.sides))
            list(pool.map(lambda s: s.run(), self.sides))
        return time.monotonic() - started

    def __exit__(self, *_) -> None:
        for side in self.sides:
            side.kill()
            side.lab.down()
        shutil.rmtree(self.scratch, ignore_errors=True)


# Every field that is up, so that a run that is stopped takes them down.
OPEN: set = set()
_LOCK = threading.Lock()


def opened(field: Field) -> Field:
    """Note a field as up."""
    with _LOCK:
        OPEN.add(field)
    return field


def closed(field: Field) -> None:
    """Note it as gone."""
    with _LOCK:
        OPEN.discard(field)
