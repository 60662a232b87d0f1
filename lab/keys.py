"""The lab's SSH identity: the operator's key, each host's keys, and the files that an SSH client needs."""
from pathlib import Path

from .network import Network
from .shell import run
from .topology import HostSpec, Topology

HOST_KEY_TYPES = ("ed25519", "ecdsa")


def ensure_operator(directory: Path) -> str:
    """The operator's public key, made on first use."""
    return _ensure(directory / "operator", "ed25519", "operator@rplay-lab")


def ensure_host(directory: Path, host: str) -> list[Path]:
    """The private host keys of one host; their public halves lie beside them."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind in HOST_KEY_TYPES:
        _ensure(directory / f"ssh_host_{kind}_key", kind, f"root@{host}")
    return [directory / f"ssh_host_{kind}_key" for kind in HOST_KEY_TYPES]


def _ensure(path: Path, kind: str, comment: str) -> str:
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        path.unlink(missing_ok=True)
        run("ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", path)
    return public.read_text().strip()


def addresses(spec: HostSpec, network: Network) -> list[str]:
    """Every address of a host, the one to connect to first."""
    outside = [network.outside(spec.outside)] if spec.outside else []
    return outside + ([spec.private] if spec.private else [])


def write_client_files(directory: Path, topology: Topology, network: Network) -> None:
    """Write `known_hosts` and `ssh_config`."""
    known = []
    for spec in topology.hosts:
        names = [spec.name, *addresses(spec, network)]
        if spec.port != 22:
            names = [f"[{n}]:{spec.port}" for n in names]
        for kind in HOST_KEY_TYPES:
            public = (directory / "hosts" / spec.name / "keys" / f"ssh_host_{kind}_key.pub").read_text().split()
            known.append(f"{','.join(names)} {public[0]} {public[1]}\n")
    (directory / "known_hosts").write_text("".join(known))
    (directory / "ssh_config").write_text(_ssh_config(directory, topology, network))


def _ssh_config(directory: Path, topology: Topology, network: Network) -> str:
    lines = ["# Playbook runners connect to addresses and get the last section; names are for people:",
             f"#   ssh -F {directory}/ssh_config {topology.hosts[-1].name}", ""]
    bastion = next((h for h in topology.hosts if h.private and h.outside), None)
    for spec in topology.hosts:
        lines += [f"Host {spec.name}", f"    HostName {addresses(spec, network)[0]}", f"    Port {spec.port}",
                  f"    User {spec.login or topology.login}"]
        if spec.private and not spec.outside and bastion:
            lines.append(f"    ProxyJump {bastion.name}")
        lines.append("")
    lines += ["Host *", f"    IdentityFile {directory}/operator", "    IdentitiesOnly yes",
              f"    UserKnownHostsFile {directory}/known_hosts", "    GlobalKnownHostsFile /dev/null",
              "    StrictHostKeyChecking yes", "    ConnectTimeout 10", "    ServerAliveInterval 5",
              "    ServerAliveCountMax 3", "    LogLevel ERROR", ""]
    return "\n".join(lines)
