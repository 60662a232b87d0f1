"""The base image that every host of a lab is layered on: one debootstrapped Debian, built once."""
import fcntl
import hashlib
import os
import re
import shutil
from pathlib import Path

from . import paths
from .shell import LabError, attempt, run, say

# Raise it when the build steps below change what the image holds.
STEPS = 1

SUITES = ("bookworm", "trixie")

# What a fresh cloud server has. python3 and python3-apt are there only for the reference (ansible-core needs
# Python on the host, and python3-apt for its `apt` module); rplay uses neither.
PACKAGES = ("systemd systemd-sysv dbus openssh-server sudo iproute2 iptables nftables iputils-ping ca-certificates "
            "cron procps python3 python3-apt").split()

# Boot services that cost time or wake up in the middle of a test.
MASKED = ("apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service dpkg-db-backup.timer "
          "fstrim.timer e2scrub_all.timer systemd-networkd-wait-online.service systemd-firstboot.service "
          "console-getty.service getty@tty1.service e2scrub_reap.service dev-hugepages.mount sys-kernel-debug.mount "
          "sys-kernel-tracing.mount systemd-update-utmp.service systemd-journal-flush.service "
          "systemd-update-utmp-runlevel.service systemd-modules-load.service").split()

# What a machine of its own would give, and a container does not:
# - forwarding is off until somebody turns it on (a new network namespace inherits the machine's setting);
# - the cgroup hierarchies are writable, which a container engine inside the host needs.
BOOT_UNIT = """[Unit]
Description=Kernel defaults of a machine of its own
DefaultDependencies=no
Before=systemd-sysctl.service sysinit.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo 0 >/proc/sys/net/ipv4/ip_forward; for c in /sys/fs/cgroup /sys/fs/cgroup/*/; do mount -o remount,rw,bind $c 2>/dev/null; done; true'

[Install]
WantedBy=sysinit.target
"""

PAUSE = "exit 101\n"  # policy-rc.d's word for "do not start services", while packages are unpacked in the chroot


