"""A lab's wires: one network namespace with its bridges, and one cable from it to the machine.

    machine ── rlN (198.18.x.1) ═══ uplink ─ br-out ── bastion out0 (.2), storage (.3)   ┐ all in the
                                             br-priv ── bastion host0, every private host ┘ namespace rlN

The private bridge exists only inside the namespace, so the machine has no address on it, no route to it and no
netfilter hook in it: frames between private hosts never meet the machine's rules (bridge-netfilter included).
Deleting the namespace deletes every bridge and cable with it.
"""
from pathlib import Path

from .shell import attempt, run

POOLS = 512  # 198.18.0.0/15 (RFC 2544, for test labs) in /24 pools


class Network:
    """The wires of the lab that has slot `slot`."""

    def __init__(self, slot: int, lab: str):
        self.slot, self.lab = slot, lab
        self.netns = f"rl{slot}"
        self.link = f"rl{slot}"  # the machine's end of the cable; the prefix is what labs know each other by
        self.pool = f"198.{18 + slot // 256}.{slot % 256}"
        self.comment = f"rplay-lab:{slot}:{lab}"

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.netns

    def outside(self, last: int) -> str:
        """An address in the lab's outward pool."""
        return f"{self.pool}.{last}"

    @staticmethod
    def taken(slot: int) -> bool:
        """Whether somebody uses this slot's names or addresses already."""
        net = Network(slot, "")
        route = attempt("ip", "-4", "route", "show", "root", f"{net.pool}.0/24").stdout.strip()
        return net.path.exists() or Path(f"/sys/class/net/{net.link}").exists() or bool(route)

    def up(self, private: bool) -> None:
        """Lay whatever wire is missing."""
        if not attempt("ip", "netns", "exec", self.netns, "true").returncode == 0:
            attempt("ip", "netns", "del", self.netns)  # a name left behind without a namespace
            run("ip", "netns", "add", self.netns)
        self._inside("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1",
                     "net.ipv4.ip_forward=0")
        self._bridge("br-out")
        if private:
            self._bridge("br-priv")
        if not Path(f"/sys/class/net/{self.link}").exists():
            run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "uplink", "netns", self.netns)
        run("ip", "-n", self.netns, "link", "set", "uplink", "master", "br-out", "up")
        attempt("sysctl", "-qw", f"net.ipv6.conf.{self.link}.disable_ipv6=1")
        run("ip", "address", "replace", f"{self.pool}.1/24", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        self._rules()

    def down(self) -> None:
        """Take every wire and rule away; fine when there is none."""
        attempt("ip", "link", "del", self.link)
        attempt("ip", "netns", "del", self.netns)
        for table in ("filter", "nat"):
            for line in attempt("iptables", "-t", table, "-S").stdout.splitlines():
                if self.comment in line.replace('"', "").split():
                    run("iptables", "-w", "-t", table, "-D", *line.replace('"', "").split()[1:])

    def _inside(self, *settings: str) -> None:
        for setting in settings:
            run("ip", "netns", "exec", self.netns, "sysctl", "-qw", setting)

    def _bridge(self, name: str) -> None:
        if attempt("ip", "-n", self.netns, "link", "show", name).returncode:
            run("ip", "-n", self.netns, "link", "add", name, "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        run("ip", "-n", self.netns, "link", "set", name, "up")

    def _rules(self) -> None:
        """Let the outward pool out through the machine, and no lab into another one."""
        pool, tag = f"{self.pool}.0/24", ["-m", "comment", "--comment", self.comment]
        self._rule("nat", "POSTROUTING", "-s", pool, "!", "-d", pool, *tag, "-j", "MASQUERADE")
        # Inserted in reverse: each goes to the top, above what a container engine may have put there.
        self._rule("filter", "FORWARD", "-o", self.link, *tag, "-j", "ACCEPT")
        self._rule("filter", "FORWARD", "-i", self.link, *tag, "-j", "ACCEPT")
        self._rule("filter", "FORWARD", "-i", "rl+", "-o", "rl+", *tag, "-j", "DROP")

    @staticmethod
    def _rule(table: str, chain: str, *rule: str) -> None:
        if attempt("iptables", "-w", "-t", table, "-C", chain, *rule).returncode:
            run("iptables", "-w", "-t", table, "-I", chain, "1", *rule)
