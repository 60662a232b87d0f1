#!/usr/bin/env python3
"""The lab itself: does it come up, isolate, repair itself and go away without a trace?

Needs root. Run as `tests/lab/test_lab.py [TestClass[.test]]`.
"""
import os
import re
import signal
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(REPOSITORY))

from lab import image, manifest, paths, process, shell  # noqa: E402
from lab.lab import Lab  # noqa: E402


def ssh(lab: Lab, *words: str, timeout: int = 20) -> subprocess.CompletedProcess:
    return shell.attempt("ssh", "-F", lab.ssh_config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", *words, timeout=timeout)


def host_key(address: str, port: int = 22) -> str:
    """The ed25519 key that answers at an address, as seen from the machine; empty when none does."""
    try:
        done = shell.attempt("ssh-keyscan", "-T", "3", "-t", "ed25519", "-p", str(port), address, timeout=10)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.split()[-1] if done.stdout.split() else ""


def own_key(lab: Lab, host: str) -> str:
    return (lab.host(host).directory / "keys/ssh_host_ed25519_key.pub").read_text().split()[1]


def traces(*labs: str) -> list[str]:
    """Everything on the machine that these labs left behind; other labs may run meanwhile."""
    slots = [Lab(name).first_slot() for name in labs]
    words = [*labs, *(f"rl{slot}" for slot in slots)]
    mine = re.compile("|".join(rf"(?<![\w]){re.escape(w)}(?![0-9])" for w in words))
    seen = image.mount_points() + shell.run("ip", "netns", "list").splitlines() + shell.run("ip", "-o", "link").splitlines()
    for table in ("filter", "nat"):
        seen += shell.run("iptables-save", "-t", table).splitlines()
    seen += [str(p) for p in paths.labs().glob("*")] + [str(p) for p in Path("/sys/fs/cgroup").glob("**/rl[0-9]*")]
    for pid in process.pids():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"systemd-nspawn" in words or b"lab.supervise" in words:
            seen.append(f"{pid} " + b" ".join(words).decode())
    return [line for line in seen if mine.search(line)]


def wait_until(what, timeout: float, message: str) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(message)
        time.sleep(0.1)


class Flat(unittest.TestCase):
    """Directly reachable hosts: two labs at once, faults, reboots, manifests."""

    @classmethod
    def setUpClass(cls):
        cls.one, cls.two = Lab("test-one"), Lab("test-two")
        cls.one.up("flat:2")
        cls.two.up("flat:2")

    @classmethod
    def tearDownClass(cls):
        cls.one.down()
        cls.two.down()
        if left := traces("test-one", "test-two"):
            raise AssertionError("left behind:\n" + "\n".join(left))

    def test_traces_are_found(self):
        """The search for leftovers must find a lab that is up, or finding nothing would mean nothing."""
        left = "\n".join(traces("test-one"))
        for kind in ("/hosts/host-01/root", f"{self.one.network.link}@", "-j MASQUERADE", "systemd-nspawn", "lab.supervise"):
            self.assertIn(kind, left)

    def test_each_host_is_itself(self):
        for lab in (self.one, self.two):
            for host in lab.hosts():
                done = ssh(lab, f"root@{host.address}", "hostname")
                self.assertEqual((done.returncode, done.stdout.strip()), (0, host.name), done.stderr)

    def test_labs_do_not_reach_each_other(self):
        self.assertNotEqual(self.one.network.pool, self.two.network.pool)
        other = self.two.host("host-01").address
        done = self.one.host("host-01").exec(f"timeout 3 bash -c 'exec 3<>/dev/tcp/{other}/22 && head -c 4 <&3'")
        self.assertNotIn("SSH", done.stdout)

    def test_up_again_leaves_running_hosts_alone(self):
        leaders = [h.leader for h in self.one.hosts()]
        started = time.monotonic()
        self.one.up("flat:2")
        self.assertEqual([h.leader for h in self.one.hosts()], leaders)
        self.assertLess(time.monotonic() - started, 5)

    def test_another_topology_under_the_same_name_is_refused(self):
        with self.assertRaisesRegex(shell.LabError, "is a flat:2"):
            self.one.up("fortress")

    def test_a_host_reboots_itself(self):
        host = self.one.host("host-02")
        host.exec("echo 1 >/proc/sys/net/ipv4/ip_forward; touch /root/kept")
        before = host.leader
        host.exec("systemctl reboot")
        wait_until(lambda: host.leader not in (None, before), 30, "did not come back")
        host.wait()
        # The disk survives a reboot, the kernel's state does not.
        self.assertEqual(host.exec("cat /proc/sys/net/ipv4/ip_forward; ls /root/kept").stdout, "0\n/root/kept\n")

    def test_a_killed_host_comes_back_with_its_disk(self):
        host = self.two.host("host-02")
        host.exec("echo kept >/etc/kept")
        host.kill()
        self.assertIsNone(host.leader)
        with self.assertRaises(OSError):
            socket.create_connection((host.address, 22), timeout=2)
        self.two.up("flat:2")
        self.assertEqual(host.exec("cat", "/etc/kept").stdout, "kept\n")

    def test_exec_passes_output_and_exit_code(self):
        host = self.one.host("host-01")
        done = host.exec("echo out; echo err >&2; exit 7")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (7, "out\n", "err\n"))
        self.assertEqual(host.exec("printf", "%s|", "a b", "c").stdout, "a b|c|")

    def test_the_manifest_lists_exactly_what_changed(self):
        host = self.one.host("host-01")
        before = host.manifest()
        host.exec("mkdir -m 750 /opt/thing; echo x >/opt/thing/file; chown 1:2 /opt/thing/file; ln -s file /opt/thing/link;"
                  "rm /etc/issue; chmod 600 /etc/motd; rm -r /usr/share/doc/cron; mkdir /usr/share/doc/cron; echo l >/var/log/l")
        lines = manifest.diff(before, host.manifest())
        words = {line.split()[1]: line for line in lines}
        self.assertEqual(sorted(words), ["/etc/issue", "/etc/motd", "/opt/thing", "/opt/thing/file", "/opt/thing/link",
                                         "/usr/share/doc/cron"])
        self.assertIn("directory 0750", words["/opt/thing"])
        self.assertIn("0644 1:2 2 bytes", words["/opt/thing/file"])
        self.assertIn("-> file", words["/opt/thing/link"])
        self.assertIn("whiteout", words["/etc/issue"])


