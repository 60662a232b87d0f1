"""The ground every server stands on."""
from role import Change, Drift, Role

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIcOO/tZEqC7TpxSjuL+YaXmAiMUK4DYFyCzeaarJgU anna"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO0bHGBQJ8Nq3pO8AdVQv1VhBqjJBBkUfCFoIYDzCjYh ben"
DROP_IN = "/etc/systemd/network/10-host0.network.d/60-base.conf"


def deployer(**more) -> dict:
    return {"base_users": [{"name": "deployer", "comment": "Deployments", "sudo": True, "keys": [KEY], **more}]}


class Base(Role):
    name = "base"
    topology = "flat:2"
    # Each host finds out for itself what its gateway is, since the pool differs from lab to lab; then it forgets it.
    prepare = """
        gateway=$(ip -o route show default | awk '{ print $3 }')
        mkdir -p /etc/ansible/facts.d
        echo "{\\"gateway\\": \\"$gateway\\"}" >/etc/ansible/facts.d/lab.fact
        sed -i '/^Gateway=/d' /etc/systemd/network/10-host0.network
        networkctl reload && networkctl reconfigure host0
        for i in $(seq 50); do ip -o route show default | grep -q . || break; sleep 0.1; done
    """
    variables = deployer() | {
        "base_hostname": "{{ inventory_hostname }}.example.net",
        "base_default_route": "{{ ansible_local.lab.gateway }}",
        "base_timezone": "Europe/Berlin", "base_swap_size": "8M", "base_fail2ban_max_retry": 3,
        "base_ntp_servers": ["time.example.net"], "base_sysctl": {"net.ipv4.tcp_keepalive_time": 600},
        "base_unattended_blacklist": ["postgresql-.*"],
    }
    made_up = {"/var/lib/fail2ban/*": "it remembers when it was started"}
    ONLY_IN_RUN = {
        # Each needs a package that the same run installs.
        "base : Make the locales", "base : Say whom to ban",
        # What follows from a file that a check does not write.
        "base : Put the route into effect",
        "base : Restart cron", "base : Apply the kernel's settings", "base : Restart the journal", "base : Restart fail2ban",
    }
    CHANGES = [
        Change("a second key", deployer(keys=[KEY, OTHER]), {"base : Install their keys"}),
        Change("a kernel setting", {"base_sysctl": {"net.ipv4.tcp_keepalive_time": 300}},
               {"base : Write the kernel's settings", "base : Apply the kernel's settings"},
               only_in_run={"base : Apply the kernel's settings"}),
        Change("a larger swap", {"base_swap_size": "12M"}, {"base : Stop using one of another size",
               "base : Remove one of another size", "base : Make the swap file"},
               only_in_run={"base : Stop using one of another size", "base : Make the swap file"}),
        Change("a smaller journal", {"base_journald": {"SystemMaxUse": "64M"}},
               {"base : Limit the journal", "base : Restart the journal"}, only_in_run={"base : Restart the journal"}),
    ]
    drifts = [
        Drift("a stray key", f"echo '{OTHER}' >>/home/deployer/.ssh/authorized_keys", {"base : Install their keys"}),
        Drift("a lost route", f"rm {DROP_IN}; networkctl reload; networkctl reconfigure host0",
              {"base : Add the default route", "base : Put the route into effect"},
              only_in_run={"base : Put the route into effect"}, mended="ip route show default | grep -q via"),
        Drift("fail2ban stopped", "systemctl stop fail2ban", {"base : Watch from boot on"},
              mended="systemctl is-active fail2ban"),
        Drift("a readable swap file", "chmod 644 /swapfile", {"base : Let only root read it"}),
        Drift("no upgrades", "rm /etc/apt/apt.conf.d/60base-upgrades", {"base : Say what to upgrade"}),
    ]

    @property
    def only_in_run(self) -> set:
        # Debian 12's own configuration reads a file that is not there, so that the package does not start it.
        return self.ONLY_IN_RUN | ({"base : Watch from boot on"} if self.suite == "bookworm" else set())

    @property
    def changes(self) -> list[Change]:
        # Debian 13 has no /etc/timezone any more.
        zone = {"base : Set the time zone", "base : Restart cron"} | ({"base : Write the zone's name"} if self.suite == "bookworm" else set())
        return [*self.CHANGES, Change("another time zone", {"base_timezone": "Asia/Tokyo"}, zone, only_in_run={"base : Restart cron"})]

    def uses_name(self) -> None:
        for host in self.hosts():
            assert self.sh(host, "hostname").strip() == host
            assert self.sh(host, "hostname -f").strip() == f"{host}.example.net"

    def uses_route_after_reboot(self) -> None:
        host = self.mine.host("host-01")
        gateway = f"{self.mine.lab.network.pool}.1"
        host.reboot()
        assert gateway in self.sh("host-01", "ip route show default"), self.sh("host-01", "ip route")
        self.sh("host-01", "timeout 60 apt-get -q -o APT::Update::Error-Mode=any update")

    def uses_clock(self) -> None:
        assert self.sh("host-01", "date +%Z").strip() in ("CET", "CEST")
        self.sh("host-01", "locale -a | grep -qi en_US.utf")
        self.sh("host-01", "systemctl is-enabled systemd-timesyncd")
        assert "time.example.net" in self.sh("host-01", "systemd-analyze cat-config systemd/timesyncd.conf")

    def uses_kernel_settings(self) -> None:
        # Those of the network belong to the host even in the lab; the others are the machine's.
        for key, value in {"net.ipv4.conf.all.accept_redirects": "0", "net.ipv4.conf.all.rp_filter": "1",
                           "net.ipv4.tcp_keepalive_time": "600"}.items():
            assert self.sh("host-01", f"sysctl -n {key}").strip() == value, key

    def uses_swap(self) -> None:
        # A container has its machine's, so what can be seen is a file that the kernel would take, and at boot.
        self.sh("host-01", "test $(stat -c %s-%a-%u /swapfile) = 8388608-600-0; swaplabel /swapfile; file=$(mktemp); dd if=/swapfile of=$file bs=1 skip=4086 count=10 status=none; grep -q SWAPSPACE2 $file")
        assert "/swapfile" in self.sh("host-01", "findmnt --fstab --noheadings --types swap --output SOURCE")

    def uses_journal(self) -> None:
        said = self.sh("host-01", "systemd-analyze cat-config systemd/journald.conf; logger -t rplay hello; journalctl --sync; journalctl -t rplay -n1")
        assert "SystemMaxUse=1G" in said and "hello" in said, said

    def uses_upgrades(self) -> None:
        said = self.sh("host-01", "unattended-upgrade --dry-run --debug 2>&1", timeout=300)
        assert "-security,label=Debian-Security" in said and "postgresql-" in said, said[:2000]
        assert 'Unattended-Upgrade "1"' in self.sh("host-01", "apt-config dump")

    def uses_fail2ban(self) -> None:
        """Whoever guesses three times is shut out, and others are not."""
        guess = "for i in 1 2 3 4; do ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 guess$i@{} true || true; done"
        address = self.mine.host("host-01").address
        self.sh("host-02", guess.format(address))
        self.sh("host-01", "for i in $(seq 50); do fail2ban-client status sshd | grep -q 'Currently banned:.*1' && exit; sleep 0.2; done;"
                           "fail2ban-client status sshd; exit 1")
        closed = f"for i in $(seq 5); do timeout 2 bash -c '</dev/tcp/{address}/22' || exit 0; sleep 1; done; exit 1"
        self.sh("host-02", closed)
        self.run().expect(0)  # the controller still gets in
        self.sh("host-01", "fail2ban-client unban --all")
        self.sh("host-02", f"timeout 3 bash -c '</dev/tcp/{address}/22'")
