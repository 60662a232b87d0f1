"""Second runs of bench/playbook.yml on eight hosts: rplay, ansible-core with pipelining, and plain ssh logins.

Rounds are interleaved so that a busy moment of the machine meets all alike. Prints a table of medians and ratios.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "tests/lab")]

import reference  # noqa: E402
from lab.lab import Lab  # noqa: E402
from lab.shell import LabError, say  # noqa: E402
from tool import parse_recap  # noqa: E402

PLAYBOOK = HERE / "playbook.yml"
HOSTS = 8


def built_binary() -> Path:
    """`cargo build --release`'s rplay; build.target puts it below the target's name."""
    build = subprocess.run(["cargo", "build", "--release", "--bin", "rplay", "--message-format=json-render-diagnostics"],
                           cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=True)
    for line in build.stdout.splitlines():
        message = json.loads(line)
        if message.get("reason") == "compiler-artifact" and message.get("executable") and message["target"]["name"] == "rplay":
            return Path(message["executable"])
    raise LabError("cargo built no binary called rplay")


class Contender:
    """One way to spend time on eight hosts; `again` runs it once more and returns the seconds it took."""

    def __init__(self, name: str, command: list, env: dict):
        self.name, self.command, self.env = name, [str(c) for c in command], env
        self.seconds: list[float] = []

    def run(self) -> tuple[float, str]:
        started = time.monotonic()
        done = subprocess.run(self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        seconds = time.monotonic() - started
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", done.stdout)
        if done.returncode:
            raise LabError(f"{self.name}: exit code {done.returncode}\n{text[-3000:]}")
        return seconds, text

    def prepare(self) -> None:
        """The first run, which changes things, and a second one that must not."""
        self.run()
        self.check(self.run()[1])

    def check(self, text: str) -> None:
        recap = parse_recap(text)
        if len(recap) != HOSTS or any(c["changed"] or c.get("failed") or c.get("unreachable") for c in recap.values()):
            raise LabError(f"{self.name}: not a run that changes nothing on {HOSTS} hosts:\n{text[-2000:]}")

    def again(self) -> None:
        seconds, text = self.run()
        self.check(text)
        self.seconds.append(seconds)


class Logins(Contender):
    """OpenSSH logging in to every host at once and running `true`: the floor under everything that uses ssh."""

    def __init__(self, lab: Lab):
        each = "".join(f"ssh -F {lab.ssh_config} -o BatchMode=yes root@{h.address} true & p=\"$p $!\"; " for h in lab.hosts())
        super().__init__("ssh host true, all at once", ["sh", "-c", f"{each} for q in $p; do wait $q || exit 1; done"], dict(os.environ))

    def check(self, text: str) -> None:
        if text.strip():
            raise LabError(f"ssh said: {text}")


def table(contenders: list[Contender]) -> str:
    """Medians, spread, and how many times each takes of the first contender and of rplay."""
    medians = {c.name: statistics.median(c.seconds) for c in contenders}
    floor, rplay = contenders[0].name, next((c.name for c in contenders if c.name.startswith("rplay")), None)
    rows = [["", "median", "fastest", "slowest", "x ssh", "x rplay"]]
    for c in contenders:
        rows.append([c.name, f"{medians[c.name]:.2f} s", f"{min(c.seconds):.2f} s", f"{max(c.seconds):.2f} s",
                     f"{medians[c.name] / medians[floor]:.2f}", f"{medians[c.name] / medians[rplay]:.1f}" if rplay else "-"])
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths))) + " |" for r in rows]
    lines.insert(1, "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser("bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rplay", type=Path, help="the binary to measure; built from this repository without it")
    parser.add_argument("--without-rplay", action="store_true", help="measure the other contenders only")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--reference-rounds", type=int, default=3, help="ansible-core takes part in the first of them")
    parser.add_argument("--keep", action="store_true", help="leave the lab up")
    args = parser.parse_args()
    rplay = None if args.without_rplay else (args.rplay.resolve() if args.rplay else built_binary())
    env = reference.environment()
    lab = Lab("bench")
    sockets = tempfile.mkdtemp(prefix="rb-")
    try:
        lab.up(f"flat:{HOSTS}")
        inventory = lab.directory / "inventory.yml"
        contenders = [Logins(lab)]
        if rplay:
            contenders.append(Contender("rplay", [rplay, "run", PLAYBOOK, "-i", inventory], env))
        contenders.append(Contender("ansible-core, pipelining", [reference.ensure() / "ansible-playbook", PLAYBOOK, "-i", inventory],
                                    env | {"ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}))
        for contender in contenders:
            say(f"bench: preparing {contender.name}")
            contender.prepare()
        for number in range(args.rounds):
            taking_part = contenders if number < args.reference_rounds else contenders[:-1]
            for contender in taking_part:
                contender.again()
            say(f"bench: round {number + 1} of {args.rounds}: " + ", ".join(f"{c.name} {c.seconds[-1]:.2f} s" for c in taking_part))
        print(f"\n{HOSTS} hosts, 40 task-items each, second run, {args.rounds} rounds ({min(args.rounds, args.reference_rounds)} of ansible-core), {os.cpu_count()} processors\n\n{table(contenders)}")
    finally:
        shutil.rmtree(sockets, ignore_errors=True)
        if not args.keep:
            lab.down()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
