"""The lab as an Ansible inventory (YAML that ansible-core and rplay both read)."""
import json
from pathlib import Path

from .keys import addresses
from .network import Network
from .topology import PRIVATE_NETWORK, HostSpec, Topology


def render(topology: Topology, network: Network, directory: Path, operator_key: str) -> str:
    """The whole inventory as text."""
    groups = {group for spec in topology.hosts for group in spec.groups}
    tree = {"all": {"vars": _all_vars(topology, directory, operator_key), "children": {}}}
    nested = {child for below in topology.children.values() for child in below}
    for group in [g for spec in topology.hosts for g in spec.groups] + list(topology.children):
        if group not in nested:
            tree["all"]["children"][group] = _group(group, topology, network, directory, groups)
    return "---\n" + _yaml(tree)


def _all_vars(topology: Topology, directory: Path, operator_key: str) -> dict:
    # On a fresh fortress only root gets in; the playbook sets `login_user` until that has changed.
    login = topology.login if topology.login == "root" else f"{{{{ login_user | default('{topology.login}') }}}}"
    found = {"ansible_user": login, "ansible_ssh_common_args": f"-F {directory}/ssh_config",
             "ansible_python_interpreter": "/usr/bin/python3"}
    if topology.has_private_network:
        found |= {"operator_keys": [operator_key], "private_network": PRIVATE_NETWORK}
    return found


def _group(group: str, topology: Topology, network: Network, directory: Path, groups: set) -> dict:
    found: dict = {}
    if group in groups:
        found["hosts"] = {spec.name: _host_vars(spec, network) for spec in topology.hosts if group in spec.groups}
    if below := topology.children.get(group):
        found["children"] = {child: _group(child, topology, network, directory, groups) for child in below}
    if group == "private":
        # The jump host's login is whatever works there now: root at first, then the deploy user.
        jump = "{{ hostvars[groups['bastion'][0]].ansible_user }}@" + network.outside(2)
        found["vars"] = {"ansible_ssh_common_args": f"-F {directory}/ssh_config -o ProxyJump={jump}"}
    return found


def _host_vars(spec: HostSpec, network: Network) -> dict:
    found: dict = {"ansible_host": addresses(spec, network)[0]}
    if spec.port != 22:
        found["ansible_port"] = spec.port
    if spec.login:
        found["ansible_user"] = spec.login
    if spec.private:
        found["private_address"] = spec.private
    return found


def _yaml(value, depth: int = 0) -> str:
    """Block-style YAML of dicts, lists and scalars; strings are quoted as JSON, which YAML contains."""
    pad = "  " * depth
    if isinstance(value, dict):
        return "".join(f"{pad}{k}:\n{_yaml(v, depth + 1)}" if isinstance(v, (dict, list)) else f"{pad}{k}: {_scalar(v)}\n"
                       for k, v in value.items())
    return "".join(f"{pad}- {_scalar(v)}\n" for v in value)


def _scalar(value) -> str:
    return json.dumps(value)
