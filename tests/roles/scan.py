"""Which ports of which hosts answer whom: listeners on every host, and a scan from every host to every host."""
import concurrent.futures
import json

LISTEN = """
import select, socket, sys
sockets = []
for port in map(int, sys.argv[1:]):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try: s.bind(("", port))
    except OSError: continue  # somebody serves there already
    s.listen(64); sockets.append(s)
while True:
    for s in select.select(sockets, [], [])[0]: s.accept()[0].close()
"""
SCAN = """
import concurrent.futures, json, socket, sys
def open_(target):
    s = socket.socket(); s.settimeout(1.5)
    try: s.connect(tuple(target)); return target
    except OSError: return None
    finally: s.close()
with concurrent.futures.ThreadPoolExecutor(100) as pool:
    print(json.dumps([t for t in pool.map(open_, json.loads(sys.argv[1])) if t]))
"""


def listen(suite, host: str, ports: list[int]) -> None:
    """Answer on these ports of a host until it reboots; those that are taken are answered already."""
    suite.sh(host, "systemctl stop lab-listen 2>/dev/null || true; mkdir -p /run/lab; cat >/run/lab/listen.py <<'EOF'\n" + LISTEN + "EOF\n"
             f"systemd-run --quiet --collect --unit=lab-listen python3 /run/lab/listen.py {' '.join(map(str, ports))}\n"
             f"for i in $(seq 50); do ss -Hltn sport = :{ports[-1]} | grep -q . && exit; sleep 0.1; done; exit 1")


def scan(suite, host: str, targets: list[tuple[str, int]]) -> set[tuple[str, int]]:
    """Those of (address, port) that answer this host."""
    done = suite.mine.host(host).exec("python3", "-c", SCAN, json.dumps(targets), timeout=120)
    assert done.returncode == 0, done.stderr
    return {tuple(t) for t in json.loads(done.stdout)}


def scan_all(suite, hosts: list[str], targets: list[tuple[str, int]]) -> dict[str, set]:
    """The same for several hosts at once."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return dict(zip(hosts, pool.map(lambda h: scan(suite, h, targets), hosts)))
