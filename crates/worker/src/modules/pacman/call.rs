//! The calls of pacman.

use std::collections::HashSet;

use indexmap::IndexMap;

use super::{Done, Pacman, Reason, ReasonFor, Said, words};
use crate::args::InstallState as State;
use crate::host::{Command, Host, Output};
use crate::module::Failure;

/// Names with versions, as `pacman -Q` and a print format tell them.
type Versions = IndexMap<String, String>;

/// The program and what it is asked for.
pub(super) struct Call<'a> {
    pub host: &'a Host,
    pub args: &'a Pacman,
    pub program: Command,
}

impl Call<'_> {
    fn command(&self, options: &[&str], extra: &str) -> Result<Command, Failure> {
        Ok(self.program.clone().args(options).args(words(extra).map_err(Failure::new)?))
    }

    fn versions(&self, options: &[&str]) -> Result<Versions, Failure> {
        // A status of 1 says that there is none.
        let output = self.host.query(&self.program.clone().args(options))?;
        Ok(parse(&output.stdout_text()))
    }

    fn change(&self, command: &Command, error: &str) -> Result<Option<Output>, Failure> {
        match self.host.run(&command.clone().streamed())? {
            Some(output) if output.rc != 0 => Err(failure(error, command, &output).with("rc", output.rc)),
            output => Ok(output),
        }
    }

    /// What a command would do, in lines of the format.
    fn plan(&self, command: &Command, format: &str, names: &[String], error: &str) -> Result<String, Failure> {
        let plan = command.clone().args(["--print-format", format]).args(names);
        let output = self.host.query(&plan)?;
        match output.rc {
            0 => Ok(output.stdout_text()),
            _ => Err(failure(error, &plan, &output)),
        }
    }

    /// Fetches the lists of packages; tells whether they are different then.
    pub fn update(&self, said: &mut Said) -> Result<bool, Failure> {
        let force = if self.args.force { "--refresh" } else { "" };
        let options: Vec<&str> =
            ["--sync", "--refresh", force, "--noconfirm"].into_iter().filter(|word| !word.is_empty()).collect();
        let command = self.command(&options, &self.args.update_cache_extra_args)?;
        let before = self.lists();
        said.output(self.change(&command, "could not update package db")?);
        let check = self.host.check_mode();
        said.messages.push(if check { "Would have updated the package db" } else { "Updated package db" }.into());
        Ok(check || self.args.force || before != self.lists())
    }

    /// When the lists of packages were made, by file.
    fn lists(&self) -> Vec<(std::path::PathBuf, std::time::SystemTime)> {
        let paths = self.host.glob("/var/lib/pacman/sync/*.db".as_ref()).unwrap_or_default();
        let time = |path: std::path::PathBuf| {
            let at = self.host.stat(&path).ok()??.modified().ok()?;
            Some((path, at))
        };
        paths.into_iter().filter_map(time).collect()
    }

    pub fn upgrade(&self, said: &mut Said) -> Result<Option<Done>, Failure> {
        let new = self.versions(&["--query", "--upgrades"])?;
        if new.is_empty() {
            said.messages.push("Nothing to upgrade".into());
            return Ok(None);
        }
        let installed = self.versions(&["--query"])?;
        let lines = |of: &dyn Fn(&String, &String) -> String| {
            new.iter().map(|(name, version)| format!("{name}-{}\n", of(name, version))).collect::<String>()
        };
        let before = lines(&|name, _| installed.get(name).cloned().unwrap_or_default());
        let after = lines(&|_, version| version.clone());
        let packages: Vec<String> = new.keys().cloned().collect();
        let command =
            self.command(&["--sync", "--sysupgrade", "--quiet", "--noconfirm"], &self.args.upgrade_extra_args)?;
        let output = self.change(&command, "Could not upgrade")?;
        said.messages.push(match output {
            Some(_) => "System upgraded".to_owned(),
            None => format!("{} packages would have been upgraded", packages.len()),
        });
        said.output(output);
        Ok(Some(Done { changed: true, packages, diff: Some((before, after)) }))
    }

    pub fn remove(&self, names: &[&str], said: &mut Said) -> Result<Done, Failure> {
        let installed = self.versions(&["--query"])?;
        let mut there: Vec<String> = Vec::new();
        for wanted in self.resolved(names, &installed, true)? {
            if installed.contains_key(&wanted.name) && !there.contains(&wanted.name) {
                there.push(wanted.name);
            }
        }
        if there.is_empty() {
            said.messages.push("package(s) already absent".into());
            return Ok(Done::unchanged());
        }
        let args = self.args;
        let mut options = vec!["--remove", "--noconfirm", "--noprogressbar"];
        if args.force {
            options.extend(["--nodeps", "--nodeps"]);
        }
        let plan = self.command(&options, &args.extra_args)?;
        let plan = self.plan(&plan, "%n-%v", &there, "failed to list package(s) to remove")?;
        if args.remove_nosave {
            options.push("--nosave");
        }
        let command = self.command(&options, &args.extra_args)?;
        let packages: Vec<String> = plan.lines().map(|line| line.trim().to_owned()).filter(|l| !l.is_empty()).collect();
        let output = self.change(&command.args(&there), "failed to remove package(s)")?;
        said.messages.push(match output {
            Some(_) => format!("Removed {} package(s)", packages.len()),
            None => format!("Would have removed {} packages", packages.len()),
        });
        said.output(output);
        let diff = Some((packages.join("\n") + "\n", String::new()));
        Ok(Done { changed: true, packages, diff })
    }

    /// The members of groups.
    fn groups(&self, verb: &str) -> Result<IndexMap<String, Vec<String>>, Failure> {
        let options: &[&str] = if verb == "--sync" { &["--sync", "--groups", "--groups"] } else { &[verb, "--groups"] };
        let output = self.host.query(&self.program.clone().args(options))?;
        let mut groups: IndexMap<String, Vec<String>> = IndexMap::new();
        for line in output.stdout_text().lines() {
            if let Some((group, name)) = line.split_once(' ') {
                groups.entry(group.to_owned()).or_default().push(name.trim().to_owned());
            }
        }
        Ok(groups)
    }

    /// The names that the repositories have.
    fn listed(&self) -> Result<HashSet<String>, Failure> {
        let output = self.host.query(&self.program.clone().args(["--sync", "--list"]))?;
        Ok(output.stdout_text().lines().filter_map(|line| line.split(' ').nth(1).map(ToOwned::to_owned)).collect())
    }

    /// The packages behind names: installed ones, members of groups, what a repository provides, files and URLs.
    ///
    /// A name that nothing is behind is passed over where packages are removed, and an error elsewhere.
    fn resolved(&self, names: &[&str], installed: &Versions, lenient: bool) -> Result<Vec<Wanted>, Failure> {
        let (mut groups, mut listed) = (None, None);
        let mut out = Vec::new();
        for name in names {
            let itself = |name: &str| Wanted { name: name.to_owned(), source: name.to_owned(), file: false };
            if installed.contains_key(*name) {
                out.push(itself(name));
                continue;
            }
            if groups.is_none() {
                groups = Some(self.groups(if lenient { "--query" } else { "--sync" })?);
            }
            if let Some(members) = groups.as_ref().and_then(|groups| groups.get(*name)) {
                out.extend(members.iter().map(|name| itself(name)));
                continue;
            }
            if listed.is_none() {
                listed = Some(self.listed()?);
            }
            if listed.as_ref().is_some_and(|listed| listed.contains(*name)) {
                out.push(itself(name));
                continue;
            }
            let own = [(*name).to_owned()];
            let sync = self.program.clone().arg("--sync");
            if let Ok(text) = self.plan(&sync, "%n", &own, "") {
                // Dependencies come first.
                out.extend(text.lines().last().map(|name| itself(name.trim())));
                continue;
            }
            let file = self.program.clone().arg("--upgrade");
            match self.plan(&file, "%n", &own, &format!("Failed to list package {name}")) {
                Ok(text) => out.extend(text.lines().rfind(|line| !line.contains(' ')).map(|found| Wanted {
                    name: found.to_owned(),
                    source: (*name).to_owned(),
                    file: true,
                })),
                Err(_) if lenient => {}
                Err(failure) => return Err(failure.with("rc", 1)),
            }
        }
        Ok(out)
    }

    pub fn install(&self, names: &[&str], said: &mut Said) -> Result<Done, Failure> {
        let installed = self.versions(&["--query"])?;
        let newer = match self.args.state {
            State::Latest => self.versions(&["--query", "--upgrades"])?,
            _ => Versions::new(),
        };
        let wanted = self.resolved(names, &installed, false)?;
        let lacks = |name: &str| !installed.contains_key(name) || newer.contains_key(name);
        let packages = wanted.iter().filter(|w| !w.file && lacks(&w.name)).map(|w| w.source.clone()).collect();
        let files = wanted.iter().filter(|w| w.file).map(|w| w.source.clone()).collect();
        let mut news = Versions::new();
        let mut commands = Vec::new();
        for (verb, list) in [("--sync", packages), ("--upgrade", files)] {
            let list: Vec<String> = list;
            if list.is_empty() {
                continue;
            }
            let command = self.command(&["--noconfirm", "--noprogressbar", "--needed"], &self.args.extra_args)?;
            let command = command.arg(verb);
            let plan = self.plan(&command, "%n %v", &list, "Failed to list package(s) to install")?;
            let found: Versions =
                parse(&plan).into_iter().filter(|(name, version)| installed.get(name) != Some(version)).collect();
            if !found.is_empty() {
                commands.push(command.args(&list));
                news.extend(found);
            }
        }
        let noted = self.to_note(&wanted, &installed, &news)?;
        let mut packages: Vec<String> = news.keys().chain(&noted).cloned().collect();
        packages.sort();
        packages.dedup();
        if packages.is_empty() {
            said.messages.push("package(s) already installed".into());
            return Ok(Done::unchanged());
        }
        for command in &commands {
            said.output(self.change(command, "Failed to install package(s)")?);
        }
        if let (Some(reason), false) = (self.args.reason, noted.is_empty()) {
            let command = self.program.clone().args(["--database", reason.option()]).args(&noted);
            said.output(self.change(&command, "Failed to install package(s)")?);
        }
        said.messages.push(match self.host.check_mode() {
            true => format!("Would have installed {} packages", packages.len()),
            false => format!("Installed {} package(s)", packages.len()),
        });
        news.sort_keys();
        let diff = self.diff(&installed, &news, &noted)?;
        Ok(Done { changed: true, packages, diff: Some(diff) })
    }

    /// Names, versions and reasons of what is replaced, and of what is there then.
    fn diff(&self, installed: &Versions, news: &Versions, noted: &[String]) -> Result<(String, String), Failure> {
        let explicit = match news.keys().any(|name| installed.contains_key(name)) {
            true => self.versions(&["--query", "--explicit"])?,
            false => Versions::new(),
        };
        let old = |name: &String| installed.contains_key(name).then(|| Reason::of(explicit.contains_key(name)));
        let line = |name: &String, version: &String, reason: Option<Reason>| match reason {
            Some(reason) => format!("{name}-{version}-{}\n", reason.word()),
            None => format!("{name}-{version}\n"),
        };
        let before = news.keys().filter_map(|name| installed.get_key_value(name));
        let before = before.map(|(name, version)| line(name, version, old(name))).collect();
        let after = news.iter().map(|(name, version)| {
            let new = self.args.reason.filter(|_| noted.contains(name));
            line(name, version, new.or_else(|| old(name)))
        });
        Ok((before, after.collect()))
    }

    /// The packages whose reason is to be noted: of those named the new ones, or all that have another one.
    fn to_note(&self, wanted: &[Wanted], installed: &Versions, news: &Versions) -> Result<Vec<String>, Failure> {
        let Some(reason) = self.args.reason else { return Ok(Vec::new()) };
        let mut out: Vec<String> = Vec::new();
        let mut noted = None;
        for Wanted { name, .. } in wanted {
            if !installed.contains_key(name) && news.contains_key(name) {
                out.push(name.clone());
            } else if self.args.reason_for == ReasonFor::All {
                if noted.is_none() {
                    noted = Some(self.versions(&["--query", reason.query()])?);
                }
                if noted.as_ref().is_some_and(|noted| !noted.contains_key(name)) {
                    out.push(name.clone());
                }
            }
        }
        Ok(out)
    }
}

/// A package behind a name.
struct Wanted {
    name: String,
    /// What pacman is told: its name, or the file or URL.
    source: String,
    file: bool,
}

/// Lines of a name and a version; of an upgrade the new one.
fn parse(text: &str) -> Versions {
    let entry = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let version = match words.as_slice() {
            [_, _, "->", new, ..] => new,
            // `loading packages...` is no package.
            [_, version] if !version.ends_with("...") => version,
            _ => return None,
        };
        Some((words.first()?.to_string(), (*version).to_owned()))
    };
    text.lines().filter(|line| !line.contains("[ignored]")).filter_map(entry).collect()
}

fn failure(error: &str, command: &Command, output: &Output) -> Failure {
    Failure::new(error)
        .with("cmd", command.words())
        .with("stdout", output.stdout_text())
        .with("stderr", output.stderr_text())
}
