"""A lab: hosts and wires under one name. `Lab(...)` is what tests import; the commands are in cli.py."""
import contextlib
import fcntl
import json
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import cgroup, image, inventory, keys, packages, paths
from . import network as wires
from . import topology as topologies
from .host import Host
from .shell import LabError, attempt, run, say


@contextlib.contextmanager
def _registry():
    """One process at a time may take a slot or give one back."""
    paths.labs().mkdir(parents=True, exist_ok=True)
    with open(paths.labs() / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Lab:
    """An existing or a future lab.

    What is known of it lies in `<labs>/<name>/lab.json` from the first moment of `up` until the last of `down`, so that
    a killed command leaves enough behind for the next one to repair or to clean up.
    """

    def __init__(self, name: str):
        if not name.replace("-", "").isalnum() or not name.isascii() or len(name) > 40:
            raise LabError(f"`{name}` is no lab name: letters, digits and dashes, at most 40")
        self.name = name
        self.directory = paths.labs() / name
        self.record = self.directory / "lab.json"

    # --- reading ---

    def exists(self) -> bool:
        return self.record.exists()

    def _known(self) -> dict:
        try:
            return json.loads(self.record.read_text())
        except (OSError, ValueError):
            raise LabError(f"no lab `{self.name}`; `lab/up` makes one") from None

    @property
    def topology(self) -> topologies.Topology:
        return topologies.parse(self._known()["topology"])

    @property
    def network(self) -> wires.Network:
        return wires.Network(self._known()["slot"], self.name)

    def hosts(self) -> list[Host]:
        """Every host, running or not."""
        known = self._known()
        net = wires.Network(known["slot"], self.name)
        return [Host(spec, self.directory, net, Path(known["base"])) for spec in self.topology.hosts]

    def host(self, name: str) -> Host:
        """One host by its name or an unambiguous beginning of it."""
        wanted = self.topology.host(name)
        return next(h for h in self.hosts() if h.name == wanted.name)

    def inventory(self) -> str:
        """The inventory as YAML text."""
        key = (self.directory / "operator.pub").read_text().strip()
        return inventory.render(self.topology, self.network, self.directory, key)

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    # --- up ---

    def up(self, wanted: str = "fortress", suite: str = "bookworm") -> None:
        """Make it, or repair what is missing of it; hosts that run are left alone."""
        packages.ensure()
        plan = topologies.parse(wanted)
        if self.exists() and self._known()["topology"] != plan.name:
            raise LabError(f"lab `{self.name}` is a {self._known()['topology']}; take it down first or use another --name")
        if self.exists() and self._known()["suite"] != suite:
            raise LabError(f"lab `{self.name}` runs {self._known()['suite']}; take it down first or use another --name")
        # Hosts that run keep the image they began with; building a newer one would only make somebody wait.
        if not self.exists() or not all(h.running() for h in self.hosts()):
            base = image.ensure(suite)
            with _registry():
                self._register(plan, suite, base)
                _raise_kernel_settings()
        with self._lock():
            self._bring_up()

    def _bring_up(self) -> None:
        plan = self.topology
        self.network.up(private=plan.has_private_network)
        keys.ensure_operator(self.directory)
        hosts = self.hosts()
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda h: keys.ensure_host(h.directory / "keys", h.name), hosts))
            keys.write_client_files(self.directory, plan, self.network)
            (self.directory / "inventory.yml").write_text(self.inventory())
            idle = [h for h in hosts if not h.running()]
            if len(idle) < len(hosts):
                say(f"lab {self.name}: {len(hosts) - len(idle)} of {len(hosts)} hosts run already")
            if idle:
                say(f"lab {self.name}: booting {' '.join(h.name for h in idle)}")
            list(pool.map(lambda h: h.start(), idle))
            list(pool.map(lambda h: h.wait(), idle))
        say(f"lab {self.name}: {len(hosts)} hosts up, {plan.name}, outward addresses {self.network.pool}.0/24")

    def _register(self, plan: topologies.Topology, suite: str, base: Path) -> None:
        if self.exists():
            known = self._known()
            if known["base"] == str(base):
                return
            if any(h.running() for h in self.hosts()):
                say(f"lab {self.name}: keeps its older image while it runs; `lab/down` and `lab/up` bring the new one")
                return
            say(f"lab {self.name}: the image has changed, starting its hosts afresh")
            for host in self.hosts():
                host.remove()
            slot = known["slot"]
        else:
            slot = self._free_slot()
        self.directory.mkdir(parents=True, exist_ok=True)
        record = {"topology": plan.name, "suite": suite, "base": str(base), "slot": slot}
        partial = self.directory / "lab.json.partial"
        partial.write_text(json.dumps(record, indent=1))
        partial.rename(self.record)

    def first_slot(self) -> int:
        """The slot that the name stands for; what the lab gets unless somebody has it already."""
        return zlib.crc32(self.name.encode()) % wires.POOLS

    def _free_slot(self) -> int:
        used = {lab._known()["slot"] for lab in all_labs()}
        first = self.first_slot()
        for offset in range(wires.POOLS):
            slot = (first + offset) % wires.POOLS
            if slot not in used and not wires.Network.taken(slot):
                return slot
        raise LabError("all 512 address pools are in use")

    @contextlib.contextmanager
    def _lock(self):
        """One `up` or `down` of this lab at a time."""
        with open(self.directory / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    # --- down ---

    def down(self) -> None:
        """Leave nothing: processes, mounts, wires, rules, files."""
        if not self.exists():
            if self.directory.exists():  # killed before the record was written, so before anything else was made
                shutil.rmtree(self.directory)
            return
        with self._lock():
            hosts = self.hosts()
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(lambda h: h.remove(), hosts))
            image.unmount_below(self.directory)
            self.network.down()
        with _registry():
            self.record.unlink(missing_ok=True)
            shutil.rmtree(self.directory)
            _restore_kernel_settings()
        say(f"lab {self.name}: down, {len(hosts)} hosts gone")


def all_labs() -> list[Lab]:
    """Every lab that exists, whole or half."""
    found = []
    for record in sorted(paths.labs().glob("*/lab.json")):
        with contextlib.suppress(LabError):
            found.append(Lab(record.parent.name))
    return found


# What the machine's kernel must allow: hosts reach out through it, and each systemd needs some ten inotify instances,
# of which a user (root, here) has 128 by default.
KERNEL = {"net.ipv4.ip_forward": 1, "fs.inotify.max_user_instances": 4096}


def _raise_kernel_settings() -> None:
    """Set what is too low, and write down what was; the last `down` puts it back."""
    record = paths.labs() / "sysctl.before"
    before = json.loads(record.read_text()) if record.exists() else {}
    now = {name: int(run("sysctl", "-n", name)) for name in KERNEL}
    low = {name: value for name, value in now.items() if value < KERNEL[name]}
    if low:
        record.write_text(json.dumps(low | before))
    for name in low:
        run("sysctl", "-qw", f"{name}={KERNEL[name]}")


def _restore_kernel_settings() -> None:
    record = paths.labs() / "sysctl.before"
    if all_labs():
        return
    if record.exists():
        for name, value in json.loads(record.read_text()).items():
            attempt("sysctl", "-qw", f"{name}={value}")
        record.unlink()
    for group in cgroup.directories("rplay-lab"):
        cgroup.remove([group])
