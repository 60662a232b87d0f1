"""PostgreSQL in a container: the role postgres-primary with `postgres_install: container`, on a host with Docker.

The image is made of the distribution's own packages: the lab reaches no registry.
"""
from role import Change, Drift, Role, tasks_of

# An image as Docker's registry would give it: the binaries and what they need, and no account of the host's.
PREPARE = r"""
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
mkdir -p /etc/postgresql-common/createcluster.d; echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no.conf
apt-get install -y -qq --no-install-recommends python3-psycopg2 openssl postgresql >/dev/null
for tool in postgres initdb; do ln -s /usr/lib/postgresql/*/bin/$tool /usr/local/bin/; done
mkdir -p -m 700 /srv/image
# The directories on the way, the root among them: an account of no rights has to get through.
tar -C / --no-recursion -cf /srv/image/postgres.tar . etc usr usr/bin usr/lib usr/local usr/share
tar -C / --exclude='*libLLVM*' --exclude='*/perl*' --exclude='*/python3*' --exclude='*/systemd*' -rf /srv/image/postgres.tar \
    bin lib lib64 etc/ld.so.cache etc/ld.so.conf etc/ld.so.conf.d etc/nsswitch.conf usr/bin/env usr/bin/sh usr/bin/dash usr/bin/locale \
    usr/local/bin usr/lib/locale usr/lib/postgresql usr/lib/x86_64-linux-gnu usr/lib64 usr/share/postgresql usr/share/zoneinfo
rm /usr/local/bin/postgres /usr/local/bin/initdb
apt-get purge -y -qq 'postgresql*' >/dev/null; apt-get autoremove -y -qq --purge >/dev/null
! getent passwd postgres >/dev/null || userdel postgres; ! getent group postgres >/dev/null || groupdel postgres
rm -rf /etc/postgresql* /var/lib/postgresql /run/postgresql
apt-get install -y -qq python3-psycopg2 >/dev/null
"""

role = tasks_of("postgres-primary")
CONFIGURED = {role("Write the settings"), role("Reload PostgreSQL")}
RESTARTED = {role("Write what runs the container"), role("Restart the container")}


