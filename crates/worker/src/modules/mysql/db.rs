//! `community.mysql.mysql_db`.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::{PathArg, quoted};
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};
use crate::mysql::sql::ident;
use crate::mysql::{Session, SqlError, login_arguments};

/// What becomes of the databases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Absent,
    Dump,
    Import,
    #[default]
    Present,
}

login_arguments! {
    /// Manages the databases of a MySQL or MariaDB server.
    pub struct Db {
        /// The databases; `all` for every one, where they are dumped or imported.
        #[serde(alias = "db")]
        name: Vec<String>,
        /// Whether the databases should be there, or what else becomes of them.
        #[serde(default)]
        state: State,
        /// How texts are sorted in a new database.
        #[serde(default)]
        collation: String,
        /// How texts are encoded in a new database, in a dump or in what is imported.
        #[serde(default)]
        encoding: String,
        /// The file of the dump; compressed when it ends with .gz, .bz2, .xz or .zst.
        #[serde(default)]
        target: Option<PathArg>,
        /// The directory to work in.
        #[serde(default)]
        chdir: Option<PathArg>,
        /// Tables that are not dumped, as `database.table`.
        #[serde(default)]
        ignore_tables: Vec<String>,
        /// Whether the dump is one transaction.
        #[serde(default)]
        single_transaction: bool,
        /// Whether rows are dumped as they come.
        #[serde(default = "crate::args::yes")]
        quick: bool,
        /// Whether binary columns are dumped in hexadecimal digits.
        #[serde(default)]
        hex_blob: bool,
        /// Whether an error of SQL does not end a dump or an import.
        #[serde(default)]
        force: bool,
        /// Whether the place in the binary log is part of the dump, 2 as a comment.
        #[serde(default)]
        master_data: u8,
        /// Whether tables are not locked while they are dumped.
        #[serde(default)]
        skip_lock_tables: bool,
        /// Further arguments of the program that dumps, as a line for a shell.
        #[serde(default)]
        dump_extra_args: Option<String>,
        /// Whether a failure of the program that dumps is one of the task also where the dump is compressed.
        #[serde(default)]
        pipefail: bool,
        /// Whether `config_file` is the only file with options that the programs read.
        #[serde(default)]
        restrict_config_file: bool,
        /// Without a meaning here: a shell is used where it is needed.
        #[serde(default, rename = "use_shell")]
        _use_shell: bool,
        /// Without a meaning here: no password is part of a command.
        #[serde(default, rename = "unsafe_login_password")]
        _unsafe_login_password: bool,
        /// Whether a login as root without a password is tried first.
        #[serde(default)]
        check_implicit_admin: bool,
        /// Whether what is done is in the binary log.
        #[serde(default = "crate::args::yes")]
        sql_log_bin: bool,
    }
}

impl Module for Db {
    const NAME: &'static str = "community.mysql.mysql_db";

    fn check(&self) -> Result<(), String> {
        self.refuse_tls()?;
        if self.master_data > 2 {
            return Err(format!("value of master_data must be one of: 0, 1, 2, got: {}", self.master_data));
        }
        // A name is a word of a command line where it is dumped.
        if let Some(name) = self.name.iter().find(|name| name.is_empty() || name.starts_with('-')) {
            return Err(format!("a database cannot have the name `{name}`"));
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let moves = matches!(self.state, State::Dump | State::Import);
        if moves && self.target.is_none() {
            let state = if self.state == State::Dump { "dump" } else { "import" };
            return Err(Failure::new(format!("with state={state} target is required")));
        }
        let all = self.name == ["all"];
        if all && !moves {
            return Err(Failure::new("name is not allowed to equal 'all' unless state equals import, or dump."));
        }
        if self.state == State::Import && self.name.len() > 1 {
            return Err(Failure::new("Multiple databases are not supported with state=import"));
        }
        let mut login = self.login();
        (login.implicit, login.log) = (self.check_implicit_admin, self.sql_log_bin);
        let mut session = Session::open(host, &login, None)?;
        let missing = match all {
            true => Vec::new(),
            false => self.missing(&mut session)?,
        };
        let mut told = Told { host, commands: Vec::new(), message: None };
        let changed = match self.state {
            State::Present => self.present(&mut session, &missing, &mut told)?,
            State::Absent => self.absent(&mut session, &missing, &mut told)?,
            State::Dump if !missing.is_empty() => {
                let names = missing.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
                return Err(Failure::new(format!("Cannot dump database(s) {names} - not found")));
            }
            State::Dump => self.dump(all, &mut told)?,
            State::Import => {
                self.present(&mut session, &missing, &mut told)?;
                self.import(all, &mut told)?
            }
        };
        let mut outcome = Outcome::new(changed).with("db", self.name.join(" ")).with("db_list", self.name);
        if !host.check_mode() {
            outcome.set("executed_commands", told.commands);
        }
        if let Some(message) = told.message {
            outcome.set("msg", message);
        }
        Ok(outcome)
    }
}

/// What was done, as it is told.
struct Told<'h> {
    host: &'h Host,
    commands: Vec<String>,
    message: Option<String>,
}

