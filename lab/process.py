"""Processes on the machine: remembering one safely, and finding a container's first process."""
import json
import os
import signal
import time
from pathlib import Path


def started(pid: int) -> int | None:
    """When a process began (clock ticks since boot), or None when there is none or it is a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def remember(path: Path, pid: int) -> None:
    """Write a process down so that a later, unrelated process with the same id is not taken for it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps({"pid": pid, "started": started(pid)}))
    partial.rename(path)


def recall(path: Path) -> int | None:
    """The remembered process, if it is still the same one and alive."""
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    alive = known["started"] is not None and started(known["pid"]) == known["started"]
    return known["pid"] if alive else None


def kill(pid: int | None, sig: int = signal.SIGKILL, wait: float = 10) -> bool:
    """Signal one process and wait for its end; True when it is gone."""
    if pid is None:
        return True
    try:
        os.kill(pid, sig)
    except ProcessLookupError:
        return True
    deadline = time.monotonic() + wait
    while started(pid) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def container_init(marker: str, candidates: list[int]) -> int | None:
    """Which of `candidates` is the first process of the container whose root mount names `marker`."""
    for pid in candidates:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            inner = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
            if len(inner) < 2 or inner[-1] != "1":
                continue
            for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines():
                if line.split()[4] == "/" and marker in line:
                    return pid
        except (OSError, StopIteration):
            continue
    return None


def with_argument(argument: str) -> list[int]:
    """Processes that were started with exactly this argument."""
    found = []
    for pid in pids():
        try:
            if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                found.append(pid)
        except OSError:
            continue
    return found
