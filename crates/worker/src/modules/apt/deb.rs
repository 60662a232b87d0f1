//! Packages from files and URLs.

use std::cmp::Ordering;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::http::Client;
use super::status::{self, Status};
use super::{Apt, get, policy_rc_d, version};
use crate::args::PathArg;
use crate::host::{Command, Host, Output, Scratch, closed, temporary};
use crate::module::{Context, Failure, Outcome};

impl Apt {
    /// Installs a package file with what it depends on.
    pub(super) fn install_file(&self, host: &Host, deb: &str) -> Result<Outcome, Failure> {
        let (path, _kept) = located(host, deb)?;
        let fields = Command::new(host.require_program("dpkg-deb")?).arg("-f").arg(&path);
        let output = host.query(&fields.args(["Package", "Version", "Architecture"]))?;
        if output.rc != 0 {
            let said = output.complaint();
            return Err(Failure::new(format!("Unable to install package: {}: {said}", path.display())));
        }
        let text = output.stdout_text();
        let field = |name: &str| {
            text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().trim()
        };
        let full = match field("Architecture") {
            "all" | "" => field("Package").to_owned(),
            architecture => format!("{}:{architecture}", field("Package")),
        };
        let status = Status::read(host)?;
        if let Some(known) = status.installed(&full) {
            match version::compare(&known.version, field("Version")) {
                Ordering::Equal => {
                    return Ok(Outcome::unchanged().with("stdout", "").with("stderr", "").with("diff", ""));
                }
                Ordering::Greater if !self.allow_downgrade && !self.force => {
                    return Err(Failure::new("A later version is already installed"));
                }
                _ => {}
            }
        }
        self.install_needed(host, &path, field("Package"))?;
        let output = self.run_dpkg(host, &path)?;
        let mut outcome = Outcome::new(true);
        get::told(&mut outcome, &output);
        Ok(outcome)
    }

    /// Installs what the package in a file depends on and is not there.
    ///
    /// apt-get is only asked what it would do with the file: it would take a package of the same version from its
    /// sources instead.
    fn install_needed(&self, host: &Host, path: &Path, package: &str) -> Result<(), Failure> {
        let plan = self.install_command(host)?.args(["--simulate", "install"]).arg(path.as_os_str());
        let output = host.query_ok(&plan)?;
        let stdout = output.stdout_text();
        let needed = stdout.lines().filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next());
        let needed: Vec<&str> = needed.filter(|name| *name != package).collect();
        if !needed.is_empty() {
            self.run_apt_get(host, self.install_command(host)?.arg("install").args(needed))?;
        }
        Ok(())
    }

    fn run_dpkg(&self, host: &Host, path: &Path) -> Result<Output, Failure> {
        let mut command = get::quiet(Command::new(host.require_program("dpkg")?));
        for option in self.dpkg_options.split(',').map(str::trim).filter(|o| !o.is_empty()) {
            command = command.arg(format!("--{option}"));
        }
        if self.force {
            command = command.arg("--force-all");
        }
        if host.check_mode() {
            let simulated = command.arg("--simulate").arg("-i").arg(path);
            return host.query(&simulated);
        }
        let command = command.arg("-i").arg(path);
        let deadline = Instant::now() + Duration::from_secs(self.lock_timeout);
        loop {
            let guard = policy_rc_d::set(host, self.policy_rc_d)?;
            let output = host.run(&command);
            guard.put_back(host)?;
            host.cache().forget(status::KEY);
            let output = output?.unwrap_or_default();
            // Unlike apt-get, dpkg does not wait for another program to be done.
            let locked = output.rc != 0 && output.stderr_text().contains("lock was locked by another process");
            if !locked || Instant::now() >= deadline || host.is_cancelled() {
                return if output.rc == 0 { Ok(output) } else { Err(get::failure(&command, &output)) };
            }
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Where the file is; one behind a URL is fetched into a temporary file first.
fn located(host: &Host, deb: &str) -> Result<(PathBuf, Option<Scratch>), Failure> {
    if !deb.contains("://") {
        let path = host.path(&PathArg(deb.to_owned()))?;
        if !host.exists(&path)? {
            return Err(Failure::new(format!("Unable to install package: {} does not exist", path.display())));
        }
        // apt-get takes for a file only what has a slash in it.
        return Ok((if path.is_absolute() { path } else { PathBuf::from("./").join(path) }, None));
    }
    let content = Client::default().text(host, deb)?;
    let attempted = || format!("cannot keep {deb} in a temporary file");
    let mut file = temporary(&std::env::temp_dir(), ".deb").context(attempted)?;
    file.write_all(&content).context(attempted)?;
    let kept = closed(file).context(attempted)?;
    Ok((kept.to_path_buf(), Some(kept)))
}
