//! `community.general.lvg`: volume groups.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::files::text;
use super::lvm::{self, program, report, rows, run};
use crate::args::{PathArg, yes};
use crate::host::Host;
use crate::module::{Failure, Module, Outcome};

/// Makes, changes and removes volume groups.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Lvg {
    /// The volume group.
    vg: String,
    /// The devices that it is made of.
    #[serde(default)]
    pvs: Option<Vec<PathArg>>,
    /// The size of an extent of a new group, in megabytes without a unit.
    #[serde(default = "four")]
    pesize: String,
    /// Further options of pvcreate.
    #[serde(default)]
    pv_options: Option<String>,
    /// Whether devices that have grown are used in full.
    #[serde(default)]
    pvresize: bool,
    /// Further options of vgcreate.
    #[serde(default)]
    vg_options: Option<String>,
    /// What should be so.
    #[serde(default)]
    state: State,
    /// Whether a group with volumes in it is removed.
    #[serde(default)]
    force: bool,
    /// Whether the group gets a new id, each time.
    #[serde(default)]
    reset_vg_uuid: bool,
    /// Whether its devices get new ids, each time.
    #[serde(default)]
    reset_pv_uuid: bool,
    /// Whether devices that are not in `pvs` are taken out.
    #[serde(default = "yes")]
    remove_extra_pvs: bool,
}

fn four() -> String {
    "4".to_owned()
}

/// What should be so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    Absent,
    #[default]
    Present,
    Active,
    Inactive,
}

impl Module for Lvg {
    const NAME: &'static str = "community.general.lvg";

    fn check(&self) -> Result<(), String> {
        lvm::check_name("vg", &self.vg)?;
        if self.pesize.is_empty() || !self.pesize.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(format!("'{}' is not a size for pesize", self.pesize));
        }
        if self.reset_pv_uuid && self.pvs.is_none() {
            return Err("reset_pv_uuid is True but all of the following are missing: pvs".to_owned());
        }
        lvm::options("pv_options", self.pv_options.as_deref())?;
        lvm::options("vg_options", self.vg_options.as_deref())?;
        match self.pvs.iter().flatten().find(|pv| pv.0.starts_with('-')) {
            Some(pv) => Err(format!("'{}' is not a device", pv.0)),
            None => Ok(()),
        }
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let groups = report(host, "vgs", "vg_name,lv_count", &[])?.stdout_text();
        let volumes = rows(&groups).find(|row| row.first() == Some(&self.vg.as_str()));
        let volumes = volumes.map(|row| row.get(1).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0));
        let call = Call { args: &self, host, devices: self.devices(host)? };
        match (self.state, volumes) {
            (State::Absent, None) => Ok(Outcome::unchanged()),
            (State::Absent, Some(count)) => {
                if count > 0 && !self.force {
                    let msg = format!("Refuse to remove non-empty volume group {} without force=true", self.vg);
                    return Err(Failure::new(msg));
                }
                let remove = program(host, "vgremove")?.args(["--force", &self.vg]);
                run(host, &remove, || format!("Failed to remove volume group {}", self.vg))?;
                Ok(Outcome::new(true))
            }
            (_, None) => {
                call.make()?;
                Ok(Outcome::new(true))
            }
            (_, Some(_)) => {
                let switched = call.switch()?;
                let renumbered = call.renumber()?;
                let grown = call.grow()?;
                Ok(Outcome::new(call.exchange()? | grown | renumbered | switched))
            }
        }
    }
}

impl Lvg {
    /// The devices as the task names them, all of which have to be there.
    fn devices(&self, host: &Host) -> Result<Vec<PathBuf>, Failure> {
        let mut devices = Vec::new();
        for pv in self.pvs.iter().flatten() {
            let path = host.path(pv)?;
            if self.state != State::Absent && !host.exists(&path)? {
                return Err(Failure::new(format!("Device {} not found.", text(&path))));
            }
            devices.push(path);
        }
        Ok(devices)
    }
}

/// A call with its devices.
struct Call<'a> {
    args: &'a Lvg,
    host: &'a Host,
    devices: Vec<PathBuf>,
}

