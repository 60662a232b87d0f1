//! Dumps and what is made of them, by pg_dump, pg_restore and psql.

use std::path::{Path, PathBuf};

use super::{Db, State};
use crate::args::PathArg;
use crate::host::{Command, Host};
use crate::module::{Failure, Outcome};
use crate::postgres::SslMode;

/// What a dump is packed with, by the end of its name, with the programs that do it.
const PACKED: [(&str, &[&str]); 3] = [("gz", &["pigz", "gzip"]), ("bz2", &["bzip2"]), ("xz", &["xz"])];

/// Writes what a command says into a new file beside `$0` and gives that its name when the command went well.
///
/// `$1` packs it; nothing leaves it as it is. What is no file, such as a device, is written to as it is. A file that was
/// there keeps its owner and mode: a dump may hold secrets.
const WRITE: &str = r#"t=$0; z=$1; shift
if [ -e "$t" ] && [ ! -f "$t" ]; then o=$t; else o=$(mktemp -- "$t.XXXXXX" 2>/dev/null) || o=$t; fi
if [ -n "$z" ]; then rc=$( { { "$@"; echo $? >&3; } | "$z" >"$o" || echo 1 >&3; } 3>&1 | sort -n | tail -n 1 )
else "$@" >"$o"; rc=$?; fi
if [ "$o" != "$t" ]; then
  if [ "$rc" -ne 0 ]; then rm -f -- "$o"
  else
    if [ -e "$t" ]; then m=$(stat -c %a -- "$t"); chown "$(stat -c %u:%g -- "$t")" "$o" 2>/dev/null
    else m=$(printf %o $((0666 & ~$(umask)))); fi
    chmod "$m" "$o" && mv -f -- "$o" "$t" || rc=2
  fi
fi
exit "$rc""#;

/// Feeds a command with `$0`, which `$1` unpacks; nothing takes it as it is.
const READ: &str = r#"t=$0; z=$1; shift
[ -n "$z" ] || exec "$@" <"$t"
exec 4>&1
rc=$( { { "$z" -dc <"$t" || echo 1 >&3; } | { "$@" >&4 || echo $? >&3; }; } 3>&1 | sort -n | tail -n 1 )
exit "${rc:-0}""#;

/// A command as it is run, and as it is shown.
struct Made {
    command: Command,
    shown: String,
}

