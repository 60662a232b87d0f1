//! `rplay vault`, which is also `ansible-vault`: encrypts and decrypts files and values.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::ArgAction;
use zeroize::Zeroizing;

use super::vault_files::{self as files, Failure};
use crate::config::Config;
use crate::connection::Secret;
use crate::diagnostic::Diagnostic;
use crate::vault::{self, Envelope, Request, Secrets, VaultError};

/// Where passwords for Ansible Vault come from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct VaultArgs {
    /// A vault id and where its password is: label@file, label@script, or label@prompt.
    #[arg(long = "vault-id", value_name = "ID")]
    ids: Vec<String>,
    /// Ask for the vault password.
    #[arg(
        short = 'J',
        long = "ask-vault-password",
        visible_alias = "ask-vault-pass",
        conflicts_with = "password_files"
    )]
    ask: bool,
    /// Read the vault password from this file, or from what this script prints.
    #[arg(long = "vault-password-file", visible_alias = "vault-pass-file", value_name = "FILE", id = "password_files")]
    files: Vec<String>,
}

impl VaultArgs {
    /// The arguments as another command of ours takes them, paths whole.
    pub fn words(&self) -> Vec<(&'static str, String)> {
        let whole = |path: &str| std::path::absolute(path).map_or(path.to_owned(), |p| p.display().to_string());
        let files = self.files.iter().map(|file| ("--vault-password-file", whole(file)));
        let ids = self.ids.iter().map(|id| match id.split_once('@') {
            Some((_, source)) if source.starts_with("prompt") => ("--vault-id", id.clone()),
            Some((label, source)) => ("--vault-id", format!("{label}@{}", whole(source))),
            None => ("--vault-id", if id == "prompt" { id.clone() } else { whole(id) }),
        });
        files.chain(ids).collect()
    }

    /// The passwords, those of the configuration first. `create` asks for new ones; `auto_prompt` asks when there are none.
    pub fn secrets(&self, config: &Config, create: bool, auto_prompt: bool) -> Result<Secrets, VaultError> {
        let ids = config.vault.identity_list.value.iter().chain(&self.ids).cloned().collect();
        let ask = self.ask || (config.vault.ask.value && self.files.is_empty());
        gather(config, ids, self.files.clone(), ask, create, auto_prompt)
    }

    /// The passwords that a command reads its files with.
    pub(super) fn shared(&self, config: &Config) -> Result<Arc<Secrets>, Vec<Diagnostic>> {
        let secrets = self.secrets(config, false, false);
        secrets.map(Arc::new).map_err(|e| vec![Diagnostic::error("vault::password", e.to_string())])
    }
}

fn gather(
    config: &Config,
    ids: Vec<String>,
    mut files: Vec<String>,
    ask: bool,
    create: bool,
    auto_prompt: bool,
) -> Result<Secrets, VaultError> {
    files.extend(config.vault.password_file.value.iter().map(|path| path.display().to_string()));
    let identity = config.vault.identity.value.clone();
    let request = Request { ids, files, ask, create, auto_prompt, identity };
    let mut secrets = Secrets::new(config.vault.id_match.value, config.vault.encrypt_salt.value.clone());
    secrets.gather(&request, &mut vault::ask, &mut |warning| eprintln!("[WARNING]: {warning}"))?;
    Ok(secrets)
}

/// The arguments of `ansible-vault`.
#[derive(Debug, clap::Args)]
#[command(infer_long_args = true)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

/// What every action takes.
#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    vault: VaultArgs,
    /// Show more; give it several times for still more.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// What to encrypt with.