def recipe(suite: str) -> str:
    """A hash of all that decides the image's content, so that a changed recipe makes a new image."""
    parts = [str(STEPS), suite, *PACKAGES, *MASKED, BOOT_UNIT, Path(_resolv_conf()).read_text()]
    parts += [f.read_text() for f in _source_files()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def ensure(suite: str) -> Path:
    """The directory of the finished image, built now if there is none for the present recipe."""
    if suite not in SUITES:
        raise LabError(f"no image `{suite}`; there are {', '.join(SUITES)}")
    root = paths.images()
    root.mkdir(parents=True, exist_ok=True)
    final = root / f"{suite}-{recipe(suite)}"
    if final.is_dir():
        return final
    with open(root / f"{suite}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not final.is_dir():
            _build(suite, root / f"{suite}.partial", final)
            _forget_older(root, suite, keep=final)
    return final


def remove_all() -> None:
    """Delete every image; the caller makes sure that no lab uses one."""
    for path in paths.images().glob("*"):
        unmount_below(path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if paths.images().is_dir():
        paths.images().rmdir()


def unmount_below(path: Path) -> None:
    """Unmount everything at or below `path`, deepest first."""
    below = [m for m in mount_points() if m == str(path) or m.startswith(f"{path}/")]
    for mount in sorted(below, key=len, reverse=True):
        if attempt("umount", mount).returncode:
            attempt("umount", "-l", mount)


def mount_points() -> list[str]:
    """Every mount point that this process sees, with the kernel's octal escapes undone."""
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        points.append(re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4]))
    return points


def _forget_older(root: Path, suite: str, keep: Path) -> None:
    in_use = Path("/proc/self/mountinfo").read_text()
    for old in root.glob(f"{suite}-*"):
        if old != keep and f"lowerdir={old}," not in in_use:
            shutil.rmtree(old)


def _build(suite: str, work: Path, final: Path) -> None:
    say(f"image {suite}: building (a few minutes, once)")
    unmount_below(work)
    shutil.rmtree(work, ignore_errors=True)
    script = Path("/usr/share/debootstrap/scripts") / suite
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", suite, work, _mirror()]
    if not script.exists():
        command.append("/usr/share/debootstrap/scripts/sid")  # an older debootstrap: all suites share this script
    run(*command, timeout=1800)
    say(f"image {suite}: unpacked, configuring")
    _copy_apt_setup(suite, work)
    _copy_authorities(work)
    shutil.copyfile(_resolv_conf(), _fresh(work / "etc/resolv.conf"))
    policy = work / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\n" + PAUSE)
    policy.chmod(0o755)
    env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", LC_ALL="C")
    run("chroot", work, "apt-get", "update", "-qq", timeout=600, env=env)
    run("chroot", work, "apt-get", "-y", "-qq", "dist-upgrade", timeout=1200, env=env)
    run("chroot", work, "apt-get", "clean")
    policy.unlink()
    _tidy(work)
    work.rename(final)
    say(f"image {suite}: ready in {final}")


def _tidy(work: Path) -> None:
    (work / "etc/systemd/system/lab-boot.service").write_text(BOOT_UNIT)
    for unit in ("ssh", "systemd-networkd", "cron", "lab-boot"):
        run("systemctl", f"--root={work}", "enable", unit)
    run("systemctl", f"--root={work}", "mask", *MASKED)
    run("systemctl", f"--root={work}", "set-default", "multi-user.target")
    for key in (work / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # each host gets its own
    (work / "etc/machine-id").write_text("")
    # Persistent journals would only fill the overlay's upper directory.
    shutil.rmtree(work / "var/log/journal", ignore_errors=True)
    ssh = work / "root/.ssh"
    ssh.mkdir(mode=0o700, exist_ok=True)


def _fresh(path: Path) -> Path:
    """`path`, with whatever file or symlink was there gone."""
    path.unlink(missing_ok=True)
    return path


def _source_files() -> list[Path]:
    files = [Path("/etc/apt/sources.list")]
    files += sorted(Path("/etc/apt/sources.list.d").glob("*.list"))
    files += sorted(Path("/etc/apt/sources.list.d").glob("*.sources"))
    return [f for f in files if f.is_file() and f.read_text().strip()]


def _is_debian(text: str) -> bool:
    """Whether a source file is about the distribution itself (and not some vendor's packages)."""
    return bool(re.search(r"\b(bookworm|trixie|stable|bullseye)(-updates|-security)?\b", text)) \
        and bool(re.search(r"\bmain\b", text))


def _mirror() -> str:
    """The mirror that this machine uses itself."""
    for file in _source_files():
        text = file.read_text()
        if not _is_debian(text):
            continue
        for stanza in re.split(r"\n\s*\n", text):
            uris = re.search(r"(?m)^URIs:\s*(\S+)", stanza) or \
                re.search(r"(?m)^deb\s+(?:\[[^]]*\]\s+)?(\S+)", stanza)
            if uris and "security" not in uris[1]:
                return uris[1]
    raise LabError("found no Debian mirror in /etc/apt/sources.list or /etc/apt/sources.list.d")


def _copy_apt_setup(suite: str, work: Path) -> None:
    """Give the image the machine's own way to packages: sources, keys, proxies, credentials."""
    (work / "etc/apt/sources.list").write_text("")
    here = _codename()
    for file in _source_files():
        text = file.read_text()
        if not _is_debian(text):
            continue
        if here != suite:
            text = re.sub(rf"\b{here}\b", suite, text)
        (work / "etc/apt" / file.relative_to("/etc/apt")).write_text(text)
        for keyring in re.findall(r"(?mi)(?:^signed-by:\s*|signed-by=)(/[^\s\]]+)", text):
            target = work / keyring.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                shutil.copyfile(keyring, target)
    for file in sorted(Path("/etc/apt/apt.conf.d").iterdir()):
        # How to fetch, not what somebody's packages do after it; container base images also shrink the cache.
        if re.search(r"(?i)acquire(::|\s*\{)", file.read_text()) and not file.name.startswith("docker-"):
            shutil.copyfile(file, work / "etc/apt/apt.conf.d" / file.name)
    for extra in [Path("/etc/apt/apt.conf"), *Path("/etc/apt/auth.conf.d").glob("*"), Path("/etc/apt/auth.conf")]:
        if extra.is_file():
            shutil.copy2(extra, work / extra.relative_to("/"))


def _codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.split("=")[1].strip('"')
    return ""


def _copy_authorities(work: Path) -> None:
    """Trust what the machine trusts: a company's proxy or mirror may use its own certificate authority."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    theirs = work / "etc/ssl/certs/ca-certificates.crt"
    if not bundle.exists():
        return
    pattern = r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----"
    known = {_squeeze(c) for c in re.findall(pattern, theirs.read_text(), re.S)} if theirs.exists() else set()
    extra = [c for c in re.findall(pattern, bundle.read_text(), re.S) if _squeeze(c) not in known]
    target = work / "usr/local/share/ca-certificates"
    target.mkdir(parents=True, exist_ok=True)
    for number, certificate in enumerate(extra):
        (target / f"machine-{number}.crt").write_text(certificate + "\n")
    if extra:
        run("chroot", work, "update-ca-certificates")


def _squeeze(text: str) -> str:
    return "".join(text.split())


def _resolv_conf() -> str:
    """The resolver file that works from another network namespace (systemd-resolved's stub does not)."""
    stub = "127.0.0.53" in Path("/etc/resolv.conf").read_text()
    real = "/run/systemd/resolve/resolv.conf"
    return real if stub and os.path.exists(real) else "/etc/resolv.conf"
