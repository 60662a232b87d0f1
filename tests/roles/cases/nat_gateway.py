"""The way out of the private network: for it alone, inwards for nobody, after a reboot too, and beside ufw."""
from role import Change, Drift, Role

UPDATE = "timeout {} apt-get -q -o APT::Update::Error-Mode=any update"
RULES = {"nat-gateway : Write the rules", "nat-gateway : Load the NAT rules"}
RELOAD = {"nat-gateway : Load the NAT rules"}


class NatGateway(Role):
    name = "nat-gateway"
    topology = "fortress"
    play = [{"hosts": "bastion", "become": True, "roles": ["nat-gateway"]}]
    variables = {"login_user": "root"}
    # Starting the unit follows from writing it, and there is none to enable before.
    only_in_run = {"nat-gateway : Load them at boot", "nat-gateway : Load the NAT rules"}
    changes = [
        Change("a smaller network", {"nat_gateway_private_network": "10.0.0.0/28"},
               RULES | {"nat-gateway : Write the unit that loads them at boot"}, only_in_run=RELOAD,
               then=lambda suite: suite.smaller()),
        Change("forwarding left to others", {"nat_gateway_forward_policy": "accept"}, RULES, only_in_run=RELOAD),
    ]
    drifts = [
        Drift("the table deleted", "nft delete table ip nat_gateway",
              {"nat-gateway : Look whether the rules are loaded", "nat-gateway : Load the NAT rules"}, only_in_run=RELOAD,
              mended="nft list table ip nat_gateway"),
        Drift("forwarding turned off", "sysctl -w net.ipv4.ip_forward=0", {"nat-gateway : Forward packets"},
              mended="test $(sysctl -n net.ipv4.ip_forward) = 1"),
        Drift("a rule removed", "sed -i /masquerade/d /etc/nat-gateway.nft", RULES, only_in_run=RELOAD),
    ]

    def check_on_fresh(self) -> None:
        done = self.mine.host("app-01").exec(UPDATE.format(5))
        assert done.returncode != 0, "there is a way out before the role has made one"
        super().check_on_fresh()

    def uses_way_out(self) -> None:
        self.sh("app-01", UPDATE.format(60))

    def uses_only_for_the_private_network(self) -> None:
        """An address that is not in the network gets no answer from outside."""
        outside = f"{self.mine.lab.network.pool}.3"
        ask = "timeout 4 python3 -c \"import socket; s = socket.socket(); s.settimeout(3); s.bind(('{}', 0)); s.connect(('" + outside + "', 23))\""
        self.sh("app-01", "ip address replace 172.20.0.5/32 dev host0; " + ask.format("10.0.0.10"))
        # The gateway knows the way back, so only its rules stand between.
        self.sh("bastion-01", "ip route replace 172.20.0.5/32 via 10.0.0.10")
        self.sh("app-01", "! " + ask.format("172.20.0.5") + " 2>/dev/null; ip address del 172.20.0.5/32 dev host0")
        self.sh("bastion-01", "ip route del 172.20.0.5/32")

    def uses_nobody_comes_in(self) -> None:
        pool = self.mine.lab.network.pool
        self.sh("storage-01", f"ip route replace 10.0.0.0/16 via {pool}.2; ! timeout 3 bash -c '</dev/tcp/10.0.0.10/22' 2>/dev/null;"
                              "ip route del 10.0.0.0/16")

    def uses_reboot(self) -> None:
        self.mine.host("bastion-01").reboot()
        self.sh("app-01", UPDATE.format(60))

    def uses_ufw(self) -> None:
        """A firewall that somebody turns on cuts the way off, and the role mends it."""
        self.sh("bastion-01", "apt-get install -y -qq ufw >/dev/null 2>&1; ufw allow 22/tcp; ufw --force enable", timeout=300)
        done = self.mine.host("app-01").exec(UPDATE.format(5))
        assert done.returncode != 0, "ufw lets through what it has no rule for"
        wanted = {"nat-gateway : Let the private network through ufw"}
        assert self.check().tasks() == wanted and self.run().expect(0).tasks() == wanted
        assert not self.run().expect(0).tasks()
        self.sh("app-01", UPDATE.format(60))
        self.sh("bastion-01", "ufw --force disable; apt-get purge -y -qq ufw >/dev/null 2>&1")

    def smaller(self) -> None:
        """app-01 (.10) is in 10.0.0.0/28, db-primary (.20) is not."""
        self.sh("app-01", UPDATE.format(60))
        done = self.mine.host("db-primary").exec(UPDATE.format(5))
        assert done.returncode != 0, "a host outside the network gets out"