#[derive(Debug, clap::Args)]
struct With {
    /// The vault id whose password encrypts; needed when there are several.
    #[arg(long, value_name = "ID")]
    encrypt_vault_id: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write a new encrypted file in an editor.
    #[command(infer_long_args = true)]
    Create {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        with: With,
        /// Open the editor even without a terminal.
        #[arg(long)]
        skip_tty_check: bool,
        /// The file.
        files: Vec<String>,
    },
    /// Decrypt files in place, or standard input.
    #[command(infer_long_args = true)]
    Decrypt {
        #[command(flatten)]
        common: Common,
        /// Write to this file; `-` is standard output.
        #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
        output: Option<String>,
        /// Files; `-` is standard input.
        files: Vec<String>,
    },
    /// Change an encrypted file in an editor.
    #[command(infer_long_args = true)]
    Edit {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        with: With,
        /// The files.
        files: Vec<String>,
    },
    /// Show encrypted files.
    #[command(infer_long_args = true)]
    View {
        #[command(flatten)]
        common: Common,
        /// The files.
        files: Vec<String>,
    },
    /// Encrypt files in place, or standard input.
    #[command(infer_long_args = true)]
    Encrypt {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        with: With,
        /// Write to this file; `-` is standard output.
        #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
        output: Option<String>,
        /// Files; `-` is standard input.
        files: Vec<String>,
    },
    /// Encrypt strings, for use as values in YAML.
    #[command(name = "encrypt_string", infer_long_args = true)]
    EncryptString(Box<Strings>),
    /// Encrypt files anew with another password.
    #[command(infer_long_args = true)]
    Rekey {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        with: With,
        /// Read the new password from this file.
        #[arg(long, value_name = "FILE", conflicts_with = "new_vault_id")]
        new_vault_password_file: Option<String>,
        /// The vault id and source of the new password.
        #[arg(long, value_name = "ID")]
        new_vault_id: Option<String>,
        /// The files.
        files: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Strings {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    with: With,
    /// Write to this file; `-` is standard output.
    #[arg(long, value_name = "FILE", allow_hyphen_values = true)]
    output: Option<String>,
    /// Ask for the string.
    #[arg(short, long)]
    prompt: bool,
    /// Show what is typed.
    #[arg(long)]
    show_input: bool,
    /// The name of the variable, one for each string.
    #[arg(short, long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// The name of the variable that standard input becomes.
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Strings; `-` is standard input.
    strings: Vec<String>,
}

const NEEDED: &str = "A vault password is required to use Ansible's Vault";

/// Runs it. 0 when it went well, 5 for a line that makes no sense, 1 for anything else, as in the reference.
pub fn main(args: &Args) -> ExitCode {
    let config = match Config::load() {
        Ok(config) => config,
        Err(found) => return super::complain(&found),
    };
    match args.action.run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("[ERROR]: {message}");
            ExitCode::from(5)
        }
        Err(Failure::Other(message)) => {
            eprintln!("[ERROR]: {message}");
            ExitCode::from(1)
        }
    }
}

impl Action {
    fn common(&self) -> &Common {
        match self {
            Self::Create { common, .. }
            | Self::Decrypt { common, .. }
            | Self::Edit { common, .. }
            | Self::View { common, .. }
            | Self::Encrypt { common, .. }
            | Self::Rekey { common, .. } => common,
            Self::EncryptString(strings) => &strings.common,
        }
    }

    fn run(&self, config: &Config) -> Result<(), Failure> {
        let common = self.common();
        if let Some(id) = common.vault.ids.iter().find(|id| id.contains(';')) {
            let message = format!("'{id}' is not a valid vault id. The character ';' is not allowed in vault ids");
            return Err(Failure::Usage(message));
        }
        match self {
            Self::Create { with, skip_tty_check, files, .. } => {
                let [file] = files.as_slice() else {
                    return Err(Failure::usage("ansible-vault create can take only one filename argument"));
                };
                let with = with.choose(config, common)?;
                if !skip_tty_check && !std::io::stdout().is_terminal() {
                    return Err(Failure::usage("not a tty, editor cannot be opened"));
                }
                files::create(file, &with)
            }
            Self::Decrypt { output, files, .. } => {
                one_output(output.as_deref(), files)?;
                let secrets = common.known(config)?;
                told("Reading ciphertext input from stdin", files);
                for file in inputs(files) {
                    let plain = files::decrypt(&file, &secrets)?;
                    files::write(&plain, output.as_deref().unwrap_or(&file), false)?;
                }
                done("Decryption successful");
                Ok(())
            }
            Self::Edit { files, .. } => {
                let secrets = common.known(config)?;
                files.iter().try_for_each(|file| files::edit(file, &secrets))
            }
            Self::View { files, .. } => {
                let secrets = common.known(config)?;
                for file in files {
                    files::page(&files::decrypt(file, &secrets)?)?;
                }
                Ok(())
            }
            Self::Encrypt { with, output, files, .. } => {
                one_output(output.as_deref(), files)?;
                let with = with.choose(config, common)?;
                told("Reading plaintext input from stdin", files);
                for file in inputs(files) {
                    let plain = files::read(&file)?;
                    let text = with.encrypt(&plain)?;
                    files::write(text.as_bytes(), output.as_deref().unwrap_or(&file), true)?;
                }
                done("Encryption successful");
                Ok(())
            }
            Self::EncryptString(strings) => strings.run(config),
            Self::Rekey { with, new_vault_password_file, new_vault_id, files, .. } => {
                let secrets = common.known(config)?;
                let chosen = with.encrypt_vault_id.clone().or_else(|| config.vault.encrypt_identity.value.clone());
                let mut ids = if chosen.is_some() { config.vault.identity_list.value.clone() } else { Vec::new() };
                ids.extend(new_vault_id.clone());
                let new_files = new_vault_password_file.iter().cloned().collect();
                let new = gather(config, ids, new_files, common.vault.ask, true, true)?;
                let with = Encryptor::choose(new, chosen.as_deref())?;
                files.iter().try_for_each(|file| files::rekey(file, &secrets, &with))?;
                done("Rekey successful");
                Ok(())
            }
        }
    }
}

