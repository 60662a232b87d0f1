//! `community.postgresql.postgresql_pg_hba`.

mod rules;

use std::path::Path;

use rplay_protocol::Object;
use rules::{Line, Rule, parse};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::files::{self, text};
use crate::args::{PathArg, Presence, file_arguments, python_repr, yes};
use crate::host::{Content, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

file_arguments! {
    /// Manages the rules in a PostgreSQL server's file of client authentication.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct PgHba {
        /// The file.
        dest: PathArg,
        /// The kind of connections that the rule is for; without one the file's rules are only told.
        #[serde(default)]
        contype: Option<String>,
        /// The databases that the rule is for, between commas; `all` by default.
        #[serde(default)]
        databases: Option<String>,
        /// The users that the rule is for, between commas; `all` by default.
        #[serde(default)]
        users: Option<String>,
        /// Where connections come from: a network, a host's name, or `all`, `samehost`, `samenet`; `samehost` by default.
        #[serde(default, alias = "source", alias = "src")]
        address: Option<String>,
        /// The netmask of `address`.
        #[serde(default)]
        netmask: Option<String>,
        /// How users prove who they are; `md5` by default.
        #[serde(default)]
        method: Option<String>,
        /// Options of the method.
        #[serde(default)]
        options: Option<String>,
        /// A comment behind a new rule.
        #[serde(default)]
        comment: Option<String>,
        /// Whether the rule should be there; it should by default.
        #[serde(default)]
        state: Option<Presence>,
        /// Several rules, each with the arguments of one.
        #[serde(default)]
        rules: Option<Vec<Object>>,
        /// Whether arguments of one rule beside `rules` are refused, or what the rules say where they do not.
        #[serde(default)]
        rules_behavior: Behavior,
        /// Whether a file that is not there is made.
        #[serde(default)]
        create: bool,
        /// Whether the old content is kept beside the file.
        #[serde(default)]
        backup: bool,
        /// Where the old content is kept instead.
        #[serde(default)]
        backup_file: Option<String>,
        /// Whether all rules that are there are removed first.
        #[serde(default)]
        overwrite: bool,
        /// Changes nothing: comments always stay with their rules.
        #[serde(default = "yes")]
        #[allow(dead_code)]
        keep_comments_at_rules: bool,
        /// Whether rules are sorted when one changes: those that are for less come first.
        #[serde(default = "yes")]
        sort_rules: bool,
    }
}

/// What arguments of one rule beside `rules` mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Behavior {
    #[default]
    Conflict,
    Combine,
}

/// The arguments of one rule.
#[derive(Debug, Clone, Default, Deserialize)]
struct OneRule {
    contype: Option<String>,
    databases: Option<String>,
    users: Option<String>,
    #[serde(alias = "source", alias = "src")]
    address: Option<String>,
    netmask: Option<String>,
    method: Option<String>,
    options: Option<String>,
    comment: Option<String>,
    state: Option<Presence>,
}

/// What is to be done with the rules.
struct Work {
    lines: Vec<Line>,
    msgs: Vec<String>,
    changed: bool,
    before: Vec<String>,
    after: Vec<String>,
}

