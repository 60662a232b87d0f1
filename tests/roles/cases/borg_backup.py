"""Backups with Borg to a storage box (port 23): made, pruned, checked, and above all restored."""
import stat

from role import PROJECT, Change, Drift, Role

DATABASE = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null 2>&1
cd /
as() { runuser -u postgres -- "$@"; }
as psql -qd postgres -c 'CREATE DATABASE shop'
as psql -qd shop -c "CREATE TABLE goods (id serial PRIMARY KEY, name text, price numeric, made timestamptz DEFAULT now())" \\
  -c "INSERT INTO goods (name, price) SELECT 'thing ' || i, i * 1.5 FROM generate_series(1, 500) i" \\
  -c "CREATE SCHEMA \\"Odd one\\"" -c "CREATE TABLE \\"Odd one\\".\\"a.b\\" (x int)" -c "INSERT INTO \\"Odd one\\".\\"a.b\\" VALUES (7)"
mkdir -p "/srv/data/with space"
echo 'precious' >/srv/data/precious.txt
head -c 300000 /dev/urandom >"/srv/data/with space/random"
echo 'not wanted' >/srv/data/skipped.tmp
"""

STORAGE = """
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends borgbackup >/dev/null 2>&1
useradd --create-home --shell /bin/sh u1000
printf 'Port 22\\nPort 23\\n' >/etc/ssh/sshd_config.d/box.conf
systemctl restart ssh
"""

SET_UP = [{"hosts": "all", "gather_facts": True}, {"hosts": "host-01", "become": True, "roles": ["borg-backup"]}]
SCRIPT, ENVIRONMENT = "borg-backup : Write the script", "borg-backup : Write borg's environment"


class BorgBackup(Role):
    name = "borg-backup"
    topology = "flat:2"
    play = SET_UP
    prepare = {"host-01": DATABASE, "host-02": STORAGE}
    variables = {
        "borg_backup_repository": "ssh://u1000@{{ hostvars['host-02'].ansible_host }}:23/./backups/{{ inventory_hostname }}",
        "borg_backup_passphrase": "correct horse battery staple",
        "borg_backup_host_keys": ["ssh-ed25519 {{ hostvars['host-02'].ansible_facts.ssh_host_key_ed25519_public }}"],
        "borg_backup_storage_host": "host-02",
        "borg_backup_paths": ["/etc", "/srv"],
        "borg_backup_exclude": ["*.tmp"],
        "borg_backup_postgresql_databases": ["*"],
        "borg_backup_keep_daily": 3, "borg_backup_keep_weekly": 2, "borg_backup_keep_monthly": 1,
        "borg_backup_before": ["echo before >/srv/data/hook.txt"],
    }
    # What needs borg, the host's own key or the repository: a check of a host that has none of them cannot know.
    only_in_run = {f"borg-backup : {task}" for task in (
        "Let this host in on the storage", "Make the repository", "Start the timers, now and at boot", "Export the repository's key",
        "Make a place for it with the operator", "Keep it with the operator")}
    changes = [
        Change("another retention and a hook", {"borg_backup_keep_daily": 9, "borg_backup_after": ["true"]}, {SCRIPT}),
        Change("another time", {"borg_backup_schedule": "*-*-* 04:00:00"},
               {"borg-backup : Write the units", "borg-backup : Start the timers, now and at boot"},
               then=lambda self: self.sh("host-01", "systemctl list-timers --all borg-backup.timer | grep ' 04:'")),
        Change("no databases", {"borg_backup_postgresql_databases": []}, {SCRIPT}),
    ]
    drifts = [
        Drift("a passphrase that everybody can read", "chmod 644 /etc/borg-backup/passphrase", {"borg-backup : Keep the passphrase"}),
        Drift("a stopped timer", "systemctl disable --now borg-backup.timer", {"borg-backup : Start the timers, now and at boot"},
              mended="systemctl is-active borg-backup.timer && systemctl is-enabled borg-backup.timer"),
        Drift("another environment", "echo 'export BORG_REPO=/nowhere' >>/etc/borg-backup/environment", {ENVIRONMENT}),
        Drift("a key that is not let in any more", "rm /home/u1000/.ssh/authorized_keys", {"borg-backup : Let this host in on the storage"},
              host="host-02"),
    ]
    made_up = {
        "/etc/borg-backup/id_ed25519*": "each host makes a key of its own",
        "/etc/borg-backup/known_hosts": "each storage has keys of its own",
        "/etc/borg-backup/repository.key": "random",
        "/var/lib/borg-backup/*": "borg's caches, dumps and times",
        "/var/lib/prometheus/*": "times of backups",
        "/home/u1000/*": "the repository, encrypted with a random key, and the host's public key",
        "/etc/postgresql/*": "PostgreSQL was there before", "/var/lib/postgresql/*": "PostgreSQL was there before",
        "/srv/data/*": "random data; written by the hook",
    }
    removal = {"borg_backup_state": "absent"}


    def backup(self) -> str:
        """Make a backup as the timer does; the archive's name."""
        self.sh("host-01", "systemctl start borg-backup.service || { journalctl -u borg-backup --no-pager | tail -30 >&2; exit 1; }")
        return self.sh("host-01", "borg-backup borg list --short --last 1").strip()

    def metrics(self) -> dict:
        lines = self.sh("host-01", "cat /var/lib/prometheus/node-exporter/borg.prom").splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines if not line.startswith("#")}

    def uses_a_backup(self) -> None:
        archive = self.backup()
        listed = self.sh("host-01", f"borg-backup borg list --short ::{archive}").splitlines()
        for path in ("srv/data/precious.txt", "srv/data/hook.txt", "var/lib/borg-backup/dumps/shop.dump", "var/lib/borg-backup/dumps/globals.sql"):
            assert path in listed, f"{path} is not in {archive}"
        assert "srv/data/skipped.tmp" not in listed
        numbers = self.metrics()
        assert numbers["borg_backup_archives"] == 1 and numbers["borg_backup_nfiles"] > 100 and numbers["borg_backup_last_exit_status"] == 0
        now = int(self.sh("host-01", "date +%s"))
        assert 0 <= now - numbers["borg_backup_last_success_timestamp_seconds"] < 60
        # Encrypted there, secret here, readable for the exporter.
        self.sh("host-02", "! grep -rl -e precious -e thing /home/u1000/backups && test -d /home/u1000/backups/host-01/data")
        modes = self.sh("host-01", "stat -c '%a %U %n' /etc/borg-backup/* /usr/local/sbin/borg-backup /var/lib/borg-backup/dumps")
        assert all(line.split()[0] in ("600", "700") for line in modes.splitlines() if ".pub" not in line), modes
        self.sh("host-01", "runuser -u nobody -- cat /var/lib/prometheus/node-exporter/borg.prom >/dev/null")

    def uses_the_exported_key(self) -> None:
        """The operator has the key, and it mends a repository whose own copy of it is lost."""
        key = self.mine.lab.directory / "borg-keys/host-01.key"
        assert key.read_text().startswith("BORG_KEY ") and stat.S_IMODE(key.stat().st_mode) == 0o600
        (self.mine.host("host-01").upper / "root/operator.key").write_text(key.read_text())
        self.sh("host-02", "sed -i '/^key =/,/^$/d' /home/u1000/backups/host-01/config")
        self.sh("host-01", "! borg-backup borg list && borg-backup borg key import :: /root/operator.key && borg-backup borg list && rm /root/operator.key")

    def uses_what_was_deleted_by_hand(self) -> None:
        """A file and a database that are gone come back."""
        before = self.sh("host-01", "borg-backup sums shop; sha256sum '/srv/data/with space/random'; stat -c '%a %U %Y' /srv/data/precious.txt")
        assert '"Odd one"."a.b"|1:' in before and "public.goods|500:" in before, before
        archive = self.backup()
        self.sh("host-01", "rm -rf /srv/data; cd /; runuser -u postgres -- dropdb shop")
        self.sh("host-01", f"""cd / && borg-backup borg extract ::{archive} srv/data
            cd /root && borg-backup borg extract --strip-components 4 ::{archive} var/lib/borg-backup/dumps
            cd / && runuser -u postgres -- pg_restore --create --exit-on-error --dbname=postgres </root/shop.dump; rm /root/*.dump /root/*.sums /root/globals.sql""")
        after = self.sh("host-01", "borg-backup sums shop; sha256sum '/srv/data/with space/random'; stat -c '%a %U %Y' /srv/data/precious.txt")
        assert after == before, f"{before}\nbecame\n{after}"

    def uses_the_restore_drill(self) -> None:
        drill = PROJECT / "playbooks/restore-drill.yml"
        self.backup()
        self.sh("host-01", "cd /; runuser -u postgres -- psql -qd shop -c 'DELETE FROM goods WHERE id < 100'")
        run = self.run(playbook=drill).expect(0)
        assert not run.tasks() and "databases have the content that they had" in run.text, run.text[-1500:]
        assert "borg_restore_drill_last_success_timestamp_seconds" in self.metrics()
        left = self.sh("host-01", "ls -d /var/tmp/restore-drill-* 2>/dev/null || cd /; runuser -u postgres -- psql -Atc \"SELECT datname FROM pg_database WHERE datname LIKE 'restore%'\" postgres")
        assert not left.strip(), f"the drill left {left}"
        # Rot: other content, the same time and size.
        self.sh("host-01", "cp -p /srv/data/precious.txt /root/kept; printf 'PRECIOUS\\n' >/srv/data/precious.txt; touch -r /root/kept /srv/data/precious.txt")
        assert "differs: /srv/data/precious.txt" in self.run(playbook=drill).expect(2).text
        self.sh("host-01", "cp -p /root/kept /srv/data/precious.txt; rm /root/kept; ! ls -d /var/tmp/restore-drill-*")
        assert "is older than" in self.run(playbook=drill, variables={"restore_drill_max_age_hours": 0}).expect(2).text

    def uses_retention_and_check(self) -> None:
        self.sh("host-01", "for day in $(seq 1 20); do borg-backup borg create --timestamp \"$(date -d \"-$day days\" +%Y-%m-%dT%H:%M:%S)\" ::host-01-old-$day /etc/hostname; done")
        self.backup()
        kept = self.sh("host-01", "borg-backup borg list --short").split()
        assert 5 <= len(kept) <= 6 and self.metrics()["borg_backup_archives"] == len(kept), kept
        self.sh("host-01", "systemctl start borg-backup-check.service")
        assert self.metrics()["borg_check_last_exit_status"] == 0
        # A broken repository is found, and told.
        self.sh("host-02", "f=$(find /home/u1000/backups/host-01/data -type f | sort | head -1); cp -p $f /root/segment; echo $f >/root/name; printf X | dd of=$f bs=1 seek=200 conv=notrunc 2>/dev/null")
        self.sh("host-01", "! systemctl start borg-backup-check.service")
        assert self.metrics()["borg_check_last_exit_status"] > 0
        self.sh("host-02", "cp -p /root/segment $(cat /root/name); rm /root/segment /root/name")
        self.sh("host-01", "systemctl start borg-backup-check.service")

    def uses_failures_that_are_told(self) -> None:
        before = self.metrics()["borg_backup_last_success_timestamp_seconds"]
        self.sh("host-02", "mv /home/u1000/backups /home/u1000/away")
        self.sh("host-01", "! systemctl start borg-backup.service")
        numbers = self.metrics()
        assert numbers["borg_backup_last_exit_status"] == 2 and numbers["borg_backup_last_success_timestamp_seconds"] == before, numbers
        self.sh("host-02", "mv /home/u1000/away /home/u1000/backups")
        self.sh("host-01", "systemctl reset-failed")
        self.backup()
        # A dump that fails must not become a backup.
        self.sh("host-01", "systemctl stop postgresql; ! systemctl start borg-backup.service; systemctl start postgresql")
        assert self.metrics()["borg_backup_last_exit_status"] != 0
        self.backup()

    def uses_the_health_report(self) -> None:
        self.backup()
        self.sh("host-01", "mkdir -p /etc/caddy/tls; openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=x -keyout /dev/null -out /etc/caddy/tls/x.crt 2>/dev/null")
        page, report = self.scratch / "health.html", PROJECT / "playbooks/health-report.yml"
        # The machine's own business is not the lab's.
        calm = {f"health_report_{name}": 1000 for name in ("cpu_percent", "memory_percent", "disk_percent", "load_per_cpu")}
        run = self.run(playbook=report, variables=calm | {"health_report_file": str(page)}).expect(0)
        rows = {line.split('"')[1].split()[0]: line for line in run.text.splitlines() if line.strip().startswith('"host-0')}
        assert "x.crt ends in 2 days" in rows["host-01"] and " 0h " in rows["host-01"] and " 2d " in rows["host-01"], rows
        assert rows["host-02"].rstrip('",').endswith("well"), rows
        text = page.read_text()
        assert "1 of 2 hosts are not well" in text and "/etc/caddy/tls/x.crt ends in 2 days" in text and text.count("<tr class=") == 2
        assert run.tasks() == {"Write the page"}
        self.run(playbook=report, variables=calm | {"health_report_file": str(page), "health_report_fail": True}).expect(2)
        self.sh("host-01", "rm -r /etc/caddy")
        self.run(playbook=report, variables=calm | {"health_report_file": str(page), "health_report_fail": True}).expect(0)

    def uses_refusals(self) -> None:
        for wrong in ({"borg_backup_passphrase": ""}, {"borg_backup_host_keys": []}, {"borg_backup_paths": ["etc"]}, {"borg_backup_repository": "/srv"}):
            assert "borg-backup needs" in self.run(variables=wrong).expect(2).text, wrong
        other = self.run(variables={"borg_backup_passphrase": "another passphrase that is wrong"}).expect(2)
        assert "does not open the repository" in other.text and "another passphrase" not in other.text
        stranger = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHIcOO/tZEqC7TpxSjuL+YaXmAiMUK4DYFyCzeaarJgU"
        assert "Host key verification failed" in self.run(variables={"borg_backup_host_keys": [stranger]}).expect(2).text
        self.run().expect(0)
        self.sh("host-02", "mv /home/u1000/.ssh/authorized_keys /root/")
        shut = self.run(variables={"borg_backup_storage_host": ""}).expect(2).text
        assert "Add this line to the authorized_keys" in shut and "ssh-ed25519 AAAA" in shut
        self.sh("host-02", "mv /root/authorized_keys /home/u1000/.ssh/")
        # The key that is let in can do nothing else there.
        self.sh("host-01", "! ssh -i /etc/borg-backup/id_ed25519 -o BatchMode=yes -o UserKnownHostsFile=/etc/borg-backup/known_hosts -p 23 "
                           f"u1000@{self.mine.lab.network.outside(11)} cat .profile </dev/null | grep -q .")
        self.backup()

    def removed(self) -> None:
        self.sh("host-01", "! ls -d /etc/borg-backup /var/lib/borg-backup /etc/systemd/system/borg* /usr/local/sbin/borg-backup")
        self.sh("host-02", "test -s /home/u1000/backups/host-01/config")
