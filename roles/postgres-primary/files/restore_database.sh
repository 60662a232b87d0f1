#!/bin/bash
# Brings one database back from pgBackRest: the cluster as it was is restored beside the one that runs, started on a socket
# of its own, and the database is copied over. Runs as postgres. Environment: bin, stanza, place (a
# directory of its own), port (of the server that runs), database, at (a time; empty: the end of the last backup).
set -euo pipefail
umask 077
export LC_ALL=C.UTF-8 PATH="$bin:/usr/bin:/bin" PGCONNECT_TIMEOUT=10
unset PGHOST PGPORT PGDATABASE PGUSER

live() { psql -XAtq -v ON_ERROR_STOP=1 -p "$port" -d postgres "$@"; }

tidy() {
    if [ -e "$place/data/postmaster.pid" ]; then pg_ctl -D "$place/data" -m immediate -w stop >/dev/null || true; fi
    rm -rf -- "$place"/*
}
trap tidy EXIT
tidy  # what a run that was killed has left

# The cluster as it was at a target, on a socket of its own.
restore() {
    tidy
    mkdir -- "$place/data" "$place/socket" "$place/wal"
    # Of the other databases only what the catalogue needs is fetched. It must not archive under the name of the one that runs.
    set -- --stanza="$stanza" --pg1-path="$place/data" "$@" --target-action=promote --archive-mode=off \
        --tablespace-map-all="$place/tablespaces" restore
    status=0
    pgbackrest "$@" --db-include="$database" || status=$?
    # 80: the backup does not know the database, which was created after it. Then all of them are fetched.
    if [ "$status" = 80 ]; then
        status=0
        rm -rf -- "$place/data"
        mkdir -- "$place/data"
        pgbackrest "$@" || status=$?
    fi
    if [ "$status" != 0 ]; then exit "$status"; fi
    cat >"$place/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$place/socket'
port = 5432
hba_file = '$place/hba'
hot_standby = off
archive_mode = off
ssl = off
synchronous_standby_names = ''
shared_buffers = 64MB
autovacuum = off
lc_messages = 'C'
END
    echo 'local all postgres peer' >"$place/hba"
    touch "$place/data/pg_ident.conf"
    pg_ctl -D "$place/data" -l "$place/log" -w -t 86400 start >/dev/null || { tail -n 20 "$place/log" >&2; exit 1; }
    # pg_ctl is content when it recovers; it is ready when it has got there.
    until [ "$(there -d postgres -c 'SELECT pg_is_in_recovery()' 2>/dev/null)" = f ]; do
        if ! pg_ctl -D "$place/data" status >/dev/null; then tail -n 20 "$place/log" >&2; exit 1; fi
        sleep 1
    done
    state=$(there -d postgres -v name="$database" <<<"SELECT datconnlimit FROM pg_database WHERE datname = :'name'")
}
there() { psql -XAtq -h "$place/socket" "$@"; }

if [ -n "$at" ]; then
    # What was written just before must have been archived.
    live -c 'SELECT pg_switch_wal()' >/dev/null
    restore --type=time "--target=$at"
else
    restore --type=immediate
fi

# A time is reached at the first commit after it, and everything before that commit has been done. Where that commit is the
# one of DROP DATABASE itself, its work is done: the database is marked as invalid. So once more, up to its first record.
if [ "$state" = -2 ]; then
    transaction=$(sed -n 's/.*recovery stopping before commit of transaction \([0-9]*\),.*/\1/p' "$place/log" | tail -n 1)
    for segment in $(sed -n 's/.*restored log file "\([0-9A-F]\{24\}\)" from archive.*/\1/p' "$place/log" | sort -u | tail -n 2); do
        pgbackrest --stanza="$stanza" --pg1-path="$place/data" archive-get "$segment" "$place/wal/$segment"
    done
    # The mark is written in place in pg_database (1664/0/1262), by newer releases just before the transaction has a number.
    first=$(for segment in "$place"/wal/*; do pg_waldump "$segment" 2>/dev/null || true; done | awk -v x="$transaction" '
        { tx = $0; sub(/.* tx: */, "", tx); sub(/,.*/, "", tx); lsn = $0; sub(/.* lsn: */, "", lsn); sub(/,.*/, "", lsn) }
        tx == x && begin == "" { begin = lsn }
        /INPLACE/ && /rel 1664\/0\/1262 / { if (tx == x) own = 1; else if (begin == "") mark = lsn }
        END { print (begin == "" || own || mark == "") ? begin : mark }')
    if [ -z "$first" ]; then
        echo "at $at $database was being dropped by transaction $transaction, whose beginning is not found; name an earlier time" >&2
        exit 4
    fi
    restore --type=lsn "--target=$first" --target-exclusive
fi
if [ -z "$state" ] || [ "$state" = -2 ]; then
    echo "the backup of that time has no database $database" >&2
    exit 3
fi
# Into the server that runs only when the copy is whole.
pg_dump -h "$place/socket" -Fc -f "$place/dump" -- "$database"
pg_restore -p "$port" -d postgres --create --exit-on-error "$place/dump"
live -v name="$database" <<<"SELECT pg_size_pretty(pg_database_size(:'name'))"