impl Module for PgHba {
    const NAME: &'static str = "community.postgresql.postgresql_pg_hba";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        let own = self.own();
        if self.rules.is_some() && self.rules_behavior == Behavior::Conflict {
            let given = own.given();
            if !given.is_empty() {
                return Err(format!(
                    "conflict: either argument \"rules_behavior\" needs to be changed or \"rules\" must not be set or {} \
                     must not be set",
                    python_repr(&json!(given))
                ));
            }
        }
        for rule in self.wanted()? {
            rule.check()?;
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.dest)?;
        let there = host.read_if_exists(&path)?;
        let old = String::from_utf8(there.clone().unwrap_or_default())
            .map_err(|_| Failure::new(format!("{} is not text", text(&path))))?;
        let kept = parse(&old);
        let kept = if self.overwrite { kept.unwrap_or_default() } else { kept.map_err(Failure::new)? };
        let mut work = Work { lines: kept, msgs: Vec::new(), changed: false, before: Vec::new(), after: Vec::new() };
        self.apply(&mut work)?;
        if work.changed {
            work.msgs.push("Changed".to_owned());
            if self.sort_rules {
                rules::sort(&mut work.lines);
            }
        }
        let new = if work.changed { rules::written(&work.lines) } else { old };
        let mut outcome = Outcome::new(work.changed);
        if work.changed && !host.check_mode() {
            if there.is_none() && !self.create {
                let path = text(&path);
                let why = format!("pg_hba file '{path}' doesn't exist. Use the create option to autocreate.");
                return Err(Failure::new(why));
            }
            if self.backup && there.is_some() {
                work.msgs.push("Creating Backup".to_owned());
                outcome.set("backup_file", self.back_up(host, &path)?);
            }
            work.msgs.push("Writing".to_owned());
            let options = WriteOptions {
                unsafe_writes: self.unsafe_writes,
                // Who may log in is nobody else's business.
                mode_if_new: Some(0o600),
                ..WriteOptions::default()
            };
            files::write_through(host, &path, new.as_bytes(), &options)?;
            let side = |rules: &[String]| json!({"file": text(&path), "pg_hba": rules});
            outcome.set("diff", json!({"before": side(&work.before), "after": side(&work.after)}));
        }
        if there.is_some() || (work.changed && !host.check_mode()) {
            outcome.changed |= host.set_attributes(&path, &self.file_attributes(), true)?.is_some();
        }
        let told: Vec<Value> = work.lines.iter().filter_map(Line::rule).map(Rule::value).collect();
        Ok(outcome.with("msgs", work.msgs).with("pg_hba_string", new).with("pg_hba", told))
    }
}

impl PgHba {
    /// The arguments of the one rule.
    fn own(&self) -> OneRule {
        OneRule {
            contype: self.contype.clone(),
            databases: self.databases.clone(),
            users: self.users.clone(),
            address: self.address.clone(),
            netmask: self.netmask.clone(),
            method: self.method.clone(),
            options: self.options.clone(),
            comment: self.comment.clone(),
            state: self.state,
        }
    }

    /// All rules that are asked for.
    fn wanted(&self) -> Result<Vec<OneRule>, String> {
        let own = self.own();
        match &self.rules {
            Some(rules) => {
                let read = |rule: &Object| crate::args::parse::<OneRule>(rule).map_err(|error| error.to_string());
                let rules: Vec<OneRule> = rules.iter().map(read).collect::<Result<_, _>>()?;
                let combine = self.rules_behavior == Behavior::Combine;
                Ok(rules.into_iter().map(|rule| if combine { rule.or(&own) } else { rule }).collect())
            }
            None if own.contype.is_some() => Ok(vec![own]),
            None => Ok(Vec::new()),
        }
    }

    fn apply(&self, work: &mut Work) -> Result<(), Failure> {
        let mut wanted: Vec<(Presence, Rule)> = Vec::new();
        for one in self.wanted().map_err(Failure::new)? {
            for rule in one.rules().map_err(Failure::new)? {
                wanted.push((one.state.unwrap_or_default(), rule));
            }
        }
        if self.overwrite {
            let keeps = |line: &Line| {
                line.rule().is_some_and(|kept| {
                    wanted.iter().any(|(state, rule)| *state == Presence::Present && rule.same(kept))
                })
            };
            let before = work.lines.len();
            work.lines.retain(keeps);
            work.changed |= work.lines.len() != before;
        }
        for (state, rule) in wanted {
            match state {
                Presence::Present if self.overwrite => work.put(rule),
                Presence::Present => work.add(rule),
                Presence::Absent => work.remove(&rule),
            }
        }
        Ok(())
    }

    /// Keeps the old content and tells where.
    fn back_up(&self, host: &Host, path: &Path) -> Result<String, Failure> {
        let Some(file) = &self.backup_file else {
            return Ok(host.backup(path)?.map(|kept| text(&kept)).unwrap_or_default());
        };
        let kept = host.path(&PathArg(file.clone()))?;
        let old: Content = host.content_of(path);
        host.write_file(&kept, &old, &WriteOptions::default())?;
        Ok(text(&kept))
    }
}

