"""sshd: who gets in, by what, how often, and that a change which locks out is taken back."""
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import shell
from role import Change, Drift, Role

KEYS = Path(tempfile.mkdtemp(prefix="rplay-ssh-"))  # the operator's known_hosts and authority
DROP_IN = {"harden-ssh : Write the drop-in", "harden-ssh : Reload sshd", "harden-ssh : Forget the former drop-in"}
# The reload follows from the drop-in, and what is forgotten from both.
AFTER = {"harden-ssh : Reload sshd", "harden-ssh : Forget the former drop-in"}


class HardenSsh(Role):
    name = "harden-ssh"
    prepare = """
        for name in deployer other; do
            useradd -m -s /bin/bash $name
            echo '$6$rplaylab$hjmy7m/WXABKqxiQJt4ZfYCFeGEiiA2m/cHUpH1Ono4E6PuJNqb2e/hJPnS/ejLUFckbu5MO9tpAw2crh1Ayn.' | sed "s/^/$name:/" | chpasswd -e
            install -d -m 700 -o $name -g $name /home/$name/.ssh
            install -m 600 -o $name -g $name /root/.ssh/authorized_keys /home/$name/.ssh/authorized_keys
        done
        echo 'deployer ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/50-deployer
        chmod 440 /etc/sudoers.d/50-deployer
        # As somebody might have left it: a setting in front of the line that reads the drop-ins.
        sed -i '1i X11Forwarding yes' /etc/ssh/sshd_config
    """
    only_in_run = {
        "harden-ssh : Reload sshd",
        # Signing is done on the controller, and only in a run.
        "harden-ssh : Install the certificate", "harden-ssh : Have sshd read the new certificate",
    }
    changes = [
        Change("a banner", {"harden_ssh_banner": "Keep out"}, DROP_IN | {"harden-ssh : Write the banner"}, only_in_run=AFTER,
               back_tasks=DROP_IN | {"harden-ssh : Remove a banner that nobody wants any more"}),
        Change("another port too", {"harden_ssh_ports": [22, 2222]}, DROP_IN, only_in_run=AFTER, then=lambda suite: suite.second_port()),
    ]
    drifts = [
        Drift("root let in again", "sed -i 's/^PermitRootLogin no/PermitRootLogin yes/' /etc/ssh/sshd_config.d/00-harden.conf; systemctl reload ssh; sleep 2",
              DROP_IN, only_in_run=AFTER, mended="sshd -T | grep -qx 'permitrootlogin no'"),
        Drift("the main file overrules", "sed -i '/drop-ins first/d' /etc/ssh/sshd_config; sed -i '1{/^Include/d}' /etc/ssh/sshd_config",
              {"harden-ssh : Have the main file read the drop-ins before anything else"}),
    ]
    # Both tools would sign with numbers and times of their own.
    made_up = {"/etc/ssh/ssh_host_ed25519_key-cert.pub": "a certificate has the time at which it was signed"}

    variables = {"ansible_user": "deployer", "harden_ssh_known_hosts": str(KEYS / "known_hosts"),
                 "harden_ssh_host_ca": str(KEYS / "authority"), "harden_ssh_rollback_after": 30,
                 # Debian 13 shuts out who fails as often as these cases do; the labs' addresses are from this network.
                 "harden_ssh_penalty_exempt": ["198.18.0.0/15"],
                 # The two labs have hosts of the same name and one known_hosts.
                 "harden_ssh_names": ["{{ ansible_host }}"]}

    def __init__(self, *arguments):
        super().__init__(*arguments)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEYS / "authority"], check=True)

    def down(self) -> None:
        super().down()
        shutil.rmtree(KEYS)

    def ssh(self, login: str, *options: str, key: bool = True) -> subprocess.CompletedProcess:
        lab = self.mine.lab
        name, password = login, ["-o", "BatchMode=yes"] if key else ["-o", "PubkeyAuthentication=no"]
        return shell.attempt("ssh", *options, "-F", str(lab.ssh_config), *password, f"{name}@host-01", "id -un", stdin=subprocess.DEVNULL)

    def check_on_fresh(self) -> None:
        super().check_on_fresh()
        assert not (KEYS / "known_hosts").exists(), "a check wrote the operator's known_hosts"

    def uses_logins(self) -> None:
        assert self.ssh("deployer").stdout == "deployer\n"
        for name in ("root", "other"):
            done = self.ssh(name)
            assert "Permission denied (publickey)" in done.stderr, f"{name}: {done.stdout}{done.stderr}"
        done = self.ssh("deployer", "-o", "PreferredAuthentications=password,keyboard-interactive", key=False)
        assert "Permission denied (publickey)" in done.stderr, done.stderr

    def uses_modern_algorithms(self) -> None:
        for option in ("KexAlgorithms=diffie-hellman-group14-sha256", "MACs=hmac-sha1", "HostKeyAlgorithms=ecdsa-sha2-nistp256",
                       "KexAlgorithms=ecdh-sha2-nistp256"):
            more = ["-o", "Ciphers=aes256-ctr"] if option.startswith("MACs") else []
            done = self.ssh("deployer", "-o", "LogLevel=INFO", "-o", option, *more)
            assert "no matching" in done.stderr, f"{option}: {done.stderr}"
        assert "kexalgorithms mlkem" in self.sh("host-01", "sshd -T") or self.suite == "bookworm"

    def uses_rate_limit(self) -> None:
        """Of forty connections that do not log in no more than twenty are talked to."""
        many = ("import socket, sys\nfound = []\nfor i in range(40):\n    s = socket.create_connection((sys.argv[1], 22)); s.settimeout(1)\n"
                "    try: found.append((s, s.recv(64)))\n    except OSError: pass\nprint(sum(b.startswith(b'SSH-') for _, b in found))")
        answered = int(shell.attempt("python3", "-c", many, self.mine.host("host-01").address).stdout)
        assert 10 <= answered <= 20, f"{answered} of 40 were talked to"

    def uses_pinned_keys(self) -> None:
        known = KEYS / "pinned"
        lines = (KEYS / "known_hosts").read_text().splitlines()
        address = self.mine.host("host-01").address
        alone = ["-o", "StrictHostKeyChecking=yes", "-o", "GlobalKnownHostsFile=/dev/null", "-o", f"UserKnownHostsFile={known}", "-o", f"HostName={address}", "-o", "HostKeyAlias=none"]
        for kind in ("@cert-authority", address + " "):
            known.write_text("".join(line + "\n" for line in lines if line.startswith(kind)))
            assert known.read_text(), f"no line for {kind} in {lines}"
            done = shell.attempt("ssh", "-F", "none", "-o", "BatchMode=yes", "-i", str(self.mine.lab.directory / "operator"), *alone[:-2], f"deployer@{address}", "id -un")
            assert done.stdout == "deployer\n", f"{kind}: {done.stderr}"
        known.write_text("")
        assert "Host key verification failed" in shell.attempt("ssh", "-F", "none", "-o", "BatchMode=yes", *alone[:-2], f"deployer@{address}", "true").stderr

    def uses_renewal(self) -> None:
        """A certificate of the day before yesterday's authority, or one that ends soon, is signed anew."""
        wanted = {"harden-ssh : Install the certificate", "harden-ssh : Have sshd read the new certificate"}
        did = self.run(variables={"harden_ssh_certificate_renew": 400}).expect(0).tasks()
        assert did == wanted, f"changed {sorted(did)}"
        self.changed_nothing()

    def uses_roll_back(self) -> None:
        """What keeps the deploy user out is gone again, even when systemd reads its units anew meanwhile."""
        before = self.mine.host("host-01").manifest()
        self.sh("host-01", "systemd-run --quiet --collect --on-active=6s systemctl daemon-reload")
        run = self.run(variables={"harden_ssh_allow_groups": ["games"], "harden_ssh_rollback_after": 12}).expect(2)
        assert "runs with the former one again" in run.text, run.text[-3000:]
        assert self.ssh("deployer").stdout == "deployer\n"
        self._same_disks({"host-01": before}, {"host-01": self.mine.host("host-01").manifest()}, {})

    def uses_refusals(self) -> None:
        for variables in ({"harden_ssh_allow_users": ["nobody"]}, {"harden_ssh_login_user": "root"}):
            assert "must be one of harden_ssh_allow_users and not be root" in self.run(variables=variables).expect(2).text
        self.changed_nothing()

    def changed_nothing(self) -> None:
        did = self.run().expect(0).tasks()
        assert not did, f"changed {sorted(did)}"

    def second_port(self) -> None:
        assert self.ssh("deployer", "-p", "2222", "-o", "HostKeyAlias=" + self.mine.host("host-01").address).stdout == "deployer\n"
