//! `community.general.ini_file`: single settings of files with sections.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::{self, text};
use crate::args::{PathArg, file_arguments, yes};
use crate::host::{Content, Diff, Host, WriteOptions};
use crate::module::{Context, Failure, Module, Outcome};

file_arguments! {
    /// Manages single settings of a file with sections.
    #[derive(Debug, Deserialize, JsonSchema)]
    pub struct IniFile {
        /// The file.
        #[serde(alias = "dest")]
        path: PathArg,
        /// The section; settings before the first one without it.
        #[serde(default)]
        section: Option<String>,
        /// Values that tell the section apart from others of its name.
        #[serde(default)]
        section_has_values: Option<Vec<HasValue>>,
        /// The setting; the whole section without it.
        #[serde(default)]
        option: Option<String>,
        /// Its value.
        #[serde(default)]
        value: Option<String>,
        /// Its values, one line each.
        #[serde(default)]
        values: Vec<String>,
        /// Whether the old content is kept.
        #[serde(default)]
        backup: bool,
        /// Whether it should be there.
        #[serde(default)]
        state: State,
        /// Whether lines of the setting with other values go.
        #[serde(default = "yes")]
        exclusive: bool,
        /// Whether there are no spaces around `=`.
        #[serde(default)]
        no_extra_spaces: bool,
        /// Whether lines that differ only in those spaces stay.
        #[serde(default)]
        ignore_spaces: bool,
        /// Whether a file that is not there is made.
        #[serde(default = "yes")]
        create: bool,
        /// Whether the setting may stand without value and `=`.
        #[serde(default)]
        allow_no_value: bool,
        /// Whether a line that is commented out is replaced.
        #[serde(default = "yes")]
        modify_inactive_option: bool,
        /// Whether a link is written through.
        #[serde(default)]
        follow: bool,
    }
}

/// A setting by which a section is known.
#[derive(Debug, Deserialize, JsonSchema)]
struct HasValue {
    /// The setting.
    option: String,
    /// Its value.
    #[serde(default)]
    value: Option<String>,
    /// Its values.
    #[serde(default)]
    values: Vec<String>,
}

impl HasValue {
    fn values(&self) -> impl Iterator<Item = &String> {
        self.value.iter().chain(&self.values)
    }
}

/// Whether the setting should be there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    #[default]
    Present,
}

impl Module for IniFile {
    const NAME: &'static str = "community.general.ini_file";
    const ALONE: bool = true;

