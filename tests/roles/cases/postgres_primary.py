"""One PostgreSQL server: who gets in, what it holds, and what it computes from its host."""
from role import Change, Drift, Role

PREPARE = "export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; apt-get install -y -qq python3-psycopg2 openssl postgresql-client >/dev/null"

# What the package and the cluster make up for themselves.
MADE_UP = {
    "/etc/postgresql/*/main/server.*": "each host makes its own key and certificate",
}


def role(task: str) -> str:
    return f"postgres-primary : {task}"


CONFIGURED = {role("Write the settings"), role("Reload PostgreSQL")}


class PostgresPrimary(Role):
    name = "postgres-primary"
    topology = "flat:2"
    prepare = PREPARE
    play = [{"hosts": "primary", "become": True, "roles": ["postgres-primary"]}]
    inventory = {"all": {"children": {"primary": {"hosts": {"host-01": {}}}, "app": {"hosts": {"host-02": {}}}}}}
    variables = {
        "postgres_repository": "distro",
        "postgres_memory_mb": 1024,
        "postgres_cpus": 4,
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
        "Create the schemas", "Grant")}
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
        return self.sh(host, f"cd /; runuser -u postgres -- psql -XAtq {database} <<'E'\n{query}\nE").strip()

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
                            ({"postgres_primary_host": "host-02"}, "must be in postgres_hosts"),
                            ({"postgres_users": [{"name": "postgres"}]}, "not to be managed there")):
            if "begin anew" in word:
                self.sh("host-01", "cd /etc/postgresql/*/; mkdir -p other; touch other/postgresql.conf")
            run = self.run(variables=given).expect(2)
            assert word in run.text, run.text[-3000:]
            assert not run.tasks(), run.tasks()
        self.sh("host-01", "rm -r /etc/postgresql/*/other")
