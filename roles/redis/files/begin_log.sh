#!/bin/bash
# Turns the append-only log on in a Redis that runs without one; says `begun` when it did. Environment: wanted (the
# password it shall have), port, settings (the file of the role with the password that it has).
set -euo pipefail

ask() { redis-cli -h 127.0.0.1 -p "$port" "$@" 2>&1; }

if ! systemctl is-active --quiet redis-server; then
    # Stopped: it can be asked nothing, and only one that has a log, or no data, may be started with one.
    if [ -e /var/lib/redis/appendonlydir ] || [ ! -s /var/lib/redis/dump.rdb ]; then exit 0; fi
    exit 1
fi
unset REDISCLI_AUTH
has=$(sed -n 's/^requirepass "\(.*\)"$/\1/p' "$settings" 2>/dev/null | sed 's/\\\(.\)/\1/g' || true)
for password in '' "$has" "$wanted"; do
    if [ -n "$password" ]; then export REDISCLI_AUTH="$password"; fi
    state=$(ask config get appendonly | tail -n 1)
    case $state in
    yes) exit 0 ;;
    no) break ;;
    esac
done
[ "$state" = no ]
if [ "$(ask dbsize)" = 0 ]; then exit 0; fi
[ "$(ask config set appendonly yes)" = OK ]
for _ in $(seq 600); do
    if ask info persistence | tr -d '\r' | grep -qx 'aof_rewrite_in_progress:0' &&
        ask info persistence | tr -d '\r' | grep -qx 'aof_rewrite_scheduled:0'; then
        ask info persistence | tr -d '\r' | grep -qx 'aof_last_bgrewrite_status:ok'
        echo begun
        exit 0
    fi
    sleep 1
done
exit 1
