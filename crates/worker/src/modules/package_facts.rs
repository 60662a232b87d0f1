//! `ansible.builtin.package_facts`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::host::{Command, Host};
use crate::module::{Failure, Module, Outcome};

/// Gives the installed packages of the host as facts.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PackageFacts {
    /// The package managers to ask; `auto` is any that is there.
    #[serde(default = "auto")]
    manager: Vec<String>,
    /// Whether the first one that is there is asked, or all.
    #[serde(default)]
    strategy: Strategy,
}

fn auto() -> Vec<String> {
    vec!["auto".to_owned()]
}

/// How many package managers are asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Strategy {
    All,
    #[default]
    First,
}

/// Packages by name; of one name there may be several.
type Packages = BTreeMap<String, Vec<Value>>;
type Lister = fn(&Host) -> Result<Packages, Failure>;

/// A package manager that is known here.
struct Manager {
    name: &'static str,
    program: &'static str,
    list: Lister,
}

/// All of them, in the order in which `auto` looks for them.
const MANAGERS: &[Manager] = &[
    Manager { name: "apk", program: "apk", list: apk },
    Manager { name: "apt", program: "apt-get", list: apt },
    Manager { name: "pacman", program: "pacman", list: pacman },
    Manager { name: "rpm", program: "rpm", list: rpm },
];
/// Those of other systems, or of none that is built in.
const FOREIGN: &[&str] = &["pkg", "pkg_info", "portage"];
const ALIASES: &[(&str, &str)] = &[
    ("dnf", "rpm"),
    ("dnf5", "rpm"),
    ("yum", "rpm"),
    ("zypper", "rpm"),
    ("pkg5", "pkg"),
    ("pkgng", "pkg"),
    ("openbsd_pkg", "pkg_info"),
];

fn meant(name: &str) -> String {
    let name = name.to_lowercase();
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| (*real).to_owned())
}

impl Module for PackageFacts {
    const NAME: &'static str = "ansible.builtin.package_facts";

    fn check(&self) -> Result<(), String> {
        let known = |name: &str| MANAGERS.iter().any(|m| m.name == name) || FOREIGN.contains(&name) || name == "auto";
        let strangers: Vec<&str> =
            self.manager.iter().filter(|name| !known(&meant(name))).map(String::as_str).collect();
        if strangers.is_empty() {
            return Ok(());
        }
        Err(format!("Unsupported package managers requested: {}", strangers.join(", ")))
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let asked: Vec<String> = self.manager.iter().map(|name| meant(name)).collect();
        let auto = asked.iter().any(|name| name == "auto");
        let all: Vec<String> = MANAGERS.iter().map(|m| m.name.to_owned()).collect();
        let (mut packages, mut found, mut warnings) = (Packages::new(), false, Vec::new());
        for name in if auto { &all } else { &asked } {
            let manager = MANAGERS.iter().find(|m| m.name == name);
            let usable = match manager {
                Some(manager) => host.require_program(manager.program).map(|_| manager),
                None => Err(Failure::new("it is not built in")),
            };
            match usable.map(|manager| (manager.list)(host)) {
                Ok(Ok(some)) => {
                    found = true;
                    some.into_iter().for_each(|(name, list)| packages.entry(name).or_default().extend(list));
                    if self.strategy == Strategy::First && !packages.is_empty() {
                        break;
                    }
                }
                Ok(Err(failure)) => {
                    let why = failure.msg;
                    let msg = format!("Failed to retrieve packages with {name}: Unable to list packages: {why}");
                    warnings.push(Value::from(msg));
                }
                Err(failure) if !auto => {
                    let msg =
                        format!("Requested package manager {name} was not usable by this module: {}", failure.msg);
                    warnings.push(Value::from(msg));
                }
                Err(_) => {}
            }
        }
        if !found {
            let asked: Vec<String> = self.manager.iter().map(|name| format!("'{name}'")).collect();
            let msg =
                format!("Could not detect a supported package manager from the following list: [{}]", asked.join(", "));
            let failure = Failure::new(msg);
            return Err(if warnings.is_empty() { failure } else { failure.with("warnings", warnings) });
        }
        let outcome = Outcome::unchanged().with("ansible_facts", json!({ "packages": packages }));
        Ok(if warnings.is_empty() { outcome } else { outcome.with("warnings", warnings) })
    }
}

/// The words of a program that lists packages.
fn listed(host: &Host, program: &str, args: &[&str]) -> Result<String, Failure> {
    let command = Command::new(host.require_program(program)?).args(args.iter().copied()).c_locale();
    host.query_ok(&command).map(|output| output.stdout_text())
}