impl Common {
    /// The passwords that are there already.
    fn known(&self, config: &Config) -> Result<Secrets, Failure> {
        let secrets = self.vault.secrets(config, false, true)?;
        if secrets.is_empty() { Err(Failure::usage(NEEDED)) } else { Ok(secrets) }
    }
}

/// Who encrypts.
pub(super) struct Encryptor {
    secrets: Secrets,
    id: String,
    secret: Secret,
}

impl Encryptor {
    fn choose(secrets: Secrets, id: Option<&str>) -> Result<Self, Failure> {
        let Some((own, secret)) = secrets.find(id).cloned() else {
            let Some(id) = id else { return Err(Failure::usage(NEEDED)) };
            let known: Vec<String> = secrets.ids().iter().map(|id| format!("'{id}'")).collect();
            let known = known.join(", ");
            let message = format!("Did not find a match for --encrypt-vault-id={id} in the known vault-ids [{known}]");
            return Err(Failure::Other(message));
        };
        Ok(Self { secrets, id: own, secret })
    }

    /// Bytes, encrypted.
    pub(super) fn encrypt(&self, plain: &[u8]) -> Result<String, VaultError> {
        self.secrets.encrypt(plain, &self.secret, Some(&self.id))
    }
}

impl With {
    fn choose(&self, config: &Config, common: &Common) -> Result<Encryptor, Failure> {
        let id = self.encrypt_vault_id.clone().or_else(|| config.vault.encrypt_identity.value.clone());
        let secrets = common.vault.secrets(config, true, true)?;
        if secrets.ids().len() > 1 && id.is_none() {
            let ids = secrets.ids().join(",");
            return Err(Failure::Usage(format!(
                "The vault-ids {ids} are available to encrypt. Specify the vault-id to encrypt with --encrypt-vault-id"
            )));
        }
        Encryptor::choose(secrets, id.as_deref())
    }
}

fn one_output(output: Option<&str>, files: &[String]) -> Result<(), Failure> {
    if output.is_some() && files.len() > 1 {
        return Err(Failure::usage("At most one input file may be used with the --output option"));
    }
    Ok(())
}

fn inputs(files: &[String]) -> Vec<String> {
    if files.is_empty() {
        return vec!["-".to_owned()];
    }
    // The file behind a link is what is written.
    let real = |file: &String| match std::fs::canonicalize(file) {
        Ok(path) if file != "-" => path.display().to_string(),
        _ => file.clone(),
    };
    files.iter().map(real).collect()
}

/// Says what is read, to somebody who sits there.
fn told(message: &str, files: &[String]) {
    if files.is_empty() && std::io::stdin().is_terminal() {
        eprintln!("{message}");
    }
}

fn done(message: &str) {
    if std::io::stdout().is_terminal() {
        eprintln!("{message}");
    }
}