    fn check(&self) -> Result<(), String> {
        if self.value.is_some() && !self.values.is_empty() {
            return Err("parameters are mutually exclusive: value|values".to_owned());
        }
        let has = self.section_has_values.iter().flatten();
        if has.into_iter().any(|has| has.value.is_some() && !has.values.is_empty()) {
            return Err("parameters are mutually exclusive: value|values found in section_has_values".to_owned());
        }
        if self.state == State::Present && !self.allow_no_value && self.wanted().is_empty() {
            return Err("Parameter 'value(s)' must be defined if state=present and allow_no_value=False.".to_owned());
        }
        if self.state == State::Absent && self.option.is_none() && self.section.is_none() {
            return Err("one of the following is required: section, option".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let path = host.path(&self.path)?;
        let target = if self.follow && host.exists(&path)? { host.canonical(&path)? } else { path.clone() };
        let old = host.read_if_exists(&target)?;
        if old.is_none() && !self.create {
            return Err(Failure::new(format!("Destination {} does not exist!", path.display())).with("rc", 257));
        }
        let there = old.is_some();
        let old = String::from_utf8(old.unwrap_or_default()).context(|| format!("cannot edit {}", path.display()))?;
        // A mark of the byte order and the line ends of Windows do not survive a change.
        let old = old.strip_prefix('\u{feff}').unwrap_or(&old).replace("\r\n", "\n");
        let mut file = File::read(&old);
        let msg = self.edit(&mut file);
        // An empty file of which nothing is wanted stays empty.
        let new = if old.is_empty() && msg == Done::Nothing { String::new() } else { file.text() };
        // A file that is not there and would hold nothing is not made.
        let changed = if there { new != old } else { msg != Done::Nothing };
        let mut outcome = Outcome::new(changed).with("path", text(&path)).with("msg", msg.words());
        let header = format!("{} (content)", path.display());
        outcome.diffs.push(Diff::contents(old.as_bytes(), new.as_bytes(), &header));
        if changed {
            self.write(host, &target, new, &mut outcome)?;
        }
        if there || changed {
            files::settle(host, &path, &self.file_attributes(), self.follow, &mut outcome)?;
        }
        if host.lstat(&path)?.is_some() {
            files::describe(host, &path, &mut outcome)?;
        }
        Ok(outcome)
    }
}

impl IniFile {
    fn write(&self, host: &Host, target: &Path, new: String, outcome: &mut Outcome) -> Result<(), Failure> {
        if let Some(parent) = target.parent().filter(|p| !p.as_os_str().is_empty()) {
            files::make_directories(host, parent, None)?;
        }
        let options = WriteOptions {
            backup: self.backup,
            unsafe_writes: self.unsafe_writes,
            mode_if_new: Some(host.mode_of_new(self.mode.as_ref(), false)?),
            ..WriteOptions::default()
        };
        let written = host.write_file(target, &Content::from(new.into_bytes()), &options)?;
        if let Some(backup) = written.backup_file {
            outcome.set("backup_file", text(&backup));
        }
        Ok(())
    }

    /// The values; `None` is a setting that stands without one.
    fn wanted(&self) -> Vec<Option<&str>> {
        let mut wanted: Vec<_> = self.value.iter().chain(&self.values).map(|value| Some(value.as_str())).collect();
        if wanted.is_empty() && self.allow_no_value {
            wanted.push(None);
        }
        wanted
    }

    fn line(&self, option: &str, value: Option<&str>) -> String {
        match value {
            None => option.to_owned(),
            Some(value) if self.no_extra_spaces => format!("{option}={value}"),
            Some(value) => format!("{option} = {value}"),
        }
    }

    fn edit(&self, file: &mut File) -> Done {
        let has = self.section_has_values.as_deref().unwrap_or_default();
        let found = file.find(self.section.as_deref(), has);
        match (self.state, found, self.option.as_deref()) {
            (State::Present, Some(range), Some(option)) => self.set(file, range, option),
            (State::Present, None, option) => self.add_section(file, has, option),
            (State::Absent, Some(range), Some(option)) => self.unset(file, range, option),
            (State::Absent, Some((start, end)), None) => {
                // With the line that names it.
                file.lines.drain(start.saturating_sub(1)..end);
                Done::SectionRemoved
            }
            _ => Done::Nothing,
        }
    }

    fn set(&self, file: &mut File, (start, end): (usize, usize), option: &str) -> Done {
        let mut pending = self.wanted();
        let mut done = Done::Nothing;
        let mut settled = vec![false; end];
        // Lines that hold one of the values are that value's.
        for (at, settled) in settled.iter_mut().enumerate().skip(start) {
            let Some(setting) = self.setting(&file.lines[at], option) else { continue };
            let Some(index) = pending.iter().position(|value| *value == setting.value) else { continue };
            let same = self.ignore_spaces && !setting.inactive;
            let line = self.line(option, pending.remove(index));
            *settled = true;
            if !same && file.lines[at] != line {
                file.lines[at] = line;
                done = Done::OptionChanged;
            }
        }
        // Others are given the values that are left, and go when none is.
        if self.exclusive {
            let mut kept = Vec::with_capacity(end - start);
            for (at, line) in file.lines[start..end].iter().enumerate().map(|(at, line)| (at + start, line)) {
                if settled[at] || self.setting(line, option).is_none() {
                    kept.push(line.clone());
                    continue;
                }
                done = Done::OptionChanged;
                if !pending.is_empty() {
                    kept.push(self.line(option, pending.remove(0)));
                }
            }
            file.lines.splice(start..end, kept.iter().cloned());
            return self.add(file, (start, start + kept.len()), option, &pending).unwrap_or(done);
        }
        self.add(file, (start, end), option, &pending).unwrap_or(done)
    }

    fn setting<'a>(&self, line: &'a str, option: &str) -> Option<Setting<'a>> {
        Setting::of(line, option, self.modify_inactive_option)
    }

    /// Adds lines behind the last one of the section that is not blank.
    fn add(
        &self,
        file: &mut File,
        (start, end): (usize, usize),
        option: &str,
        values: &[Option<&str>],
    ) -> Option<Done> {
        let lines: Vec<String> = values.iter().map(|value| self.line(option, *value)).collect();
        let blank = file.lines[start..end].iter().rev().take_while(|line| line.trim().is_empty()).count();
        file.lines.splice(end - blank..end - blank, lines);
        (!values.is_empty()).then_some(Done::OptionAdded)
    }

    fn add_section(&self, file: &mut File, has: &[HasValue], option: Option<&str>) -> Done {
        file.lines.push(format!("[{}]", self.section.as_deref().unwrap_or_default()));
        for has in has.iter().filter(|has| option != Some(has.option.as_str())) {
            file.lines.extend(has.values().map(|value| self.line(&has.option, Some(value))));
        }
        let Some(option) = option else { return Done::SectionAdded };
        file.lines.extend(self.wanted().into_iter().map(|value| self.line(option, value)));
        Done::SectionAndOptionAdded
    }