impl Call<'_> {
    /// All physical volumes, with the group that each is in.
    fn volumes(&self) -> Result<Vec<(PathBuf, String)>, Failure> {
        let said = report(self.host, "pvs", "pv_name,vg_name", &[])?.stdout_text();
        let volume = |row: Vec<&str>| Some((PathBuf::from(row.first()?), (*row.get(1)?).to_owned()));
        let mut volumes: Vec<_> = rows(&said).filter_map(volume).collect();
        for (path, _) in &mut volumes {
            *path = self.host.canonical(path)?;
        }
        Ok(volumes)
    }

    /// Makes physical volumes of devices, which may be of no other group.
    fn prepare(&self, devices: &[&PathBuf], volumes: &[(PathBuf, String)]) -> Result<(), Failure> {
        for device in devices {
            let real = self.host.canonical(device)?;
            let other =
                volumes.iter().find(|(path, group)| *path == real && !group.is_empty() && *group != self.args.vg);
            if let Some((_, group)) = other {
                return Err(Failure::new(format!("Device {} is already in {group} volume group.", text(device))));
            }
        }
        let options = lvm::options("pv_options", self.args.pv_options.as_deref()).map_err(Failure::new)?;
        for device in devices {
            let create = program(self.host, "pvcreate")?.args(&options).arg("-f").arg(device.as_path());
            run(self.host, &create, || format!("Creating physical volume '{}' failed", text(device)))?;
        }
        Ok(())
    }

    fn make(&self) -> Result<(), Failure> {
        let args = self.args;
        if self.devices.is_empty() {
            return Err(Failure::new("No physical volumes given."));
        }
        self.prepare(&self.devices.iter().collect::<Vec<_>>(), &self.volumes()?)?;
        let mut options = lvm::options("vg_options", args.vg_options.as_deref()).map_err(Failure::new)?;
        let named = options.iter().any(|option| option.starts_with("--setautoactivation"));
        let word = match args.state {
            State::Active => Some("y"),
            State::Inactive => Some("n"),
            State::Absent | State::Present => None,
        };
        if let Some(word) = word
            && !named
            && self.autoactivates()?
        {
            options.extend(["--setautoactivation", word].map(ToOwned::to_owned));
        }
        let create = program(self.host, "vgcreate")?.args(options).args(["-s", &args.pesize, &args.vg]);
        run(self.host, &create.args(&self.devices), || format!("Creating volume group '{}' failed", args.vg))
    }

    /// Whether this LVM knows which groups are activated at boot.
    fn autoactivates(&self) -> Result<bool, Failure> {
        let help = self.host.query(&program(self.host, "vgchange")?.arg("--help"))?;
        Ok((help.stdout_text() + &help.stderr_text()).contains("--setautoactivation"))
    }

    /// Activates the group's volumes or not, now and at boot.
    fn switch(&self) -> Result<bool, Failure> {
        let on = match self.args.state {
            State::Active => true,
            State::Inactive => false,
            State::Absent | State::Present => return Ok(false),
        };
        let vg = &self.args.vg;
        let word = if on { "y" } else { "n" };
        let mut changed = false;
        if self.autoactivates()? {
            let said = report(self.host, "vgs", "vg_autoactivation", &[vg])?;
            let enabled = said.stdout_text().trim() == "enabled";
            if said.rc == 0 && enabled != on {
                changed = true;
                let change = program(self.host, "vgchange")?.args(["--setautoactivation", word, vg]);
                run(self.host, &change, || format!("Failed to change the autoactivation of volume group {vg}"))?;
            }
        }
        let said = report(self.host, "lvs", "lv_attr", &[vg])?.stdout_text();
        let is_on = |row: Vec<&str>| row.first().and_then(|attr| attr.chars().nth(4)) == Some('a');
        if rows(&said).any(|row| is_on(row) != on) {
            changed = true;
            let change = program(self.host, "vgchange")?.args(["--activate", word, vg]);
            run(self.host, &change, || format!("Failed to change the activation of volume group {vg}"))?;
        }
        Ok(changed)
    }

    fn renumber(&self) -> Result<bool, Failure> {
        if self.args.reset_vg_uuid {
            let change = program(self.host, "vgchange")?.args(["-u", &self.args.vg]);
            run(self.host, &change, || format!("Failed to reset the UUID of volume group {}", self.args.vg))?;
        }
        if self.args.reset_pv_uuid {
            for device in &self.devices {
                let change = program(self.host, "pvchange")?.arg("-u").arg(device);
                run(self.host, &change, || format!("Failed to reset the UUID of physical volume {}", text(device)))?;
            }
        }
        Ok(self.args.reset_vg_uuid || (self.args.reset_pv_uuid && !self.devices.is_empty()))
    }

    /// Uses the rest of devices that have grown.
    fn grow(&self) -> Result<bool, Failure> {
        let mut grown = false;
        if !self.args.pvresize {
            return Ok(grown);
        }
        let members: Vec<PathBuf> = self.members()?;
        for device in &self.devices {
            if members.contains(&self.host.canonical(device)?) && self.has_room(device)? {
                grown = true;
                let resize = program(self.host, "pvresize")?.arg(device);
                run(self.host, &resize, || format!("Failed executing pvresize command on {}", text(device)))?;
            }
        }
        Ok(grown)
    }

    fn members(&self) -> Result<Vec<PathBuf>, Failure> {
        let ours = |(path, group): (PathBuf, String)| (group == self.args.vg).then_some(path);
        Ok(self.volumes()?.into_iter().filter_map(ours).collect())
    }

    /// Whether a device has room for another extent.
    fn has_room(&self, device: &Path) -> Result<bool, Failure> {
        let said =
            report(self.host, "pvs", "dev_size,pv_size,pe_start,vg_extent_size", &[&text(device)])?.stdout_text();
        let numbers: Vec<u64> =
            rows(&said).next().unwrap_or_default().iter().filter_map(|word| word.parse().ok()).collect();
        let [whole, size, start, extent] = numbers.as_slice() else {
            return Err(Failure::new(format!("cannot tell the size of {}", text(device))));
        };
        Ok(whole.saturating_sub(size.saturating_add(*start)) >= *extent)
    }

    /// Takes devices in that are wanted, and others out.
    fn exchange(&self) -> Result<bool, Failure> {
        let Some(_) = &self.args.pvs else { return Ok(false) };
        let vg = &self.args.vg;
        let members = self.members()?;
        let mut wanted = Vec::new();
        for device in &self.devices {
            wanted.push(self.host.canonical(device)?);
        }
        let new: Vec<&PathBuf> = self
            .devices
            .iter()
            .zip(&wanted)
            .filter(|(_, real)| !members.contains(real))
            .map(|(device, _)| device)
            .collect();
        let old: Vec<&PathBuf> =
            members.iter().filter(|member| self.args.remove_extra_pvs && !wanted.contains(member)).collect();
        let listed = |paths: &[&PathBuf]| paths.iter().map(|path| text(path)).collect::<Vec<_>>().join(" ");
        if !new.is_empty() {
            self.prepare(&new, &self.volumes()?)?;
            let extend = program(self.host, "vgextend")?.arg(vg).args(new.iter().map(|path| path.as_os_str()));
            run(self.host, &extend, || format!("Unable to extend {vg} by {}.", listed(&new)))?;
        }
        if !old.is_empty() {
            let reduce = program(self.host, "vgreduce")?.args(["--force", vg]);
            let reduce = reduce.args(old.iter().map(|path| path.as_os_str()));
            run(self.host, &reduce, || format!("Unable to reduce {vg} by {}.", listed(&old)))?;
        }
        Ok(!new.is_empty() || !old.is_empty())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::super::stage::Stage;
    use super::*;

    /// A host with the group `v0` of /dev/a and /dev/b, the group `other` of /dev/o, and devices of no group.
    fn stage() -> Stage {
        let devices = ["a", "b", "c", "o"].map(|name| format!("/dev/{name}"));
        let stage = Stage::new(&devices.each_ref().map(|path| (path.as_str(), "")));
        stage.program(
            "vgs",
            "case \"$*\" in *vg_autoactivation*) echo '  enabled';; *) echo '  v0;2'; echo '  empty;0';; esac",
        );
        stage.program(
            "pvs",
            "case \"$*\" in *dev_size*a) echo '  209715200;100663296;1048576;4194304';;
             *dev_size*) echo '  104857600;100663296;1048576;4194304';;
             *) printf '  /dev/a;v0\\n  /dev/b;v0\\n  /dev/c;\\n  /dev/o;other\\n';; esac",
        );
        stage.program("lvs", "printf '  -wi-a-----\\n  -wi-a-----\\n'");
        stage.program("vgchange", "case \"$*\" in --help) echo '--setautoactivation y|n';; esac");
        for name in ["vgcreate", "vgextend", "vgreduce", "vgremove", "pvcreate", "pvresize", "pvchange"] {
            stage.program(name, "");
        }
        stage
    }

    fn calls(args: Value) -> Vec<String> {
        let stage = stage();
        let changes = |stage: &Stage| -> Vec<String> {
            let reads = ["vgs", "pvs", "lvs", "vgchange [--help]"];
            stage.calls().into_iter().filter(|call| !reads.iter().any(|read| call.starts_with(read))).collect()
        };
        let dry = stage.check::<Lvg>(args.clone()).unwrap();
        assert!(changes(&stage).is_empty());
        let done = stage.call::<Lvg>(args.clone()).unwrap();
        let changes = changes(&stage);
        assert_eq!((done.changed, dry.changed), (!changes.is_empty(), !changes.is_empty()), "{args}");
        changes
    }

    #[test]
    fn groups_are_made_and_removed() {
        assert_eq!(
            calls(json!({"vg": "new", "pvs": "/dev/c"})),
            ["pvcreate [-f] [/dev/c]", "vgcreate [-s] [4] [new] [/dev/c]"]
        );
        let args = json!({"vg": "new", "pvs": ["/dev/c"], "pesize": "8M", "pv_options": "--metadatasize 1M",
            "vg_options": "--addtag 'a b'", "state": "inactive"});
        let made = [
            "pvcreate [--metadatasize] [1M] [-f] [/dev/c]",
            "vgcreate [--addtag] [a b] [--setautoactivation] [n] [-s] [8M] [new] [/dev/c]",
        ];
        assert_eq!(calls(args), made);
        let made = calls(json!({"vg": "new", "pvs": "/dev/c", "state": "active"}));
        assert_eq!(made[1], "vgcreate [--setautoactivation] [y] [-s] [4] [new] [/dev/c]");
        assert_eq!(calls(json!({"vg": "empty", "state": "absent"})), ["vgremove [--force] [empty]"]);
        assert_eq!(calls(json!({"vg": "v0", "state": "absent", "force": true})), ["vgremove [--force] [v0]"]);
        assert!(calls(json!({"vg": "none", "state": "absent"})).is_empty());
    }

    #[test]
    fn devices_come_grow_and_go() {
        assert!(calls(json!({"vg": "v0"})).is_empty());
        assert!(calls(json!({"vg": "v0", "pvs": "/dev/a,/dev/b"})).is_empty());
        assert!(calls(json!({"vg": "v0", "pvs": "/dev/a", "remove_extra_pvs": false})).is_empty());
        assert_eq!(
            calls(json!({"vg": "v0", "pvs": ["/dev/a", "/dev/c"]})),
            ["pvcreate [-f] [/dev/c]", "vgextend [v0] [/dev/c]", "vgreduce [--force] [v0] [/dev/b]"]
        );
        assert_eq!(calls(json!({"vg": "v0", "pvs": ["/dev/a", "/dev/b"], "pvresize": true})), ["pvresize [/dev/a]"]);
        let args = json!({"vg": "v0", "pvs": "/dev/a", "remove_extra_pvs": false, "reset_vg_uuid": true, "reset_pv_uuid": true});
        assert_eq!(calls(args), ["vgchange [-u] [v0]", "pvchange [-u] [/dev/a]"]);
    }

    #[test]
    fn groups_are_switched_on_and_off() {
        assert!(calls(json!({"vg": "v0", "state": "active"})).is_empty());
        let off = ["vgchange [--setautoactivation] [n] [v0]", "vgchange [--activate] [n] [v0]"];
        assert_eq!(calls(json!({"vg": "v0", "state": "inactive"})), off);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (args, word) in [
            (json!({"vg": "new"}), "No physical volumes given."),
            (json!({"vg": "new", "pvs": "/dev/none"}), "Device /dev/none not found."),
            (json!({"vg": "new", "pvs": "/dev/o"}), "Device /dev/o is already in other volume group."),
            (json!({"vg": "v0", "state": "absent"}), "Refuse to remove non-empty volume group v0 without force=true"),
            (json!({"vg": "-x"}), "is not a name for vg"),
            (json!({"vg": "v0", "pesize": "x"}), "is not a size"),
        ] {
            let failure = stage().call::<Lvg>(args).unwrap_err();
            assert!(failure.msg.contains(word), "{word}: {}", failure.msg);
        }
        let stage = stage();
        stage.program("vgcreate", "echo no >&2; exit 5");
        let failure = stage.call::<Lvg>(json!({"vg": "new", "pvs": "/dev/c"})).unwrap_err();
        assert_eq!((failure.msg.as_str(), &failure.fields["rc"]), ("Creating volume group 'new' failed", &json!(5)));
    }
}
