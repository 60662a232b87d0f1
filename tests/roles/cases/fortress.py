"""The fortress from nothing to green by playbooks/site.yml, and then used: from outside, through failures, after a reboot."""
import json
import subprocess
import time

import scan
from cases.borg_backup import BorgBackup
from cases.caddy import Caddy
from cases.docker import Docker
from cases.monitoring import Monitoring
from cases.postgres_replica import PostgresReplica
from cases.redis import Redis
from role import PROJECT, Role

DB = ["db-primary", "db-replica"]
APP = ["app-01", "app-02"]
PRIVATE = {"app-01": "10.0.0.10", "app-02": "10.0.0.11", "db-primary": "10.0.0.20", "db-replica": "10.0.0.21",
           "jobs-01": "10.0.0.30", "monitor-01": "10.0.0.40"}
MANAGED = ["bastion-01", *PRIVATE]
PORTS = [22, 80, 443, 3000, 3100, 5432, 6379, 8080, 9090, 9093, 9100, 9187]

# An application as somebody would deploy it: who answered, and whether it is well.
APPLICATION = """
cat >/run/app.py <<'PY'
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = socket.gethostname().encode()
        # In one piece: an answer that has begun cannot be asked for elsewhere when this one dies.
        self.wfile.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(body), body))
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 3000), Handler).serve_forever()
PY
systemctl reset-failed app 2>/dev/null || true
systemd-run --quiet --collect --unit=app python3 /run/app.py
"""
MASQUERADE = """echo 1 >/proc/sys/net/ipv4/ip_forward
nft 'add table ip prepare; add chain ip prepare out { type nat hook postrouting priority 100; }; add rule ip prepare out oifname "out0" masquerade'"""


def allowed(source: str, target: str, port: int) -> bool:
    """The matrix as one says it, not as the roles are given it."""
    if source == target:
        return True
    match port:
        case 22:
            return source == "bastion-01" or target == "bastion-01"
        case 80 | 443:
            return target == "bastion-01"
        case 3000:
            return source == "bastion-01" and target in APP
        case 5432:
            return source in APP + DB + ["jobs-01"] and target in DB
        case 9100:
            return source == "monitor-01"
        case 9187:
            return source == "monitor-01" and target in DB
        case 3100:
            return target == "monitor-01"
    return False