    fn unset(&self, file: &mut File, (start, end): (usize, usize), option: &str) -> Done {
        let wanted = self.wanted();
        let goes = |line: &str| {
            let setting = Setting::of(line, option, false);
            setting.is_some_and(|setting| self.exclusive || wanted.contains(&setting.value))
        };
        let kept: Vec<String> = file.lines[start..end].iter().filter(|line| !goes(line)).cloned().collect();
        let done = if kept.len() < end - start { Done::OptionChanged } else { Done::Nothing };
        file.lines.splice(start..end, kept);
        done
    }
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Nothing,
    OptionAdded,
    OptionChanged,
    SectionAdded,
    SectionAndOptionAdded,
    SectionRemoved,
}

impl Done {
    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "OK",
            Self::OptionAdded => "option added",
            Self::OptionChanged => "option changed",
            Self::SectionAdded => "only section added",
            Self::SectionAndOptionAdded => "section and option added",
            Self::SectionRemoved => "section removed",
        }
    }
}

/// A line that sets something, or did before it was commented out.
struct Setting<'a> {
    inactive: bool,
    value: Option<&'a str>,
}

impl<'a> Setting<'a> {
    /// The line as one that sets this option.
    fn of(line: &'a str, option: &str, or_inactive: bool) -> Option<Self> {
        let blanks = [' ', '\t'];
        let line = line.trim_start_matches(blanks);
        let active = line.trim_start_matches(['#', ';']);
        let inactive = active.len() < line.len();
        if inactive && (!or_inactive || line.len() - active.len() > 1) {
            return None;
        }
        let rest = active.trim_start_matches(blanks).strip_prefix(option)?.trim_start_matches(blanks);
        match rest.strip_prefix('=') {
            Some(value) => Some(Self { inactive, value: Some(value.trim()) }),
            None => rest.is_empty().then_some(Self { inactive, value: None }),
        }
    }
}

/// A file's lines, without their ends.
struct File {
    lines: Vec<String>,
}

impl File {
    fn read(text: &str) -> Self {
        let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Self { lines }
    }

