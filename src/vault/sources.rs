//! Where passwords come from: files, scripts, the terminal.

use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use super::{Secrets, VaultError, is_encrypted};
use crate::connection::Secret;

/// The source of a vault id that means asking.
pub const PROMPT: &str = "prompt";
/// The source that `--ask-vault-pass` means.
const PROMPT_PLAIN: &str = "prompt_ask_vault_pass";
/// The status with which a client script says that it does not know an id.
const UNKNOWN_ID: i32 = 2;

/// Which passwords are wanted.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `label@source` or `source`: configured ones, then those of the command line.
    pub ids: Vec<String>,
    /// Password files, which come after the ids.
    pub files: Vec<String>,
    /// Whether to ask, after all others.
    pub ask: bool,
    /// Whether the passwords are for something new: asked for twice.
    pub create: bool,
    /// Whether to ask when nothing else is given.
    pub auto_prompt: bool,
    /// The id of those that have none (`vault_identity`).
    pub identity: String,
}

/// Asks for a password: a prompt to what was typed; `None` at the end of input.
pub type Asker<'a> = dyn FnMut(&str) -> std::io::Result<Option<Zeroizing<String>>> + 'a;

impl Secrets {
    /// Adds the passwords that are wanted. One that cannot be had is warned about, and an error when there is no other.
    pub fn gather(
        &mut self,
        request: &Request,
        ask: &mut Asker<'_>,
        warn: &mut dyn FnMut(String),
    ) -> Result<(), VaultError> {
        let mut slugs = request.ids.clone();
        slugs.extend(request.files.iter().map(|file| format!("{}@{file}", request.identity)));
        if request.ask || (slugs.is_empty() && request.auto_prompt) {
            slugs.push(format!("{}@{PROMPT_PLAIN}", request.identity));
        }
        let mut last = None;
        for slug in &slugs {
            let (label, source) = match slug.split_once('@') {
                Some((label, source)) => (Some(label), source),
                None => (None, slug.as_str()),
            };
            let id = label.filter(|l| !l.is_empty()).unwrap_or(&request.identity);
            if matches!(source, PROMPT | PROMPT_PLAIN) {
                let secret = prompt(source, id, request.create, ask).inspect_err(|error| {
                    warn(format!("Error in vault password prompt ({}): {error}", label.unwrap_or("None")));
                })?;
                self.add(id, secret);
                continue;
            }
            match self.of_file(source, label) {
                Ok(secret) => self.add(id, secret),
                Err((what, error)) => {
                    warn(format!("Error {what} ({}): {error}", label.unwrap_or("None")));
                    last = Some(error);
                }
            }
        }
        match last {
            Some(error) if self.is_empty() => Err(error),
            _ => Ok(()),
        }
    }

    /// A password of a file or script; with what the reference says it was doing when that fails.
    fn of_file(&self, source: &str, label: Option<&str>) -> Result<Secret, (&'static str, VaultError)> {
        let path = absolute(source);
        let shown = path.display();
        let getting = |message: String| ("getting vault password file", VaultError::Source(message));
        let loading = |error: VaultError| ("in vault password file loading", error);
        if !path.exists() {
            return Err(getting(format!("The vault password file {shown} was not found")));
        }
        if path.is_dir() {
            return Err(getting(format!("The vault password file provided '{shown}' can not be a directory")));
        }
        let executable = std::fs::metadata(&path).is_ok_and(|m| m.permissions().mode() & 0o111 != 0);
        if executable {
            return script(&path, label).map_err(loading);
        }
        self.file(&path).map_err(loading)
    }

    fn file(&self, path: &Path) -> Result<Secret, VaultError> {
        let failed = |e: std::io::Error| {
            let reason = crate::vault::sources::reason(&e);
            VaultError::Source(format!("Could not read vault password file '{}': {reason}", path.display()))
        };
        let content = Zeroizing::new(std::fs::read(path).map_err(failed)?);
        let trimmed = content.trim_ascii();
        let secret = if is_encrypted(trimmed) {
            // A password file may be encrypted itself, with a password that came before it.
            let found = self.decrypt(trimmed)?;
            Secret::from_bytes(trim_newlines(&found.plain).to_vec())
        } else {
            Secret::from_bytes(trimmed.to_vec())
        };
        not_empty(secret, || format!("Invalid vault password was provided from file ({})", path.display()))
    }
}

