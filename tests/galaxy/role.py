"""One role with its two hosts: brought up, run twice by each tool, and what was said."""
import difflib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import compare
import reference
import tool
import yaml
from lab import manifest
from lab.lab import Lab
from lab.shell import LabError

# Files that the host's own programs fill with keys, times and random numbers: that both have them is all that counts.
MADE_UP = dict.fromkeys((
    "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key", "/etc/ssl/certs/java/cacerts",
    "/etc/aliases.db", "/etc/docker/key.json", "/var/lib/docker/*", "/var/lib/redis/dump.rdb", "/var/lib/samba/private/*",
    "/var/lib/clamav/*", "/var/lib/mysql/*", "/var/lib/postgresql/*/main/*", "/var/lib/fail2ban/*.sqlite3", "/swapfile*",
    "/var/spool/postfix/*", "/var/lib/postfix/*", "*.log", "/srv/github/*", "/usr/local/share/ca-certificates/lab.crt",
    "/etc/ssl/certs/*", "/etc/bind/rndc.key", "/var/lib/dhcp/*", "/var/lib/collectd/*", "/var/lib/munin/*", "/var/lib/munin-node/plugin-state/*",
    "/var/lib/rrdcached/*", "/var/lib/sysstat/*", "/var/lib/chrony/*", "/var/lib/ntp*/*", "/var/lib/rabbitmq/*", "/var/lib/aide/*", "/var/lib/snmp/*",
    "/etc/ssl/private/ssl-cert*", "/etc/dovecot/private/*", "/var/lib/dovecot/*", "/var/lib/php/sessions/*", "/var/lib/tor/*",
    "/var/lib/ubuntu-advantage/*", "/var/lib/unbound/root.key", "/var/lib/monit/*", "/var/lib/samba/*.tdb", "/var/lib/misc/*",
    "/etc/aliases.lmdb", "/etc/openvpn/easy-rsa/pki/*", "/etc/openvpn/*.crt", "/etc/openvpn/*.key", "/etc/openvpn/*.pem",
    "/etc/munin/munin-htpasswd", "/root/.spamassassin", "/var/lib/spamassassin/*", "/var/lib/ucf/cache/:etc:roundcube:*",
    "/etc/roundcube/config.inc.php", "/etc/sasldb2", "/swap", "/var/lib/containers/storage/*.lock", "*/dhparam*.pem", "*/ssl-cert-snakeoil.pem",
), "made up on the host")
HERE = Path(__file__).resolve().parent
LIMIT = 1200  # seconds that one run may take
HOST = "host-01"

# Lines of the output that say what became of a host or an item; what follows the arrow is the result.
SAYS = re.compile(r"^(ok|changed|skipping|failed|fatal|included|PLAY|TASK|RUNNING HANDLER|\.\.\.ignoring)\b")

# An item that is the result of another task, or a file that one found: what the modules say is compared by tests/matrix.
RESULT = re.compile(r"\(item=[\[{].*'(?:changed|ansible_loop_var|inode|ctime)': .*[\]}]\)")


@dataclass
class Run:
    """One finished run: its name, its status, its whole output, the counters of the host."""

    name: str
    code: int
    output: str
    seconds: float
    recap: dict = field(default_factory=dict)

    def said(self) -> list[str]:
        """What it said of each task, without the results."""
        lines = [line.split(" => {")[0].rstrip("* ") for line in self.output.splitlines() if SAYS.match(line)]
        return [RESULT.sub("(item=RESULT)", re.sub(r"/\S*/(?=tasks/|roles/)", "", line)) for line in lines]

    def failure(self) -> str:
        """The line that says why it did not succeed."""
        lines = [line for line in self.output.splitlines() if line.startswith(("[ERROR]", "fatal:"))]
        return f"the reference too says: {lines[0][:160]}" if lines else f"exit status {self.code} there too"


def differences(left: Run, right: Run) -> list[str]:
    """What two runs of the same playbook say differently."""
    found = []
    if left.code != right.code:
        found.append(f"exit status {left.code} of the reference, {right.code} of rplay")
    if left.recap != right.recap:
        keys = sorted(k for k in left.recap.keys() | right.recap.keys() if left.recap.get(k) != right.recap.get(k))
        found.append("recap: " + ", ".join(f"{k} {left.recap.get(k)} / {right.recap.get(k)}" for k in keys))
    lines = difflib.unified_diff(left.said(), right.said(), "reference", "rplay", n=1, lineterm="")
    found += [line[:200] for line in list(lines)[2:42] if not line.startswith("@@")]
    if found and right.code:
        found.append("\n".join(right.output.splitlines()[-25:])[:2500])
    return found


