"""Redis as its clients see it: the password, the address, the memory."""
from role import Change, Drift, Role, tasks_of

SECRET = 'a "quoted" pass\\word'


role = tasks_of("redis")
SETTINGS = {role("Write the settings"), role("Restart Redis")}


class Redis(Role):
    name = "redis"
    topology = "flat:2"
    play = [{"hosts": "jobs", "become": True, "roles": ["redis"]}]
    inventory = {"all": {"children": {"jobs": {"hosts": {"host-01": {}}}}}}
    variables = {"redis_password": SECRET, "redis_memory_mb": 8}
    prepare = {"host-02": "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq redis-tools >/dev/null"}
    # A check of a host without Redis knows neither its group nor its files, and the restart follows from those.
    only_in_run = {role("Write the settings"), role("Have Redis read them"), role("Restart Redis")}
    changes = [
        Change("a cache", {"redis_memory_policy": "allkeys-lru"}, SETTINGS,
               then=lambda case: case.says("config get maxmemory-policy", "allkeys-lru")),
        Change("another password", {"redis_password": "sixteen letters."}, SETTINGS,
               then=lambda case: case.says("ping", "WRONGPASS")),
        Change("a command that nobody may use", {"redis_disabled_commands": ["FLUSHALL"]}, SETTINGS,
               then=lambda case: case.says("flushall", "unknown command")),
        Change("a setting of one's own", {"redis_settings": {"maxmemory-samples": 7, "lazyfree-lazy-eviction": True}}, SETTINGS,
               then=lambda case: case.says("config get maxmemory-samples", "7")),
    ]
    made_up = {"/var/lib/redis/*": "the data"}
    drifts = [
        Drift("no password any more", "sed -i /requirepass/d /etc/redis/role.conf", SETTINGS),
        Drift("a configuration that reads only its own", "sed -i /role.conf/d /etc/redis/redis.conf",
              {role("Have Redis read them"), role("Restart Redis")}),
        Drift("a server that is down", "systemctl stop redis-server", {role("Start Redis, now and at boot")},
              mended="systemctl is-active redis-server"),
    ]

    def ask(self, command: str, password: str | None = SECRET) -> str:
        """A command over the network, from the other host."""
        known = f"REDISCLI_AUTH=\"$(cat <<'E'\n{password}\nE\n)\"" if password else ""
        return self.sh("host-02", f"{known} redis-cli -h {self.mine.host('host-01').address} {command} 2>&1 || true").strip()

    def says(self, command: str, word: str) -> None:
        assert word in (said := self.ask(command)), f"`{command}` says {said}"

    def uses_the_password(self) -> None:
        assert "NOAUTH" in self.ask("get a", None)
        assert "WRONGPASS" in self.ask("get a", "a guess")
        assert self.ask("set a 1") == "OK"
        assert self.sh("host-01", "stat -c %U:%G:%a /etc/redis/role.conf").strip() == "root:redis:640"

    def uses_the_address(self) -> None:
        listening = self.sh("host-01", "ss -Hltn 'sport = :6379' | awk '{print $4}'").split()
        assert sorted(listening) == sorted(["127.0.0.1:6379", f"{self.mine.host('host-01').address}:6379"]), listening

    def uses_the_disk(self) -> None:
        self.ask("set kept 7")
        self.sh("host-01", "systemctl restart redis-server; sleep 1")
        assert self.ask("get kept") == "7"

    def uses_a_log_that_begins_late(self) -> None:
        """Data that is only in snapshots is still there when the log is turned on."""
        self.run(variables={"redis_append_only": False}).expect(0)
        self.sh("host-01", "rm -rf /var/lib/redis/appendonlydir")
        assert self.ask("set early 1") == "OK" and self.ask("save") == "OK"
        self.sh("host-01", "systemctl stop redis-server")
        refused = self.run().expect(2)
        assert "holds data and keeps no log" in refused.text and not refused.tasks()
        self.sh("host-01", "systemctl start redis-server")
        mended = self.run().expect(0).tasks()
        assert mended == SETTINGS | {role("Have a Redis that holds data begin its log")}, mended
        assert self.ask("get early") == "1"
        assert "yes" in self.ask("config get appendonly")
        assert not self.run().expect(0).tasks()

    def uses_the_limit(self) -> None:
        self.sh("host-02", "head -c 3000000 /dev/zero | tr '\\0' x >/tmp/big")
        said = [self.sh("host-02", f"REDISCLI_AUTH=\"$(cat <<'E'\n{SECRET}\nE\n)\" redis-cli -h {self.mine.host('host-01').address} -x set big{n} </tmp/big 2>&1").strip()
                for n in range(5)]
        assert said[0] == "OK" and "OOM" in said[-1], said
        self.ask("del big0 big1 big2 big3 big4")

    def uses_what_it_refuses(self) -> None:
        for given in ({"redis_password": "short"}, {"redis_bind": ["0.0.0.0"]}):
            assert not self.run(variables=given).expect(2).tasks()
        broken = self.run(variables={"redis_settings": {"no-such-setting": "1"}}).expect(2)
        assert SECRET not in broken.text
        assert self.ask("ping") == "PONG"