impl Db {
    /// Dumps or restores.
    pub(super) fn moved(self, host: &Host) -> Result<Outcome, Failure> {
        if host.check_mode() {
            return Ok(Outcome::unchanged().with("db", self.name).with("executed_commands", Vec::<String>::new()));
        }
        let target = self.file(host)?;
        let made = if self.state == State::Dump { self.dump(host, &target)? } else { self.restore(host, &target)? };
        let Some(output) = host.run(&made.command)? else { return Ok(Outcome::unchanged()) };
        if output.rc != 0 {
            let failure = Failure::new(output.stderr_text()).with("rc", output.rc).with("cmd", made.shown);
            return Err(failure.with("stdout", output.stdout_text()));
        }
        let ignored =
            [(self.session_role.is_some(), "session_role"), (!self.connect_params.is_empty(), "connect_params")];
        let warnings: Vec<String> = ignored
            .into_iter()
            .filter(|(given, _)| *given)
            .map(|(_, name)| format!("{name} does not count for a dump or what is made of one; use target_opts"))
            .collect();
        let outcome = Outcome::new(true);
        let outcome = if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) };
        Ok(outcome
            .with("msg", output.stdout_text())
            .with("stderr", output.stderr_text())
            .with("rc", 0)
            .with("cmd", made.shown.clone())
            .with("executed_commands", vec![made.shown]))
    }

    fn file(&self, host: &Host) -> Result<PathBuf, Failure> {
        match self.target.as_ref().filter(|target| !target.0.is_empty()) {
            Some(target) => host.path(target),
            None if self.name.contains('/') => Err(Failure::new("a target is needed for a name that holds a slash")),
            None => Ok(host.path(&PathArg(".".to_owned()))?.join(format!("{}.sql", self.name))),
        }
    }

    /// A program with where the server is and who comes.
    fn client(&self, host: &Host, program: &str, database: String) -> Result<Vec<String>, Failure> {
        let program = host.require_program(program)?.to_string_lossy().into_owned();
        let place = match (self.login_host.as_str(), self.login_unix_socket.as_str()) {
            ("" | "localhost", socket) if !socket.is_empty() => socket,
            (host, _) => host,
        };
        let mut words = vec![program, database];
        if !place.is_empty() {
            words.push(format!("--host={place}"));
        }
        words.push(format!("--port={}", self.login_port));
        words.push(format!("--username={}", self.login_user));
        Ok(words)
    }

    fn environment(&self, host: &Host, mut command: Command) -> Result<Command, Failure> {
        if !self.login_password.is_empty() {
            command = command.env("PGPASSWORD", &self.login_password);
        }
        let files = [("PGSSLROOTCERT", &self.ca_cert), ("PGSSLCERT", &self.ssl_cert), ("PGSSLKEY", &self.ssl_key)];
        for (name, file) in files {
            if let Some(file) = file {
                command = command.env(name, host.path(file)?);
            }
        }
        if self.ssl_mode != SslMode::default() {
            command = command.env("PGSSLMODE", self.ssl_mode.name());
        }
        Ok(command)
    }

    fn dump(&self, host: &Host, target: &Path) -> Result<Made, Failure> {
        let mut words = self.client(host, "pg_dump", plain(&self.name).unwrap_or_else(|| named(&self.name)))?;
        let kind = extension(target);
        let packer = packer(host, &kind)?;
        match kind.as_str() {
            "tar" => words.push("--format=t".to_owned()),
            "pgc" => words.push("--format=c".to_owned()),
            "dir" => words.push("--format=d".to_owned()),
            _ => {}
        }
        let mut shown = shell(&words);
        for more in [self.dump_extra_args.as_deref(), Some(&self.target_opts)].into_iter().flatten() {
            add(&mut words, &mut shown, more)?;
        }
        let path = target.to_string_lossy();
        if kind == "dir" {
            let file = ["-f".to_owned(), path.into_owned()];
            shown.push_str(&format!(" {}", shell(&file)));
            words.extend(file);
            return Ok(Made { command: self.environment(host, command(&words))?, shown });
        }
        let file = shell(&[path.into_owned()]);
        shown = match &packer {
            Some(packer) => format!("{shown} | {packer} > {file}"),
            None => format!("{shown} > {file}"),
        };
        let script =
            Command::new("/bin/sh").arg("-c").arg(WRITE).arg(target).arg(packer.unwrap_or_default()).args(words);
        Ok(Made { command: self.environment(host, script)?, shown })
    }

    fn restore(&self, host: &Host, target: &Path) -> Result<Made, Failure> {
        let database = plain(&self.name).map_or_else(|| named(&self.name), |name| format!("--dbname={name}"));
        let kind = extension(target);
        let packer = packer(host, &kind)?;
        let format = match kind.as_str() {
            "tar" => Some("--format=Tar"),
            "pgc" => Some("--format=Custom"),
            "dir" => Some("--format=Directory"),
            _ => None,
        };
        let program = if format.is_some() { "pg_restore" } else { "psql" };
        let mut words = self.client(host, program, database)?;
        words.extend(format.map(ToOwned::to_owned));
        let path = target.to_string_lossy().into_owned();
        if kind == "sql" {
            words.push(format!("--file={path}"));
        }
        let mut shown = shell(&words);
        add(&mut words, &mut shown, &self.target_opts)?;
        if matches!(kind.as_str(), "pgc" | "dir") {
            // A path that begins with a dash is no option.
            words.extend(["--".to_owned(), path.clone()]);
            shown.push_str(&format!(" {}", shell(std::slice::from_ref(&path))));
        }
        if matches!(kind.as_str(), "sql" | "pgc" | "dir") {
            return Ok(Made { command: self.environment(host, command(&words))?, shown });
        }
        let file = shell(&[path]);
        shown = match &packer {
            Some(packer) => format!("{packer} -dc {file} | {shown}"),
            None => format!("{shown} < {file}"),
        };
        let script =
            Command::new("/bin/sh").arg("-c").arg(READ).arg(target).arg(packer.unwrap_or_default()).args(words);
        Ok(Made { command: self.environment(host, script)?, shown })
    }
}

fn command(words: &[String]) -> Command {
    let mut words = words.iter();
    let program = words.next().map(String::as_str).unwrap_or_default();
    Command::new(program).args(words)
}