/// What went wrong, without the number that Rust adds.
fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn not_empty(secret: Secret, message: impl FnOnce() -> String) -> Result<Secret, VaultError> {
    if secret.bytes().is_empty() { Err(VaultError::Source(message())) } else { Ok(secret) }
}

fn trim_newlines(bytes: &[u8]) -> &[u8] {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let start = bytes.iter().position(|b| !is_end(b)).unwrap_or(bytes.len());
    let end = bytes.iter().rposition(|b| !is_end(b)).map_or(start, |at| at + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// A path as the reference makes it whole: `~` and variables expanded, relative to where the run started, links kept.
#[must_use]
pub fn absolute(source: &str) -> PathBuf {
    let path = crate::playbook::expand_home(source);
    let whole =
        if path.as_os_str().is_empty() { std::env::current_dir().ok() } else { std::path::absolute(&path).ok() };
    let whole = whole.unwrap_or(path);
    let mut out = PathBuf::new();
    for part in whole.components() {
        match part {
            std::path::Component::ParentDir => drop(out.pop()),
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// What a script prints. One whose name ends in `-client` is told the id.
fn script(path: &Path, label: Option<&str>) -> Result<Secret, VaultError> {
    let shown = path.display();
    let client = path.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("-client"));
    let kind = if client { "client script" } else { "script" };
    #[allow(clippy::disallowed_methods)] // A program of the controller's own, which changes no managed host.
    let mut command = Command::new(path);
    if client && let Some(label) = label {
        command.args(["--vault-id", label]);
    }
    command.stdout(Stdio::piped()).stderr(if client { Stdio::piped() } else { Stdio::inherit() });
    let output = command.spawn().and_then(std::process::Child::wait_with_output).map_err(|e| {
        VaultError::Source(format!(
            "Problem running vault password {kind} {shown} ({}). If this is not a script, remove the executable bit \
             from the file.",
            reason(&e)
        ))
    })?;
    let id = label.unwrap_or("None");
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let stdout = Zeroizing::new(output.stdout);
    match output.status.code() {
        Some(0) => {}
        Some(UNKNOWN_ID) if client => {
            let message =
                format!("Vault password client script {shown} did not find a secret for vault-id={id}: {said}");
            return Err(VaultError::Source(message));
        }
        code => {
            let code = code.map_or_else(|| "a signal".to_owned(), |c| c.to_string());
            let when = if client { format!(" when getting secret for vault-id={id}") } else { String::new() };
            let message = format!("Vault password {kind} {shown} returned non-zero ({code}){when}: {said}");
            return Err(VaultError::Source(message));
        }
    }
    let secret = Secret::from_bytes(trim_newlines(&stdout).to_vec());
    not_empty(secret, || format!("Invalid vault password was provided from script ({shown})"))
}

fn prompt(source: &str, id: &str, create: bool, ask: &mut Asker<'_>) -> Result<Secret, VaultError> {
    let prompts = match (source == PROMPT, create) {
        (true, false) => vec![format!("Vault password ({id}): ")],
        (true, true) => {
            vec![format!("New vault password ({id}): "), format!("Confirm new vault password ({id}): ")]
        }
        (false, false) => vec!["Vault password: ".to_owned()],
        (false, true) => vec!["New Vault password: ".to_owned(), "Confirm New Vault password: ".to_owned()],
    };
    let mut first: Option<Secret> = None;
    for prompt in &prompts {
        let typed = ask(prompt).map_err(|e| VaultError::Source(format!("cannot ask for the vault password: {e}")))?;
        let Some(typed) = typed else {
            return Err(VaultError::Source(format!("EOFError (ctrl-d) on prompt for ({id})")));
        };
        let secret = Secret::new(typed.trim());
        let secret = not_empty(secret, || "Invalid vault password was provided".to_owned())?;
        match &first {
            Some(first) if *first != secret => return Err(VaultError::Source("Passwords do not match".to_owned())),
            Some(_) => {}
            None => first = Some(secret),
        }
    }
    first.ok_or_else(|| VaultError::Source("Invalid vault password was provided".to_owned()))
}

/// Asks on the terminal, without showing what is typed; without a terminal, a line of standard input.
pub fn ask(prompt: &str) -> std::io::Result<Option<Zeroizing<String>>> {
    if std::fs::File::open("/dev/tty").is_ok() {
        return rpassword::prompt_password(prompt).map(|text| Some(Zeroizing::new(text)));
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let mut line = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().read_line(&mut line)?;
    writeln!(stderr)?;
    Ok((read > 0).then_some(line))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn gather(request: &Request, answers: &[&str]) -> (Secrets, Result<(), VaultError>, Vec<String>) {
        let mut answers = answers.iter();
        let mut ask = |_: &str| Ok(answers.next().map(|text| Zeroizing::new((*text).to_owned())));
        let mut warnings = Vec::new();
        let mut secrets = Secrets::default();
        let result = secrets.gather(request, &mut ask, &mut |w| warnings.push(w));
        (secrets, result, warnings)
    }

    fn password(secrets: &Secrets, id: &str) -> String {
        secrets.find(Some(id)).map(|(_, s)| s.expose().to_owned()).unwrap_or_default()
    }

    #[test]
    fn takes_files_scripts_and_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        std::fs::write(path("plain"), "  one \n").unwrap();
        let encrypted = super::super::encrypt(b"two\n", &"one".into(), None, None).unwrap();
        std::fs::write(path("locked"), encrypted).unwrap();
        std::fs::write(path("get-client.sh"), "#!/bin/sh\n[ $2 = x ] || exit 2\necho three-$2\n").unwrap();
        std::fs::set_permissions(path("get-client.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(path("empty"), "\n").unwrap();
        let request = Request {
            ids: vec![
                format!("a@{}", path("plain")),
                format!("b@{}", path("locked")),
                format!("x@{}", path("get-client.sh")),
                format!("y@{}", path("get-client.sh")),
                "q@prompt".to_owned(),
                format!("e@{}", path("empty")),
            ],
            files: vec![path("plain")],
            ask: true,
            identity: "default".to_owned(),
            ..Request::default()
        };
        let (secrets, result, warnings) = gather(&request, &["four\n", "five"]);
        result.unwrap();
        assert_eq!(secrets.ids(), ["a", "b", "x", "q", "default", "default"]);
        let found = ["a", "b", "x", "q"].map(|id| password(&secrets, id));
        assert_eq!(found, ["one", "two", "three-x", "four"]);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].contains("(y)") && warnings[0].contains("did not find a secret for vault-id=y"));
        assert!(warnings[1].starts_with("Error in vault password file loading (e): Invalid vault password"));
    }

    #[test]
    fn what_cannot_be_had_is_an_error_alone() {
        let one = |id: &str| Request { ids: vec![id.to_owned()], ..Request::default() };
        let (_, result, warnings) = gather(&one("a@/nonexistent"), &[]);
        assert_eq!(result.unwrap_err().to_string(), "The vault password file /nonexistent was not found");
        assert!(warnings[0].starts_with("Error getting vault password file (a): "));
        let (_, result, _) = gather(&one("/tmp"), &[]);
        assert!(result.unwrap_err().to_string().contains("can not be a directory"));
        let create = Request { create: true, ..one("prompt") };
        assert_eq!(gather(&create, &["a", "b"]).1.unwrap_err().to_string(), "Passwords do not match");
        assert!(gather(&create, &["a"]).1.unwrap_err().to_string().starts_with("EOFError (ctrl-d)"));
        let auto = Request { auto_prompt: true, identity: "default".into(), ..Request::default() };
        assert_eq!(password(&gather(&auto, &["z"]).0, "default"), "z");
        assert!(gather(&Request::default(), &[]).0.is_empty());
    }
}
