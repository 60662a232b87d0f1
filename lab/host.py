"""One host: an overlay over the image, booted by systemd-nspawn, and what tests do to it."""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import cgroup, image, keys, manifest, paths, process
from .network import Network
from .shell import LabError, attempt, run
from .topology import GATEWAY, HostSpec

BOOT_TIMEOUT = 60


class Host:
    """A host of a lab. Nothing here is remembered in memory: the truth is on disk and in /proc."""

    def __init__(self, spec: HostSpec, lab_directory: Path, network: Network, base: Path):
        self.spec, self.network, self.base = spec, network, base
        self.name = spec.name
        self.directory = lab_directory / "hosts" / spec.name
        self.root = self.directory / "root"
        self.upper = self.directory / "upper"  # the exact list of what changed on the host
        self.machine = f"rl{network.slot}-{spec.name}"
        self.address = keys.addresses(spec, network)[0]

    # --- state ---

    @property
    def supervisor(self) -> int | None:
        return process.recall(self.directory / "supervisor.pid")

    @property
    def leader(self) -> int | None:
        """The machine's id of the host's first process."""
        known = process.recall(self.directory / "leader.pid")
        if known is None and self.directory.is_dir():
            nspawn = process.recall(self.directory / "nspawn.pid")
            # A container whose nspawn was killed is nobody's child any more; look everywhere.
            among = process.children(nspawn) if nspawn else process.pids()
            known = process.container_init(f"upperdir={self.upper},", among)
            if known:
                process.remember(self.directory / "leader.pid", known)
        return known

    @property
    def finished_setup(self) -> bool:
        """Whether it has booted once; before that, its files may be half-made."""
        return (self.directory / "ready").exists()

    def running(self) -> bool:
        """Whether it is up (or on its way) and supervised, so that it needs no repair."""
        return self.finished_setup and self.supervisor is not None and self.leader is not None and self._mounted()

    def _mounted(self) -> bool:
        return str(self.root) in image.mount_points()

    # --- life ---

    def start(self) -> None:
        """Boot, from whatever state it is in; returns at once, `wait` tells when it is up."""
        self.kill()
        if not self.finished_setup:
            self._wipe_disk()
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={self.base},upperdir={self.upper},workdir={self.directory / 'work'}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root)
        if not self.finished_setup:
            self._personalise()
        (self.directory / "spec.json").write_text(json.dumps(self._supervisor_spec(), indent=1))
        env = dict(os.environ, PYTHONPATH=str(paths.package_root()), PYTHONDONTWRITEBYTECODE="1")
        command = [sys.executable, "-m", "lab.supervise", str(self.directory)]
        if Path("/run/systemd/system").is_dir():
            # On a machine that systemd runs, the host must be a unit of its own with a delegated cgroup.
            command = ["systemd-run", "--quiet", "--collect", "--wait", f"--unit={self.machine}", "-p", "Delegate=yes",
                       "-p", "KillMode=mixed", "-p", "TasksMax=infinity", f"--setenv=PYTHONPATH={paths.package_root()}",
                       "--setenv=PYTHONDONTWRITEBYTECODE=1", f"--setenv=PATH={os.environ['PATH']}", *command]
        with open(self.directory / "console.log", "a") as log:
            subprocess.run(["setsid", "--fork", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, check=True)

    def wait(self, timeout: float = BOOT_TIMEOUT) -> None:
        """Return when systemd calls the host running and sshd listens."""
        deadline = time.monotonic() + timeout
        born = False
        while not self._listening():
            alive = self.supervisor is not None
            born = born or alive
            if time.monotonic() > deadline or (born and not alive):
                raise LabError(f"{self.name} did not boot (given {timeout:.0f} s); its console says:\n{self.console_tail()}")
            time.sleep(0.05)
        done = self.exec("systemctl", "is-system-running", "--wait", timeout=timeout)
        state = done.stdout.strip()
        if state not in ("running", "degraded"):
            raise LabError(f"{self.name} is `{state}` after boot: {done.stderr.strip()}")
        (self.directory / "ready").touch()

    def kill(self) -> None:
        """Pull the plug: no shutdown, no warning; the disk stays as it is."""
        leader = self.leader
        process.kill(self.supervisor)
        process.kill(leader)
        nspawn = process.recall(self.directory / "nspawn.pid")
        # nspawn ends by itself with its container; one whose container never came up does not.
        if nspawn and not process.kill(nspawn, 0, wait=2):
            process.kill(nspawn)
        for pid in process.with_argument(f"--machine={self.machine}") + process.with_argument(str(self.directory)):
            if pid != os.getpid():
                process.kill(pid)
        for name in ("supervisor.pid", "nspawn.pid", "leader.pid"):
            (self.directory / name).unlink(missing_ok=True)
        image.unmount_below(self.root)
        if (self.directory / "cgroups.json").exists():
            cgroup.remove([Path(p) for p in json.loads((self.directory / "cgroups.json").read_text())])

    def stop(self, timeout: float = 30) -> None:
        """Shut down in order."""
        if (supervisor := self.supervisor) and not process.kill(supervisor, signal.SIGTERM, wait=timeout):
            raise LabError(f"{self.name} did not shut down within {timeout:.0f} s")
        self.kill()

    def reboot(self) -> None:
        """Shut down in order and boot again."""
        self.stop()
        self.start()
        self.wait()

    def remove(self) -> None:
        """Kill it and forget its disk."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- reaching in, without a network ---

    def exec(self, *argv: str, timeout: float = 600, **kwargs) -> subprocess.CompletedProcess:
        """Run a command in the host as root and capture what it prints; one argument is a shell command."""
        return attempt(*self.exec_command(*argv), timeout=timeout, **kwargs)

    def exec_command(self, *argv: str) -> list[str]:
        """The machine's command line that runs `argv` inside the host."""
        leader = self.leader
        if leader is None:
            raise LabError(f"{self.name} is not running")
        words = ["sh", "-c", argv[0]] if len(argv) == 1 else list(argv)
        return ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                "env", "-i", "--chdir=/root", "HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8",
                "TERM=" + os.environ.get("TERM", "dumb"),
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *words]

    def manifest(self) -> dict[str, dict]:
        """What differs from the image now; see manifest.py."""
        return manifest.collect(self.upper, self.base)

    def _listening(self) -> bool:
        leader = self.leader
        if leader is None:
            return False
        port = f":{self.spec.port:04X} "
        for table in ("tcp", "tcp6"):
            try:
                for line in Path(f"/proc/{leader}/net/{table}").read_text().splitlines()[1:]:
                    local, remote, state = line.split()[1:4]
                    if f"{local} ".endswith(port) and state == "0A":
                        return True
            except OSError:
                continue
        return False

    def console_tail(self, lines: int = 15) -> str:
        """The last lines that the host's console and its supervisor printed."""
        try:
            text = (self.directory / "console.log").read_text(errors="replace")
        except OSError:
            return "(nothing)"
        return "\n".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()[-lines:])

    # --- making it ---

    def _wipe_disk(self) -> None:
        for name in ("upper", "work", "root"):
            shutil.rmtree(self.directory / name, ignore_errors=True)

    def _supervisor_spec(self) -> dict:
        return {"netns": self.network.netns, "root": str(self.root), "machine": self.machine, "uuid": self._uuid(),
                "private": bool(self.spec.private), "outside": bool(self.spec.outside),
                "cable": f"o-{self.name}"[:15], "unified": self.base.name.startswith("trixie")}

    def _uuid(self) -> str:
        return hashlib.md5(f"{self.network.lab}/{self.name}".encode()).hexdigest()

    def _personalise(self) -> None:
        """What a cloud's first boot would have set: name, addresses, host keys, root's key."""
        self._write("etc/hostname", f"{self.name}\n")
        self._write("etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n::1 localhost ip6-localhost\n")
        self._write("etc/machine-id", f"{self._uuid()}\n")
        for name, text in self._interfaces().items():
            self._write(f"etc/systemd/network/10-{name}.network", text)
        for private_key in keys.ensure_host(self.directory / "keys", self.name):
            self._write(f"etc/ssh/{private_key.name}", private_key.read_text(), 0o600)
            self._write(f"etc/ssh/{private_key.name}.pub", private_key.with_name(private_key.name + ".pub").read_text())
        self._write("root/.ssh/authorized_keys", keys.ensure_operator(self.directory.parent.parent) + "\n", 0o600)
        if self.spec.port != 22:
            config = self.root / "etc/ssh/sshd_config"
            config.write_text(re.sub(r"(?m)^#?Port .*$", f"Port {self.spec.port}", config.read_text(), count=1))

    def _interfaces(self) -> dict[str, str]:
        def network(name: str, address: str, gateway: str | None) -> str:
            route = f"Gateway={gateway}\n" if gateway else ""
            return f"[Match]\nName={name}\n\n[Network]\nAddress={address}\n{route}LLDP=no\nIPv6AcceptRA=no\n"

        spec, pool = self.spec, self.network
        if spec.private and spec.outside:
            return {"host0": network("host0", f"{spec.private}/16", None),
                    "out0": network("out0", f"{pool.outside(spec.outside)}/24", pool.outside(1))}
        if spec.private:
            return {"host0": network("host0", f"{spec.private}/16", GATEWAY)}
        return {"host0": network("host0", f"{pool.outside(spec.outside)}/24", pool.outside(1))}

    def _write(self, path: str, text: str, mode: int = 0o644) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
