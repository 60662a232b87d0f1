"""A real Prometheus: every target up, alerts that fire and reach a webhook, secrets that stay secret."""
import json
import time

import yaml
from role import PROJECT, Change, Drift, Role

WEBHOOK = """
cat >/usr/local/bin/hook <<'PY'
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        with open("/tmp/hook.json", "ab") as file:
            file.write(self.rfile.read(int(self.headers["Content-Length"])) + b"\\n")
        self.send_response(200); self.end_headers()
    def log_message(self, *args): pass
http.server.HTTPServer(("127.0.0.1", 9999), Handler).serve_forever()
PY
systemd-run --quiet --unit hook /usr/bin/python3 /usr/local/bin/hook
"""

DATABASE = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql python3-psycopg2 >/dev/null 2>&1
"""

NODE, ALERTS = "monitoring : Restart the node exporter", "monitoring : Write Alertmanager's configuration"
SECRET = "http://127.0.0.1:9999/hook?token=very-secret"
RENDERED = ["loki.yml", "config.alloy", "grafana.env", "grafana-datasources.yml", "grafana-dashboards.yml"]


class Monitoring(Role):
    name = "monitoring"
    topology = "flat:2"
    prepare = {"host-01": WEBHOOK, "host-02": DATABASE}
    inventory = {"all": {"children": {"monitor": {"hosts": {"host-01": {}}}, "primary": {"hosts": {"host-02": {}}},
                                      "db": {"children": {"primary": {}}}}}}
    variables = {
        # The exporter needs some seconds to say that there is no PostgreSQL.
        "monitoring_repository": "distro", "monitoring_scrape_interval": "5s", "monitoring_down_for": "3s", "monitoring_alert_group_wait": "1s",
        "monitoring_alert_webhook": SECRET,
        "monitoring_alert_mail": {"to": "a@example.com", "from": "b@example.com", "smarthost": "127.0.0.1:2525", "username": "u", "password": "mail-secret"},
        "monitoring_extra_rules": [{"alert": "Marked", "expr": "lab_marker > 0", "for": "0s", "severity": "critical", "summary": "a mark"}],
    }
    # The services and the account are not there to be asked about in a check of a fresh host.
    only_in_run = {f"monitoring : {task}" for task in (
        "Restart the node exporter", "Restart the postgres exporter", "Restart Prometheus", "Restart Alertmanager",
        "Start its timer, now and at boot", "Start the node exporter, now and at boot", "Start the postgres exporter, now and at boot",
        "Start Prometheus and Alertmanager, now and at boot", "Grant it what monitoring needs, and no more")}
    changes = [
        Change("another threshold", {"monitoring_disk_free_percent": 20}, {"monitoring : Write the rules", "monitoring : Reload Prometheus"}),
        Change("one host less", {"monitoring_hosts": ["host-01"]}, {"monitoring : Write the targets"}),
        Change("another webhook", {"monitoring_alert_webhook": SECRET + "2"}, {ALERTS, "monitoring : Reload Alertmanager"}),
        Change("longer memory", {"monitoring_retention": "60d"},
               {"monitoring : Say where Prometheus listens and how much it keeps", "monitoring : Restart Prometheus"}),
        Change("another scrape", {"monitoring_extra_targets": [{"job": "more", "targets": ["127.0.0.1:9"], "labels": {"a": "b"}}]},
               {"monitoring : Write Prometheus' configuration", "monitoring : Reload Prometheus"}),
    ]
    drifts = [
        Drift("rules edited by hand", "sed -i 's/up == 0/up == 2/' /etc/prometheus/rules/monitoring.yml",
              {"monitoring : Write the rules", "monitoring : Reload Prometheus"}),
        Drift("a secret that everybody can read", "chmod 644 /etc/prometheus/alertmanager.yml", {ALERTS, "monitoring : Reload Alertmanager"}),
        Drift("a stopped exporter", "systemctl disable --now prometheus-node-exporter", {"monitoring : Start the node exporter, now and at boot"},
              host="host-02", mended="systemctl is-active prometheus-node-exporter && systemctl is-enabled prometheus-node-exporter"),
        Drift("the exporter's account without its rights", "cd /; runuser -u postgres -- psql -qc 'REVOKE pg_monitor FROM prometheus'",
              {"monitoring : Grant it what monitoring needs, and no more"}, host="host-02"),
    ]
    made_up = {
        "/var/lib/prometheus/*": "what Prometheus and the exporters write all the time",
        "/etc/postgresql/*": "PostgreSQL was there before", "/var/lib/postgresql/*": "PostgreSQL was there before",
    }

    def ask(self, path: str, port: int = 9090):
        text = self.sh("host-01", "python3 -c 'import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())' "
                       f"'http://127.0.0.1:{port}{path}'")
        return json.loads(text)

    def value(self, query: str) -> dict:
        """Values of a query by instance."""
        found = self.ask(f"/api/v1/query?query={query}")["data"]["result"]
        return {one["metric"].get("instance", ""): float(one["value"][1]) for one in found}

    def wait(self, what, why: str, seconds: int = 150):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := what():
                return found
            time.sleep(1)
        raise AssertionError(f"not within {seconds} s: {why}")

    def told(self, name: str, status: str) -> list:
        """Alerts of that name and status which the webhook has got."""
        lines = self.sh("host-01", "cat /tmp/hook.json 2>/dev/null || true").splitlines()
        return [alert for line in filter(None, lines) for alert in json.loads(line)["alerts"] if alert["labels"]["alertname"] == name and alert["status"] == status]

    def targets(self) -> dict:
        return {(t["labels"]["job"], t["labels"]["instance"]): t["health"] for t in self.ask("/api/v1/targets")["data"]["activeTargets"]}

    def uses_every_target(self) -> None:
        wanted = {("node", "host-01"), ("node", "host-02"), ("postgres", "host-02"), ("prometheus", "host-01"), ("alertmanager", "host-01")}
        self.wait(lambda: self.targets() == {target: "up" for target in wanted}, f"all up: {self.targets()}")
        assert self.value("pg_up") == {"host-02": 1.0}
        assert self.value("monitoring_replica_in_recovery") == {"host-02": 0.0}
        assert set(self.value("monitoring_reboot_required")) == {"host-01", "host-02"}
        assert set(self.value("node_load5{groups=~\".*,db,.*\"}")) == {"host-02"}
        rules = [rule for group in self.ask("/api/v1/rules")["data"]["groups"] for rule in group["rules"]]
        assert len(rules) > 12 and all(rule["health"] == "ok" for rule in rules), rules

    def uses_an_alert_that_reaches_the_webhook(self) -> None:
        assert not self.told("TargetDown", "firing")
        self.sh("host-02", "systemctl stop prometheus-node-exporter")
        alert = self.wait(lambda: self.told("TargetDown", "firing"), "the webhook hears of the exporter that was stopped")[0]
        assert alert["labels"]["instance"] == "host-02" and alert["annotations"]["summary"] == "node of host-02 does not answer", alert
        self.sh("host-02", "systemctl start prometheus-node-exporter")
        self.wait(lambda: not [a for a in self.ask("/api/v1/alerts")["data"]["alerts"] if a["labels"]["alertname"] == "TargetDown"], "it is over")

    def uses_other_alerts(self) -> None:
        """Backups, certificates, reboots, PostgreSQL and a rule of one's own: each condition is made, and its alert is seen."""
        self.sh("host-02", """
            { echo 'borg_backup_last_success_timestamp_seconds 1000'; echo 'borg_backup_last_exit_status 2'; echo 'lab_marker 1'; } >/var/lib/prometheus/node-exporter/lab.prom
            mkdir -p /etc/caddy/tls; openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=x -keyout /dev/null -out /etc/caddy/tls/x.crt 2>/dev/null
            touch /run/reboot-required; systemctl start monitoring-textfile; systemctl stop postgresql""")
        try:
            wanted = {"BackupOld", "BackupFailed", "CertificateEnds", "RebootRequired", "PostgresDown", "Marked"}
            self.wait(lambda: wanted <= {a["labels"]["alertname"] for a in self.ask("/api/v1/alerts")["data"]["alerts"]}, f"{wanted} at least pending")
            self.wait(lambda: self.told("Marked", "firing") and self.told("PostgresDown", "firing"), "those without a wait reach the webhook")
            days = self.value("(monitoring_certificate_not_after_timestamp_seconds-time())/86400")["host-02"]
            assert 2.9 < days <= 3, days
        finally:
            self.sh("host-02", "rm -r /var/lib/prometheus/node-exporter/lab.prom /etc/caddy /run/reboot-required; systemctl start postgresql monitoring-textfile")
        self.wait(lambda: self.value("pg_up") == {"host-02": 1.0}, "PostgreSQL is seen again")

    def uses_secrets_that_stay(self) -> None:
        for host in self.hosts():
            readable = self.sh(host, "runuser -u nobody -- grep -rlsE 'very-secret|mail-secret' /etc /usr/local /var/lib /run || true")
            assert not readable.strip(), f"{host}: everybody can read {readable}"
        assert "very-secret" not in self.needs("converged").text and "mail-secret" not in self.needs("check").text
        self.sh("host-02", "cd /; ! runuser -u prometheus -- psql -d postgres -c 'CREATE TABLE x (y int)'")
        listening = self.sh("host-01", "ss -Hltn | awk '{print $4}'")
        assert "127.0.0.1:9090" in listening and "127.0.0.1:9093" in listening and ":9094" not in listening, listening

    def uses_rendered_parts(self) -> None:
        """What comes from Grafana's repository cannot run here: its files are at least well formed."""
        more = {"monitoring_grafana": True, "monitoring_logs": True, "monitoring_grafana_admin_password": 'a "long" password', "ansible_managed": "lab"}
        render = [{"hosts": "host-01", "become": True, "gather_facts": True, "tasks": [
            {"ansible.builtin.import_role": {"name": "monitoring", "tasks_from": "check"}},
            {"ansible.builtin.file": {"path": "/root/rendered", "state": "directory", "mode": "0700"}},
            {"ansible.builtin.template": {"src": str(PROJECT / "roles/monitoring/templates/{{ item }}.j2"), "dest": "/root/rendered/{{ item }}", "mode": "0600"},
             "loop": RENDERED}]}]
        self.run(playbook=self.mine.write("render.yml", render), variables=more | {"monitoring_repository": "grafana"}).expect(0)
        texts = {name: self.sh("host-01", f"cat /root/rendered/{name}") for name in RENDERED}
        loki = yaml.safe_load(texts["loki.yml"])
        assert loki["limits_config"]["retention_period"] == "30d" and loki["schema_config"]["configs"][0]["store"] == "tsdb"
        assert [one["uid"] for one in yaml.safe_load(texts["grafana-datasources.yml"])["datasources"]] == ["prometheus", "loki"]
        assert yaml.safe_load(texts["grafana-dashboards.yml"])["providers"][0]["options"]["path"] == "/etc/grafana/dashboards"
        assert texts["config.alloy"].count("{") == texts["config.alloy"].count("}") and f"http://{self.mine.lab.network.outside(10)}:3100/" in texts["config.alloy"]
        self.sh("host-01", "rm -r /root/rendered")
        known = set(self.ask("/api/v1/label/__name__/values")["data"])
        for path in sorted((PROJECT / "roles/monitoring/files/dashboards").glob("*.json")):
            board = json.loads(path.read_text())
            assert board["uid"] and all(target["expr"] for panel in board["panels"] for target in panel["targets"])
        assert {"node_load5", "node_memory_MemAvailable_bytes", "node_filesystem_avail_bytes", "pg_up", "pg_stat_activity_count", "pg_stat_database_xact_commit",
                "pg_database_size_bytes", "monitoring_replica_lag_seconds", "pg_stat_database_blks_hit"} <= known, "dashboards ask for what there is"

    def uses_refusals(self) -> None:
        assert "use `monitoring_repository: grafana`" in self.run(variables={"monitoring_grafana": True}).expect(2).text
        assert "first password" in self.run(variables={"monitoring_repository": "grafana"}).expect(2).text
        before = self.sh("host-01", "cat /etc/prometheus/rules/monitoring.yml")
        self.run(variables={"monitoring_extra_rules": [{"alert": "Bad", "expr": "up ==", "summary": "x"}]}).expect(2)
        assert self.sh("host-01", "cat /etc/prometheus/rules/monitoring.yml") == before
