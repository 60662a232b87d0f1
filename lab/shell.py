"""Running commands on the machine, and saying what is going on."""
import subprocess
import sys
import time


class LabError(Exception):
    """Something a person can act on; printed without a traceback."""


_STARTED = time.monotonic()


def say(message: str) -> None:
    """Print one progress line with the seconds since the command began (to stderr: stdout is for results)."""
    print(f"[{time.monotonic() - _STARTED:6.1f}s] {message}", file=sys.stderr, flush=True)


def attempt(*argv, timeout=120, **kwargs) -> subprocess.CompletedProcess:
    """Run a command whose failure is fine; output is captured, standard input is empty."""
    kwargs.setdefault("stdin", subprocess.DEVNULL) if "input" not in kwargs else None
    return subprocess.run([str(a) for a in argv], text=True, errors="replace", capture_output=True,
                          timeout=timeout, **kwargs)


def run(*argv, timeout=120, **kwargs) -> str:
    """Run a command that must work and return what it printed; the error names the command and its words."""
    done = attempt(*argv, timeout=timeout, **kwargs)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip())[-3000:]
        raise LabError(f"`{' '.join(str(a) for a in argv)}` failed with {done.returncode}: {words}")
    return done.stdout