/// The end of a file's name behind the last dot.
fn extension(path: &Path) -> String {
    path.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The program that packs files whose name ends so.
fn packer(host: &Host, kind: &str) -> Result<Option<String>, Failure> {
    let Some((_, programs)) = PACKED.iter().find(|(end, _)| *end == kind) else { return Ok(None) };
    let found = programs.iter().find_map(|name| host.find_program(name));
    match (found, programs.last()) {
        (Some(program), _) => Ok(Some(program.to_string_lossy().into_owned())),
        (None, Some(name)) => host.require_program(name).map(|program| Some(program.to_string_lossy().into_owned())),
        (None, None) => Ok(None),
    }
}

/// A database's name when the programs take it for nothing else, as an option or the parameters of a connection.
fn plain(name: &str) -> Option<String> {
    let fine = !name.is_empty() && !name.starts_with('-') && !name.contains('=') && !name.contains("://");
    fine.then(|| name.to_owned())
}

/// A database's name as the parameters of a connection, whatever is in it.
fn named(name: &str) -> String {
    format!("--dbname=dbname='{}'", name.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Further arguments that a user wrote as for a shell.
fn add(words: &mut Vec<String>, shown: &mut String, more: &str) -> Result<(), Failure> {
    if more.is_empty() {
        return Ok(());
    }
    words.extend(
        shell_words::split(more).map_err(|e| Failure::new(format!("cannot read the arguments '{more}': {e}")))?,
    );
    shown.push_str(&format!(" {more} "));
    Ok(())
}

/// Words as a shell would take them.
fn shell(words: &[String]) -> String {
    let safe = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "_@%+=:,./-".contains(c));
    let quoted = |word: &String| if safe(word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\"'\"'")) };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::disallowed_methods)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::super::super::super::stage::Stage;
    use super::*;

    fn stage() -> Stage {
        let stage = Stage::new(&[("/in.sql", "select 1"), ("/in", "select 2"), ("/in.xz", "packed")]);
        stage.program("pg_dump", "echo dumped; [ \"$1\" != bad ] || { echo no >&2; exit 1; }");
        stage.program("psql", "echo got; cat; echo warned >&2");
        stage.program("pg_restore", "cat >/dev/null");
        stage.program("xz", "case $1 in -dc) cat; echo unpacked;; *) echo packed; cat;; esac");
        stage
    }

    fn call(stage: &Stage, state: &str, name: &str, file: &str, opts: &str) -> Result<Outcome, Failure> {
        let target = stage.real(file).to_string_lossy().into_owned();
        stage.call::<Db>(
            json!({"name": name, "state": state, "target": target, "target_opts": opts, "login_password": "pw"}),
        )
    }

    #[test]
    fn dumps_go_to_files() {
        let stage = stage();
        call(&stage, "dump", "d", "/a b.sql", "-t 'x y'").unwrap();
        assert_eq!(stage.text("/a b.sql"), "dumped\n");
        assert_eq!(stage.calls(), ["pg_dump [d] [--port=5432] [--username=postgres] [-t] [x y]"]);
        call(&stage, "dump", "d", "/a.xz", "").unwrap();
        assert_eq!(stage.text("/a.xz"), "packed\ndumped\n");
        stage.file("/kept.sql", "old");
        for file in ["/kept.sql", "/kept.xz"] {
            let failure = call(&stage, "dump", "bad", file, "").unwrap_err();
            assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("no\n", &json!(1)));
        }
        assert_eq!(stage.text("/kept.sql"), "old", "a dump that failed leaves the file that was there");
        let mode = || std::fs::metadata(stage.real("/kept.sql")).unwrap().permissions().mode() & 0o777;
        std::fs::set_permissions(stage.real("/kept.sql"), std::fs::Permissions::from_mode(0o600)).unwrap();
        call(&stage, "dump", "d", "/kept.sql", "").unwrap();
        assert_eq!((stage.text("/kept.sql").as_str(), mode()), ("dumped\n", 0o600), "a file keeps its mode");
        assert!(!stage.exists("/kept.xz"));
        stage.calls();
        let dumped = call(&stage, "dump", "-x", "/c.pgc", "").unwrap();
        assert!(dumped.fields["cmd"].as_str().unwrap().contains(" --format=c > "));
        assert!(stage.calls()[0].starts_with("pg_dump [--dbname=dbname='-x'] "));
    }

    #[test]
    fn dumps_come_from_files() {
        let stage = stage();
        let file = stage.real("/in.sql").to_string_lossy().into_owned();
        let restored = call(&stage, "restore", "d", "/in.sql", "").unwrap();
        assert_eq!(stage.calls(), [format!("psql [--dbname=d] [--port=5432] [--username=postgres] [--file={file}]")]);
        assert_eq!(restored.fields["stderr"], json!("warned\n"));
        assert_eq!(call(&stage, "restore", "d", "/in", "").unwrap().fields["msg"], json!("got\nselect 2"));
        assert_eq!(call(&stage, "restore", "d", "/in.xz", "").unwrap().fields["msg"], json!("got\npackedunpacked\n"));
        stage.calls();
        stage.file("/in.tar", "");
        call(&stage, "restore", "d", "/in.tar", "-c").unwrap();
        assert_eq!(stage.calls(), ["pg_restore [--dbname=d] [--port=5432] [--username=postgres] [--format=Tar] [-c]"]);
        assert!(call(&stage, "restore", "d", "/nosuch", "").is_err());
        assert!(call(&stage, "restore", "d", "/in", "'").is_err());
    }

    #[test]
    fn what_the_connection_has_to_be_reaches_the_program() {
        let stage = Stage::new(&[]);
        stage.program("pg_dump", "echo $PGSSLMODE $PGSSLROOTCERT");
        let target = stage.real("/d.sql").to_string_lossy().into_owned();
        let args = json!({"name": "d", "state": "dump", "target": target, "ssl_mode": "verify-ca", "ca_cert": "/ca", "session_role": "r"});
        let told = stage.call::<Db>(args).unwrap();
        assert_eq!(stage.text("/d.sql"), "verify-ca /ca\n");
        assert!(told.fields["warnings"][0].as_str().unwrap().starts_with("session_role does not count"));
    }

    #[test]
    fn check_mode_does_nothing() {
        let stage = stage();
        let told = stage.check::<Db>(json!({"name": "d", "state": "dump", "target": "/nosuch/x"})).unwrap();
        assert!(!told.changed && stage.calls().is_empty());
    }
}
