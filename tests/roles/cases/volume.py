"""A disk, formatted once: what is on it survives every run, and what could lose data is refused."""
from role import Change, Drift, Role, tasks_of

# A file as a disk; hosts of the lab have no udev, so the nodes are made by hand.
DISK = """
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for n in $(seq 0 15); do [ -e /dev/loop$n ] || mknod /dev/loop$n b 7 $n; done
attach() {
    [ -e /root/disk-$1 ] || truncate -s 64M /root/disk-$1
    # Remembered, since after a reboot it is there still, and its file is another one by its numbers.
    [ -e /root/disk-$1.loop ] || losetup --find --show /root/disk-$1 >/root/disk-$1.loop
    ln -sfn "$(cat /root/disk-$1.loop)" /dev/disk-$1
}
attach data
"""
TOOLS = "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq fdisk >/dev/null"


role = tasks_of("volume")
MOUNT, OWNER = role("Mount them, now and at boot"), role("Give them to their owners")


def disk(**more) -> dict:
    return {"volume_disks": [{"device": "/dev/disk-data", "path": "/mnt/data", "owner": "999", "group": "999",
                              "directories": [{"path": "uploads", "owner": "1000", "group": "1000"}]} | more]}


class Volume(Role):
    name = "volume"
    prepare = DISK + TOOLS
    variables = disk()
    # They follow from the mount, which a check does not do.
    only_in_run = {OWNER, role("Make the directories on them")}
    changes = [
        Change("another owner", disk(owner="1001", mode="0700"), {OWNER},
               then=lambda case: case.is_true("test $(stat -c %u%a /mnt/data) = 1001700")),
        Change("other options", disk(options=["noatime", "nosuid"]), {MOUNT},
               then=lambda case: case.is_true("findmnt -no OPTIONS /mnt/data | grep -q nosuid")),
    ]
    drifts = [
        Drift("a disk that somebody unmounted", "umount /mnt/data", {MOUNT}, mended="test -d /mnt/data/uploads"),
        Drift("a line gone from fstab", "sed -i /mnt/d /etc/fstab", {MOUNT}, mended="grep -q '^UUID=.*nofail' /etc/fstab"),
    ]
    made_up = {"/root/disk-*": "the disk itself", "/etc/fstab": "the UUID of the file system"}

    def __init__(self, rplay: str, suite: str, *more):
        super().__init__(rplay, suite, *more)
        if suite == "trixie":  # which comes without e2fsprogs, so that a check has no mkfs to ask
            self.only_in_run = self.only_in_run | {role("Format those that are empty")}

    def down(self) -> None:
        """Loop devices belong to the machine: they are given back."""
        for side in (self.mine, self.other):
            for host in side.lab.hosts() if side.lab.exists() else []:
                if host.running():
                    host.exec("bash", "-c", "umount -A /mnt/data; cat /root/disk-*.loop | xargs -rn 1 losetup -d")
        super().down()

    def is_true(self, script: str) -> None:
        self.sh(self.hosts()[0], script)

    def uses_the_disk(self) -> None:
        host = self.hosts()[0]
        self.sh(host, "findmnt -no FSTYPE /mnt/data | grep -qx ext4; grep -q \"^UUID=$(blkid -p -s UUID -o value /dev/disk-data) /mnt/data ext4 .*nofail\" /etc/fstab")
        # As a container's process would.
        self.sh(host, "setpriv --reuid 1000 --regid 1000 --clear-groups sh -c 'echo precious >/mnt/data/uploads/a'; "
                      "! setpriv --reuid 1002 --regid 1002 --clear-groups cat /mnt/data/uploads/a")
        before = self.sh(host, "blkid -p -s UUID -o value /dev/disk-data")
        assert not self.run().expect(0).tasks()
        assert self.sh(host, "blkid -p -s UUID -o value /dev/disk-data; cat /mnt/data/uploads/a").split() == [before.strip(), "precious"]

    def uses_a_boot_without_the_disk(self) -> None:
        """The device is not there when the host boots (nobody has made its node): it boots all the same."""
        host = self.mine.host(self.hosts()[0])
        host.reboot()
        host.wait()
        self.sh(host.name, "! mountpoint -q /mnt/data; systemctl is-system-running --wait | grep -qE 'running|degraded'")
        refused = self.run().expect(2)
        assert "must be a block device" in refused.text and not refused.tasks()
        self.sh(host.name, DISK)
        assert self.run().expect(0).tasks() == {MOUNT}
        assert self.sh(host.name, "cat /mnt/data/uploads/a").strip() == "precious"

    def uses_what_it_refuses(self) -> None:
        host = self.hosts()[0]
        self.sh(host, DISK + "attach other; mkdir -p /mnt/full; touch /mnt/full/file")
        other = {"device": "/dev/disk-other", "path": "/mnt/other"}
        for script, entry, word in (
                ("mkfs.ext2 -q /dev/disk-other", {}, "holds ext2"),
                ("wipefs -qa /dev/disk-other; mkswap -q /dev/disk-other", {}, "holds swap"),
                ("wipefs -qa /dev/disk-other; printf 'label: gpt\\n' | sfdisk -q --no-reread /dev/disk-other", {}, "holds"),
                ("wipefs -qa /dev/disk-other; dd if=/dev/zero of=/dev/disk-other bs=1M count=16 status=none; "
                 "echo bytes | dd of=/dev/disk-other bs=1 seek=5000 conv=notrunc status=none", {}, "not zeros"),
                ("dd if=/dev/zero of=/dev/disk-other bs=1M count=16 status=none", {"path": "/mnt/full"}, "files in it"),
                ("true", {"path": "/etc"}, "none of"), ("true", {"path": "/mnt/data"}, "comes once"),
                ("true", {"device": "/dev/null"}, "must be a block device")):
            self.sh(host, script)
            before = self.sh(host, "sha256sum /root/disk-other")
            run = self.run(variables={"volume_disks": disk()["volume_disks"] + [other | entry]}).expect(2)
            assert word in run.text, f"{script} {entry}: {run.text[-1500:]}"
            assert not run.tasks() and self.sh(host, "sha256sum /root/disk-other") == before
        self.sh(host, "losetup -d $(readlink -f /dev/disk-other); rm -r /root/disk-other* /dev/disk-other /mnt/full")
