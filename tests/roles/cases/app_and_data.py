"""playbooks/app-and-data.yml: an app node, and a data node that only the app node talks to."""
import scan
from small_site import DISTRO, INSTALL, LOGIN, SmallSite
from role import PROJECT


class AppAndData(SmallSite):
    name = "app-and-data"
    topology = "flat:3"  # the third one is anybody
    playbook = PROJECT / "playbooks/app-and-data.yml"
    inventory = {"all": {"children": {"app": {"hosts": {"host-01": None}, "vars": LOGIN}, "data": {"hosts": {"host-02": None}, "vars": LOGIN}}}}
    variables = DISTRO | {"postgres_memory_mb": 512, "postgres_access": [{"databases": ["app"], "users": ["app"], "groups": ["app"]}]}

    def uses_it(self) -> None:
        self.only_the_deployer_gets_in("host-01", "host-02")
        self.sh("host-01", INSTALL.format("postgresql-client") + "\nPGPASSWORD='of the app' psql -XAtq 'host=postgres-primary dbname=app user=app sslmode=require' "
                           "-c 'create table t (a int)'; docker info >/dev/null")

    def uses_matrix(self) -> None:
        """From outside: ssh, and nothing else, whatever listens."""
        for host in ("host-01", "host-02"):
            scan.listen(self, host, [3000, 8080, 9100])
        address = {host.name: host.address for host in self.mine.lab.hosts()}
        ports = [22, 80, 3000, 5432, 8080, 9100]
        targets = [(address[h], p) for h in ("host-01", "host-02") for p in ports]
        assert scan.scan(self, "host-03", targets) == {(address["host-01"], 22), (address["host-02"], 22)}
        assert (address["host-02"], 5432) in scan.scan(self, "host-01", targets)
