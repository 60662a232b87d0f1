//! `community.general.pam_limits`: the limits of users and groups.

use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::PathArg;
use crate::host::{Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

/// Manages a limit in limits.conf.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PamLimits {
    /// A user, `@group`, `*`, `%` or a range of ids.
    domain: String,
    /// The kind of limit.
    limit_type: Type,
    /// What is limited.
    limit_item: Item,
    /// The limit.
    value: String,
    /// Whether the old content is kept.
    #[serde(default)]
    backup: bool,
    /// Whether a lower limit that is there stays.
    #[serde(default)]
    use_min: bool,
    /// Whether a higher limit that is there stays.
    #[serde(default)]
    use_max: bool,
    /// The file.
    #[serde(default = "file")]
    dest: PathArg,
    /// What is written behind the limit.
    #[serde(default)]
    comment: String,
}

fn file() -> PathArg {
    PathArg("/etc/security/limits.conf".to_owned())
}

/// The kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Type {
    Hard,
    Soft,
    #[serde(rename = "-")]
    Both,
}

impl Type {
    fn word(self) -> &'static str {
        match self {
            Self::Hard => "hard",
            Self::Soft => "soft",
            Self::Both => "-",
        }
    }
}

/// Declares what is limited, with its words.
macro_rules! items {
    ($($name:ident $word:literal),*) => {
        /// What is limited.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
        enum Item { $(#[serde(rename = $word)] $name,)* }

        impl Item {
            fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
        }
    };
}

items! {
    Core "core", Data "data", Fsize "fsize", Memlock "memlock", Nofile "nofile", Rss "rss", Stack "stack", Cpu "cpu",
    Nproc "nproc", As "as", Maxlogins "maxlogins", Maxsyslogins "maxsyslogins", Priority "priority", Locks "locks",
    Sigpending "sigpending", Msgqueue "msgqueue", Nice "nice", Rtprio "rtprio", Chroot "chroot"
}

impl Module for PamLimits {
    const NAME: &'static str = "community.general.pam_limits";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.use_min && self.use_max {
            return Err("Cannot use use_min and use_max at the same time.".to_owned());
        }
        if self.domain.is_empty() || self.domain.contains(char::is_whitespace) || self.comment.contains('\n') {
            return Err("domain must be one word, and comment one line".to_owned());
        }
        if self.rank(&self.value).is_some() {
            return Ok(());
        }
        let wanted = if self.is_signed() {
            "Value must be a number in the range -20 to 19 inclusive."
        } else {
            "Value must either be 'unlimited', 'infinity' or -1, all of which indicate no limit, or a limit of 0 or larger."
        };
        Err(format!("Value of '{}' for item '{}' is invalid. {wanted}", self.value, self.limit_item.word()))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.dest)?;
        let old = host.read_if_exists(&path)?;
        if let (None, Some(parent)) = (&old, path.parent().filter(|p| !p.as_os_str().is_empty()))
            && !host.stat(parent)?.is_some_and(|meta| meta.is_dir())
        {
            return Err(Failure::new(format!("directory {} is not there", parent.display())));
        }
        let old = String::from_utf8(old.unwrap_or_default()).context(|| format!("cannot edit {}", path.display()))?;
        let (new, line) = self.edit(&old);
        let mut outcome = Outcome::new(old != new).with("msg", line);
        if outcome.changed {
            let options = WriteOptions { backup: self.backup, ..WriteOptions::default() };
            let written = files::write_through(host, &path, new.as_bytes(), &options)?;
            if let Some(backup) = written.backup_file {
                outcome.set("backup_file", text(&backup));
            }
        }
        Ok(outcome.with_diff(Diff::text(old, new)))
    }
}

impl PamLimits {
    /// Whether the item takes numbers below zero, for which there is no "unlimited".
    fn is_signed(&self) -> bool {
        matches!(self.limit_item, Item::Nice | Item::Priority)
    }

    /// A value's place among the others; `None` for what is no value.
    fn rank(&self, value: &str) -> Option<i128> {
        if self.is_signed() {
            return value.parse().ok().filter(|value| (-20..=19).contains(value));
        }
        match value {
            "unlimited" | "infinity" | "-1" => Some(i128::MAX),
            _ => value.parse::<u64>().ok().map(i128::from),
        }
    }

