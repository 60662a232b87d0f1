#!/bin/bash
# A host for one target: a throwaway overlay over the image, in namespaces that the caller made (unshare -m -p -f -n -u).
# usage: host.sh IMAGE RPLAY TARGET SCRATCH    All that it mounts and writes ends with the namespaces.
set -eu
image=$1 rplay=$2 target=$3 scratch=$4
here=$(cd "$(dirname "$0")" && pwd)
mount -t tmpfs -o size=4g,mode=755 tmpfs "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay -o "lowerdir=$image,upperdir=$scratch/upper,workdir=$scratch/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620,gid=5 devpts "$root/dev/pts"
mount --bind "$root/dev/pts/ptmx" "$root/dev/ptmx"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs tmpfs "$root/run"
mkdir -p "$root/run/lock" "$root/run/sshd" "$root/opt/bin"
ip link set lo up
hostname testbox
echo testbox >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 testbox\n127.0.1.2 ansible.http.tests\n' >"$root/etc/hosts"
cp "$rplay" "$root/opt/bin/rplay"
for name in ansible ansible-playbook ansible-inventory ansible-vault ansible-pull ansible-config; do
    ln "$root/opt/bin/rplay" "$root/opt/bin/$name"
done
cp "$here/target.sh" "$root/target.sh"
exec env -i "$(command -v chroot)" "$root" /bin/bash /target.sh "$target"
