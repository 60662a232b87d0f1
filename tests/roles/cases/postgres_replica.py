"""A primary and its replica: what is written here is read there, and what is not a replica stays as it is."""
import time

from cases.postgres_primary import MADE_UP, PREPARE
from role import Change, Drift, Role


def role(task: str) -> str:
    return f"postgres-replica : {task}"


def server(task: str) -> str:
    return f"postgres-primary : {task}"


SECRET = 'a:secret\\with "quotes'
GROUPS = {"all": {"children": {"db": {"children": {
    "primary": {"hosts": {"host-01": {}}}, "replica": {"hosts": {"host-02": {}}}}}}}}
PLAY = [{"hosts": "primary", "become": True, "roles": ["postgres-primary"]},
        {"hosts": "replica", "become": True, "roles": ["postgres-replica"]}]
DATA = "/var/lib/postgresql/*/main"


class PostgresReplica(Role):
    name = "postgres-replica"
    topology = "flat:2"
    prepare = PREPARE
    play = PLAY
    inventory = GROUPS
    variables = {
        "postgres_repository": "distro",
        "postgres_memory_mb": 512,
        "postgres_cpus": 2,
        "postgres_replication_password": SECRET,
        "postgres_replica_wait": 20,
    }
    # As with the primary: a check of a host without PostgreSQL has nothing to ask and no account to give files to.
    only_in_run = {server(task) for task in (
        "Have the package make no cluster", "Make a certificate", "Say who may connect",
        "Keep a map of names", "Write the settings", "Start it at boot", "Start PostgreSQL",
        "Write the password that replicas log in with", "Make the configuration's directory", "Create the replicas' account",
        "Let it do what pg_rewind asks for", "Keep a slot for each replica", "Tell systemd")} | {
        role("Copy the primary's data"), role("Make room for the data")}
    made_up = MADE_UP
    changes = [
        Change("another password", {"postgres_replication_password": "another"},
               {server("Write the password that replicas log in with"), server("Create the replicas' account")},
               then=lambda case: case.replicates()),
    ]
    drifts = [
        Drift("a replica that is down", "systemctl stop 'postgresql@*-main.service'", {server("Start PostgreSQL")}, host="host-02",
              mended="runuser -u postgres -- psql -c 'select 1'"),
    ]

    def sql(self, host: str, query: str, database: str = "postgres") -> str:
        return self.sh(host, f"cd /; runuser -u postgres -- psql -XAtq {database} <<'E'\n{query}\nE").strip()

    def replicates(self, source: str = "host-01", target: str = "host-02") -> float:
        """Writes a row on the one and reads it on the other; how many seconds it took."""
        self.sql(source, "create table if not exists seen (at text)")
        started = time.monotonic()
        row = str(time.time_ns())
        self.sql(source, f"insert into seen values ('{row}')")
        while self.sql(target, f"select count(*) from pg_class where relname = 'seen'") != "1" \
                or self.sql(target, f"select count(*) from seen where at = '{row}'") != "1":
            assert time.monotonic() - started < 15, f"{target} does not follow {source}"
        return time.monotonic() - started

    def uses_a_row_within_a_second(self) -> None:
        self.replicates()
        took = self.replicates()
        assert took < 1, f"{took} s"
        assert self.sql("host-01", "select usename, ssl from pg_stat_replication join pg_stat_ssl using (pid)") == "replicator|t"
        assert self.sql("host-01", "select slot_name, active from pg_replication_slots") == "host_02|t"

    def uses_no_secret_in_sight(self) -> None:
        for host in self.hosts():
            self.sh(host, "test $(stat -c %a%U /etc/postgresql/*/main/replication.pgpass) = 600postgres; "
                          "! grep -r '[a]:secret' /etc/postgresql/*/main/postgresql.conf " + DATA + "/postgresql.auto.conf; ! ps ax | grep '[a]:secret'")

    def uses_a_replica_that_parted(self) -> None:
        """The replica has taken writes of its own and became a replica again by hand: pg_rewind brings it back."""
        self.sql("host-02", "select pg_promote()")
        self.sql("host-02", "create table lost (a int)")
        self.sql("host-01", "create table kept (a int)")
        # As it is it holds a database that is no replica: left alone.
        run = self.run().expect(2)
        assert "postgres_replica_rejoin=true" in run.text, run.text[-3000:]
        assert self.sql("host-02", "select count(*) from pg_class where relname = 'lost'") == "1"
        # A standby by its name, whose history has parted.
        self.sh("host-02", f"systemctl stop 'postgresql@*-main.service'; cd {DATA}/; install -o postgres -g postgres /dev/null standby.signal; "
                           "systemctl start postgresql@$(ls /etc/postgresql)-main")
        run = self.run().expect(0)
        assert role("Rewind") in run.tasks(), run.tasks()
        assert self.sql("host-02", "select string_agg(relname, ',') from pg_class where relname in ('lost', 'kept')") == "kept"
        self.replicates()
        assert not self.run().expect(0).tasks()

    def uses_a_former_primary_that_is_told_to(self) -> None:
        self.sql("host-02", "select pg_promote()")
        self.sql("host-02", "create table lost (a int)")
        self.sh("host-02", "systemctl kill -s KILL 'postgresql@*-main.service'; sleep 1")  # it crashed, too
        run = self.run(variables={"postgres_replica_rejoin": True}).expect(0)
        assert role("Rewind") in run.tasks(), run.tasks()
        assert self.sql("host-02", "select count(*) from pg_class where relname = 'lost'") == "0"
        self.replicates()
        assert not self.run(variables={"postgres_replica_rejoin": True}).expect(0).tasks()

    def uses_another_cluster_in_the_way(self) -> None:
        self.sh("host-02", f"v=$(ls /etc/postgresql); systemctl stop postgresql@$v-main; pg_dropcluster $v main; "
                           "pg_createcluster $v main --start >/dev/null")
        self.sql("host-02", "create table precious (a int)")
        for given, word in (({}, "is not a replica"), ({"postgres_replica_rejoin": True}, "is not of the cluster of")):
            run = self.run(variables=given).expect(2)
            assert word in run.text, run.text[-3000:]
            assert self.sql("host-02", "select count(*) from pg_class where relname = 'precious'") == "1"
        self.run(variables={"postgres_replica_overwrite": True}).expect(0)
        self.replicates()
        assert self.sql("host-02", "select count(*) from pg_class where relname = 'precious'") == "0"
        # What was in the way is beside it, whole.
        self.sh("host-02", f"test -e {DATA}.before-*/base; rm -r {DATA}.before-*")
        assert not self.run(variables={"postgres_replica_overwrite": True}).expect(0).tasks()
