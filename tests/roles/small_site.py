"""What the cases of the smaller playbooks have in common: how they are logged in to, and the distribution's packages."""
from role import Role

LOGIN = {"ansible_user": "{{ login_user | default('deployer') }}",
         "operator_keys": ["{{ lookup('ansible.builtin.file', inventory_dir ~ '/operator.pub') | trim }}"],
         "private_address": "{{ ansible_host }}"}
DISTRO = {"postgres_repository": "distro", "docker_repository": "distro", "caddy_repository": "distro", "monitoring_repository": "distro",
          # The lab's kernel is the machine's own.
          "base_sysctl_hardening": False, "base_time_sync": False, "postgres_cpus": 2,
          "postgres_users": [{"name": "app", "password": "of the app"}], "postgres_databases": [{"name": "app", "owner": "app"}]}
SITE = {"name": "app", "domains": ["app.test"], "tls": "internal", "upstreams": ["127.0.0.1:3000"], "try_duration": 0}
INSTALL = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {} >/dev/null 2>&1"


class SmallSite(Role):
    """A playbook whose files are compared role by role elsewhere: that it works, twice, is what is asked here."""

    reference_too = False

    def cases(self):
        return [case for case in super().cases() if case.name != "check_was_honest"]

    def serves(self, host: str) -> None:
        """The application is deployed, and Caddy hands its answers on."""
        self.sh(host, "systemd-run --quiet --collect --unit=app --working-directory=/usr/share/doc/base-files python3 -m http.server 3000\n"
                      "command -v curl >/dev/null || apt-get install -y -qq curl >/dev/null 2>&1\n"
                      "for i in $(seq 40); do curl -skf --resolve app.test:443:127.0.0.1 https://app.test/copyright >/dev/null && exit; sleep 0.5; done; exit 1")
