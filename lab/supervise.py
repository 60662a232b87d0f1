"""Keeps one host running: starts systemd-nspawn, and starts it again when the host reboots itself.

Run as `python3 -m lab.supervise HOST_DIRECTORY`, detached. What to run is in the directory's `spec.json`. It ends when
the host powers off or is killed.
"""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import cgroup, process
from .shell import attempt

REBOOT = 133  # systemd-nspawn's word for "the container asked for a reboot" under --keep-unit


def nspawn_command(spec: dict) -> list[str]:
    """The whole command line; why each flag is there is said in lab/README.md."""
    command = ["nsenter", f"--net=/run/netns/{spec['netns']}", "systemd-nspawn", "--boot", "--quiet",
               f"--directory={spec['root']}", f"--machine={spec['machine']}", f"--uuid={spec['uuid']}",
               "--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--timezone=off",
               "--link-journal=no", "--private-network", "--capability=all", "--drop-capability=CAP_SYS_TIME",
               "--system-call-filter=add_key keyctl request_key bpf"]
    if spec["private"]:
        command.append("--network-bridge=br-priv")
    elif spec["outside"]:
        command.append("--network-bridge=br-out")
    if spec["private"] and spec["outside"]:
        command.append(f"--network-veth-extra={spec['cable']}:out0")
    return command + [f"--bind={b}" for b in spec.get("binds", [])]


def plug_second_cable(spec: dict, child: subprocess.Popen) -> None:
    """Put the outer end of a bastion's second interface on the outward bridge; each boot makes a new cable."""
    for _ in range(500):
        plugged = attempt("ip", "-n", spec["netns"], "link", "set", spec["cable"], "master", "br-out", "up")
        if plugged.returncode == 0 or child.poll() is not None:
            return
        time.sleep(0.02)


def main() -> int:
    directory = Path(sys.argv[1])
    spec = json.loads((directory / "spec.json").read_text())
    process.remember(directory / "supervisor.pid", os.getpid())
    groups = cgroup.prepare(spec["machine"])
    (directory / "cgroups.json").write_text(json.dumps([str(g) for g in groups]))
    stopping = []

    def stop(*_):
        stopping.append(True)
        if child.poll() is None:
            child.terminate()  # nspawn passes it on as an orderly shutdown

    while True:
        env = dict(os.environ)
        if spec.get("unified"):
            env["SYSTEMD_NSPAWN_UNIFIED_HIERARCHY"] = "1"
        child = subprocess.Popen(nspawn_command(spec), stdin=subprocess.DEVNULL, env=env,
                                 preexec_fn=lambda: cgroup.enter(groups))
        process.remember(directory / "nspawn.pid", child.pid)
        signal.signal(signal.SIGTERM, stop)
        if spec["private"] and spec["outside"]:
            plug_second_cable(spec, child)
        code = child.wait()
        print(f"lab: systemd-nspawn ended with {code}", flush=True)
        cgroup.remove(groups)
        if code != REBOOT or stopping:
            return 0


if __name__ == "__main__":
    sys.exit(main())
