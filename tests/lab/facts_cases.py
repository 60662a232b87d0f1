"""Facts: key by key what the reference's `setup` gives of the same host, on Debian 12 and 13."""
import fnmatch
import json
import shutil
import tempfile
from pathlib import Path

from lab.lab import Lab
from tool import Tool

#: What is another thing a moment later, or tells of the login that asked.
MOVING = (
    "date_time.*", "uptime_seconds", "loadavg.*", "*memfree_mb", "*swapfree_mb", "memory_mb.*", "mounts.*_available", "mounts.*_used",
    "env.SSH_*", "ssh_host_*",
    # Of the shell and the Python that the reference's module runs in.
    "env._", "env.LC_CTYPE",
)
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.setup:
      register: all
    - ansible.builtin.copy: {content: "{{ all.ansible_facts | to_json }}", dest: "%s", mode: "0600"}
      delegate_to: localhost
      become: false
      vars: {ansible_connection: local}
"""


class Facts:
    """One host of each suite."""

    def __init__(self, tool: Tool, standard: Tool):
        self.tool, self.standard = tool, standard
        self.labs = {suite: Lab(f"judge-facts-{suite}") for suite in ("bookworm", "trixie")}

    def up(self) -> None:
        self.down()
        self.scratch = Path(tempfile.mkdtemp(prefix="rplay-facts-"))
        for suite, lab in self.labs.items():
            lab.up("single", suite)

    def down(self) -> None:
        for lab in self.labs.values():
            lab.down()
        if hasattr(self, "scratch"):
            shutil.rmtree(self.scratch, ignore_errors=True)

    def cases(self):
        return [self.debian_12, self.debian_13]

    def debian_12(self) -> None:
        self.compare("bookworm")

    def debian_13(self) -> None:
        self.compare("trixie")

    def compare(self, suite: str) -> None:
        """All keys that do not move are the same."""
        left, right = (self.gathered(tool, suite) for tool in (self.standard, self.tool))
        keys = sorted(key for key in left.keys() | right.keys() if not any(fnmatch.fnmatchcase(key, p) for p in MOVING))
        assert len(keys) > 300, f"only {len(keys)} facts: {', '.join(keys)}"
        lines = [f"{key}: reference {left.get(key, 'absent')!r:.200} | rplay {right.get(key, 'absent')!r:.200}"
                 for key in keys if left.get(key, "absent") != right.get(key, "absent")]
        assert not lines, f"{len(lines)} of {len(keys)} keys differ\n" + "\n".join(lines)

    def gathered(self, tool: Tool, suite: str) -> dict:
        """All facts of the suite's host, flat."""
        out = self.scratch / "facts.json"
        play = self.scratch / "facts.yml"
        play.write_text(PLAY % out)
        tool.run(play, self.labs[suite].directory / "inventory.yml", timeout=120).expect(0)
        return flat({key.removeprefix("ansible_"): value for key, value in json.loads(out.read_text()).items()})


def flat(value, path: str = "") -> dict:
    """A tree as its leaves by their paths; lists of dictionaries by what names these, other lists as they are."""
    if isinstance(value, dict) and value:
        return {k: v for key, inner in value.items() for k, v in flat(inner, f"{path}.{key}" if path else key).items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        named = {item.get("mount") or item.get("path") or str(n): item for n, item in enumerate(value)}
        return flat(named, path)
    # In no order there.
    return {path: sorted(value) if isinstance(value, list) and path.startswith(("virtualization_tech", "interfaces")) else value}