class Side:
    """One tool with its host and its copy of the roles."""

    def __init__(self, name: str, which: str, command: str, scratch: Path, settings: dict):
        self.name, self.tool, self.command, self.settings = name, which, command, settings
        self.lab = Lab(f"galaxy-{which}-{re.sub(r'[^a-z0-9]+', '-', name.lower())}"[:40].rstrip("-"))
        self.project = scratch / which
        self.runs: list[Run] = []
        self.files, self.local = {}, {}
        self.child: subprocess.Popen | None = None

    def prepare(self, roles: Path, suite: str) -> None:
        """A fresh host, and the roles in a place of their own."""
        self.lab.down()
        self.lab.up("single", suite)
        self.host = self.lab.hosts()[0]
        self.pool = self.host.network.pool
        self.project.mkdir(parents=True)
        # The role itself as a copy, which may write into it; the others are there to be used.
        (self.project / "roles").mkdir()
        for role in roles.iterdir():
            if role.name == self.name:
                shutil.copytree(role, self.project / "roles" / role.name, symlinks=True)
            else:
                (self.project / "roles" / role.name).symlink_to(role)
        script = self.settings.get("script")
        self._shell("mkdir -p -m 700 /root/.ansible/tmp\n" + ((HERE / script).read_text() if script else ""))

    def _shell(self, script: str) -> None:
        done = self.host.exec("bash", "-ec", script)
        if done.returncode:
            raise LabError(f"{self.name}: could not prepare the host: {(done.stderr or done.stdout)[-2000:]}")

    def converge(self) -> None:
        """Two runs, after what the scenario wants done first, and what they left."""
        scenario = self.project / "roles" / self.name / "molecule/default"
        playbook = scenario / "converge.yml"
        if not playbook.exists():
            playbook = self.project / "converge.yml"
            playbook.write_text(yaml.safe_dump([{"hosts": "all", "become": True, "roles": [self.name]}]))
        variables = self.project / "vars.yml"
        variables.write_text(yaml.safe_dump(self.settings.get("vars", {})))
        plays = {"run 1": playbook, "run 2": playbook}
        if self.settings.get("prepare") and (scenario / "prepare.yml").exists():
            plays = {"prepare": scenario / "prepare.yml"} | plays
        for name, each in plays.items():
            self.runs.append(self._run(name, each, "-e", f"@{variables}"))
            if self.runs[-1].code not in (0, 2):
                break
        self.files = self.host.manifest()
        self.local = {k: v for k, v in manifest.collect(self.project, Path("/nonexistent")).items() if not k.startswith("/roles/")}

    def _run(self, name: str, playbook: Path, *arguments: str) -> Run:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="rg-") as home:
            env = reference.environment() | {
                "NO_COLOR": "1", "ANSIBLE_HOME": home, "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{home}/cp", "LC_ALL": "C.UTF-8",
                "TZ": "UTC", "ANSIBLE_ROLES_PATH": str(self.project / "roles"), "ANSIBLE_DEPRECATION_WARNINGS": "False",
                "MOLECULE_PROJECT_DIRECTORY": str(self.project / "roles" / self.name)}
            command = [self.command, str(playbook), "-i", str(self.lab.directory / "inventory.yml"), *arguments]
            self.child = subprocess.Popen(command, cwd=playbook.parent, env=env, stdin=subprocess.DEVNULL,
                                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                output, _ = self.child.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                self.kill()
                output, _ = self.child.communicate()
                output += f"\nended after {LIMIT} s".encode()
        text = output.decode(errors="replace").replace(str(self.project), "PROJECT").replace(self.pool, compare.POOL)
        return Run(name, self.child.returncode, text, time.monotonic() - started, tool.parse_recap(text).get(HOST, {}))

    def kill(self) -> None:
        """End what is running of it."""
        if self.child and self.child.poll() is None:
            os.killpg(self.child.pid, signal.SIGKILL)


# Every field that is up, so that a run that is stopped takes them down.
OPEN: set = set()


class Field:
    """Both sides of one role."""

    def __init__(self, name: str, roles: Path, rplay: str, suite: str, settings: dict):
        self.roles, self.suite = roles, suite
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-galaxy-"))
        link = self.scratch / "ansible-playbook"
        link.symlink_to(rplay)
        if not (roles / name).is_dir():
            raise LabError(f"{roles} has no role {name}")
        self.sides = (Side(name, "reference", str(reference.ensure() / "ansible-playbook"), self.scratch, settings),
                      Side(name, "rplay", str(link), self.scratch, settings))

    def __enter__(self) -> "Field":
        OPEN.add(self)
        return self

    def play(self) -> None:
        """Prepare and run both, at the same time."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda side: side.prepare(self.roles, self.suite), self.sides))
            list(pool.map(lambda side: side.converge(), self.sides))

    def __exit__(self, *_) -> None:
        OPEN.discard(self)
        for side in self.sides:
            side.kill()
            side.lab.down()
        shutil.rmtree(self.scratch, ignore_errors=True)
