"""What a lab consists of, as data: hosts with their addresses, and the inventory groups they belong to."""
import re
from dataclasses import dataclass, field

from .shell import LabError

PRIVATE_NETWORK = "10.0.0.0/16"
GATEWAY = "10.0.0.2"  # the bastion, as private hosts see it


@dataclass(frozen=True)
class HostSpec:
    """One host: `private` is its address in 10.0.0.0/16, `outside` the last byte of its address in the lab's pool."""

    name: str
    private: str | None = None
    outside: int | None = None
    port: int = 22
    groups: tuple = ()
    login: str | None = None  # where it is not the topology's


@dataclass(frozen=True)
class Topology:
    """Hosts, and parents of groups (`children` maps a group to the groups below it)."""

    name: str
    hosts: tuple
    login: str  # what the inventory says as `ansible_user`
    children: dict = field(default_factory=dict)

    def host(self, name: str) -> HostSpec:
        """The host called `name`, or the only one whose name starts with it (`bastion` for `bastion-01`)."""
        exact = [h for h in self.hosts if h.name == name]
        near = exact or [h for h in self.hosts if h.name.startswith(name)]
        if len(near) != 1:
            names = ", ".join(h.name for h in (near or self.hosts))
            raise LabError(f"{'several hosts match' if near else 'no host'} `{name}`; there are {names}")
        return near[0]

    @property
    def has_private_network(self) -> bool:
        return any(h.private for h in self.hosts)


FORTRESS = Topology(
    name="fortress",
    login="deployer",
    hosts=(
        HostSpec("bastion-01", private=GATEWAY, outside=2, groups=("bastion",)),
        HostSpec("app-01", private="10.0.0.10", groups=("app",)),
        HostSpec("app-02", private="10.0.0.11", groups=("app",)),
        HostSpec("db-primary", private="10.0.0.20", groups=("primary",)),
        HostSpec("db-replica", private="10.0.0.21", groups=("replica",)),
        HostSpec("jobs-01", private="10.0.0.30", groups=("jobs",)),
        HostSpec("monitor-01", private="10.0.0.40", groups=("monitor",)),
        HostSpec("storage-01", outside=3, port=23, groups=("storage",), login="root"),
    ),
    children={"db": ("primary", "replica"), "private": ("app", "db", "jobs", "monitor")},
)


def flat(count: int) -> Topology:
    """`count` hosts that the machine reaches directly, for benches and module tests."""
    if not 1 <= count <= 200:
        raise LabError(f"flat:{count}: between 1 and 200 hosts")
    hosts = tuple(HostSpec(f"host-{n:02}", outside=9 + n, groups=("flat",)) for n in range(1, count + 1))
    return Topology(name=f"flat:{count}", hosts=hosts, login="root")


def parse(text: str) -> Topology:
    """`fortress`, `single` or `flat:N`."""
    if text == "fortress":
        return FORTRESS
    if text in ("single", "flat"):
        return flat(1)
    if match := re.fullmatch(r"flat:(\d+)", text):
        return flat(int(match[1]))
    raise LabError(f"no topology `{text}`; there are `fortress`, `flat:N` and `single`")