    fn text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Where a section's own lines begin and end: the first of its name that holds these values.
    fn find(&self, section: Option<&str>, has: &[HasValue]) -> Option<(usize, usize)> {
        let header = |line: &str| {
            let line = line.trim();
            line.strip_prefix('[').and_then(|line| line.split_once(']')).map(|(name, _)| name.trim().to_owned())
        };
        let end = |start: usize| {
            let rest = self.lines.iter().skip(start);
            start + rest.take_while(|line| header(line).is_none()).count()
        };
        let holds = |(start, end): &(usize, usize)| {
            let lines = &self.lines[*start..*end];
            let is = |has: &HasValue, value: Option<&str>| {
                lines.iter().filter_map(|line| Setting::of(line, &has.option, false)).any(|held| match value {
                    Some(_) => held.value == value,
                    None => true,
                })
            };
            has.iter().all(|has| is(has, None) && has.values().all(|value| is(has, Some(value))))
        };
        let Some(section) = section else { return Some((0, end(0))) };
        let named = self.lines.iter().enumerate().filter(|(_, line)| header(line).as_deref() == Some(section.trim()));
        named.map(|(at, _)| (at + 1, end(at + 1))).find(holds)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::{Stage, edited};
    use super::*;

    const FILE: &str = "; top\nglobal=1\n\n[a]\n# opt=old\nfav = lemon\n;x = 1\nx = 2\nx=3\n  ind = 5\nflag\n\n[b]\n\nk: v\n\
        [a]\nfav = two\n[empty]\n";

    #[test]
    fn settings_are_kept() {
        let replace = |from: &str, to: &str| FILE.replacen(from, to, 1);
        for (args, msg, text) in [
            (json!({"section": "a", "option": "fav", "value": "lemon"}), "OK", FILE.to_owned()),
            (json!({"section": " a ", "option": "fav", "value": true}), "option changed", replace("lemon", "True")),
            (
                json!({"section": "a", "option": "fav", "value": "x", "no_extra_spaces": true}),
                "option changed",
                replace("fav = lemon", "fav=x"),
            ),
            (
                json!({"section": "a", "option": "fav", "value": "lemon", "no_extra_spaces": true, "ignore_spaces": true}),
                "OK",
                FILE.to_owned(),
            ),
            (json!({"section": "a", "option": "opt", "value": "n"}), "option changed", replace("# opt=old", "opt = n")),
            (
                json!({"section": "a", "option": "opt", "value": "n", "modify_inactive_option": false}),
                "option added",
                replace("flag\n", "flag\nopt = n\n"),
            ),
            (
                json!({"section": "a", "option": "x", "value": 2}),
                "option changed",
                replace(";x = 1\nx = 2\nx=3", "x = 2"),
            ),
            (
                json!({"section": "a", "option": "x", "values": [7, 8, 9, 10]}),
                "option added",
                replace(";x = 1\nx = 2\nx=3", "x = 7\nx = 8\nx = 9").replacen("flag\n", "flag\nx = 10\n", 1),
            ),
            (
                json!({"section": "a", "option": "x", "values": [3, 9], "exclusive": false}),
                "option added",
                replace("x=3", "x = 3").replacen("flag\n", "flag\nx = 9\n", 1),
            ),
            (json!({"section": "b", "option": "k", "value": "w"}), "option added", replace("k: v\n", "k: v\nk = w\n")),
            (json!({"section": "empty", "option": "n", "value": ""}), "option added", format!("{FILE}n = \n")),
            (
                json!({"section": "n", "option": "o", "value": "v"}),
                "section and option added",
                format!("{FILE}[n]\no = v\n"),
            ),
            (json!({"section": "n", "allow_no_value": true}), "only section added", format!("{FILE}[n]\n")),
            (json!({"option": "g2", "value": 2}), "option added", replace("global=1\n", "global=1\ng2 = 2\n")),
            (
                json!({"section": "a", "option": "fav", "allow_no_value": true}),
                "option changed",
                replace("fav = lemon", "fav"),
            ),
            (json!({"section": "a", "option": "flag", "allow_no_value": true}), "OK", FILE.to_owned()),
            (
                json!({"section": "a", "option": "fav", "value": "x", "section_has_values": [{"option": "fav", "value": "two"}, {"option": "fav"}]}),
                "option changed",
                replace("fav = two", "fav = x"),
            ),
        ] {
            let (held, first, again) = edited::<IniFile>(FILE, &args);
            assert_eq!((held, first.fields["msg"].as_str()), (text, Some(msg)), "{args}");
            // A section found by a value that is no more is not found again.
            assert!(!again.changed || args.get("section_has_values").is_some(), "{args}");
        }
    }

    #[test]
    fn settings_are_removed() {
        let replace = |from: &str, to: &str| FILE.replacen(from, to, 1);
        for (args, msg, text) in [
            (json!({"section": "a", "option": "x"}), "option changed", replace("x = 2\nx=3\n", "")),
            (
                json!({"section": "a", "option": "x", "value": 3, "exclusive": false}),
                "option changed",
                replace("x=3\n", ""),
            ),
            (json!({"section": "a", "option": "opt"}), "OK", FILE.to_owned()),
            (json!({"section": "b"}), "section removed", replace("[b]\n\nk: v\n", "")),
            (json!({"option": "global"}), "option changed", replace("global=1\n", "")),
            (json!({"section": "z", "option": "global"}), "OK", FILE.to_owned()),
        ] {
            let mut args: Value = args;
            args["state"] = json!("absent");
            let (held, first, again) = edited::<IniFile>(FILE, &args);
            assert_eq!((held, first.fields["msg"].as_str(), again.changed), (text, Some(msg), false), "{args}");
        }
    }

    #[test]
    fn files_are_made_and_mended() {
        let stage = Stage::new(&[("/crlf", "\u{feff}[a]\r\nx = 1\r\n"), ("/end", "[a]"), ("/bin", "\u{1}")]);
        let set = |path: &str| json!({"path": path, "section": "a", "option": "x", "value": 1});
        assert!(stage.call::<IniFile>(set("/d/new")).unwrap().changed);
        assert_eq!(stage.text("/d/new"), "\n[a]\nx = 1\n");
        assert!(!stage.call::<IniFile>(set("/crlf")).unwrap().changed);
        assert!(stage.call::<IniFile>(set("/end")).unwrap().changed);
        assert_eq!(stage.text("/end"), "[a]\nx = 1\n");
        let gone = json!({"path": "/none", "section": "a", "state": "absent"});
        assert_eq!((stage.call::<IniFile>(gone).unwrap().changed, stage.exists("/none")), (false, false));
        let mut args = set("/none");
        args["create"] = json!(false);
        assert_eq!(stage.call::<IniFile>(args).unwrap_err().msg, "Destination /none does not exist!");
        let failure = stage.call::<IniFile>(json!({"path": "/end", "section": "a", "option": "x"})).unwrap_err();
        assert!(failure.msg.contains("must be defined"));
    }
}