class Fortress(Role):
    name = "fortress"
    topology = "fortress"
    # What each role's hosts make up for themselves, they make up here.
    made_up = ({k: v for k, v in BorgBackup.made_up.items() if "postgresql" not in k} | Caddy.made_up | Docker.made_up
               | Monitoring.made_up | PostgresReplica.made_up | Redis.made_up
               | {"/root/*/config": "a repository's own name and key, in the box", "/root/*/data/*": "what is encrypted with that key"})
    playbook = PROJECT / "playbooks/site.yml"
    inventory = {"all": {"children": {
        "loadbalancer": {"hosts": {"bastion-01": None}},
        "primary": {"vars": {"borg_backup_postgresql_databases": ["app"]}},
        # What the box has for keys is known from the lab, as an operator knows it from the provider.
        "storage": {"vars": {"box_key": "{{ lookup('ansible.builtin.file', inventory_dir ~ '/hosts/storage-01/keys/ssh_host_ed25519_key.pub') }}"}},
    }}}
    variables = {
        "postgres_repository": "distro", "docker_repository": "distro", "caddy_repository": "distro", "monitoring_repository": "distro",
        "postgres_memory_mb": 512, "postgres_cpus": 2, "redis_memory_mb": 64,
        # The lab's kernel is the machine's own.
        "base_sysctl_hardening": False, "base_time_sync": False,
        "postgres_replication_password": "of the replicas", "redis_password": "a password for the jobs",
        "postgres_users": [{"name": "app", "password": "of the app"}],
        "postgres_databases": [{"name": "app", "owner": "app"}],
        "postgres_access": [{"databases": ["app"], "users": ["app"], "groups": ["app", "jobs"]}],
        "caddy_sites": [{"name": "app", "domains": ["app.test"], "tls": "internal", "upstreams": ["10.0.0.10:3000", "10.0.0.11:3000"],
                         "lb_policy": "round_robin", "health_path": "/up", "health_interval": 1}],
        "borg_backup_repository": "ssh://root@{{ hostvars['storage-01'].ansible_host }}:23/./{{ inventory_hostname }}",
        "borg_backup_storage_host": "storage-01",
        "borg_backup_host_keys": ["{{ hostvars['storage-01'].box_key.split()[:2] | join(' ') }}"],
        "borg_backup_passphrase": "correct horse battery staple",
        "borg_backup_paths": ["/etc", "/srv"],
        "monitoring_alert_group_wait": "1s", "monitoring_scrape_interval": "2s", "monitoring_down_for": "4s",
    }

    def _prepare(self, side) -> None:
        """What the reference needs on hosts that have no way out yet, and a box that knows borg."""
        install = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {} >/dev/null 2>&1"
        side.sh("bastion-01", MASQUERADE)
        for host in MANAGED:
            side.sh(host, "mkdir -p -m 700 /root/.ansible/tmp; " + (install.format("python3-psycopg2") if host in DB else "true"), timeout=900)
        side.sh("bastion-01", "nft delete table ip prepare; echo 0 >/proc/sys/net/ipv4/ip_forward")
        side.sh("storage-01", install.format("borgbackup"), timeout=900)

    # --- cases; the disks are compared role by role elsewhere ---

    def cases(self):
        skipped = {"check_was_honest"}
        return [case for case in super().cases() if case.name not in skipped]

    def uses_only_the_deployer_gets_in(self) -> None:
        self.only_the_deployer_gets_in(*MANAGED)

    def uses_matrix(self) -> None:
        """From every host to every port of every host: open is what the matrix says and nothing else."""
        for host in MANAGED:
            scan.listen(self, host, [p for p in PORTS if p != 22])
        addresses = PRIVATE | {"bastion-01": "10.0.0.2"}
        outside = f"{self.mine.lab.network.pool}.2"
        targets = [(a, p) for a in [*addresses.values(), outside] for p in PORTS]
        found = scan.scan_all(self, MANAGED, targets)
        found["storage-01"] = scan.scan(self, "storage-01", [t for t in targets if t[0] == outside])
        lines = []
        for source in [*MANAGED, "storage-01"]:
            expected = {(a, p) for name, a in addresses.items() for p in PORTS if source != "storage-01" and allowed(source, name, p)}
            # At the outward address there is no exporter to be reached.
            expected |= {(outside, p) for p in PORTS if p != 9100 and allowed(source, "bastion-01", p)}
            # Itself it reaches at the addresses that its services listen on.
            own = {(a, p) for a in (addresses.get(source), outside if source == "bastion-01" else None) for p in PORTS}
            lines += [f"{source} reaches {t}, which the matrix does not have" for t in sorted(found[source] - expected - own)]
            lines += [f"{source} does not reach {t}, which the matrix has" for t in sorted(expected - found[source] - own)]
        for host in MANAGED:
            self.sh(host, "systemctl stop lab-listen")
        assert not lines, "\n".join(lines)

    def uses_the_way_in(self) -> None:
        """From outside over TLS to the applications, one of which dies and comes back."""
        for host in APP:
            self.sh(host, APPLICATION)
        pool = self.mine.lab.network.pool
        ask = f"curl -skf --max-time 10 --resolve app.test:443:{pool}.2 https://app.test/"
        self.sh("storage-01", "command -v curl >/dev/null || apt-get install -y -qq curl >/dev/null 2>&1")
        self.sh("storage-01", f"for i in $(seq 40); do [ $({ask}| grep -c app) = 1 ] && exit; sleep 0.5; done; exit 1")
        assert set(self.sh("storage-01", f"for i in $(seq 20); do {ask}; echo; done").split()) == set(APP)
        asking = self.mine.host("storage-01").exec_command(f"for i in $(seq 300); do {ask} || echo failed-$?; echo; sleep 0.02; done")
        child = subprocess.Popen(asking, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(1)
        self.sh("app-01", "systemctl stop app")
        # Not in the same moment: a request that waits for its second try is lost with the configuration that it waits in.
        time.sleep(3)
        self.sh("bastion-01", "systemctl reload caddy")
        said = child.communicate(timeout=120)[0].split()
        assert len(said) == 300 and set(said) <= set(APP), f"{len(said)} answers, {[w for w in said if w not in APP][:5]}"
        self.sh("app-01", APPLICATION)

    def uses_the_database(self) -> None:
        """An application reaches the primary by its name, over TLS, and the replica has the row within a second."""
        self.sh("app-01", "command -v psql >/dev/null || apt-get install -y -qq postgresql-client >/dev/null 2>&1")
        psql = "PGPASSWORD='of the app' psql -XAtq 'host=postgres-primary dbname=app user=app sslmode=require' -c "
        self.sh("app-01", psql + "'create table if not exists seen (at text); truncate seen'")
        self.sh("app-01", psql + "\"insert into seen values ('a row')\"")
        began = time.monotonic()
        while self.sql("db-replica", "select at from seen", "app") != "a row":
            assert time.monotonic() - began < 1, "the replica does not have it within a second"
            time.sleep(0.05)

    def uses_backups(self) -> None:
        """A backup of each host, and a drill that restores one."""
        self.sh("db-primary", "systemctl start borg-backup.service", timeout=900)
        drill = self.run("-l", "db-primary", playbook=PROJECT / "playbooks/restore-drill.yml").expect(0)
        assert "tables of 1 databases have the content that they had" in drill.text, drill.text[-2000:]

    def uses_monitoring(self) -> None:
        """Every target is up; one that is stopped becomes an alert."""
        ask = "curl -s http://127.0.0.1:9090/api/v1/"
        self.sh("monitor-01", "command -v curl >/dev/null || apt-get install -y -qq curl >/dev/null 2>&1")
        deadline = time.monotonic() + 90
        while True:
            targets = json.loads(self.sh("monitor-01", ask + "targets"))["data"]["activeTargets"]
            down = [f"{t['labels'].get('instance')} {t['labels'].get('job')}: {t['lastError']}" for t in targets if t["health"] != "up"]
            if not down and len(targets) >= 9:
                break
            assert time.monotonic() < deadline, f"{len(targets)} targets, down: {down}"
            time.sleep(2)
        self.sh("jobs-01", "systemctl stop prometheus-node-exporter")
        while True:
            alerts = json.loads(self.sh("monitor-01", ask + "alerts"))["data"]["alerts"]
            if any(a["state"] == "firing" and "jobs-01" in json.dumps(a["labels"]) for a in alerts):
                break
            assert time.monotonic() < deadline + 60, alerts
            time.sleep(2)
        self.sh("jobs-01", "systemctl start prometheus-node-exporter")

    def uses_a_reboot_of_the_bastion(self) -> None:
        self.mine.host("bastion-01").reboot()
        self.sh("app-01", "for i in 1 2 3 4 5; do timeout 60 apt-get -q -o APT::Update::Error-Mode=any update && exit; sleep 2; done; exit 1")
        assert not self.run().expect(0).tasks(), "after a reboot something is to be changed"
