"""A primary and its replica: what is written here is read there, and what is not a replica stays as it is."""
import time

from cases.postgres_primary import MADE_UP, PREPARE
from role import PROJECT, Change, Drift, Role, tasks_of


role = tasks_of("postgres-replica")
server = tasks_of("postgres-primary")
SECRET = 'a:secret\\with "quotes'
GROUPS = {"all": {"children": {"db": {"children": {
    "primary": {"hosts": {"host-01": {}}}, "replica": {"hosts": {"host-02": {}}}}},
    "app": {"hosts": {"host-03": {}}}, "storage": {"hosts": {"host-04": {}}}}}}
SWAPPED = {"all": {"children": {"db": {"children": {
    "primary": {"hosts": {"host-02": {}}}, "replica": {"hosts": {"host-01": {}}}}},
    "app": {"hosts": {"host-03": {}}}, "storage": {"hosts": {"host-04": {}}}}}}
PLAY = [{"hosts": "primary", "become": True, "roles": ["postgres-primary"]},
        {"hosts": "replica", "become": True, "roles": ["postgres-replica"]}]
DATA = "/var/lib/postgresql/*/main"


class PostgresReplica(Role):
    name = "postgres-replica"
    topology = "flat:4"
    prepare = PREPARE
    play = PLAY
    inventory = GROUPS
    variables = {
        "postgres_repository": "distro",
        "postgres_memory_mb": 512,
        "postgres_cpus": 2,
        "postgres_replication_password": SECRET,
        "postgres_replica_wait": 20,
        "postgres_backup": "ssh",
        "postgres_users": [{"name": "app", "password": "of the app"}],
        "postgres_databases": [{"name": "app", "owner": "app"}],
        "postgres_access": [{"databases": ["app"], "users": ["app"], "groups": ["app"]}],
    }
    # As with the primary: a check of a host without PostgreSQL has nothing to ask and no account to give files to.
    only_in_run = {server(task) for task in (
        "Have the package make no cluster", "Make a certificate", "Say who may connect",
        "Keep a map of names", "Write the settings", "Start it at boot", "Start PostgreSQL",
        "Write the password that replicas log in with", "Make the configuration's directory", "Create the replicas' account",
        "Let it do what pg_rewind asks for", "Keep a slot for each replica", "Create the roles", "Create the databases",
        "Let nobody in who was not granted it", "Make pgBackRest's directories", "Configure pgBackRest",
        "Install pgBackRest where the backups are kept", "Make its directories there", "Configure it there", "Make keys",
        "Let each run pgBackRest on the other", "Let each know the other's host key", "Write the units that make backups",
        "Make backups when it is time", "Create the stanza", "Make the first backup")} | {
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
        for host in ("host-01", "host-02"):
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

    # --- failover ---

    WRITER = """cat >/root/writer <<'E'
n=0
while [ ! -e /root/stop ]; do
    n=$((n+1))
    # One that was not acknowledged may be there or not; it is not tried again.
    if psql -XAtq 'host=postgres-primary dbname=app user=app connect_timeout=1 sslmode=require' -c "insert into log values ($n)" 2>/dev/null
    then echo $n; fi
    sleep 0.02
done
E
rm -f /root/stop; setsid bash -c 'PGPASSWORD="of the app" exec bash /root/writer' >/root/acknowledged 2>/dev/null </dev/null &"""

    def failover(self, inventory: dict, *arguments: str, variables: dict | None = None):
        self.inventory = inventory
        try:
            return self.run(*arguments, variables=variables, playbook=PROJECT / "playbooks/failover.yml")
        finally:
            self.inventory = GROUPS

    def uses_failover_under_load(self) -> None:
        """A writer on the app's host goes on through two failovers, and every row it was told of is there."""
        self.run().expect(0)
        name = self.mine.write("name.yml", [{"hosts": "app", "become": True, "gather_facts": False,
                                             "vars": {"postgres_primary_host": "host-01"},
                                             "tasks": [{"import_tasks": str(PROJECT / "playbooks/tasks/postgres_name.yml")}]}])
        self.run(playbook=name).expect(0)
        self.sql("host-01", "create table if not exists log (n int primary key); truncate log; alter table log owner to app", "app")
        checked = self.failover(GROUPS, "--check").expect(0)
        assert not checked.tasks(), checked.tasks()
        self.sh("host-03", self.WRITER)
        try:
            time.sleep(2)
            first = self.failover(GROUPS).expect(0)
            time.sleep(2)
            assert self.sql("host-02", "select pg_is_in_recovery()") == "f"
            assert self.sql("host-01", "select pg_is_in_recovery()") == "t"
            # The roles refuse the inventory of before, and have nothing to do with the swapped one.
            refused = self.run().expect(2)
            assert "must be swapped" in refused.text and not refused.tasks()
            self.inventory = SWAPPED
            again = self.run()
            self.inventory = GROUPS
            assert not again.expect(0).tasks(), again.tasks()
            assert self.replicates("host-02", "host-01") < 2
            # The backups' host finds the new primary by itself, and its WAL arrives.
            self.sh("host-04", "systemctl start pgbackrest-main-incr")
            self.sh("host-02", "cd /; runuser -u postgres -- pgbackrest --stanza=main check")
            second = self.failover(SWAPPED).expect(0)
            time.sleep(2)
        finally:
            self.sh("host-03", "touch /root/stop; sleep 2")
        told = self.sh("host-03", "cat /root/acknowledged").split()
        there = set(self.sql("host-01", "select n from log", "app").split())
        lost = [n for n in told if n not in there]
        assert not lost, f"{len(lost)} of {len(told)} rows are lost: {lost[:20]}"
        missing = sum(int(b) - int(a) - 1 for a, b in zip(told, told[1:]))
        assert len(told) > 100, f"{len(told)} rows, {missing} tries failed"
        print(f"     {len(told)} rows acknowledged, none lost, {missing} tries refused; {first.seconds:.0f} and {second.seconds:.0f} s", flush=True)
        self.replicates()
        assert not self.run().expect(0).tasks()

    def uses_failover_without_a_primary(self) -> None:
        """The primary is killed and stays away: refused until one says so, and it comes back as a replica."""
        self.sql("host-01", "create table if not exists before (a int)")
        self.replicates()
        self.sh("host-01", "systemctl kill -s KILL 'postgresql@*-main.service'; sleep 1")
        refused = self.failover(GROUPS).expect(2)
        assert "failover_without_primary=true" in refused.text and not refused.tasks()
        self.failover(GROUPS, variables={"failover_without_primary": True}).expect(0)
        assert self.sql("host-02", "select count(*) from before") == "0"
        assert self.replicates("host-02", "host-01") < 5
        self.failover(SWAPPED).expect(0)
        assert not self.run().expect(0).tasks()

    def uses_a_replica_that_lags(self) -> None:
        """One that cannot keep up is not made a primary, and the primary has not been touched."""
        self.sql("host-02", "select pg_wal_replay_pause()")
        self.sql("host-01", "create table big as select generate_series(1, 400000)")
        refused = self.failover(GROUPS, variables={"failover_max_lag_mb": 1}).expect(2)
        assert "MB behind" in refused.text and not refused.tasks()
        lagging = self.run(variables={"postgres_replica_max_lag_mb": 1, "postgres_replica_wait": 2}).expect(2)
        assert "does not keep up" in lagging.text
        # Allowed to try, it finds that the replica does not get there, and the primary goes on.
        failed = self.failover(GROUPS, variables={"failover_max_lag_mb": 10000, "postgres_replica_wait": 3}).expect(2)
        assert "could not take over" in failed.text
        assert self.sql("host-01", "select pg_is_in_recovery()") == "f"
        self.sql("host-02", "select pg_wal_replay_resume()")
        self.sql("host-01", "drop table big")
        self.replicates()
