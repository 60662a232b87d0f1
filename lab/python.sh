# Sourced by the entry points: makes sure Python 3 is there, then runs one command of the lab.
lab_dir=$(cd "$(dirname "$0")" && pwd)
if ! command -v python3 >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || { echo "lab: python3 is missing, and installing it needs root" >&2; exit 1; }
    echo "lab: installing python3" >&2
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 >&2 || exit 1
fi
lab() {
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$(dirname "$lab_dir")${PYTHONPATH:+:$PYTHONPATH}" exec python3 -m lab.cli "$@"
}
