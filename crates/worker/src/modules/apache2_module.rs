//! `community.general.apache2_module`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::args::Presence;
use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Switches a module of Apache's web server on or off, with Debian's programs.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Apache2Module {
    /// The module, as `a2enmod` knows it.
    name: String,
    /// Its name in the list of the running server's modules; found from `name` when not given.
    #[serde(default)]
    identifier: Option<String>,
    /// Whether the module should be on.
    #[serde(default)]
    state: Presence,
    /// Whether modules that are needed are switched off too.
    #[serde(default)]
    force: bool,
    /// Whether a configuration that is not whole is no failure.
    #[serde(default)]
    ignore_configcheck: bool,
    /// Whether it is a warning that there is no module for processes or threads.
    #[serde(default = "crate::args::yes")]
    warn_mpm_absent: bool,
}

const NO_MPM: &str = "No MPM module loaded! apache2 reload AND other module actions will fail if no MPM module is loaded \
                      immediately.";

impl Module for Apache2Module {
    const NAME: &'static str = "community.general.apache2_module";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        match self.name.is_empty() || self.name.starts_with('-') {
            true => Err(format!("`{}` is no name of a module", self.name)),
            false => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut server = Server { host, module: &self, warnings: Vec::new() };
        let wanted = self.state == Presence::Present;
        if wanted && self.name == "cgi" && server.is_threaded()? {
            let msg = "Your MPM seems to be threaded, therefore enabling cgi module is not allowed.";
            return Err(Failure::new(msg));
        }
        let changed = server.has_module()? != wanted;
        if changed && !host.check_mode() {
            server.switch(wanted)?;
        }
        let word = if wanted { "enabled" } else { "disabled" };
        let outcome = Outcome::new(changed).with("result", format!("Module {} {word}", self.name));
        server.warnings.dedup();
        Ok(if server.warnings.is_empty() { outcome } else { outcome.with("warnings", server.warnings) })
    }
}

/// The web server, asked about its modules.
struct Server<'a> {
    host: &'a Host,
    module: &'a Apache2Module,
    warnings: Vec<String>,
}

impl Server<'_> {
    fn control(&self) -> Result<String, Failure> {
        let found = ["apache2ctl", "apachectl"].iter().find_map(|name| self.host.find_program(name));
        found.map(|path| path.to_string_lossy().into_owned()).ok_or_else(|| {
            Failure::new("Neither of apache2ctl nor apachectl found. At least one apache control binary is necessary.")
        })
    }

    fn is_threaded(&self) -> Result<bool, Failure> {
        let output = self.host.query(&Command::new(self.control()?).arg("-V"))?;
        Ok(output
            .stdout_text()
            .lines()
            .any(|line| line.split_once("threaded:").is_some_and(|(_, value)| value.trim_start().starts_with("yes"))))
    }

    /// Whether the module is on.
    fn has_module(&mut self) -> Result<bool, Failure> {
        let control = self.control()?;
        let output = self.host.query(&Command::new(&control).arg("-M"))?;
        if output.rc != 0 {
            let complaint = format!("Error executing {control}: {}", output.stderr_text());
            if !self.module.ignore_configcheck {
                return Err(Failure::new(complaint));
            }
            if !(complaint.contains("AH00534") && self.module.name.contains("mpm_")) {
                self.warnings.push(complaint);
            } else if self.module.warn_mpm_absent {
                self.warnings.push(NO_MPM.to_owned());
            }
            return Ok(false);
        }
        let identifier = self.module.identifier();
        Ok(output.stdout_text().lines().any(|line| line.split_whitespace().next() == Some(identifier.as_str())))
    }

    /// Switches the module, and looks whether that worked.
    fn switch(&mut self, wanted: bool) -> Result<(), Failure> {
        let name = if wanted { "a2enmod" } else { "a2dismod" };
        let program = self.host.find_program(name).ok_or_else(|| {
            Failure::new(format!("{name} not found. Perhaps this system does not use {name} to manage apache"))
        })?;
        let mut command = Command::new(program);
        if !wanted && self.module.force {
            command = command.arg("-f");
        }
        let Some(output) = self.host.run(&command.arg(&self.module.name))? else { return Ok(()) };
        if self.has_module()? == wanted {
            return Ok(());
        }
        let word = if wanted { "enabled" } else { "disabled" };
        let msg = format!(
            "Failed to set module {} to {word}:\n{}\nMaybe the module identifier ({}) was guessed incorrectly.Consider \
             setting the \"identifier\" option.",
            self.module.name,
            output.stdout_text(),
            self.module.identifier()
        );
        let failure = Failure::new(msg).with("rc", output.rc).with("stdout", output.stdout_text());
        Err(failure.with("stderr", output.stderr_text()))
    }
}