impl Work {
    fn add(&mut self, rule: Rule) {
        let held = self.lines.iter_mut().filter_map(Line::rule_mut).find(|held| held.is_for_the_same(&rule));
        match held {
            Some(held) if held.same(&rule) => {}
            Some(held) => {
                self.msgs.push(format!("Updating rule {}", rule.line()));
                self.before.push(held.line());
                self.after.push(rule.line());
                *held = rule;
                self.changed = true;
            }
            None => {
                self.msgs.push(format!("Adding rule {}", rule.line()));
                self.after.push(rule.line());
                self.lines.push(Line::Rule(rule));
                self.changed = true;
            }
        }
    }

    /// Adds a rule without a word: what is overwritten is not told rule by rule.
    fn put(&mut self, rule: Rule) {
        if !self.lines.iter().filter_map(Line::rule).any(|held| held.same(&rule)) {
            self.lines.push(Line::Rule(rule));
            self.changed = true;
        }
    }

    fn remove(&mut self, rule: &Rule) {
        let found = self.lines.iter().position(|line| line.rule().is_some_and(|held| held.is_for_the_same(rule)));
        let Some(found) = found else { return };
        let held = self.lines.remove(found);
        self.msgs.push(format!("Removing rule {}", rule.line()));
        self.before.extend(held.rule().map(Rule::line));
        self.changed = true;
    }
}

impl OneRule {
    /// The names of the arguments that are given.
    fn given(&self) -> Vec<&'static str> {
        let all = [
            ("address", self.address.is_some()),
            ("comment", self.comment.is_some()),
            ("contype", self.contype.is_some()),
            ("databases", self.databases.is_some()),
            ("method", self.method.is_some()),
            ("netmask", self.netmask.is_some()),
            ("options", self.options.is_some()),
            ("state", self.state.is_some()),
            ("users", self.users.is_some()),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }

    /// The same, with what it does not say taken from another.
    fn or(self, other: &Self) -> Self {
        Self {
            contype: self.contype.or_else(|| other.contype.clone()),
            databases: self.databases.or_else(|| other.databases.clone()),
            users: self.users.or_else(|| other.users.clone()),
            address: self.address.or_else(|| other.address.clone()),
            netmask: self.netmask.or_else(|| other.netmask.clone()),
            method: self.method.or_else(|| other.method.clone()),
            options: self.options.or_else(|| other.options.clone()),
            comment: self.comment.or_else(|| other.comment.clone()),
            state: self.state.or(other.state),
        }
    }

    fn check(&self) -> Result<(), String> {
        const TYPES: [&str; 6] = ["local", "host", "hostnossl", "hostssl", "hostgssenc", "hostnogssenc"];
        const METHODS: [&str; 14] = [
            "trust",
            "reject",
            "md5",
            "password",
            "gss",
            "sspi",
            "krb5",
            "ident",
            "peer",
            "ldap",
            "radius",
            "cert",
            "pam",
            "scram-sha-256",
        ];
        let among = |name: &str, value: Option<&str>, all: &[&str]| match value {
            Some(value) if !all.contains(&value) => {
                Err(format!("value of {name} must be one of: {}, got: {value}", all.join(", ")))
            }
            _ => Ok(()),
        };
        if self.contype.is_none() {
            return Err("a rule needs a contype".to_owned());
        }
        among("contype", self.contype.as_deref(), &TYPES)?;
        among("method", self.method.as_deref(), &METHODS)?;
        let text = [&self.options, &self.comment];
        if text.into_iter().flatten().any(|text| text.contains(['\n', '\r'])) {
            return Err("options and comment are of one line".to_owned());
        }
        self.rules().map(drop)
    }