fn add(packages: &mut Packages, name: &str, package: Value) {
    packages.entry(name.to_owned()).or_default().push(package);
}

/// A package of dpkg's status file.
#[derive(Default)]
struct Deb<'a> {
    name: &'a str,
    status: &'a str,
    architecture: &'a str,
    version: &'a str,
    section: &'a str,
}

impl<'a> Deb<'a> {
    fn parse(paragraph: &'a str) -> Self {
        let mut deb = Self::default();
        for line in paragraph.lines() {
            match line.split_once(": ") {
                Some(("Package", value)) => deb.name = value,
                Some(("Status", value)) => deb.status = value,
                Some(("Architecture", value)) => deb.architecture = value,
                Some(("Version", value)) => deb.version = value,
                Some(("Section", value)) => deb.section = value,
                _ => {}
            }
        }
        deb
    }

    fn is_installed(&self) -> bool {
        let state = self.status.split_whitespace().nth(2).unwrap_or("not-installed");
        !self.name.is_empty() && !matches!(state, "not-installed" | "config-files")
    }
}

fn apt(host: &Host) -> Result<Packages, Failure> {
    let status = host.read(Path::new("/var/lib/dpkg/status"))?;
    let status = String::from_utf8_lossy(&status);
    let installed: Vec<Deb<'_>> = status.split("\n\n").map(Deb::parse).filter(Deb::is_installed).collect();
    // dpkg itself is of the host's own architecture.
    let native = installed.iter().find(|deb| deb.name == "dpkg").map_or("all", |deb| deb.architecture);
    let names: Vec<String> = installed
        .iter()
        .map(|deb| match deb.architecture {
            "all" => deb.name.to_owned(),
            own if own == native => deb.name.to_owned(),
            other => format!("{}:{other}", deb.name),
        })
        .collect();
    let origins = origins(host, &names)?;
    let mut packages = Packages::new();
    for (name, deb) in names.iter().zip(&installed) {
        let origin = origins.get(name).map_or("", String::as_str);
        let package = json!({
            "name": name, "version": deb.version, "arch": deb.architecture, "category": deb.section,
            "origin": origin, "source": "apt",
        });
        add(&mut packages, name, package);
    }
    Ok(packages)
}

/// Who offers the installed versions, as apt knows.
fn origins(host: &Host, names: &[String]) -> Result<HashMap<String, String>, Failure> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let releases = listed(host, "apt-cache", &["policy"])?;
    let mut of_source = HashMap::new();
    let mut source = "";
    for line in releases.lines().map(str::trim) {
        if let Some(release) = line.strip_prefix("release ") {
            let origin = release.split(',').find_map(|field| field.strip_prefix("o="));
            of_source.insert(source.to_owned(), origin.unwrap_or_default().to_owned());
        } else if let Some((_, place)) = line.split_once(' ').filter(|(pin, _)| pin.parse::<i64>().is_ok()) {
            source = place;
        }
    }
    let mut origins = HashMap::new();
    // The command line has its limits.
    for some in names.chunks(1000) {
        let args: Vec<&str> = ["policy", "--"].into_iter().chain(some.iter().map(String::as_str)).collect();
        let policies = listed(host, "apt-cache", &args)?;
        let (mut name, mut here) = ("", false);
        for line in policies.lines() {
            let words = line.trim();
            if !line.starts_with(' ') {
                (name, here) = (words.trim_end_matches(':'), false);
            } else if words.starts_with("*** ") {
                here = true;
            } else if here {
                let place = words.split_once(' ').map_or("", |(_, place)| place);
                let origin = of_source.get(place).cloned().unwrap_or_default();
                origins.insert(name.to_owned(), origin);
                here = false;
            }
        }
    }
    Ok(origins)
}

fn rpm(host: &Host) -> Result<Packages, Failure> {
    let format = "%{NAME}\\t%{VERSION}\\t%{RELEASE}\\t%{EPOCH}\\t%{ARCH}\\n";
    let text = listed(host, "rpm", &["-qa", "--queryformat", format])?;
    let mut packages = Packages::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [name, version, release, epoch, arch] = fields[..] else { continue };
        let package = json!({
            "name": name, "version": version, "release": release, "epoch": epoch.parse::<u64>().ok(),
            "arch": Some(arch).filter(|arch| *arch != "(none)"), "source": "rpm",
        });
        add(&mut packages, name, package);
    }
    Ok(packages)
}

