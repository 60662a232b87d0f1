"""Caddy: TLS of each kind, balancing over backends that die, reloads that nobody notices."""
import http.client
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from role import Change, Drift, Role


def authority(*names: str) -> tuple[str, str]:
    """A certificate for these names and its key, like an origin certificate that one downloads."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=lab",
                        "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names), "-keyout", f"{directory}/key", "-out", f"{directory}/crt"],
                       check=True, capture_output=True)
        return Path(f"{directory}/crt").read_text(), Path(f"{directory}/key").read_text()


CERTIFICATE, KEY = authority("given.test", "other.test")
SECOND, SECOND_KEY = authority("second.test")

BACKEND = """
cat >/usr/local/bin/backend <<'PY'
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm = "HTTP/1.1", True
    def do_GET(self):
        body = (sys.argv[1] + " " + self.path + " " + self.headers.get("X-From", "") + "\\n").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
PY
cat >/etc/systemd/system/backend@.service <<'UNIT'
[Service]
ExecStart=/usr/bin/python3 /usr/local/bin/backend %i
UNIT
systemctl daemon-reload
systemctl start backend@3001 backend@3002
mkdir -p /srv/static/assets
echo '<p>the application</p>' >/srv/static/index.html
yes 'something that compresses well' | head -c 20000 >/srv/static/assets/large.txt
"""

BALANCED = {"name": "app", "domains": ["app.test"], "tls": "internal", "upstreams": ["127.0.0.1:3001", "127.0.0.1:3002"],
            "lb_policy": "round_robin", "health_path": "/up", "health_interval": 1, "upstream_headers": {"X-From": "caddy"}}
GIVEN = {"name": "given", "domains": ["given.test"], "tls": "files", "certificate": CERTIFICATE, "certificate_key": KEY,
         "root": "/srv/static", "fallback": "/index.html", "headers": {"X-Site": 'a "quoted" word'},
         "routes": [{"path": "/api/*", "strip": True, "upstreams": ["127.0.0.1:3001"]},
                    {"path": "/old/*", "redirect": "https://app.test{uri}", "redirect_code": 301}]}
PLAIN = {"name": "plain", "domains": [":8080"], "tls": "off", "respond": "well", "log": False}
SITES = [BALANCED, GIVEN, PLAIN]


class Caddy(Role):
    name = "caddy"
    prepare = BACKEND
    variables = {"caddy_repository": "distro", "caddy_email": "operator@example.com", "caddy_sites": SITES}
    # The package's unit is not there to be reloaded in a check of a fresh host.
    only_in_run = {"caddy : Reload Caddy"}
    changes = [
        Change("one more site", {"caddy_sites": [*SITES, {"name": "more", "domains": ["more.test"], "tls": "internal", "respond": "more"}]},
               {"caddy : Write the Caddyfile", "caddy : Reload Caddy"}),
        Change("another site with the same certificate, and one with its own",
               {"caddy_sites": [*SITES, GIVEN | {"name": "other", "domains": ["other.test"], "client_ca": CERTIFICATE},
                                GIVEN | {"name": "second", "domains": ["second.test"], "certificate": SECOND, "certificate_key": SECOND_KEY}]},
               {"caddy : Write the given certificates", "caddy : Write their keys", "caddy : Write the Caddyfile",
                "caddy : Write the authorities that clients must be of", "caddy : Reload Caddy"},
               then=lambda self: self.lets_in_clients_with_a_certificate(),
               back_tasks={"caddy : Write the Caddyfile", "caddy : Reload Caddy", "caddy : Remove certificates of sites that are gone"}),
        Change("no compression", {"caddy_sites": [site | {"compress": False} for site in SITES]},
               {"caddy : Write the Caddyfile", "caddy : Reload Caddy"}),
    ]
    drifts = [
        Drift("an edited Caddyfile", "sed -i 's/3002/3009/' /etc/caddy/Caddyfile", {"caddy : Write the Caddyfile", "caddy : Reload Caddy"}),
        Drift("a key that everybody can read", "chmod 644 /etc/caddy/tls/given.key", {"caddy : Write their keys", "caddy : Reload Caddy"}),
        Drift("stopped and disabled", "systemctl disable --now caddy", {"caddy : Start Caddy, now and at boot"},
              mended="systemctl is-active caddy && systemctl is-enabled caddy"),
    ]
    made_up = {
        "/var/lib/caddy/*": "keys and certificates of the internal authority, and when they were made",
    }
    removal = {"caddy_state": "absent"}

    # --- asking it ---

    def address(self) -> str:
        return self.mine.lab.network.outside(self.mine.host("host-01").spec.outside)

    def trust(self, pem: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=pem)
        context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
        return context

    def internal(self) -> ssl.SSLContext:
        return self.trust(self.sh("host-01", "cat /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt"))

    def ask(self, context: ssl.SSLContext, name: str, path: str = "/", headers: dict | None = None):
        """One request over a connection of its own: status, headers, body."""
        raw = socket.create_connection((self.address(), 443), timeout=30)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with raw, context.wrap_socket(raw, server_hostname=name) as tls:
            tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n".encode()
                        + b"".join(f"{k}: {v}\r\n".encode() for k, v in (headers or {}).items()) + b"\r\n")
            answer = http.client.HTTPResponse(tls)
            answer.begin()
            return answer.status, answer.headers, answer.read()

    def under_load(self, what, wanted: int = 600) -> dict:
        """Four clients that ask without a pause while `what` is done, and at least `wanted` times: how often each backend answered."""
        context, done, seen, failed = self.internal(), threading.Event(), {}, []

        def client() -> None:
            while not (done.is_set() and sum(seen.values()) + len(failed) >= wanted):
                try:
                    status, _, body = self.ask(context, "app.test", "/load")
                    assert status == 200 and body.split()[1] == b"/load", f"{status}: {body[:200]}"
                    seen[body.split()[0]] = seen.get(body.split()[0], 0) + 1
                except (OSError, AssertionError, http.client.HTTPException) as error:
                    failed.append(f"{type(error).__name__}: {error}")

        clients = [threading.Thread(target=client) for _ in range(4)]
        for one in clients:
            one.start()
        try:
            what()
        finally:
            done.set()
            for one in clients:
                one.join()
        assert not failed, f"{len(failed)} of {sum(seen.values()) + len(failed)} requests failed: {failed[:5]}"
        print(f"     caddy: {sum(seen.values())} requests over TLS meanwhile, by backend {seen}, none failed", flush=True)
        return seen

    def lets_in_clients_with_a_certificate(self) -> None:
        context = self.trust(CERTIFICATE)
        try:
            answer = self.ask(context, "other.test")
        except (OSError, http.client.HTTPException):
            answer = None
        assert answer is None, f"let in without a certificate: {answer}"
        own = self.scratch / "client.pem"
        own.write_text(CERTIFICATE + KEY)
        context.load_cert_chain(own)
        assert self.ask(context, "other.test")[0] == 200
        assert self.ask(self.trust(SECOND), "second.test")[0] == self.ask(self.trust(CERTIFICATE), "given.test")[0] == 200

    # --- by use ---

    def uses_tls_of_its_own_authority(self) -> None:
        context = self.internal()
        bodies = {self.ask(context, "app.test", "/x")[2] for _ in range(6)}
        assert bodies == {b"3001 /x caddy\n", b"3002 /x caddy\n"}, f"not balanced over both: {bodies}"
        assert self.ask(context, "app.test")[1]["X-Content-Type-Options"] == "nosniff"

    def uses_a_given_certificate(self) -> None:
        context = self.trust(CERTIFICATE)
        status, headers, body = self.ask(context, "given.test", "/some/page/of/it")
        assert (status, body) == (200, b"<p>the application</p>\n"), (status, body)
        assert headers["X-Site"] == 'a "quoted" word' and headers["Referrer-Policy"], headers.items()
        large, packed = (self.ask(context, "given.test", "/assets/large.txt", how) for how in ({}, {"Accept-Encoding": "gzip"}))
        assert len(large[2]) == 20000 and packed[1]["Content-Encoding"] == "gzip" and len(packed[2]) < 1000, packed[1].items()
        assert self.ask(context, "given.test", "/api/v1")[2].startswith(b"3001 /v1 "), "a route that strips its prefix"
        status, headers, _ = self.ask(context, "given.test", "/old/x")
        assert (status, headers["Location"]) == (301, "https://app.test/old/x")

    def uses_plain_http(self) -> None:
        def get(port: int, host: str):
            connection = http.client.HTTPConnection(self.address(), port, timeout=20)
            connection.request("GET", "/p", headers={"Host": host})
            return connection.getresponse()
        assert get(8080, "any").read() == b"well"
        answer = get(80, "app.test")
        assert (answer.status, answer.headers["Location"]) == (308, "https://app.test/p"), "plain HTTP is sent to HTTPS"

    def uses_backends_that_die(self) -> None:
        def die() -> None:
            time.sleep(1)
            self.sh("host-01", "systemctl kill -s KILL backend@3002; systemctl stop backend@3002")
            time.sleep(4)
        seen = self.under_load(die)
        assert set(seen) == {b"3001", b"3002"}, "both had answered before"
        assert set(self.under_load(lambda: None, 100)) == {b"3001"}
        self.sh("host-01", "systemctl reset-failed backend@3002; systemctl start backend@3002; sleep 12")
        assert set(self.under_load(lambda: None, 100)) == {b"3001", b"3002"}, "the one that came back is used again"

    def uses_reloads_under_load(self) -> None:
        def reload() -> None:
            for turn in range(3):
                more = {"caddy_sites": [*SITES, {"name": "turn", "domains": [f"turn-{turn}.test"], "tls": "internal", "respond": "x"}]}
                assert "caddy : Reload Caddy" in self.run(variables=more).expect(0).tasks()
            for _ in range(20):
                self.sh("host-01", "systemctl reload caddy")
            self.run().expect(0)
        self.under_load(reload)

    def uses_refusals(self) -> None:
        """A Caddyfile that Caddy does not take is not put in place, and an impossible site is refused."""
        before = self.sh("host-01", "cat /etc/caddy/Caddyfile")
        failed = self.run(variables={"caddy_sites": [PLAIN | {"extra": ["no_such_directive"]}]}).expect(2)
        assert "no_such_directive" in failed.text and self.sh("host-01", "cat /etc/caddy/Caddyfile") == before
        for site in (PLAIN | {"root": "/srv"}, PLAIN | {"tls": "files"}, {"name": "x", "domains": ["x"]}, PLAIN | {"domains": ["a {\n}"]}):
            assert "needs a name of" in self.run(variables={"caddy_sites": [site]}).expect(2).text, site
        assert "caddy_repository_key" in self.run(variables={"caddy_repository": "caddy"}).expect(2).text

    def removed(self) -> None:
        self.sh("host-01", "! test -e /etc/caddy && ! command -v caddy && ! systemctl is-active caddy && ls /var/lib/caddy/.local")
