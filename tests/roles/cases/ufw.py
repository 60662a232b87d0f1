"""The firewall: who may talk to whom on the whole fortress, containers included, and no way to lock oneself out."""
import scan
from role import Change, Drift, Role

DB = ["db-primary", "db-replica"]
APP = ["app-01", "app-02"]
PRIVATE = {"app-01": "10.0.0.10", "app-02": "10.0.0.11", "db-primary": "10.0.0.20", "db-replica": "10.0.0.21",
           "jobs-01": "10.0.0.30", "monitor-01": "10.0.0.40"}
ADDRESSES = PRIVATE | {"bastion-01": "10.0.0.2"}
PORTS = [22, 23, 3000, 3100, 5432, 6379, 8080, 9100, 9187]
SERVED = [p for p in PORTS if p != 22]

RULES = {"ufw : Compare the rules with those that are declared"}
CONTAINERS = {"ufw : Hold containers to the same rules"}


def allowed(source: str, target: str, port: int) -> bool:
    """The matrix as one says it, not as the role is given it."""
    if source == target:
        return True
    if port == 22:
        return source == "bastion-01" or target == "bastion-01"
    if port == 3000:
        return source == "bastion-01" and target in APP
    if port == 5432:
        return source in APP + DB + ["jobs-01"] and target in DB
    if port == 9100:
        return source == "monitor-01"
    if port == 9187:
        return source == "monitor-01" and target in DB
    if port == 3100:
        return target == "monitor-01"
    return False