impl Apache2Module {
    /// The module's name in the server's list.
    fn identifier(&self) -> String {
        if let Some(given) = self.identifier.as_ref().filter(|given| !given.is_empty()) {
            return given.clone();
        }
        let name = self.name.as_str();
        match name {
            "shib" | "shib2" => "mod_shib".to_owned(),
            "evasion" => "evasion20_module".to_owned(),
            _ if name.starts_with("php5") => "php5_module".to_owned(),
            _ if name.starts_with("php7") => "php7_module".to_owned(),
            _ if name.starts_with("php") => "php_module".to_owned(),
            _ => format!("{name}_module"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::modules::stage::Stage;

    const LIST: &str = "case $1 in -V) echo 'Server MPM: event'; echo '  threaded:     yes (fixed)';; \
                        *) echo 'Loaded Modules:'; cat $R/on;; esac";

    fn stage() -> Stage {
        let stage = Stage::new(&[("/on", " core_module (static)\n alias_module (shared)\n")]);
        stage.program("apache2ctl", LIST);
        stage.program(
            "a2enmod",
            "[ $1 = nope ] && { echo no such module >&2; exit 1; }; echo \" ${1}_module (shared)\" >>$R/on",
        );
        stage.program("a2dismod", "for m in \"$@\"; do sed -i \"/ ${m}_module /d\" $R/on; done");
        stage
    }

    #[test]
    fn a_module_is_switched_once() {
        let stage = stage();
        let outcome = stage.call::<Apache2Module>(json!({"name": "rewrite"})).unwrap();
        assert!(outcome.changed);
        assert_eq!(outcome.fields["result"], "Module rewrite enabled");
        assert!(!stage.call::<Apache2Module>(json!({"name": "rewrite"})).unwrap().changed);
        let off = json!({"name": "alias", "state": "absent", "force": true});
        assert!(stage.call::<Apache2Module>(off.clone()).unwrap().changed);
        assert!(!stage.call::<Apache2Module>(off).unwrap().changed);
        assert!(stage.calls().contains(&"a2dismod [-f] [alias]".to_owned()));
    }

    #[test]
    fn what_does_not_work_is_told() {
        let stage = stage();
        let failure = stage.call::<Apache2Module>(json!({"name": "nope"})).unwrap_err();
        assert!(
            failure.msg.contains("(nope_module) was guessed incorrectly") && failure.fields["rc"] == 1,
            "{failure:?}"
        );
        let failure = stage.call::<Apache2Module>(json!({"name": "cgi"})).unwrap_err();
        assert!(failure.msg.contains("threaded"));
        stage.program("apache2ctl", "echo AH00534: no MPM >&2; exit 1");
        assert!(stage.call::<Apache2Module>(json!({"name": "rewrite"})).unwrap_err().msg.contains("AH00534"));
        let ignored = json!({"name": "mpm_event", "state": "absent", "ignore_configcheck": true});
        let outcome = stage.call::<Apache2Module>(ignored).unwrap();
        assert!(
            !outcome.changed && outcome.fields["warnings"][0].as_str().unwrap().starts_with("No MPM module loaded!")
        );
    }

    #[test]
    fn some_modules_have_names_of_their_own() {
        let name = |name: &str| serde_json::from_value::<Apache2Module>(json!({"name": name})).unwrap().identifier();
        assert_eq!(name("php8.2"), "php_module");
        assert_eq!(name("php7.4"), "php7_module");
        assert_eq!(name("ssl"), "ssl_module");
    }
}