/// A string to encrypt, where it came from, and its name.
type Plain = (Zeroizing<String>, &'static str, Option<String>);

impl Strings {
    fn run(&self, config: &Config) -> Result<(), Failure> {
        let dash = self.strings.iter().any(|s| s == "-");
        let stdin = dash || self.stdin_name.is_some() || (self.strings.is_empty() && !self.prompt);
        if self.prompt && stdin {
            return Err(Failure::usage("The --prompt option is not supported if also reading input from stdin"));
        }
        let with = self.with.choose(config, &self.common)?;
        let mut plain: Vec<Plain> = Vec::new();
        if self.prompt {
            plain.push(self.ask()?);
        }
        if stdin {
            plain.push((read_stdin()?, "stdin", self.stdin_name.clone()));
        }
        self.arguments(&mut plain)?;
        let several = plain.len() > 1;
        let mut out = String::new();
        for (at, (text, source, name)) in plain.iter().enumerate() {
            if several {
                let number = at + 1;
                match name {
                    Some(name) => eprintln!(
                        "# The encrypted version of variable (\"{name}\", the string #{number} from {source})."
                    ),
                    None => eprintln!("# The encrypted version of the string #{number} from {source}.)"),
                }
            }
            let encrypted = with.encrypt(text.as_bytes())?;
            out.push_str(&name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default());
            out.push_str("!vault |\n");
            encrypted.lines().for_each(|line| out.push_str(&format!("          {line}\n")));
        }
        files::write(out.as_bytes(), self.output.as_deref().unwrap_or("-"), true)?;
        done("Encryption successful");
        Ok(())
    }

    fn ask(&self) -> Result<Plain, Failure> {
        let wrong = |e: std::io::Error| Failure::Other(format!("cannot ask: {e}"));
        let visible = |prompt: &str| -> std::io::Result<Zeroizing<String>> {
            print!("{prompt}");
            std::io::stdout().flush()?;
            let mut line = Zeroizing::new(String::new());
            std::io::stdin().read_line(&mut line)?;
            Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
        };
        let name = visible("Variable name (enter for no name): ").map_err(wrong)?;
        let text = if self.show_input {
            visible("String to encrypt:").map_err(wrong)?
        } else {
            let typed = vault::ask("String to encrypt (hidden): ").map_err(wrong)?.unwrap_or_default();
            Zeroizing::new(typed.trim_end_matches(['\r', '\n']).to_owned())
        };
        if text.is_empty() {
            return Err(Failure::usage("The plaintext provided from the prompt was empty, not encrypting"));
        }
        Ok((text, "the interactive prompt", (!name.is_empty()).then(|| name.to_string())))
    }

    fn arguments(&self, plain: &mut Vec<Plain>) -> Result<(), Failure> {
        let strings: Vec<&String> = self.strings.iter().filter(|s| *s != "-").collect();
        if let Some(last) = self.names.last()
            && strings.len() > self.names.len()
        {
            eprintln!("The number of --name options do not match the number of args.");
            eprintln!("The last named variable will be \"{last}\". The rest will not have names.");
        }
        for (at, text) in strings.into_iter().enumerate() {
            if text.is_empty() {
                let message = "The plaintext provided from the command line args was empty, not encrypting";
                return Err(Failure::usage(message));
            }
            plain.push((Zeroizing::new(text.clone()), "the command line args", self.names.get(at).cloned()));
        }
        Ok(())
    }
}

fn read_stdin() -> Result<Zeroizing<String>, Failure> {
    if std::io::stdout().is_terminal() {
        eprintln!(
            "Reading plaintext input from stdin. (ctrl-d to end input, twice if your content does not already have a newline)"
        );
    }
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|e| Failure::Other(format!("cannot read standard input: {e}")))?;
    if text.is_empty() {
        return Err(Failure::usage("stdin was empty, not encrypting"));
    }
    if std::io::stdout().is_terminal() && !text.ends_with('\n') {
        println!("\n");
    }
    Ok(text)
}

/// The vault id that an encrypted text names.
pub(super) fn named_id(text: &[u8]) -> Option<String> {
    Envelope::parse(text).ok().and_then(|envelope| envelope.id)
}

/// Whether a path is there and is a file.
pub(super) fn is_file(path: &str) -> bool {
    Path::new(path).is_file()
}
