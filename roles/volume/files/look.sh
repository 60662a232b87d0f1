#!/bin/bash
# Says as JSON what a device holds: signature (a file system, a partition table, …), uuid, partitions, mounts, whether its
# beginning is blank, and what the mount point is now. Reads only. Arguments: the device, the mount point.
set -euo pipefail
export LC_ALL=C

device=$(readlink -f -- "$1")
path=$2
kind=missing signature='' uuid='' partitions=0 elsewhere='' blank=false
if [ -b "$device" ]; then
    kind=block
    signature=$(wipefs --noheadings --output TYPE -- "$device" | sort -u | paste -sd' ')
    uuid=$(blkid -p -s UUID -o value -- "$device" || true)
    partitions=$(($(lsblk -nro NAME -- "$device" | wc -l) - 1))
    elsewhere=$(findmnt -nro TARGET --source "$device" | grep -vxF -- "$path" | head -n 1 || true)
    # A disk may hold data without a signature that anything knows (an encrypted one, a database on the bare device).
    if [ "$(head -c 16777216 -- "$device" | tr -d '\0' | head -c 1 | wc -c)" = 0 ]; then blank=true; fi
elif [ -e "$device" ]; then
    kind=other
fi

point=missing
if mountpoint -q -- "$path"; then
    if [ "$(findmnt -nro SOURCE --mountpoint "$path" | tail -n 1)" = "$device" ]; then point=mounted; else point=occupied; fi
elif [ -d "$path" ]; then
    point=empty
    if [ -n "$(ls -A -- "$path")" ]; then point=full; fi
elif [ -e "$path" ] || [ -L "$path" ]; then
    point=other
fi
printf '{"kind":"%s","signature":"%s","uuid":"%s","partitions":%d,"elsewhere":"%s","blank":%s,"point":"%s"}\n' \
    "$kind" "$signature" "$uuid" "$partitions" "$elsewhere" "$blank" "$point"
