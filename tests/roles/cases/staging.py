"""playbooks/staging.yml: all of the fortress on one host."""
import json
import time

from small_site import DISTRO, LOGIN, SITE, SmallSite
from role import PROJECT


class Staging(SmallSite):
    name = "staging"
    playbook = PROJECT / "playbooks/staging.yml"
    inventory = {"all": {"children": {"staging": {"hosts": {"host-01": None}, "vars": LOGIN}}}}
    variables = DISTRO | {"caddy_sites": [SITE], "redis_password": "a password for the jobs", "monitoring_scrape_interval": "2s"}

    def uses_it(self) -> None:
        self.only_the_deployer_gets_in("host-01")
        self.serves("host-01")
        self.sh("host-01", "docker info >/dev/null; REDISCLI_AUTH='a password for the jobs' redis-cli ping | grep -qx PONG")
        assert self.sql("host-01", "select count(*) from pg_database where datname = 'app'") == "1"

    def uses_monitoring(self) -> None:
        deadline = time.monotonic() + 90
        while True:
            targets = json.loads(self.sh("host-01", "curl -s http://127.0.0.1:9090/api/v1/targets"))["data"]["activeTargets"]
            down = [t["lastError"] for t in targets if t["health"] != "up"]
            if not down and len(targets) >= 2:
                return
            assert time.monotonic() < deadline, f"{len(targets)} targets, down: {down}"
            time.sleep(2)
