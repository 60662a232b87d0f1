#!/bin/sh
# How this host is, as one line of JSON; playbooks/health-report.yml runs it. Reads only.
LC_ALL=C
export LC_ALL

# Busy and all ticks of the processors.
ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9, $2 + $3 + $4 + $5 + $6 + $7 + $8 + $9; exit }' /proc/stat; }

number() { case $1 in '' | *[!0-9.-]*) echo null ;; *) echo "$1" ;; esac; }
text() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | sed 's/[\\"]/\\&/g')"; }

before=$(ticks)
sleep 1
after=$(ticks)
cpu=$(echo "$before $after" | awk '{ all = $4 - $2; printf "%.0f", (all > 0 ? ($3 - $1) * 100 / all : 0) }')
memory=$(awk '/^MemTotal/ { t = $2 } /^MemAvailable/ { a = $2 } END { if (t) printf "%.0f", (t - a) * 100 / t }' /proc/meminfo)
swap=$(awk '/^SwapTotal/ { t = $2 } /^SwapFree/ { f = $2 } END { if (t) printf "%.0f", (t - f) * 100 / t; else print 0 }' /proc/meminfo)
read -r load rest </proc/loadavg
cpus=$(getconf _NPROCESSORS_ONLN)

# The fullest file system that holds something.
disk=$(df -PT 2>/dev/null | awk 'NR > 1 && $2 !~ /^(tmpfs|devtmpfs|ramfs|squashfs|iso9660|efivarfs)$/ && $7 !~ /^\/(snap|run|dev|proc|sys|var\/lib\/docker|var\/lib\/containers)(\/|$)/ {
    use = $6; sub("%", "", use); if (use + 0 >= most) { most = use + 0; where = $7 } } END { print most + 0, where }')

# Containers: running, all, and those that say that they are not well.
running=null containers=null unhealthy=null
for engine in docker podman; do
    if command -v $engine >/dev/null 2>&1 && list=$($engine ps -a --format '{{.Status}}' 2>/dev/null); then
        containers=$(printf '%s' "$list" | grep -c .)
        running=$(printf '%s' "$list" | grep -c '^Up')
        unhealthy=$(printf '%s' "$list" | grep -cE '\(unhealthy\)|^Restarting')
        break
    fi
done

# The certificate that ends first.
days=null ending=
if command -v openssl >/dev/null 2>&1; then
    now=$(date +%s)
    for file in /etc/caddy/tls/*.crt /var/lib/caddy/.local/share/caddy/certificates/acme*/*/*.crt \
        /etc/letsencrypt/live/*/fullchain.pem /etc/postgresql/*/*/server.crt; do
        [ -f "$file" ] && end=$(openssl x509 -noout -enddate -in "$file" 2>/dev/null) || continue
        left=$((($(date -d "${end#notAfter=}" +%s) - now) / 86400))
        if [ "$days" = null ] || [ "$left" -lt "$days" ]; then days=$left ending=$file; fi
    done
fi

# The role borg-backup's own numbers.
backup=null status=null
metrics=/var/lib/prometheus/node-exporter/borg.prom
if [ -r $metrics ]; then
    last=$(awk '$1 == "borg_backup_last_success_timestamp_seconds" { print $2 }' $metrics)
    status=$(number "$(awk '$1 == "borg_backup_last_exit_status" { print $2 }' $metrics)")
    if [ -n "$last" ]; then backup=$((($(date +%s) - last) / 3600)); fi
fi
if [ -e /etc/systemd/system/borg-backup.timer ]; then backed=true; else backed=false; fi

failed=$(systemctl list-units --state=failed --plain --no-legend 2>/dev/null | awk '{ print $1 }')
if [ -e /run/reboot-required ]; then reboot=true; else reboot=false; fi

cat <<END
{"cpu": $(number "$cpu"), "memory": $(number "$memory"), "swap": $(number "$swap"), "load": $(number "$load"), "cpus": $(number "$cpus"), "disk": $(number "${disk%% *}"), "mount": $(text "${disk#* }"), "running": $running, "containers": $containers, "unhealthy": $unhealthy, "certificate": $days, "certificate_path": $(text "$ending"), "backup": $backup, "backup_status": $status, "backed": $backed, "failed": $(text "$failed"), "reboot": $reboot, "uptime": $(number "$(cut -d. -f1 /proc/uptime)")}
END
