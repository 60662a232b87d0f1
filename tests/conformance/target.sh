#!/bin/bash
# Runs one of upstream's integration targets in the environment that its authors' test runner gives it.
set -u
# This shell stays: as the first process of its namespace it is the one that takes in orphans.
target=$1 all=/compat/test/integration
export PATH=/opt/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root USER=root TERM=xterm LC_ALL=C.UTF-8 PAGER=/bin/cat
export ANSIBLE_CONFIG=/compat/ansible.cfg ANSIBLE_INVENTORY=/dev/null ANSIBLE_LIBRARY=/dev/null ANSIBLE_FORCE_COLOR=false
export ANSIBLE_FORCE_HANDLERS=true ANSIBLE_HOST_PATTERN_MISMATCH=error ANSIBLE_HOST_KEY_CHECKING=false
export ANSIBLE_RETRY_FILES_ENABLED=false ANSIBLE_DEPRECATION_WARNINGS=false ANSIBLE_DEVEL_WARNING=false
export ANSIBLE_TEST_PYTHON_VERSION=3.11 ANSIBLE_TEST_PYTHON_INTERPRETER=/usr/bin/python3 ANSIBLE_TEST_CI=local
export JUNIT_TASK_RELATIVE_PATH=/compat JUNIT_OUTPUT_DIR=/tmp/junit
export OUTPUT_DIR=/tmp/out-$target INVENTORY_PATH=$all/inventory
mkdir -p "$OUTPUT_DIR" /tmp/.ansible
: >/compat/ansible.cfg
cat >"$INVENTORY_PATH" <<'X'
[testgroup]
testhost ansible_connection="local" ansible_pipelining="yes" ansible_python_interpreter="/usr/bin/python3"
X

# This one commits what `date` says, twice, and has nothing to commit when the pull between took less than a second.
if [ "$target" = ansible-pull ]; then
    printf '#!/bin/sh\nsleep 1\nexec /usr/bin/date "$@"\n' >/opt/bin/date
    chmod +x /opt/bin/date
fi

if [ -f "$all/targets/$target/runme.sh" ]; then
    cd "$all/targets/$target" || exit
    export ANSIBLE_PLAYBOOK_DIR=$PWD
    ./runme.sh -v
    exit
fi
# A target without a script is a role.
cd "$all" || exit
facts=true
grep -qs '^gather_facts/no' "targets/$target/aliases" && facts=false
cat >"$target-play.yml" <<X
[{"hosts": "testhost", "gather_facts": $facts, "vars": {"output_dir": "$OUTPUT_DIR"}, "roles": ["$target"]}]
X
export ANSIBLE_PLAYBOOK_DIR=$PWD ANSIBLE_ROLES_PATH=$all/targets
ansible-playbook "$target-play.yml" -i inventory -v