impl Told<'_> {
    /// Runs a line of a shell with a password that only its environment has.
    fn run(&mut self, shell: Command, line: &str, db: &Db) -> Result<(), Failure> {
        let mut command = shell.arg("-c").arg(line);
        if let Some(password) = &db.login_password {
            command = command.env("MYSQL_PWD", password);
        }
        if let Some(directory) = &db.chdir {
            command = command.directory(self.host.path(directory)?);
        }
        let Some(output) = self.host.run(&command)? else { return Ok(()) };
        self.commands.push(line.to_owned());
        if output.rc != 0 {
            return Err(Failure::new(output.complaint()));
        }
        self.message = Some(output.stderr_text());
        Ok(())
    }
}

impl Db {
    /// The databases that are not there.
    fn missing(&self, session: &mut Session<'_>) -> Result<Vec<String>, SqlError> {
        let known: Vec<String> = session.rows("SHOW DATABASES")?.into_iter().flatten().collect();
        Ok(self.name.iter().filter(|name| !known.contains(name)).cloned().collect())
    }

    fn present(&self, session: &mut Session<'_>, missing: &[String], told: &mut Told<'_>) -> Result<bool, Failure> {
        for name in missing {
            let mut sql = format!("CREATE DATABASE {}", ident(name));
            if !self.encoding.is_empty() {
                sql.push_str(&format!(" CHARACTER SET {}", session.literal(&self.encoding)));
            }
            if !self.collation.is_empty() {
                sql.push_str(&format!(" COLLATE {}", session.literal(&self.collation)));
            }
            if session.change(&sql).map_err(|e| Failure::new(format!("error creating database: {}", e.msg)))?.is_some()
            {
                told.commands.push(sql);
            }
        }
        Ok(!missing.is_empty())
    }

    fn absent(&self, session: &mut Session<'_>, missing: &[String], told: &mut Told<'_>) -> Result<bool, Failure> {
        let mut changed = false;
        for name in self.name.iter().filter(|name| !missing.contains(name)) {
            let sql = format!("DROP DATABASE {}", ident(name));
            if session.change(&sql).map_err(|e| Failure::new(format!("error deleting database: {}", e.msg)))?.is_some()
            {
                told.commands.push(sql);
            }
            changed = true;
        }
        Ok(changed)
    }

    /// One of MariaDB's or MySQL's programs with the arguments that say how to get to the server.
    fn program(&self, host: &Host, names: [&str; 2]) -> Result<Vec<String>, Failure> {
        let found = names.iter().find_map(|name| host.find_program(name));
        let program = found.ok_or_else(|| Failure::new(format!("Failed to find required executable {}", names[1])))?;
        let mut words = vec![program.to_string_lossy().into_owned()];
        let config = host.expand_path(&self.config_file)?;
        if !self.config_file.is_empty() && host.exists(&config)? {
            let option = if self.restrict_config_file { "defaults-file" } else { "defaults-extra-file" };
            words.push(format!("--{option}={}", config.display()));
        }
        if let Some(user) = &self.login_user {
            words.push(format!("--user={user}"));
        }
        match &self.login_unix_socket {
            Some(socket) => words.push(format!("--socket={socket}")),
            None => words.extend([format!("--host={}", self.login_host), format!("--port={}", self.login_port)]),
        }
        Ok(words)
    }

