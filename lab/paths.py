"""Where the lab keeps what it makes: never inside the repository."""
import os
from pathlib import Path


def images() -> Path:
    """Base images, worth keeping between runs (a CI cache, for example)."""
    base = os.environ.get("RPLAY_LAB_DIR")
    return Path(base) / "images" if base else Path("/var/cache/rplay-lab")


def labs() -> Path:
    """Running labs: one directory each, plus the registry that keeps them from colliding."""
    base = os.environ.get("RPLAY_LAB_DIR")
    return Path(base) / "labs" if base else Path("/var/lib/rplay-lab")


def package_root() -> Path:
    """The directory that must be on `sys.path` for `import lab` to work."""
    return Path(__file__).resolve().parent.parent
