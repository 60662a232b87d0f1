"""What a host's disk has become: its overlay's upper directory as a canonical list, and the difference of two lists.

The upper directory holds every file that differs from the image, and nothing else. Two hosts that were brought to the
same state by different tools have equal manifests, once what no tool decides (logs, caches, keys) is ignored.
"""
import fnmatch
import hashlib
import os
import stat
from pathlib import Path

# What changes by itself on a running host, or differs between any two hosts.
IGNORE = (
    "/etc/ssh/ssh_host_*", "/etc/machine-id", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf",
    "/etc/systemd/network/10-*.network", "/etc/.updated", "/var/.updated", "/etc/.pwd.lock", "/etc/ld.so.cache",
    "/root/.ssh/authorized_keys",  # the lab's own operator key; each lab has its own
    "/var/log/*", "/var/cache/*", "/var/tmp/*", "/tmp/*", "/run/*", "/dev/*", "/proc/*", "/sys/*",
    "/var/lib/systemd/*", "/var/lib/private/*", "/var/lib/dbus/machine-id", "/var/lib/apt/lists/*",
    "/var/lib/apt/periodic/*", "/var/lib/dpkg/*-old", "/var/lib/dpkg/lock*", "/var/lib/dpkg/triggers/Lock",
    "/var/lib/sudo/*", "/var/lib/pam/*", "/var/spool/cron/*.lock", "/etc/passwd-", "/etc/shadow-", "/etc/group-",
    "/etc/gshadow-", "/etc/subuid-", "/etc/subgid-", "*/__pycache__/*", "*/__pycache__",
    "*/.ansible", "*/.ansible/*", "*/.cache/rplay", "*/.cache/rplay/*", "*/.cache",
)


def collect(upper: Path, base: Path) -> dict[str, dict]:
    """Every entry of an upper directory over the image `base`, by its path on the host.

    Directories of the image that are here only because something below them changed are left out.
    An entry has `type`, `mode`, `uid`, `gid`; files have `size` and `sha256`, symlinks `target`. A `whiteout` is
    something of the image that was deleted; an `opaque` directory hides the image's one.
    """
    found = {}
    for directory, names, files in os.walk(upper):
        for name in names + files:
            path = Path(directory) / name
            try:
                entry = _entry(path)
                if entry["type"] != "directory" or entry != _of_image(base / path.relative_to(upper)):
                    found["/" + str(path.relative_to(upper))] = entry
            except FileNotFoundError:
                continue  # a running host may remove it while we look
    return found


def _of_image(path: Path) -> dict | None:
    try:
        return _entry(path)
    except FileNotFoundError:
        return None


def _entry(path: Path) -> dict:
    info = path.lstat()
    entry = {"mode": f"{stat.S_IMODE(info.st_mode):04o}", "uid": info.st_uid, "gid": info.st_gid}
    if stat.S_ISLNK(info.st_mode):
        return entry | {"type": "symlink", "target": os.readlink(path)}
    if stat.S_ISDIR(info.st_mode):
        opaque = "trusted.overlay.opaque" in os.listxattr(path, follow_symlinks=False)
        return entry | {"type": "directory"} | ({"opaque": True} if opaque else {})
    if stat.S_ISREG(info.st_mode):
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") \
                else hashlib.sha256(file.read()).hexdigest()
        return entry | {"type": "file", "size": info.st_size, "sha256": digest}
    if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
        return {"type": "whiteout"}
    return entry | {"type": "special"}


def ignored(path: str, patterns=IGNORE) -> bool:
    """Whether `path` is one that no tool decides."""
    return any(fnmatch.fnmatchcase(path, p) or fnmatch.fnmatchcase(path + "/", p) for p in patterns)


def diff(left: dict, right: dict, ignore=IGNORE) -> list[str]:
    """The differences as one line each; empty when the two are the same."""
    lines = []
    for path in sorted(left.keys() | right.keys()):
        if ignored(path, ignore):
            continue
        a, b = left.get(path), right.get(path)
        if a == b:
            continue
        if a is None or b is None:
            lines.append(f"{'+' if a is None else '-'} {path} {describe(a or b)}")
        else:
            changed = [f"{k}: {a.get(k)} -> {b.get(k)}" for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
            lines.append(f"~ {path} {', '.join(changed)}")
    return lines


def describe(entry: dict) -> str:
    """One entry in a few words."""
    words = [entry["type"], entry.get("mode", ""), f"{entry.get('uid', '')}:{entry.get('gid', '')}".strip(":")]
    if "target" in entry:
        words.append(f"-> {entry['target']}")
    if "size" in entry:
        words.append(f"{entry['size']} bytes {entry['sha256'][:12]}")
    return " ".join(w for w in words if w)
