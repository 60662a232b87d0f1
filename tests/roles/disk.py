"""Two labs' disks, file by file, with what belongs to the lab and not to the role made alike."""
import difflib
import fnmatch
import re

import mask
from lab import manifest

IGNORE = (*manifest.IGNORE, *mask.FILES)
LARGEST = 400_000  # bytes of a file that is worth reading

# Files that the host's own programs fill with keys, times and random numbers: that both have them is all that counts.
MADE_UP = ("/etc/ssl/certs/*", "/etc/ssl/private/ssl-cert-snakeoil.key", "/var/lib/fail2ban/*", "/etc/docker/key.json",
           "/var/lib/docker/*", "/var/lib/containerd/*", "*.log", "/swapfile", "/var/lib/dpkg/info/format", "/etc/machine-id",
           "/var/lib/redis/*", "/var/lib/prometheus/*", "/var/lib/grafana/*", "/var/lib/systemd/*", "/etc/resolv.conf")


def texts(side, files: dict) -> dict:
    """The content of what differs from the image, by host and path, with the lab's own name and addresses named."""
    own = [(re.compile(re.escape(side.lab.network.pool + ".")), "POOL."), (re.compile(re.escape(side.lab.name)), "LAB")]
    found = {}
    for host in side.lab.hosts():
        mine = found[host.name] = {}
        for path, entry in files[host.name].items():
            if entry["type"] == "file" and entry["size"] <= LARGEST and not manifest.ignored(path, IGNORE):
                mine[path] = _alike(host.upper, path, own)
    return found


def _alike(upper, path: str, own: list) -> str:
    try:
        text = (upper / path.lstrip("/")).read_bytes().decode("utf-8", "backslashreplace")
    except OSError:
        return ""
    for pattern, name in own:
        text = pattern.sub(name, text)
    return mask.text(text)


def differences(left: dict, left_texts: dict, right: dict, right_texts: dict, made_up: dict) -> list[str]:
    """What is not the same on two labs' hosts, reference first, one entry for each file."""
    found = []
    for host in left:
        mine, theirs = left[host], right[host]
        for path in sorted(mine.keys() | theirs.keys()):
            if manifest.ignored(path, IGNORE):
                continue
            a, b = mine.get(path), theirs.get(path)
            if any(fnmatch.fnmatchcase(path, pattern) for pattern in (*MADE_UP, *made_up)):
                continue
            if line := _unlike(path, a, b, left_texts[host].get(path), right_texts[host].get(path)):
                found.append(f"{host} {line}")
    return found


def _unlike(path: str, a, b, text_a, text_b) -> str:
    if a is None or b is None:
        return f"{path}: only {'rplay' if a is None else 'the reference'} has it ({manifest.describe(a or b)})"
    skip = {"sha256", "size"} if text_a is not None and text_a == text_b else set()
    keys = [k for k in sorted(a.keys() | b.keys()) if k not in skip and a.get(k) != b.get(k)]
    if not keys:
        return ""
    lines = [f"{path}: " + ", ".join(f"{k} {a.get(k)} / {b.get(k)}" for k in keys if k != "sha256")]
    if text_a is not None and text_b is not None:
        shown = difflib.unified_diff(text_a.splitlines(), text_b.splitlines(), "reference", "rplay", n=0, lineterm="")
        lines += [f"    {line[:200]}" for line in list(shown)[:20]]
    return "\n".join(lines)
