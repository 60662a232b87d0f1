"""The Debian packages that the machine itself needs to run a lab."""
import os
import shutil

from .shell import LabError, run, say

# command -> package that has it
NEEDED = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "sysctl": "procps",
    "mount": "mount",
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SBIN = ["/usr/local/sbin", "/usr/sbin", "/sbin"]


def ensure() -> None:
    """Install what is missing; a machine that has everything costs nothing."""
    if os.geteuid() != 0:
        raise LabError("the lab starts systemd hosts and needs root; try `sudo`")
    # A login through `su` has no sbin in its PATH.
    parts = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    os.environ["PATH"] = ":".join(parts + [d for d in SBIN if d not in parts])
    missing = sorted({package for command, package in NEEDED.items() if not shutil.which(command)})
    if not os.path.exists(KEYRING):
        missing.append("debian-archive-keyring")
    if not missing:
        return
    if not shutil.which("apt-get"):
        raise LabError(f"missing on this machine, which has no apt-get to install it: {', '.join(missing)}")
    say(f"machine: installing {' '.join(missing)}")
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run("apt-get", "update", "-qq", timeout=600, env=env)
    run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing, timeout=900, env=env)