class Ufw(Role):
    name = "ufw"
    topology = "fortress"
    # The private hosts' packages come through the bastion.
    play = [
        {"hosts": "bastion", "become": True, "roles": ["nat-gateway"]},
        {"hosts": "all:!storage", "become": True, "roles": ["ufw"]},
    ]
    inventory = {"loadbalancer": {"hosts": {"bastion-01": None}},
                 "bastion": {"vars": {"nat_gateway_private_network": "{{ private_network }}"}}}
    variables = {"login_user": "root", "ufw_rollback_after": 60}
    prepare = {"bastion-01": """
        # A way out that is there before the role's own, so that a check of a fresh private host can look for packages.
        true"""}
    only_in_run = {
        "ufw : Hold containers to the same rules",
        # nat-gateway's own, see there
        "nat-gateway : Load them at boot", "nat-gateway : Load the NAT rules",
    }
    changes = [
        Change("a rule of one's own", {"ufw_rules": [{"port": 8080, "from": "10.0.0.40", "comment": "looking in"}]}, RULES | CONTAINERS),
        Change("containers left alone", {"ufw_docker": False}, CONTAINERS),
        Change("nothing out", {"ufw_outgoing": "{{ 'deny' if inventory_hostname == 'db-primary' else 'allow' }}"}, {"ufw : Set what becomes of everything else"},
               then=lambda suite: suite.nothing_out()),
        Change("louder", {"ufw_logging": "medium"}, RULES),
    ]
    drifts = [
        Drift("a rule added by hand", "ufw allow 6379/tcp", RULES, "app-01", mended="! ufw status | grep 6379"),
        Drift("a rule removed by hand", "ufw delete allow from 10.0.0.2 to any port 3000 proto tcp", RULES, "app-01"),
        Drift("turned off by hand", "ufw disable", RULES, "app-02", mended="ufw status | grep -q 'Status: active'"),
        Drift("opened by hand", "sed -i 's/^DEFAULT_INPUT_POLICY=.*/DEFAULT_INPUT_POLICY=\"ACCEPT\"/' /etc/default/ufw",
              {"ufw : Set what becomes of everything else"}, "jobs-01"),
    ]
    removal = {"ufw_state": "absent"}

    def uses_matrix(self) -> None:
        """From every host to every port of every host: open is what the matrix says and nothing else."""
        hosts = [*ADDRESSES, "storage-01"]
        for host in hosts:
            scan.listen(self, host, SERVED if host != "storage-01" else [22, *SERVED[1:]])
        pool = self.mine.lab.network.pool
        targets = [(a, p) for a in [*ADDRESSES.values(), f"{pool}.2", f"{pool}.3"] for p in PORTS]
        found = scan.scan_all(self, hosts[:-1], targets)
        # To private addresses there is no way from outside; the machine may have something else there.
        found["storage-01"] = scan.scan(self, "storage-01", [t for t in targets if t[0].startswith(pool)])
        lines = []
        for source in hosts:
            expected = set()
            if source == "storage-01":  # outside: it sees the bastion's ssh, and itself
                expected = {(f"{pool}.2", 22)}
            else:
                expected = {(a, p) for name, a in ADDRESSES.items() for p in PORTS if allowed(source, name, p)}
                expected |= {(f"{pool}.2", p) for p in PORTS if allowed(source, "bastion-01", p)}
            # storage has no firewall, and everybody gets out to it: through NAT.
            expected |= {(f"{pool}.3", p) for p in PORTS}
            lines += [f"{source} reaches {t}, which the matrix does not have" for t in sorted(found[source] - expected)]
            lines += [f"{source} does not reach {t}, which the matrix has" for t in sorted(expected - found[source])]
        assert not lines, "\n".join(lines)

    def uses_nat_with_ufw(self) -> None:
        self.sh("app-01", "timeout 60 apt-get -q -o APT::Update::Error-Mode=any update")

    def uses_reboot(self) -> None:
        """Both are there again after a reboot of the bastion and of a private host."""
        for name in ("bastion-01", "app-02"):
            self.mine.host(name).reboot()
            self.sh(name, "ufw status | grep -q 'Status: active'")
        self.sh("app-02", "timeout 60 apt-get -q -o APT::Update::Error-Mode=any update")
        scan.listen(self, "app-02", SERVED)
        scan.listen(self, "bastion-01", SERVED)
        assert scan.scan(self, "bastion-01", [("10.0.0.11", p) for p in PORTS]) == {("10.0.0.11", 22), ("10.0.0.11", 3000)}
        assert scan.scan(self, "app-02", [("10.0.0.2", p) for p in PORTS]) == {("10.0.0.2", 22)}

    def uses_roll_back(self) -> None:
        """Rules that let nobody in are gone again, though they are told to let somebody in at the port."""
        before = self.sh("app-01", "ufw show added; cat /etc/default/ufw")
        run = self.run("-l", "app-01", variables={
            "ufw_matrix": [], "ufw_rules": [{"port": 22, "from": "10.9.9.9"}], "ufw_rollback_after": 12}).expect(2)
        assert "has its former ones again" in run.text, run.text[-3000:]
        assert self.sh("app-01", "ufw show added; cat /etc/default/ufw") == before
        self.sh("app-01", "ufw status | grep -q 'Status: active'; test ! -e /run/ufw-rollback")
        self.run("-l", "app-01").expect(0)

    def uses_refusal(self) -> None:
        run = self.run("-l", "app-01", variables={"ufw_matrix": [], "ufw_rules": []}).expect(2)
        assert "No rule lets anybody in at port 22" in run.text, run.text[-2000:]
        run = self.run("-l", "bastion-01", variables={"ufw_outgoing": "deny"}).expect(2)
        assert "others are reached through this host" in run.text, run.text[-2000:]

    def uses_container(self) -> None:
        """A port that Docker publishes answers those whom the rules for this port let in."""
        self.sh("app-01", CONTAINER, timeout=900)
        for host in ("app-01",):
            self.sh(host, "systemctl stop lab-listen; sleep 0.5; docker run -d --name web -p 3000:80 box /bin/busybox nc -ll -p 80 -e /bin/busybox hostname;"
                          "docker run -d --name open -p 8080:80 box /bin/busybox nc -ll -p 80 -e /bin/busybox hostname")
        at = [("10.0.0.10", 3000), ("10.0.0.10", 8080)]
        for again in range(2):
            found = scan.scan_all(self, ["bastion-01", "app-02", "monitor-01"], at)
            assert found == {"bastion-01": {at[0]}, "app-02": set(), "monitor-01": set()}, found
            # Not by the container's own address either.
            direct = "ip route replace 172.17.0.0/16 via 10.0.0.10; ! timeout 3 bash -c '</dev/tcp/172.17.0.2/80'; ip route del 172.17.0.0/16"
            self.sh("monitor-01", direct)
            self.sh("app-01", "docker run --rm box /bin/busybox wget -q -T 5 -O - http://10.0.0.2:22 2>&1 | head -c 1; true")
            # A change of rules while containers run, and the way back.
            extra = {"ufw_rules": [{"port": 8080, "from": "10.0.0.40"}]}
            self.run("-l", "app-01", variables=extra).expect(0)
            assert scan.scan(self, "monitor-01", at) == {at[1]}
            self.run("-l", "app-01").expect(0)
            self.sh("app-01", "systemctl restart docker; docker start web open")
        self.sh("app-01", "docker rm -f web open; systemctl stop docker.socket docker; apt-get purge -y -qq docker.io >/dev/null; rm -rf /var/lib/docker")
        self.mine.host("app-01").reboot()

    def nothing_out(self) -> None:
        assert not scan.scan(self, "db-primary", [("10.0.0.21", 5432), ("10.0.0.2", 22)]), "something gets out"
        assert scan.scan(self, "bastion-01", [("10.0.0.20", 22)]), "and nothing in any more"

    def removed(self) -> None:
        scan.listen(self, "app-01", SERVED)
        assert ("10.0.0.10", 6379) in scan.scan(self, "app-02", [("10.0.0.10", 6379)])
        self.sh("app-01", "! iptables -S | grep -q ufw-containers; ! test -e /etc/ufw/user.rules")


CONTAINER = """
    if ! docker image inspect box >/dev/null 2>&1; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get install -y -qq --no-install-recommends docker.io docker-cli busybox-static >/dev/null 2>&1 ||
            apt-get install -y -qq --no-install-recommends docker.io busybox-static >/dev/null
        d=$(mktemp -d); mkdir $d/bin; cp /bin/busybox $d/bin/; ln -s busybox $d/bin/sh
        tar -C $d -c . | docker import - box
    fi
"""
