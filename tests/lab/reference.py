"""ansible-core from PyPI, the reference that lab tests and benches compare with, in a cached virtual environment."""
import os
import subprocess
import sys
from pathlib import Path

VERSION = "2.19.14"


def ensure() -> Path:
    """The directory of its commands, installed now if need be; RPLAY_REFERENCE names an environment that exists."""
    if given := os.environ.get("RPLAY_REFERENCE"):
        return Path(given) / "bin"
    cache = os.environ.get("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    place = Path(cache) / "rplay-tests" / f"ansible-core-{VERSION}"
    if not (place / ".complete").exists():
        print(f"reference: installing ansible-core {VERSION} into {place}", file=sys.stderr, flush=True)
        _venv(place)
        # The `ansible` package carries the collections; the one that goes with this ansible-core is 12.
        _pip(place, f"ansible-core=={VERSION}", "ansible>=12,<13")
        (place / ".complete").touch()
    return place / "bin"


def _venv(place: Path) -> None:
    made = subprocess.run([sys.executable, "-m", "venv", str(place)], capture_output=True, text=True)
    if made.returncode:  # Debian's python3 comes without ensurepip
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3-venv", "python3-pip"],
                       check=True, env=env, stdout=subprocess.DEVNULL)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)


def _pip(place: Path, *packages: str) -> None:
    subprocess.run([str(place / "bin/pip"), "install", "--quiet", "--disable-pip-version-check", *packages], check=True)


def environment() -> dict:
    """What to set so that neither the user's configuration nor an earlier run takes part."""
    nothing = str(Path(__file__).with_name("ansible.cfg"))
    return dict(os.environ, ANSIBLE_NOCOLOR="1", ANSIBLE_PIPELINING="1", ANSIBLE_CONFIG=nothing, ANSIBLE_FORKS="8",
                PATH=f"{ensure()}:{os.environ['PATH']}")