fn apk(host: &Host) -> Result<Packages, Failure> {
    let text = listed(host, "apk", &["info", "-v"])?;
    let mut packages = Packages::new();
    for line in text.lines().filter(|line| !line.starts_with("WARNING")) {
        let mut parts = line.trim().rsplitn(3, '-');
        let (Some(release), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next()) else { continue };
        let package = json!({"name": name, "version": version, "release": release, "source": "apk"});
        add(&mut packages, name, package);
    }
    Ok(packages)
}

fn pacman(host: &Host) -> Result<Packages, Failure> {
    let text = listed(host, "pacman", &["-Q"])?;
    let mut packages = Packages::new();
    for (name, version) in text.lines().filter_map(|line| line.split_once(' ')) {
        add(&mut packages, name, json!({"name": name, "version": version, "source": "pacman"}));
    }
    Ok(packages)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::stage::Stage;
    use super::*;

    const STATUS: &str = "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\nSection: admin\n\n\
        Package: a\nStatus: install ok installed\nArchitecture: i386\nVersion: 2\nSection: non-free/libs\n\n\
        Package: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 3\n";
    const POLICY: &str = "case $2 in '') echo 'Package files:'; echo ' 100 /var/lib/dpkg/status'; echo '     release a=now'\n\
        echo ' 500 http://x y/main amd64 Packages'; echo '     release v=12,o=Debian Backports,a=y'; echo '     origin x';;\n\
        *) echo 'dpkg:'; echo '  Installed: 1'; echo '     1.1 500'; echo '        500 http://x z Packages'\n\
        echo ' *** 1 500'; echo '        500 http://x y/main amd64 Packages'; echo '        100 /var/lib/dpkg/status'\n\
        echo 'a:i386:'; echo ' *** 2 100'; echo '        100 /var/lib/dpkg/status';; esac";

    fn facts(stage: &Stage, args: Value) -> Value {
        stage.check::<PackageFacts>(args).unwrap().fields["ansible_facts"]["packages"].clone()
    }

    #[test]
    fn packages_of_apt() {
        let stage = Stage::new(&[("/var/lib/dpkg/status", STATUS)]);
        stage.program("apt-get", "exit 1").program("apt-cache", POLICY);
        let dpkg = json!({"name": "dpkg", "version": "1", "arch": "amd64", "category": "admin",
            "origin": "Debian Backports", "source": "apt"});
        let a = json!({"name": "a:i386", "version": "2", "arch": "i386", "category": "non-free/libs",
            "origin": "", "source": "apt"});
        assert_eq!(facts(&stage, json!({})), json!({"a:i386": [a], "dpkg": [dpkg]}));
        // One that does not work stands back, and is told of when it was asked for.
        stage.program("rpm", "exit 1");
        let outcome = stage.call::<PackageFacts>(json!({"manager": ["apk", "dnf", "apt"]})).unwrap();
        let warning = |at: usize| outcome.fields["warnings"][at].as_str().unwrap();
        assert!(warning(0).contains("manager apk was not usable"));
        assert!(warning(1).contains("Failed to retrieve packages with rpm: Unable to list packages"));
    }

    #[test]
    fn packages_of_others() {
        let stage = Stage::new(&[]);
        stage.program("rpm", "printf 'k\\t3\\t1.el7\\t(none)\\tx86_64\\nk\\t4\\t1.el7\\t2\\tx86_64\\n'");
        stage.program("apk", "echo WARNING: no; echo alpine-baselayout-3.4-r4").program("pacman", "echo zlib 1:1.3-2");
        let k = |version: &str, epoch: Option<u64>| {
            json!({"name": "k", "version": version, "release": "1.el7",
            "epoch": epoch, "arch": "x86_64", "source": "rpm"})
        };
        assert_eq!(facts(&stage, json!({"manager": "yum"})), json!({"k": [k("3", None), k("4", Some(2))]}));
        let all = facts(&stage, json!({"manager": "rpm,apk,pacman", "strategy": "all"}));
        assert_eq!(all["alpine-baselayout"][0]["version"], "3.4");
        assert_eq!((&all["zlib"][0]["version"], all.as_object().unwrap().len()), (&json!("1:1.3-2"), 3));
    }

    #[test]
    fn what_is_not_there_is_told() {
        let stage = Stage::new(&[]);
        let failure = stage.call::<PackageFacts>(json!({"manager": "portage"})).unwrap_err();
        assert!(failure.msg.contains("from the following list: ['portage']"), "{}", failure.msg);
        let failure = stage.call::<PackageFacts>(json!({"manager": "foo,apt"})).unwrap_err();
        assert_eq!(failure.msg, "Unsupported package managers requested: foo");
    }
}
