"""What no tool decides: the only place where results and files are made alike before they are compared."""
import re

# Values that are never the same twice, wherever they are in a result.
VOLATILE = {
    "atime", "mtime", "ctime", "access_time", "inode", "ino", "dev", "delta", "start", "end", "elapsed", "date", "age",
    "ssh_public_key", "ssh_fingerprint", "public_key", "fingerprint", "cookies", "cookies_string", "last_modified", "expires_at", "pid", "cache_update_time",
    "public_key_fingerprints", "fingerprints", "modulus", "notBefore", "notAfter", "not_before", "not_after",
}

# What a result says about the machinery that made it, not about the host.
MACHINERY = {
    "invocation", "exception", "deprecations", "failed_when_result", "discovered_interpreter_python", "ansible_job_id",
    "_ansible_no_log", "_ansible_delegated_vars",
}

# The state that a unit is in is read; when it got there, by which process and what it used meanwhile is not compared.
STATUS = re.compile(r"(Timestamp|TimestampMonotonic|PID|Usage|NSec|USec|InvocationID|Memory\w*|CPU\w*|IO\w*|IP\w*|Tasks\w*"
                    r"|ControlGroup\w*|Limit\w*|Inode|ExecStart\w*|ExecStop\w*|ExecReload\w*)$")

# Lists of units, whose order is that of systemd's hash tables.
UNITS = {"After", "Before", "Requires", "Wants", "WantedBy", "RequiredBy", "Conflicts", "TriggeredBy", "Names", "Slice",
         "Documentation", "RequiresMountsFor"}

# Where a name has a part that is made up at random or from the time.
NAMES = (
    (re.compile(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~"), ".BACKUP~"),
    (re.compile(r"/(?:root|home/\w+)/\.ansible/tmp/[\w.-]+(?:/[\w.-]*)?"), "TMP"),
    (re.compile(r"/[\w/.-]*/ansible-local-\w+/[\w.]+(?:/[\w.-]*)?"), "TMP"),
    (re.compile(r"<content>/[\w./-]*"), "TMP"),
    (re.compile(r"ansible[.\w-]*_\w+(?=\.part\b)"), "ansible.TMP"),
    (re.compile(r"(?<=/)ansible\.\w{8}(?=\w|/|$|[\"' .])\w*"), "ansible.TMP"),
    (re.compile(r"/tmp/(?:\.?tmp|cron(?:tab|var))[\w.@:-]+"), "TMP"),
    (re.compile(r"(?<=\.rules\.)\d{8}_\d{6}"), "TIME"),
    (re.compile(r'"(?:TMP|-)":(?=\d)'), '"TMP":'),
    (re.compile(r"(?<=/p\.)\w{8}(?=\.s\b)"), "RANDOM"),
    (re.compile(r"/tmp/\.rplay-[\w.-]+"), "TMP"),
    (re.compile(r"Done in \d+\.\d+s\."), "Done in TIME."),
    (re.compile(r"/root/\.cache/rplay/[\w./-]+"), "TMP"),
)

# What the reference tells of a file , and warns of, along with a failure that is about something else.
FAILED = {"uid", "gid", "owner", "group", "mode", "size", "state", "path", "details", "src", "dest", "warnings", "checksum",
          "diff"}

# Sentences: each tool may word them as it likes, and says one where the other does.
SENTENCES = {"warnings"}

# Files whose content has a part of that kind.
CONTENT = (
    ("/var/spool/cron/crontabs/*", re.compile(r"(?m)^# .*(installed on|DO NOT EDIT|Cron version).*\n")),
    ("/home/*/.ssh/id_*", re.compile(r"(?s).+")),
    ("/etc/systemd/system/*.wants/*", None),
    # Hashes have salts, and a line of a PAM service tells when it was written.
    ("/srv/m/salted", re.compile(r"(?m)(\$\w+\$\S+|(?<=^des:)\S+)")),
    ("/etc/pam.d/*", re.compile(r"(?m)^# Updated by Ansible - .*$")),
    ("/srv/m/pam/*", re.compile(r"(?m)^# Updated by Ansible - .*$")),
)

# Files that are the tools' own traces, or the host's; lab.manifest.IGNORE has the rest.
FILES = (
    "/root/.ansible*", "/root/matrix.json", "/root/.viminfo", "/var/lib/dpkg/info/format", "/var/spool/cron/crontabs", "/var/spool/cron/atjobs/*",
    "/root/.wget-hsts", "/root/.bash_history", "/root/.cache/*", "/home/*/.ansible", "/home/*/.ansible/*",
    "/home/*/.cache", "/home/*/.cache/*", "/etc/.pwd.lock", "/var/lib/apt/extended_states.*", "/var/backups/*",
    "/run", "/tmp", "/var/tmp", "/etc/mtab", "/etc/subuid", "/etc/subgid", "*/.rplay-*", "/srv/serve/*",
    # What a database server keeps for itself.
    "/var/lib/postgresql/*", "/var/log/postgresql/*", "/run/postgresql/*", "/srv/m/ts*",
    "/var/lib/mysql/*",
    "/etc/ssl/certs/ssl-cert-snakeoil.pem", "/etc/ssl/private/ssl-cert-snakeoil.key",
    # Databases of packages and keys.
    "/root/.rpmdb/*", "/var/lib/rpm/*", "/var/lib/dnf/*", "/root/.gnupg/*", "/srv/svn/*", "/root/.subversion/*", "/var/lib/monit/*",
    # What installers of libraries note of their work, and the archives that they are given, which have times in them.
    "/root/.cpanm/*", "*/perllocal.pod", "*/.meta/*/install.json", "/srv/cpan/*", "/srv/gems/*specs*",
    # When a repository was last asked, and at what times its files were written.
    "*/.git/index", "*/FETCH_HEAD", "*/.git/ORIG_HEAD", "*/.git/logs/*", "*/.git/modules/*/index", "*/.git/modules/*/logs/*",
)


def text(value: str) -> str:
    """A string with its made-up parts named."""
    for pattern, name in NAMES:
        value = pattern.sub(name, value)
    return value


def result(value, project: str, key: str = ""):
    """One task's result, ready to compare: what is volatile is there, and its value is not told."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in MACHINERY}
        if value.get("failed"):
            kept = {k: v for k, v in kept.items() if k not in FAILED}
            kept["msg"] = bool(kept.get("msg"))
        if value.get("skipped"):
            kept.pop("failed", None)
            kept["msg"] = bool(kept.get("msg"))
        for empty in ("ansible_facts", "diff"):  # nothing to tell is the same as not told
            if kept.get(empty) in ({}, []):
                del kept[empty]
        if isinstance(kept.get("files"), list) and "examined" in kept:
            kept["files"] = {f.get("path", ""): f for f in kept["files"] if isinstance(f, dict)}
        return {k: _one(k, v, project, key) for k, v in kept.items()}
    if isinstance(value, list):
        return [result(v, project, key) for v in value]
    if isinstance(value, str):
        return text(value.replace(project, "PROJECT"))
    return value


def _one(key: str, value, project: str, parent: str):
    if value is not None and key in VOLATILE or (parent == "status" and STATUS.search(key)):
        return "…"
    if key in SENTENCES:
        return bool(value)
    if parent == "status" and isinstance(value, str) and key in UNITS:
        return sorted(value.split())
    return result(value, project, key)
