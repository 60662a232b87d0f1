"""One PostgreSQL server: who gets in, what it holds, and what it computes from its host."""
import json
import time

from role import PROJECT, Change, Drift, Role, tasks_of

PREPARE = "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq python3-psycopg2 openssl postgresql-client >/dev/null"

# What the package and the cluster make up for themselves.
MADE_UP = {
    "/etc/postgresql/*/main/server.*": "each host makes its own key and certificate",
    "/var/lib/postgresql/*": "the data, and the account's keys",
    "/var/lib/pgbackrest/*": "the backups",
}


role = tasks_of("postgres-primary")
CONFIGURED = {role("Write the settings"), role("Reload PostgreSQL")}


class PostgresPrimary(Role):
    name = "postgres-primary"
    topology = "flat:3"
    prepare = PREPARE
    play = [{"hosts": "primary", "become": True, "roles": ["postgres-primary"]}]
    inventory = {"all": {"children": {"primary": {"hosts": {"host-01": {}}}, "app": {"hosts": {"host-02": {}}},
                                      "storage": {"hosts": {"host-03": {}}}}}}
    variables = {
        "postgres_repository": "distro",
        "postgres_memory_mb": 1024,
        "postgres_cpus": 4,
        "postgres_backup": "ssh",
        "postgres_backup_passphrase": "of the backups",
        "postgres_users": [
            {"name": "readers", "login": False},
            {"name": "shop", "password": "correct horse"},
            {"name": "report", "password": "battery: st'aple\\", "member_of": ["readers"], "connection_limit": 5},
        ],
        "postgres_databases": [
            {"name": "shop", "owner": "shop", "extensions": ["pg_trgm"], "schemas": ["stock"]},
            {"name": "other"},
        ],
        "postgres_grants": [
            {"roles": ["readers"], "database": "shop", "type": "database", "privileges": ["CONNECT"]},
            {"roles": ["readers"], "database": "shop", "type": "schema", "objects": ["stock"], "privileges": ["USAGE"]},
            {"roles": ["readers"], "database": "shop", "type": "default_privs", "schema": "stock", "objects": ["TABLES"],
             "of_roles": ["shop"], "privileges": ["SELECT"]},
        ],
        "postgres_access": [{"comment": "the shop", "databases": ["shop"], "users": ["shop", "report"], "groups": ["app"]}],
    }
    # A check of a host without PostgreSQL knows neither its account nor its tools' directory, and has no server to ask.
    only_in_run = {role(task) for task in (
        "Have the package make no cluster", "Make a certificate", "Say who may connect",
        "Keep a map of names", "Write the settings", "Start it at boot", "Start PostgreSQL", "Create the roles",
        "Make them members", "Create the databases", "Let nobody in who was not granted it", "Create the extensions",
        "Create the schemas", "Grant", "Make pgBackRest's directories", "Configure pgBackRest",
        "Install pgBackRest where the backups are kept", "Make its directories there", "Configure it there", "Make keys",
        "Let each run pgBackRest on the other", "Let each know the other's host key", "Write the units that make backups",
        "Make backups when it is time", "Create the stanza", "Make the first backup")}
    made_up = MADE_UP
    changes = [
        Change("a setting that is read anew", {"postgres_settings": {"work_mem": "9MB"}}, CONFIGURED,
               then=lambda case: case.shows("work_mem", "9MB")),
        Change("a setting that needs a restart", {"postgres_max_connections": 77}, CONFIGURED | {role("Restart PostgreSQL")},
               only_in_run={role("Restart PostgreSQL")}, then=lambda case: case.shows("max_connections", "77")),
    ]
    drifts = [
        Drift("everybody let in", "sed -i '1i host all all 0.0.0.0/0 trust' /etc/postgresql/*/main/pg_hba.conf",
              {role("Say who may connect"), role("Reload PostgreSQL")}),
        Drift("a server that is down", "systemctl stop 'postgresql@*-main.service'", {role("Start PostgreSQL")},
              mended="runuser -u postgres -- psql -c 'select 1'"),
    ]

    def sql(self, query: str, host: str = "host-01", database: str = "postgres") -> str:
        return super().sql(host, query, database)

    def shows(self, setting: str, value: str) -> None:
        assert (found := self.sql(f"show {setting}")) == value, f"{setting} is {found}"

    def client(self, user: str, password: str, query: str, database: str = "shop", more: str = "") -> str:
        """A query over the network from the app's host; the error is what it says then."""
        return self.sh("host-02", f"""PGPASSWORD="$(cat <<'E'\n{password}\nE\n)" psql -XAtq 'host={self.mine.host("host-01").address} \
            dbname={database} user={user} connect_timeout=5 {more}' <<'E' 2>&1 || true\n{query}\nE""").strip()

    def uses_the_app_over_tls(self) -> None:
        bound = "sslmode=require channel_binding=require"
        said = self.client("shop", "correct horse", "create table if not exists stock.item (name text); insert into stock.item values ('a');"
                           "select similarity('shop', 'shop'), ssl from pg_stat_ssl where pid = pg_backend_pid()", more=bound)
        assert said == "1|t", said
        assert self.sql("select left(rolpassword, 14) from pg_authid where rolname = 'shop'") == "SCRAM-SHA-256$"

    def uses_its_refusals(self) -> None:
        for user, password, database, more, error in (
                ("shop", "wrong", "shop", "", "password authentication failed"),
                ("shop", "correct horse", "shop", "sslmode=disable", "no encryption"),
                ("shop", "correct horse", "other", "", "no pg_hba.conf entry"),
                ("postgres", "x", "shop", "", "no pg_hba.conf entry")):
            said = self.client(user, password, "select 1", database, more)
            assert error in said, f"{user} on {database} {more}: {said}"

    def uses_the_grants(self) -> None:
        password = "battery: st'aple\\"
        assert self.client("report", password, "select name from stock.item limit 1") == "a"
        assert "permission denied" in self.client("report", password, "delete from stock.item")

    def uses_the_hosts_memory(self) -> None:
        self.shows("shared_buffers", "256MB")
        self.shows("effective_cache_size", "768MB")
        self.shows("max_parallel_workers", "4")
        self.shows("data_checksums", "on")

    def uses_a_certificate_that_was_given(self) -> None:
        made = self.sh("host-02", "cd /tmp; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 9 -subj /CN=given"
                       f" -addext subjectAltName=IP:{self.mine.host('host-01').address} -keyout k -out c 2>/dev/null; cat c; echo ====; cat k")
        certificate, key = made.split("====\n")
        given = {"postgres_tls_certificate": certificate, "postgres_tls_key": key}
        said = self.check(given)
        assert key not in said.text
        run = self.run(variables=given).expect(0)
        assert key not in run.text
        assert self.client("shop", "correct horse", "select 1", more="sslmode=verify-full sslrootcert=/tmp/c") == "1"
        assert not self.run(variables=given).expect(0).tasks()
        self.run().expect(0)
        assert "verify failed" in self.client("shop", "correct horse", "select 1", more="sslmode=verify-full sslrootcert=/tmp/c")
        self.sh("host-01", "rm /etc/postgresql/*/main/given.*")

    def uses_what_it_refuses(self) -> None:
        for given, word in (({"postgres_volume": "/mnt/nothing"}, "is not a mount point"),
                            ({"postgres_cluster": "other", "postgres_data_directory": "/srv/gone"}, "begin anew"),
                            ({"postgres_version": "16"}, "of another version"),
                            ({"postgres_primary_host": "host-02"}, "must be in postgres_hosts"),
                            ({"postgres_users": [{"name": "postgres"}]}, "not to be managed there")):
            if "begin anew" in word:
                self.sh("host-01", "cd /etc/postgresql/*/; mkdir -p other; touch other/postgresql.conf")
            run = self.run(variables=given).expect(2)
            assert word in run.text, run.text[-3000:]
            assert not run.tasks(), run.tasks()
        self.sh("host-01", "rm -r /etc/postgresql/*/other")

    def uses_maintenance(self) -> None:
        """Statistics are fresh, and the report names what is large, bloated and unused."""
        self.sql("drop table if exists big; create table big (n int, t text) with (autovacuum_enabled = off); create index big_t on big (t); "
                 "insert into big select g, repeat('x', 100) || g from generate_series(1, 50000) g; delete from big where n > 5000", database="shop")
        report = self.mine.scratch / "report.json"
        playbook = PROJECT / "playbooks/db-maintenance.yml"
        said = self.run(variables={"maintenance_report": str(report)}, playbook=playbook).expect(0)
        assert "big: " in said.text and "an index that no query has used" in said.text, said.text[-3000:]
        found = {database["name"]: database for database in json.loads(report.read_text())["databases"]}
        big = next(table for table in found["shop"]["tables"] if table["table"] == "public.big")
        assert big["dead_rows"] == 45000 and 3e6 < big["bloat_bytes"] < 9e6, big
        assert found["shop"]["unused_indexes"][0]["index"] == "public.big_t"
        assert self.sql("select last_analyze > now() - interval '1 minute' from pg_stat_user_tables where relname = 'big'", database="shop") == "t"
        self.run("--check", playbook=playbook).expect(0)
        self.sql("drop table big", database="shop")

    # --- backups ---

    def backups(self) -> list[str]:
        text = self.sh("host-03", "cd /; runuser -u postgres -- pgbackrest --stanza=main --output=json info")
        return [backup["type"] for backup in json.loads(text)[0]["backup"]]

    def uses_backups_when_it_is_time(self) -> None:
        assert self.backups() == ["full"]
        self.sh("host-03", "systemctl start pgbackrest-main-incr; systemctl start pgbackrest-main-full")
        assert self.backups() == ["full", "incr", "full"]
        timers = self.sh("host-03", "systemctl list-timers --all --no-legend 'pgbackrest-*'")
        assert "pgbackrest-main-full.timer" in timers and "pgbackrest-main-incr.timer" in timers
        # The key opens pgBackRest, not a shell, and nobody else reads the passphrase.
        said = self.sh("host-01", f"cd /; runuser -u postgres -- ssh -o BatchMode=yes {self.mine.host('host-03').address} cat /etc/passwd 2>&1 || true")
        assert "root:x" not in said, said
        self.sh("host-03", "test $(stat -c %U:%G:%a /etc/pgbackrest/conf.d/main.conf) = root:postgres:640; "
                           "! grep -rq correct /var/lib/pgbackrest")

    def restore(self, **variables):
        return self.run(variables=variables, playbook=PROJECT / "playbooks/db-restore.yml")

    def uses_a_database_that_was_deleted(self) -> None:
        """Somebody drops it by hand; it comes back as it was just before, and the others do not notice."""
        self.sql("drop table if exists orders; create table orders (n int primary key); insert into orders select generate_series(1, 1000); "
                 "alter table orders owner to shop", database="shop")
        self.sql("drop table if exists elsewhere; create table elsewhere (a text); insert into elsewhere values ('before')", database="other")
        time.sleep(1)
        before = self.sql("select now()")
        time.sleep(1)
        self.sql("drop database shop with (force)")
        self.sql("update elsewhere set a = 'after'", database="other")
        self.restore(restore_database="shop", restore_time=before).expect(0)
        assert self.sql("select count(*) from orders", database="shop") == "1000"
        assert self.sql("select a from elsewhere", database="other") == "after"
        assert self.client("shop", "correct horse", "select count(*) from orders") == "1000"
        assert self.client("report", "battery: st'aple\\", "select name from stock.item limit 1") == "a"
        assert not self.run().expect(0).tasks()
        self.sh("host-01", "! ls -d /var/lib/postgresql/*restore*")
        # It never goes over one that is there.
        refused = self.restore(restore_database="shop", restore_time=before).expect(2)
        assert "is there" in refused.text and not refused.tasks()

    def uses_storage_that_speaks_sftp(self) -> None:
        """Where nothing is installed but sshd; the servers make the backups. The distribution's own pgBackRest may be too old."""
        self.sh("host-03", "id box 2>/dev/null || useradd -m box; install -d -o box -g box -m 700 ~box/.ssh ~box/pg; cd ~box/.ssh; "
                           "[ -e key ] || ssh-keygen -q -t ed25519 -N '' -f key; install -o box -m 600 key.pub authorized_keys")
        given = {"postgres_backup": "sftp", "postgres_backup_path": "/home/box/pg", "postgres_backup_sftp_user": "box",
                 "postgres_backup_sftp_host": self.mine.host("host-03").address,
                 "postgres_backup_sftp_key": self.sh("host-03", "cat ~box/.ssh/key"),
                 # All of them, as ssh-keyscan shows them.
                 "postgres_backup_sftp_host_keys": self.sh("host-03", f"sed 's/^/{self.mine.host('host-03').address} /' /etc/ssh/ssh_host_*_key.pub").splitlines()}
        if self.suite == "bookworm":
            refused = self.run(variables=given).expect(2)
            assert "cannot use SFTP" in refused.text and not refused.tasks()
            return
        self.run(variables=given).expect(0)
        assert not self.run(variables=given).expect(0).tasks()
        self.sh("host-01", "systemctl start pgbackrest-main-incr; cd /; runuser -u postgres -- pgbackrest --stanza=main info | grep -q 'incr backup'")
        self.sql("create database gone", "host-01")
        self.sql("create table t as select 7 as n", database="gone")
        time.sleep(1)
        before = self.sql("select now()")
        time.sleep(1)
        self.sql("drop database gone")
        self.restore(restore_database="gone", restore_time=before, **given).expect(0)
        assert self.sql("select n from t", database="gone") == "7"
        self.sql("drop database gone")
        self.sh("host-01", "systemctl disable --now pgbackrest-main-full.timer pgbackrest-main-incr.timer; "
                           "rm /etc/systemd/system/pgbackrest-main-* /etc/pgbackrest/main.*")
        self.run().expect(0)
