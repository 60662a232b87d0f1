"""The image that upstream's targets run in: the lab's Debian, with what those targets expect of a test host."""
import contextlib
import fcntl
import hashlib
import os
import shutil
from pathlib import Path

from lab import image, paths
from lab.shell import run, say

# Raise it when the build steps below change what the image holds.
STEPS = 1
VERSION = "2.19.14"
SUITE = "bookworm"

PACKAGES = ("python3-apt python3-venv python3-pip python3-debian git gnupg unzip zip bzip2 xz-utils openssl acl iptables "
            "locales rsync procps psmisc less file curl netcat-openbsd bash-completion debconf-utils python3-passlib "
            "python3-bcrypt python3-pexpect whois sudo cron").split()

# Runs in the new root with the machine's network. The targets are GPL and stay in the cache: no copy is in the project.
BUILD = f"""set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C HOME=/root
apt-get update -qq
apt-get install -y -qq --no-install-recommends {' '.join(PACKAGES)}
apt-get clean
echo 'en_US.UTF-8 UTF-8' >>/etc/locale.gen
locale-gen
chmod 755 /root
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
cat /root/.ssh/id_ed25519.pub >>/root/.ssh/authorized_keys
# Some of the targets' scripts say `python`.
ln -s python3 /usr/bin/python
mkdir /compat /compat/sdist
python3 -m pip download -q --disable-pip-version-check --no-deps --no-binary :all: -d /compat/sdist ansible-core=={VERSION}
tar xzf /compat/sdist/*.tar.gz -C /compat --strip-components=1 --wildcards '*/test' '*/lib'
rm -rf /compat/sdist /root/.cache
install -m 755 /compat/test/lib/ansible_test/_util/target/injector/virtualenv.sh /usr/local/bin/
# A test host's Python is there to be installed into.
rm -f /usr/lib/python3*/EXTERNALLY-MANAGED
"""


def recipe() -> str:
    """A hash of all that decides the image's content."""
    return hashlib.sha256("\0".join([str(STEPS), image.recipe(SUITE), BUILD]).encode()).hexdigest()[:12]


def mount_point() -> Path:
    """An empty directory that every host mounts its files on, in a namespace of its own: here it stays empty."""
    return paths.images() / "conformance.mnt"


@contextlib.contextmanager
def held():
    """The directory of the finished image, built now if need be; nobody replaces it before the block ends."""
    base = image.ensure(SUITE)
    root = paths.images()
    final = root / f"conformance-{recipe()}"
    mount_point().mkdir(exist_ok=True)
    with open(root / "conformance.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        while not final.is_dir():
            # Waits for runs that use an image of another recipe, which is then removed.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not final.is_dir():
                for old in root.glob("conformance-*"):
                    shutil.rmtree(old)
                _build(base, root / "conformance.partial", final)
            # Going from one kind of lock to the other is not one step: look again.
            fcntl.flock(lock, fcntl.LOCK_SH)
        yield final


def _build(base: Path, work: Path, final: Path) -> None:
    say("image conformance: building (some minutes, once)")
    shutil.rmtree(work, ignore_errors=True)
    run("cp", "-a", base, work, timeout=600)
    policy, settings = work / "usr/sbin/policy-rc.d", Path("/etc/pip.conf")
    policy.write_text("#!/bin/sh\n" + image.PAUSE)
    policy.chmod(0o755)
    if settings.is_file():
        shutil.copyfile(settings, work / "etc/pip.conf")
    # The mounts are in a namespace of their own, and go with it.
    inside = 'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && exec chroot "$1" bash -c "$2"'
    env = dict(os.environ, PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    run("unshare", "-m", "-p", "-f", "--kill-child", "bash", "-c", inside, "-", work, BUILD, timeout=1800, env=env)
    policy.unlink()
    (work / "etc/pip.conf").unlink(missing_ok=True)
    work.rename(final)
    say(f"image conformance: ready in {final}")