class Fortress(unittest.TestCase):
    """The private network: nothing but the bastion gets in, nothing gets out before there is NAT."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("test-fortress")
        cls.lab.up("fortress")
        cls.bastion = cls.lab.network.outside(2)

    @classmethod
    def tearDownClass(cls):
        cls.lab.down()

    def test_the_bastion_and_the_storage_box_answer(self):
        self.assertEqual(host_key(self.bastion), own_key(self.lab, "bastion"))
        self.assertEqual(host_key(self.lab.network.outside(3), 23), own_key(self.lab, "storage"))

    def test_the_machine_does_not_reach_a_private_host(self):
        # Something else may answer at this address in the world outside, so it is the key that tells.
        self.assertNotEqual(host_key("10.0.0.10"), own_key(self.lab, "app-01"))

    def test_not_even_with_a_route_through_the_bastion(self):
        shell.run("ip", "route", "add", "10.0.0.10/32", "via", self.bastion)
        try:
            self.assertEqual(host_key("10.0.0.10"), "")
        finally:
            shell.run("ip", "route", "del", "10.0.0.10/32", "via", self.bastion)

    def test_a_jump_through_the_bastion_reaches_every_private_host(self):
        for host in self.lab.hosts():
            if host.spec.private and not host.spec.outside:
                done = ssh(self.lab, "-o", f"ProxyJump=root@{self.bastion}", f"root@{host.address}", "hostname")
                self.assertEqual(done.stdout.strip(), host.name, done.stderr)

    def test_private_hosts_have_no_way_out(self):
        app = self.lab.host("app-01")
        machine = self.lab.network.outside(1)
        for address in (machine, self.lab.network.outside(3), "192.0.2.1"):
            self.assertNotEqual(app.exec("ping", "-c1", "-W1", address).returncode, 0, address)
        self.assertEqual(app.exec("ping", "-c1", "-W1", "10.0.0.2").returncode, 0)
        self.assertEqual(app.exec("ping", "-c1", "-W1", "10.0.0.21").returncode, 0)
        self.assertEqual(app.exec("ip -6 route show default").stdout, "")

    def test_the_bastion_gets_packages(self):
        done = self.lab.host("bastion").exec("apt-get -q -o APT::Update::Error-Mode=any update", timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_only_root_gets_in_and_only_by_key(self):
        options = ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={self.lab.directory}/known_hosts"]
        refused = shell.attempt("ssh", "-F", "/dev/null", "-i", "/dev/null", "-o", "IdentitiesOnly=yes", *options,
                                f"root@{self.bastion}", "true")
        self.assertIn("Permission denied", refused.stderr)
        other = ssh(self.lab, f"deployer@{self.bastion}", "true")
        self.assertIn("Permission denied", other.stderr)
        self.assertEqual(ssh(self.lab, f"root@{self.bastion}", "id -u").stdout, "0\n")


class Killed(unittest.TestCase):
    """`up` killed in the middle: the next `up` repairs, and `down` cleans up as well."""

    NAME = "test-killed"

    def setUp(self):
        image.ensure("bookworm")  # so that the moments below fall into the lab's own work

    def tearDown(self):
        Lab(self.NAME).down()
        self.assertEqual(traces(self.NAME), [])

    def kill_up_after(self, seconds: float) -> None:
        command = [str(REPOSITORY / "lab/up"), "flat:3", "--name", self.NAME]
        up = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(seconds)
        os.killpg(up.pid, signal.SIGKILL)
        up.wait()

    def test_repair(self):
        for seconds in (0.15, 0.35, 0.6, 1.0):
            self.kill_up_after(seconds)
        lab = Lab(self.NAME)
        lab.up("flat:3")
        for host in lab.hosts():
            self.assertEqual(ssh(lab, f"root@{host.address}", "hostname").stdout.strip(), host.name)

    def test_clean_up(self):
        for seconds in (0.25, 0.5, 0.9):
            self.kill_up_after(seconds)
            Lab(self.NAME).down()
            self.assertEqual(traces(self.NAME), [], f"killed after {seconds} s")


if __name__ == "__main__":
    unittest.main(verbosity=2)