    fn dump(&self, all: bool, told: &mut Told<'_>) -> Result<bool, Failure> {
        let mut words = self.program(told.host, ["mariadb-dump", "mysqldump"])?;
        match self.name.as_slice() {
            _ if all => words.push("--all-databases".to_owned()),
            [name] => words.push(name.clone()),
            names => words.extend(std::iter::once("--databases".to_owned()).chain(names.iter().cloned())),
        }
        let flags = [
            (self.skip_lock_tables, "--skip-lock-tables"),
            (self.single_transaction, "--single-transaction=true"),
            (self.quick, "--quick"),
            (self.force, "--force"),
            (self.hex_blob, "--hex-blob"),
        ];
        words.extend(flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned()));
        if !self.encoding.is_empty() {
            words.push(format!("--default-character-set={}", self.encoding));
        }
        words.extend(self.ignore_tables.iter().map(|table| format!("--ignore-table={table}")));
        if self.master_data > 0 {
            words.push(format!("--master-data={}", self.master_data));
        }
        let target = self.file(told.host)?;
        let mut line = line_of(&words);
        if let Some(extra) = &self.dump_extra_args {
            line.push_str(&format!(" {extra}"));
        }
        let mut shell = Command::new("/bin/sh");
        if let Some((compressor, _)) = compressor(&target) {
            let program = told.host.require_program(compressor)?;
            line.push_str(&format!(" | {}", program.display()));
            if self.pipefail {
                shell = Command::new("bash").args(["-o", "pipefail"]);
            }
        }
        line.push_str(&format!(" > {}", quoted(&target.to_string_lossy())));
        told.run(shell, &line, self)?;
        Ok(true)
    }

    fn import(&self, all: bool, told: &mut Told<'_>) -> Result<bool, Failure> {
        // An earlier task may bring the file.
        if told.host.check_mode() {
            return Ok(true);
        }
        let target = self.file(told.host)?;
        if !told.host.exists(&target)? {
            return Err(Failure::new(format!("target {} does not exist on the host", target.display())));
        }
        let mut words = self.program(told.host, ["mariadb", "mysql"])?;
        if self.force {
            words.push("-f".to_owned());
        }
        if !self.encoding.is_empty() {
            words.push(format!("--default-character-set={}", self.encoding));
        }
        if !all {
            words.push("--one-database".to_owned());
            words.extend(self.name.iter().cloned());
        }
        let shown = quoted(&target.to_string_lossy());
        let line = match compressor(&target) {
            None => format!("{} < {shown}", line_of(&words)),
            Some((_, reader)) => {
                let program = told.host.require_program(reader)?;
                format!("{} -dc {shown} | {}", program.display(), line_of(&words))
            }
        };
        told.run(Command::new("/bin/sh"), &line, self)?;
        Ok(true)
    }

    fn file(&self, host: &Host) -> Result<PathBuf, Failure> {
        match &self.target {
            Some(target) => host.path(target),
            None => Err(Failure::new("target is required")),
        }
    }
}

/// The programs that compress and read a file of this name.
fn compressor(target: &Path) -> Option<(&'static str, &'static str)> {
    match target.extension()?.to_str()? {
        "gz" => Some(("gzip", "gzip")),
        "bz2" => Some(("bzip2", "bzip2")),
        "xz" => Some(("xz", "xz")),
        "zst" => Some(("zstd", "zstd")),
        _ => None,
    }
}

/// Words as a line for a shell.
fn line_of(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::stage::Stage;
    use serde_json::json;

    #[test]
    fn words_stay_words() {
        let words = ["--socket=/run/a.sock", "a b", "it's", "$(x)"].map(ToOwned::to_owned);
        assert_eq!(line_of(&words), r#"--socket=/run/a.sock 'a b' 'it'"'"'s' '$(x)'"#);
    }

    #[test]
    fn the_end_of_a_name_tells_the_compression() {
        assert_eq!(compressor(Path::new("/a/b.sql.gz")), Some(("gzip", "gzip")));
        assert_eq!(compressor(Path::new("/a/b.sql")), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_a_login() {
        let stage = Stage::new(&[]);
        let refused = |args| stage.call::<Db>(args).unwrap_err().msg;
        assert_eq!(refused(json!({"name": "a", "state": "dump"})), "with state=dump target is required");
        assert!(refused(json!({"name": "all"})).contains("not allowed to equal 'all'"));
        assert!(refused(json!({"name": "a,b", "state": "import", "target": "/x"})).contains("Multiple databases"));
        assert!(refused(json!({"name": "-a"})).contains("cannot have the name"));
        assert!(refused(json!({"name": "a", "ca_cert": "/x"})).contains("`ca_cert` is not supported"));
        let lost = refused(json!({"name": "a", "login_unix_socket": "/nowhere.sock", "config_file": "/none"}));
        assert!(lost.starts_with("unable to find /none. Exception message: (2003, \""), "{lost}");
    }
}
