"""A cgroup of its own for every host, below the one the lab was started in.

Without it, hosts on a machine that has no systemd would share one cgroup, and each would find the others' services
under the names of its own.
"""
import os
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def directories(name: str) -> list[Path]:
    """Where the cgroup called `name` lies in each hierarchy, for a process in the caller's place."""
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "cpuset":
            continue  # refuses processes until it is told which CPUs
        mount = _mount(controllers)
        if mount and (mount / path.lstrip("/")).is_dir():
            found.append(mount / path.lstrip("/") / name)
    return found


def prepare(machine: str) -> list[Path]:
    """The directories for one host, to be entered by its container; called by its supervisor."""
    if not Path("/run/systemd/system").is_dir() or not (ROOT / "cgroup.procs").exists():
        return directories(f"rplay-lab/{machine}")
    # A unit with a delegated cgroup (version 2): controllers reach the host only through cgroups without processes of
    # their own, so the supervisor steps aside first.
    inside, aside = directories("host")[0], directories("supervisor")[0]
    enter([aside])
    for controller in (inside.parent / "cgroup.controllers").read_text().split():
        try:
            (inside.parent / "cgroup.subtree_control").write_text(f"+{controller}")
        except OSError:
            continue
    return [inside]


def _mount(controllers: str) -> Path | None:
    names = [controllers.removeprefix("name=")] if controllers else ["unified", "."]
    for name in names:
        if (ROOT / name / "cgroup.procs").exists():
            return ROOT / name
    return None


def enter(where: list[Path]) -> None:
    """Move the calling process."""
    for directory in where:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "cgroup.procs").write_text(str(os.getpid()))
        except OSError:
            continue  # a hierarchy that cannot be divided is shared; only tidiness is lost


def remove(where: list[Path]) -> None:
    """Remove the directories, whatever the host made below them included."""
    for top in where:
        for directory, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(directory)
            except OSError:
                continue
        try:
            top.parent.rmdir() if top.parent.name.startswith("rplay-lab") else None
        except OSError:
            pass
