"""A host to deploy to: the deploying account's Docker, its network, the load balancer's way in, a tunnel and Tailscale."""
import scan
from role import Change, Drift, Role

# What the vendors' packages would bring: programs that write down what they were given.
STUBS = """
    make() {
        mkdir -p /root/$1/DEBIAN /root/$1/usr/bin /root/$1/lib/systemd/system
        printf 'Package: %s\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: lab\\nDescription: stub\\n' $1 >/root/$1/DEBIAN/control
        cat >/root/$1/usr/bin/$1; chmod 755 /root/$1/usr/bin/$1
    }
    make cloudflared <<'EOF'
#!/bin/sh
echo "$(id -un) $* $TUNNEL_TOKEN" >/tmp/tunnel-seen 2>/dev/null
exec sleep infinity
EOF
    make tailscale <<'EOF'
#!/bin/sh
case $1 in
status) if [ -e /var/lib/tailnet ]; then echo '{"BackendState": "Running"}'; else echo '{"BackendState": "NeedsLogin"}'; fi ;;
up) cat "${2#--auth-key=file:}" >/var/lib/tailnet; echo " $*" >>/var/lib/tailnet ;;
esac
EOF
    printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' >/root/tailscale/lib/systemd/system/tailscaled.service
    for p in cloudflared tailscale; do dpkg-deb --root-owner-group -b /root/$p /root/$p.deb >/dev/null; dpkg -i /root/$p.deb >/dev/null; rm -r /root/$p; done
"""
TUNNEL = {"app_host_tunnel_token": "t0k3n"}


class AppHost(Role):
    name = "app-host"
    topology = "flat:3"
    play = [{"hosts": "host-01", "become": True, "roles": ["app-host"]}]
    inventory = {"app": {"hosts": {"host-01": None}}, "bastion": {"hosts": {"host-02": None}}}
    variables = {"app_host_repository": "distro", "app_host_tailscale_key": "tskey-secret", **TUNNEL}
    prepare = {"host-01": """
        export DEBIAN_FRONTEND=noninteractive
        useradd -m -s /bin/bash deployer
        mkdir -p /etc/docker; echo '{"storage-driver": "vfs"}' >/etc/docker/daemon.json
        apt-get install -y -qq --no-install-recommends docker.io busybox-static curl >/dev/null 2>&1
        apt-get install -y -qq --no-install-recommends docker-cli >/dev/null 2>&1 || true
    """ + STUBS}
    made_up = {"/var/lib/docker*": "the engine's own state", "/root/*.deb": "built by each host", "/var/lib/tailnet": "the key's temporary file",
               "/var/lib/containerd*": "the engine's own state", "/var/lib/dpkg/info/*": "stubs"}
    # A network is asked of the engine, and joined, only in a run; the tunnel's unit is not there before.
    only_in_run = {"app-host : Make the networks that deployments expect", "app-host : Join the network",
                   "app-host : Run the tunnel from boot on", "app-host : Restart the tunnel"}
    changes = [
        Change("another network", {"app_host_networks": ["kamal", "shop"]}, {"app-host : Make the networks that deployments expect"},
               only_in_run={"app-host : Make the networks that deployments expect"}, back_tasks=set()),
        Change("another token", {"app_host_tunnel_token": "other"}, {"app-host : Write the tunnel's token", "app-host : Restart the tunnel"},
               only_in_run={"app-host : Restart the tunnel"}),
        Change("no tunnel", {"app_host_tunnel_token": ""}, {"app-host : Stop the tunnel", "app-host : Remove the tunnel"},
               back_tasks={"app-host : Write the tunnel's token", "app-host : Write the tunnel's unit",
                           "app-host : Run the tunnel from boot on", "app-host : Restart the tunnel"}),
        Change("another path", {"app_host_health_path": "/health"}, {"app-host : Write the question whether the application is well"}),
    ]
    drifts = [
        Drift("the network removed", "docker network rm kamal", {"app-host : Make the networks that deployments expect"},
              only_in_run={"app-host : Make the networks that deployments expect"}, mended="docker network inspect kamal"),
        Drift("the token readable", "chmod 644 /etc/default/cloudflared-tunnel",
              {"app-host : Write the tunnel's token", "app-host : Restart the tunnel"}, only_in_run={"app-host : Restart the tunnel"}),
        Drift("the account out of the group", "gpasswd -d deployer docker", {"app-host : Let the deploying account use Docker"}),
    ]

    def uses_docker(self) -> None:
        self.sh("host-01", """
            d=$(mktemp -d); mkdir $d/bin; cp /bin/busybox $d/bin/; ln -s busybox $d/bin/sh
            tar -C $d -c . | docker import - box; rm -rf $d
            su - deployer -c 'mkdir -p /srv/app/www; echo well >/srv/app/www/up; chmod -R a+rX /srv/app/www
                docker run -d --name web --network kamal -p 3000:80 -v /srv/app/www:/www box /bin/busybox httpd -f -p 80 -h /www'
            for i in $(seq 20); do app-healthy && break; sleep 0.2; done; app-healthy
            docker stop -t 1 web; ! app-healthy 2>/dev/null; docker start web""")

    def uses_load_balancer(self) -> None:
        """host-03 is a load balancer outside of the inventory's groups; the firewall lets it ask, and nobody else."""
        play = self.mine.write("with_ufw.yml", [{"hosts": "host-01", "become": True, "roles": ["ufw", "app-host"]}])
        balancer = self.mine.host("host-03").address
        # The controller is no bastion here, and comes by itself.
        more = {"app_host_load_balancers": [balancer], "ufw_rules": [{"port": 22}]}
        self.run(playbook=play, variables=more).expect(0)
        target = [(self.mine.host("host-01").address, 3000)]
        assert scan.scan(self, "host-03", target) == set(target)
        assert scan.scan(self, "host-02", target) == set()
        refused = self.run(variables={"app_host_load_balancers": ["192.0.2.7"]}).expect(2)
        assert "ufw does not let 192.0.2.7 in at port 3000" in refused.text
        self.run(playbook=play, variables={"ufw_state": "absent"}).expect(0)
        self.sh("host-01", "docker rm -f web")

    def uses_tunnel(self) -> None:
        pid = self.sh("host-01", "systemctl show -P MainPID cloudflared-tunnel").strip()
        assert "t0k3n" in self.sh("host-01", f"tr '\\0' '\\n' </proc/{pid}/environ; systemctl is-enabled cloudflared-tunnel")
        assert "t0k3n" not in self.sh("host-01", "ps axww -o args; systemctl show cloudflared-tunnel; test $(stat -c %a /etc/default/cloudflared-tunnel) = 600")
        assert self.sh("host-01", f"stat -c %U /proc/{pid}").strip() == "cloudflared"

    def uses_tailscale(self) -> None:
        said = self.sh("host-01", "cat /var/lib/tailnet")
        assert said.startswith("tskey-secret up --auth-key=file:") and said.rstrip().endswith("--ssh"), said
        self.sh("host-01", "! grep -rl tskey-secret /etc /tmp /root /home 2>/dev/null | grep .")
        for run in ("check", "converged"):
            text = self.needs(run).text
            assert "tskey-secret" not in text and "t0k3n" not in text, f"a secret in the output of {run}"

    def uses_refusal(self) -> None:
        assert "trusted by its key" in self.run(variables={"app_host_repository": "vendor"}).expect(2).text
