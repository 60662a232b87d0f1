//! `community.mysql.mysql_variables`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::host::Host;
use crate::module::{CheckMode, Failure, Module, Outcome};
use crate::mysql::sql::ident;
use crate::mysql::{Session, login_arguments};

/// For how long a variable has its value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Global,
    Persist,
    PersistOnly,
}

login_arguments! {
    /// Manages the global variables of a MySQL or MariaDB server.
    pub struct Variables {
        /// The variable.
        variable: String,
        /// Its value; without one it is only told.
        #[serde(default)]
        value: Option<String>,
        /// Whether the value is kept when the server starts again (MySQL 8).
        #[serde(default)]
        mode: Mode,
    }
}

impl Module for Variables {
    const NAME: &'static str = "community.mysql.mysql_variables";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        self.refuse_tls()?;
        match self.variable.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.')) {
            true => Ok(()),
            false => Err("invalid variable name".to_owned()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let mut session = Session::open(host, &self.login(), None)?;
        let sql = format!("SHOW VARIABLES WHERE Variable_name = {}", session.literal(&self.variable));
        let Some(old) = session.rows(&sql)?.into_iter().next().and_then(|row| row.into_iter().nth(1)) else {
            return Err(Failure::new(format!("Variable not available \"{}\"", self.variable)));
        };
        let Some(value) = &self.value else { return Ok(Outcome::unchanged().with("msg", old)) };
        if same(&old, value) {
            return Ok(Outcome::unchanged().with("msg", "Variable is already set to requested value."));
        }
        let mode = match self.mode {
            Mode::Global => "GLOBAL",
            Mode::Persist => "PERSIST",
            Mode::PersistOnly => "PERSIST_ONLY",
        };
        let switch = matches!(old.as_str(), "ON" | "OFF");
        let written = match value.as_str() {
            number if number.parse::<f64>().is_ok() && !switch => number.to_owned(),
            "1" => "ON".to_owned(),
            "0" => "OFF".to_owned(),
            word if switch && ["ON", "OFF"].contains(&word.to_uppercase().as_str()) => word.to_uppercase(),
            text => session.literal(text),
        };
        let name = self.variable.split('.').map(ident).collect::<Vec<_>>().join(".");
        let sql = format!("SET {mode} {name} = {written}");
        session.change(&sql)?;
        let msg = format!("Variable change succeeded prev_value={old}");
        Ok(Outcome::new(true).with("msg", msg).with("queries", vec![sql]))
    }
}

/// Whether a variable has a value already; switches have two names for each of theirs.
fn same(old: &str, wanted: &str) -> bool {
    let switch = |text: &str| match text.to_uppercase().as_str() {
        "ON" | "1" => Some(true),
        "OFF" | "0" => Some(false),
        _ => None,
    };
    let numbers = old.parse::<f64>().ok().zip(wanted.parse::<f64>().ok());
    old == wanted
        || numbers.is_some_and(|(a, b)| a.to_bits() == b.to_bits())
        || (old.parse::<f64>().is_err() && switch(old).is_some() && switch(old) == switch(wanted))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn a_value_may_have_two_names() {
        assert!(same("ON", "1") && same("OFF", "off") && same("151", "151") && same("1.0", "1"));
        assert!(!same("ON", "0") && !same("150", "151") && !same("1", "ON"));
    }
}
