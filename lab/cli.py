"""The commands `up`, `down`, `exec` and `inventory`."""
import argparse
import os
import subprocess
import sys

from . import image, packages
from .lab import Lab, all_labs
from .shell import LabError, say

DEFAULT = "default"


def up(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("lab/up", description="Boot a lab of real systemd hosts, or repair it.")
    parser.add_argument("topology", nargs="?", default="fortress", help="fortress (default), flat:N, single")
    parser.add_argument("--name", default=DEFAULT, help="several labs can run side by side")
    parser.add_argument("--image", default="bookworm", choices=image.SUITES)
    args = parser.parse_args(argv)
    lab = Lab(args.name)
    lab.up(args.topology, args.image)
    say(f"look around: ssh -F {lab.ssh_config} root@{lab.topology.hosts[0].name}   |   lab/exec HOST COMMAND")
    return 0


def down(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("lab/down", description="Take a lab down and leave nothing of it.")
    parser.add_argument("--name", default=DEFAULT)
    parser.add_argument("--all", action="store_true", help="every lab")
    parser.add_argument("--images", action="store_true", help="delete the cached images too")
    args = parser.parse_args(argv)
    packages.ensure()
    for lab in all_labs() if args.all else [Lab(args.name)]:
        lab.down()
    if args.images:
        if left := all_labs():
            raise LabError(f"labs still use the images: {', '.join(lab.name for lab in left)}; add --all")
        image.remove_all()
        say("images deleted")
    return 0


def exec_(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "lab/exec", description="Run a command in a host as root, without the network; one argument is a shell command.")
    parser.add_argument("--name", default=DEFAULT)
    parser.add_argument("host", help="its name or an unambiguous beginning of it")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if os.geteuid() != 0:
        raise LabError("entering a host needs root; try `sudo`")
    return subprocess.run(Lab(args.name).host(args.host).exec_command(*(command or ["bash", "-l"]))).returncode


def inventory(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("lab/inventory", description="Print a lab's inventory (YAML).")
    parser.add_argument("--name", default=DEFAULT)
    print(Lab(parser.parse_args(argv).name).inventory(), end="")
    return 0


def main() -> int:
    commands = {"up": up, "down": down, "exec": exec_, "inventory": inventory}
    try:
        return commands[sys.argv[1]](sys.argv[2:])
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; `lab/up` repairs, `lab/down` cleans up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