    /// A rule for each database and each user.
    fn rules(&self) -> Result<Vec<Rule>, String> {
        let databases = rules::names(self.databases.as_deref().unwrap_or("all"), "database")?;
        let users = rules::names(self.users.as_deref().unwrap_or("all"), "user")?;
        let kind = self.contype.clone().unwrap_or_default();
        let source = match kind.as_str() {
            "local" => None,
            _ => Some(rules::source(self.address.as_deref().unwrap_or("samehost"), self.netmask.as_deref())?),
        };
        let rule = |database: &String, user: &String| {
            let method = self.method.as_deref().unwrap_or("md5");
            Rule::new(&kind, database, user, source.clone(), method, self.options.as_deref(), self.comment.as_deref())
        };
        Ok(databases.iter().flat_map(|database| users.iter().map(move |user| rule(database, user))).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::super::stage::Stage;
    use super::*;

    fn msgs(outcome: &Outcome) -> Vec<String> {
        serde_json::from_value(outcome.fields["msgs"].clone()).unwrap()
    }

    fn call(stage: &Stage, mut args: Value) -> Result<Outcome, Failure> {
        args["dest"] = json!("/h");
        let dry = stage.check::<PgHba>(args.clone());
        let real = stage.call::<PgHba>(args.clone())?;
        assert_eq!(dry?.fields["pg_hba"], real.fields["pg_hba"]);
        assert!(!stage.call::<PgHba>(args)?.changed, "the second run changes nothing");
        Ok(real)
    }

    #[test]
    fn rules_come_and_go() {
        let stage = Stage::new(&[(
            "/h",
            "# c\n\nlocal   all   postgres   peer  # inline\nhost all all 10.0.0.0 255.0.0.0 md5\ninclude x\n",
        )]);
        let made = call(
            &stage,
            json!({"contype": "host", "users": "b,a", "databases": "d", "address": "10.1.0.0/16", "comment": "z"}),
        )
        .unwrap();
        assert_eq!(
            msgs(&made),
            [
                "Adding rule host\td\tb\t10.1.0.0/16\tmd5\t#z",
                "Adding rule host\td\ta\t10.1.0.0/16\tmd5\t#z",
                "Changed",
                "Writing"
            ]
        );
        let file = "# c\nlocal   all   postgres   peer  # inline\nhost\td\ta\t10.1.0.0/16\tmd5\t#z\nhost\td\tb\t10.1.0.0/16\tmd5\t#z\n\
                    host all all 10.0.0.0 255.0.0.0 md5\ninclude x";
        assert_eq!(stage.text("/h"), file);
        let same = json!({"contype": "host", "address": "10.0.0.0", "netmask": "255.0.0.0", "method": "trust"});
        assert_eq!(msgs(&call(&stage, same).unwrap())[0], "Updating rule host\tall\tall\t10.0.0.0/8\ttrust");
        let gone =
            json!({"contype": "host", "users": "a", "databases": "d", "address": "10.1.0.0/16", "state": "absent"});
        assert_eq!(msgs(&call(&stage, gone).unwrap())[0], "Removing rule host\td\ta\t10.1.0.0/16\tmd5");
        let over = call(&stage, json!({"contype": "local", "method": "peer", "overwrite": true})).unwrap();
        assert_eq!((stage.text("/h").as_str(), msgs(&over).len()), ("local\tall\tall\tpeer", 2));
        let last = json!({"rules": [{"users": "r", "contype": "host"}, {"method": "trust"}], "rules_behavior": "combine",
            "contype": "local", "users": "u", "sort_rules": false});
        call(&stage, last).unwrap();
        assert_eq!(stage.text("/h"), "local\tall\tall\tpeer\nhost\tall\tr\tsamehost\tmd5\nlocal\tall\tu\ttrust");
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (args, word) in [
            (json!({"contype": "bogus"}), "value of contype must be one of: local, host"),
            (json!({"contype": "host", "method": "bogus"}), "value of method must be one of: trust"),
            (json!({"contype": "host", "address": "10.2.3.4/8"}), "10.2.3.4/8 has host bits set"),
            (
                json!({"contype": "host", "address": "10.0.0.300/8"}),
                "is neither a valid IP address, network, hostname or keyword",
            ),
            (json!({"contype": "host", "databases": "a b"}), "Invalid string for database: a b"),
            (json!({"contype": "host", "users": "a\nhost all all all trust"}), "Invalid string for user"),
            (json!({"contype": "host", "comment": "a\nhost all all all trust"}), "of one line"),
            (
                json!({"contype": "host", "rules": [{"contype": "host"}]}),
                "must not be set or ['contype'] must not be set",
            ),
            (json!({"contype": "host"}), "doesn't exist. Use the create option"),
        ] {
            let stage = Stage::new(&[]);
            let mut args = args;
            args["dest"] = json!("/h");
            let told = stage.call::<PgHba>(args).unwrap_err().msg;
            assert!(told.contains(word), "{told}");
        }
    }
}
