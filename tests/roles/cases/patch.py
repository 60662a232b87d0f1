"""playbooks/patch.yml: a package of which there is a newer version, on a fortress where order matters."""
from role import PROJECT, Role

# A repository on the host itself with version 2 of a package, whose installation says when it was, and on some hosts
# asks for a reboot.
PACKAGE = """
    export DEBIAN_FRONTEND=noninteractive
    build() {
        mkdir -p /srv/repo /root/p/DEBIAN
        printf 'Package: lab-thing\\nVersion: %s\\nArchitecture: all\\nMaintainer: lab\\nDescription: thing\\n' $1 >/root/p/DEBIAN/control
        printf '#!/bin/sh\\ndate +%%s%%N >/var/lib/lab-thing-%s\\n%s\\n' $1 "$2" >/root/p/DEBIAN/postinst
        chmod 755 /root/p/DEBIAN/postinst
        dpkg-deb --root-owner-group -b /root/p /srv/repo/lab-thing_$1_all.deb >/dev/null
    }
    build 1 :
    dpkg -i /srv/repo/lab-thing_1_all.deb >/dev/null
    build 2 "REBOOT"
    cd /srv/repo
    { cat /root/p/DEBIAN/control; f=lab-thing_2_all.deb; echo "Filename: ./$f"; echo "Size: $(stat -c %s $f)"; echo "SHA256: $(sha256sum $f | cut -d' ' -f1)"; } >Packages
    rm -r /root/p
    # No other repository: the private hosts have no way out here, and need none.
    mkdir -p /root/apt; mv /etc/apt/sources.list /etc/apt/sources.list.d/* /root/apt/ 2>/dev/null || true
    echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
    rm -rf /var/lib/apt/lists/*; apt-get update -qq
"""
REBOOTED = ["app-01", "db-replica", "bastion-01"]
ORDER = [{"jobs-01", "monitor-01", "app-01", "app-02"}, {"db-replica"}, {"db-primary"}, {"bastion-01"}]
HEALTHY = "printf '#!/bin/sh\\ntest ! -e /run/unwell\\n' >/usr/local/bin/app-healthy; chmod 755 /usr/local/bin/app-healthy\n"


def prepare() -> dict:
    hosts = {name: PACKAGE.replace("REBOOT", "touch /run/reboot-required" if name in REBOOTED else ":") for group in ORDER for name in group}
    return hosts | {name: hosts[name] + HEALTHY for name in ("app-01", "app-02")}


class Patch(Role):
    name = "patch"
    topology = "fortress"
    variables = {"login_user": "root"}
    prepare = prepare()
    only_in_run = {"Reboot"}  # what asks for it is what the upgrade brings
    made_up = {"/var/lib/lab-thing-*": "when it was installed", "/srv/repo/*": "built by each host", "/var/lib/apt/*": "when it was looked at",
               "/etc/apt/*": "the lab's own", "/var/lib/dpkg/*": "sizes of what each host built"}

    playbook = PROJECT / "playbooks/patch.yml"

    def converges(self) -> None:
        boots = {host: self.sh(host, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") for host in self.hosts()}
        super().converges()
        rebooted = {host for host in self.hosts() if self.sh(host, "cat /proc/sys/kernel/random/boot_id; stat -c %Y /proc/1") != boots[host]}
        assert rebooted == set(REBOOTED), f"rebooted: {sorted(rebooted)}"

    def uses_order(self) -> None:
        """Each group after the one before it, the replica rebooted by the time its primary is touched."""
        when = {host: int(self.sh(host, "cat /var/lib/lab-thing-2")) for group in ORDER for host in group}
        for earlier, later in zip(ORDER, ORDER[1:]):
            assert max(when[h] for h in earlier) < min(when[h] for h in later), when
        self.sh("db-replica", f"test $(date -d \"$(uptime -s)\" +%s) -gt 0; test $(stat -c %Y /proc/1) -le $(({when['db-primary']} / 1000000000))")

    def uses_health(self) -> None:
        """An application that is not well before is not touched, and nobody after it."""
        self.sh("app-02", "touch /run/unwell")
        for host in ("app-02", "db-primary"):
            self.sh(host, "dpkg -i --force-downgrade /srv/repo/lab-thing_1_all.deb >/dev/null 2>&1; rm /var/lib/lab-thing-2")
        run = self.run().expect(2)
        assert "TASK [Ask the application]" in run.text and run.recap["app-02"]["failed"] == 1, run.text[-2000:]
        for host in ("app-02", "db-primary"):
            self.sh(host, "! test -e /var/lib/lab-thing-2")
        self.sh("app-02", "rm /run/unwell")
        assert self.run("-e", "patch_reboot=never").expect(0).changed.keys() == {"app-02", "db-primary"}
