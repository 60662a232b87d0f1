"""playbooks/bootstrap.yml: servers on which only root gets in become ones on which only the deploy user does."""
from lab import shell
from role import PROJECT, Role

HARDENED = {"harden-ssh : Reload sshd"}


class Bootstrap(Role):
    name = "bootstrap"
    topology = "fortress"
    inventory = {"private": {"vars": {"base_resolvers": ["192.0.2.53"]}}}
    # What a cloud's image has: a first boot that takes a moment, and whose status is not zero for reasons of its own.
    prepare = """
        printf '#!/bin/sh\\nsleep 2; touch /run/first-boot-over; exit 2\\n' >/usr/local/bin/cloud-init
        chmod 755 /usr/local/bin/cloud-init"""
    only_in_run = HARDENED
    made_up = {"/home/deployer/.ansible*": "the reference's", "/home/deployer/.cache*": "rplay's"}

    playbook = PROJECT / "playbooks/bootstrap.yml"

    def managed(self) -> list[str]:
        return [host for host in self.hosts() if host != "storage-01"]

    def uses_logins(self) -> None:
        ssh = ["ssh", "-F", self.mine.lab.ssh_config, "-o", "BatchMode=yes"]
        for host in self.managed():
            assert "Permission denied" in shell.attempt(*ssh, f"root@{host}", "true").stderr, f"root gets in on {host}"
            assert shell.attempt(*ssh, f"deployer@{host}", "sudo -n id -u").stdout == "0\n", f"deployer on {host}"
            self.sh(host, "test -e /run/first-boot-over")

    def uses_resolver(self) -> None:
        assert "nameserver 192.0.2.53" in self.sh("app-01", "cat /etc/resolv.conf")
        assert "192.0.2.53" not in self.sh("bastion-01", "cat /etc/resolv.conf")