class PostgresContainer(Role):
    name = "postgres-container"
    topology = "flat:2"
    prepare = {"host-01": PREPARE, "host-02": "DEBIAN_FRONTEND=noninteractive apt-get update -qq && apt-get install -y -qq postgresql-client >/dev/null"}
    play = [
        {"hosts": "primary", "become": True, "roles": ["docker"]},
        {"hosts": "primary", "become": True, "gather_facts": False, "tasks": [
            {"name": "Have the image", "ansible.builtin.shell":
                "v=$(apt-cache show postgresql | sed -n 's/^Version: \\([0-9]*\\).*/\\1/p' | head -n 1); "
                "docker image inspect postgres:$v >/dev/null 2>&1 || docker import /srv/image/postgres.tar postgres:$v", "changed_when": False}]},
        {"hosts": "primary", "become": True, "roles": ["postgres-primary"]},
    ]
    inventory = {"all": {"children": {"primary": {"hosts": {"host-01": {}}}, "app": {"hosts": {"host-02": {}}}}}}
    variables = {
        "docker_repository": "distro", "docker_daemon": {"storage-driver": "vfs"}, "docker_prune_calendar": "",
        "postgres_install": "container", "postgres_repository": "distro", "postgres_memory_mb": 512, "postgres_cpus": 2,
        "postgres_users": [{"name": "shop", "password": "correct horse"}],
        "postgres_databases": [{"name": "shop", "owner": "shop", "extensions": ["pg_trgm"]}],
        "postgres_access": [{"databases": ["shop"], "users": ["shop"], "groups": ["app"]}],
    }
    # A check of a host without Docker and the account can foretell neither the image nor what the server holds.
    only_in_run = {role(task) for task in (
        "Make its directories", "Make the socket's directory", "Make a certificate", "Say who may connect",
        "Keep a map of names", "Write the settings", "Start the container at boot", "Start PostgreSQL", "Create the roles",
        "Create the databases", "Let nobody in who was not granted it", "Create the extensions")} | {
        "docker : Hold the packages, or let them go", "docker : Restart Docker"}
    made_up = {
        "/var/lib/docker*": "the engine's own state", "/var/lib/containerd*": "the same", "/etc/docker/key.json": "made by each engine", "/srv/image/*": "the image, with its times",
        "/etc/postgresql/*/main/server.*": "each host makes its own key and certificate", "/var/lib/postgresql/*": "the data",
    }
    changes = [
        Change("a setting that is read anew", {"postgres_settings": {"work_mem": "9MB"}}, CONFIGURED, then=lambda case: case.shows("work_mem", "9MB")),
        Change("a setting that needs a restart", {"postgres_max_connections": 77}, CONFIGURED | {role("Restart PostgreSQL")},
               only_in_run={role("Restart PostgreSQL")}, then=lambda case: case.shows("max_connections", "77")),
        Change("another container", {"postgres_container_shm_mb": 99}, RESTARTED,
               then=lambda case: case.sh("host-01", "docker inspect -f '{{.HostConfig.ShmSize}}' postgres-main | grep -qx $((99 << 20))")),
    ]
    drifts = [
        Drift("everybody let in", "sed -i '1i host all all 0.0.0.0/0 trust' /etc/postgresql/*/main/pg_hba.conf",
              {role("Say who may connect"), role("Reload PostgreSQL")}),
        Drift("a server that is down", "systemctl stop postgres-main", {role("Start PostgreSQL")},
              mended="runuser -u postgres -- psql -c 'select 1'"),
    ]

    def shows(self, setting: str, value: str) -> None:
        assert (found := self.sql("host-01", f"show {setting}")) == value, f"{setting} is {found}"

    def client(self, query: str, more: str = "") -> str:
        address = self.mine.host("host-01").address
        return self.sh("host-02", f"PGPASSWORD='correct horse' psql -XAtqc {query!r} 'host={address} dbname=shop user=shop connect_timeout=5 {more}' 2>&1 || true").strip()

    def uses_the_network(self) -> None:
        """The app's host gets in over TLS with its password, and not without either."""
        assert self.client("select ssl from pg_stat_ssl where pid = pg_backend_pid()", "sslmode=require channel_binding=require") == "t"
        assert "no encryption" in self.client("select 1", "sslmode=disable")
        self.shows("shared_buffers", "128MB")
        self.shows("data_checksums", "on")

    def uses_no_rights(self) -> None:
        """It runs as the host's account, with nothing that it could become more by."""
        said = self.sh("host-01", "docker inspect -f '{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' postgres-main").strip()
        account = self.sh("host-01", "echo $(id -u postgres):$(id -g postgres)").strip()
        assert said == f"{account} true [ALL]", said

    def uses_a_crash(self) -> None:
        """What was committed is there after the server was killed, and nobody had to start it."""
        self.sql("host-01", "create table if not exists kept (n int); insert into kept values (1)", "shop")
        self.sh("host-01", "docker kill postgres-main >/dev/null; sleep 3; i=0; "
                           "until pg_isready -q -h /run/postgresql; do i=$((i + 1)); [ $i -lt 300 ]; sleep 0.2; done")
        assert self.sql("host-01", "select count(*) > 0 from kept", "shop") == "t"

    def uses_a_restart_of_docker(self) -> None:
        """The server goes on while the engine restarts, and its unit with it."""
        began = self.sql("host-01", "select pg_postmaster_start_time()")
        self.sh("host-01", "systemctl reset-failed docker.service; systemctl restart docker; sleep 4; systemctl is-active postgres-main")
        assert self.sql("host-01", "select pg_postmaster_start_time()") == began

    def uses_a_reboot(self) -> None:
        self.mine.host("host-01").reboot()
        self.sh("host-01", "i=0; until pg_isready -q -h /run/postgresql; do i=$((i + 1)); [ $i -lt 600 ]; sleep 0.2; done")
        assert self.client("select count(*) > 0 from pg_class") == "t"

    def uses_what_it_refuses(self) -> None:
        for given, word in (({"postgres_backup": "ssh"}, "need `packages`"), ({"postgres_version": "9"}, "must be a major version"),
                            ({"postgres_hosts": ["host-01", "host-02"], "postgres_replication_password": "x"}, "need `packages`")):
            run = self.run(variables=given).expect(2)
            assert word in run.text, run.text[-3000:]
            assert not run.tasks(), run.tasks()