    /// The file's new content, and the line that holds the limit now.
    fn edit(&self, old: &str) -> (String, String) {
        let key = [self.domain.as_str(), self.limit_type.word(), self.limit_item.word()];
        let mut new = String::with_capacity(old.len() + 64);
        let mut held = None;
        for line in old.split_inclusive('\n') {
            let (entry, comment) = line.split_once('#').unwrap_or((line, ""));
            let fields: Vec<&str> = entry.split_whitespace().collect();
            let is_it = held.is_none() && fields.len() == 4 && fields[..3] == key;
            if !is_it {
                new.push_str(line);
                continue;
            }
            let line = if self.stays(fields[3]) { line.to_owned() } else { self.line(comment.trim_end()) };
            new.push_str(&line);
            held = Some(line);
        }
        let line = held.unwrap_or_else(|| {
            if !new.is_empty() && !new.ends_with('\n') {
                new.push('\n');
            }
            let line = self.line("");
            new.push_str(&line);
            line
        });
        (new, line)
    }

    fn stays(&self, held: &str) -> bool {
        let order = self.rank(held).zip(self.rank(&self.value)).map(|(held, wanted)| held.cmp(&wanted));
        match order {
            Some(Ordering::Greater) if self.use_max => true,
            Some(Ordering::Less) if self.use_min => true,
            Some(Ordering::Equal) if self.use_max || self.use_min => true,
            _ => held == self.value,
        }
    }

    fn line(&self, held_comment: &str) -> String {
        let comment = if self.comment.is_empty() { held_comment } else { &self.comment };
        let comment = if comment.is_empty() { String::new() } else { format!("\t#{comment}") };
        let (kind, item) = (self.limit_type.word(), self.limit_item.word());
        format!("{}\t{kind}\t{item}\t{}{comment}\n", self.domain, self.value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::super::stage::Stage;
    use super::*;

    const FILE: &str = "# head\njoe soft nofile 10 #c\n* - core 0\n# joe hard nofile 5\nx hard nproc unlimited";

    #[test]
    fn limits_are_set_once() {
        let soft = |value: &str| FILE.replace("joe soft nofile 10 #c", &format!("joe\tsoft\tnofile\t{value}"));
        for (args, text) in [
            (json!({"value": 10}), FILE.to_owned()),
            (json!({"value": 20}), soft("20\t#c")),
            (json!({"value": 20, "comment": "why"}), soft("20\t#why")),
            (json!({"value": 5, "use_max": true}), FILE.to_owned()),
            (json!({"value": "infinity", "use_max": true}), soft("infinity\t#c")),
            (json!({"value": 50, "use_min": true}), FILE.to_owned()),
            (json!({"value": 5, "use_min": true}), soft("5\t#c")),
            (json!({"value": 1, "limit_type": "-"}), format!("{FILE}\njoe\t-\tnofile\t1\n")),
            (json!({"value": -5, "limit_item": "nice"}), format!("{FILE}\njoe\tsoft\tnice\t-5\n")),
            (
                json!({"value": "-1", "domain": "x", "limit_type": "hard", "limit_item": "nproc", "use_max": true}),
                FILE.to_owned(),
            ),
        ] {
            let stage = Stage::new(&[("/limits", FILE)]);
            let mut all = json!({"domain": "joe", "limit_type": "soft", "limit_item": "nofile", "dest": "/limits"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            let dry = stage.check::<PamLimits>(all.clone()).unwrap();
            assert_eq!(stage.text("/limits"), FILE);
            let made = stage.call::<PamLimits>(all.clone()).unwrap();
            assert_eq!((stage.text("/limits"), dry.changed), (text.clone(), made.changed), "{args}");
            assert_eq!(made.changed, text != FILE);
            assert!(!stage.call::<PamLimits>(all).unwrap().changed, "{args}");
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        let stage = Stage::new(&[("/limits", FILE)]);
        for (args, word) in [
            (json!({"value": "abc"}), "for item 'nofile' is invalid"),
            (json!({"value": -5}), "for item 'nofile' is invalid"),
            (json!({"value": -50, "limit_item": "nice"}), "in the range -20 to 19"),
            (json!({"value": 1, "use_min": true, "use_max": true}), "at the same time"),
            (json!({"value": 1, "dest": "/none/limits"}), "directory /none is not there"),
        ] {
            let mut all = json!({"domain": "x", "limit_type": "hard", "limit_item": "nofile", "dest": "/limits"});
            all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
            let failure = stage.call::<PamLimits>(all).unwrap_err();
            assert!(failure.msg.contains(word), "{}", failure.msg);
        }
        let made = json!({"domain": "x", "limit_type": "hard", "limit_item": "cpu", "value": 5, "dest": "/new"});
        assert_eq!(stage.call::<PamLimits>(made).unwrap().fields["msg"], "x\thard\tcpu\t5\n");
    }
}
