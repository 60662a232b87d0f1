"""Docker: containers run, live through the engine's restart, log within limits and answer where they are published."""
from role import Change, Drift, Role

SETTINGS = {"docker : Write its settings", "docker : Restart Docker"}
# systemd starts it three times a minute, and these cases are quicker.
PATIENT = "systemctl reset-failed docker.service 2>/dev/null || true"
RESTART = {"docker : Restart Docker"}
REGISTRY = '''
import base64, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        given = self.headers.get("Authorization", "")
        if given.startswith("Basic "):
            open("/run/lab/seen", "w").write(base64.b64decode(given[6:]).decode())
        self.send_response(404 if given else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="lab"')
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()
    do_HEAD = do_GET
http.server.HTTPServer(("127.0.0.1", 5000), Handler).serve_forever()
'''


class Docker(Role):
    name = "docker"
    topology = "flat:2"
    play = [{"hosts": "host-01", "become": True, "roles": ["docker"]}]
    variables = {
        "docker_repository": "distro", "docker_users": ["deployer"], "docker_registry_users": ["root", "deployer"],
        "docker_registries": [{"registry": "localhost:5000", "username": "robot", "password": "s3cret/word"}],
        # Overlays do not stand on the lab's overlays.
        "docker_daemon": {"storage-driver": "vfs"}, "docker_prune_until": "1s",
    }
    prepare = "useradd -m -s /bin/bash deployer"
    made_up = {"/var/lib/docker*": "the engine's own state", "/etc/docker/key.json": "made by each engine"}
    only_in_run = {
        # Need the package, its group, or the unit that the same run writes.
        "docker : Hold the packages, or let them go", "docker : Let them use the engine", "docker : Remove what is unused from time to time",
        "docker : Restart Docker", "docker : Start the timer anew",
    }
    changes = [
        Change("larger logs", {"docker_log_max_size": "20m"}, SETTINGS, only_in_run=RESTART),
        Change("not held", {"docker_hold": False}, {"docker : Hold the packages, or let them go"}),
        Change("never pruned", {"docker_prune_calendar": ""}, {"docker : Stop the timer", "docker : Remove the units"},
               back_tasks={"docker : Write the units that remove what is unused", "docker : Remove what is unused from time to time",
                           "docker : Start the timer anew"}),
        Change("another password", {"docker_registries": [{"registry": "localhost:5000", "username": "robot", "password": "new"}]},
               {"docker : Log them in to the registries"}),
    ]
    drifts = [
        Drift("the engine stopped", "systemctl stop docker.socket docker.service; " + PATIENT, {"docker : Run it from boot on"},
              mended="docker info >/dev/null"),
        Drift("settings edited", "sed -i s/10m/10g/ /etc/docker/daemon.json; " + PATIENT, SETTINGS, only_in_run=RESTART),
        Drift("a login readable", "chmod 644 /root/.docker/config.json", {"docker : Log them in to the registries"}),
        Drift("no longer held", "apt-mark unhold docker.io", {"docker : Hold the packages, or let them go"}),
    ]

    def image(self) -> None:
        self.sh("host-01", """
            docker image inspect box >/dev/null 2>&1 && exit
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq busybox-static >/dev/null
            d=$(mktemp -d); mkdir $d/bin; cp /bin/busybox $d/bin/; ln -s busybox $d/bin/sh
            tar -C $d -c . | docker import - box; rm -rf $d""")

    def uses_containers(self) -> None:
        self.image()
        self.sh("host-01", "su - deployer -c 'docker run -d --name web -p 8080:80 box /bin/busybox nc -ll -p 80 -e /bin/busybox hostname'")
        address = self.mine.host("host-01").address
        said = self.sh("host-02", f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/8080; cat <&3'").strip()
        assert said and said in self.sh("host-01", "docker inspect -f '{{.Config.Hostname}}' web"), said
        assert self.sh("host-01", "docker inspect -f '{{json .HostConfig.LogConfig}}' web").strip() == \
            '{"Type":"json-file","Config":{"max-file":"3","max-size":"10m"}}'

    def uses_live_restore(self) -> None:
        before = self.sh("host-01", "docker inspect -f '{{.State.Pid}}' web")
        self.sh("host-01", "systemctl restart docker")
        assert before == self.sh("host-01", "docker inspect -f '{{.State.Pid}}' web"), "the container did not live through it"
        self.sh("host-01", "kill -0 " + before)

    def uses_address_pool(self) -> None:
        subnet = self.sh("host-01", "docker network create some >/dev/null; docker network inspect -f '{{(index .IPAM.Config 0).Subnet}}' some; docker network rm some >/dev/null")
        assert subnet.startswith(("172.20.", "172.21.", "172.22.", "172.23.")) and subnet.strip().endswith("/24"), subnet

    def uses_compose(self) -> None:
        self.sh("host-01", """
            mkdir -p /tmp/stack && cd /tmp/stack
            printf 'version: "3"\\nservices:\\n  one:\\n    image: box\\n    command: /bin/busybox sleep 600\\n' >docker-compose.yml
            if docker compose version >/dev/null 2>&1; then set -- docker compose; else set -- docker-compose; fi
            "$@" up -d >/dev/null 2>&1; "$@" ps | grep -qE 'Up|running'; "$@" down >/dev/null 2>&1; rm -rf /tmp/stack""")

    def uses_registry(self) -> None:
        """Both accounts come with their password, which no other account can read."""
        self.sh("host-01", "mkdir -p /run/lab; cat >/run/lab/registry.py <<'EOF'" + REGISTRY + "EOF\n"
                           "systemctl stop lab-registry 2>/dev/null || true; systemd-run --quiet --collect --unit=lab-registry python3 /run/lab/registry.py; sleep 1")
        for command in ("docker pull localhost:5000/x", "su - deployer -c 'docker pull localhost:5000/x'"):
            self.sh("host-01", f"rm -f /run/lab/seen; ! {command} 2>/dev/null; grep -qx robot:s3cret/word /run/lab/seen")
        self.sh("host-01", "systemctl stop lab-registry; test $(stat -c %a /home/deployer/.docker/config.json) = 600; ! su - nobody -s /bin/sh -c 'cat /home/deployer/.docker/config.json' 2>/dev/null")

    def uses_hold(self) -> None:
        assert "docker.io" in self.sh("host-01", "apt-mark showhold")

    def uses_prune(self) -> None:
        self.sh("host-01", "docker rm -f web >/dev/null; docker run --name old box /bin/sh -c true; sleep 2; systemctl start docker-prune.service")
        assert self.sh("host-01", "docker ps -aq; docker images -q") == ""
        self.sh("host-01", "systemctl list-timers docker-prune.timer | grep -q docker-prune")

    def uses_reboot(self) -> None:
        self.mine.host("host-01").reboot()
        self.sh("host-01", "docker info >/dev/null")

    def uses_refusal(self) -> None:
        run = self.run(variables={"docker_versions": {"dokcer.io": "1"}}).expect(2)
        assert "docker_versions names dokcer.io" in run.text
        before = self.sh("host-01", "cat /etc/docker/daemon.json")
        if "--validate" in self.sh("host-01", "dockerd --help"):
            self.run(variables={"docker_daemon": {"no-such-setting": 1}}).expect(2)
        assert before == self.sh("host-01", "cat /etc/docker/daemon.json")
