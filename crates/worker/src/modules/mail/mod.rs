//! `community.general.mail`.

mod message;
mod smtp;
#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use self::message::Part;
use self::smtp::Session;
use super::files::text;
use crate::args::PathArg;
use crate::host::Host;
use crate::module::{CheckMode, Context, Failure, Module, Outcome};

/// Sends a mail.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Mail {
    /// Who sends it.
    #[serde(default = "root", alias = "from")]
    sender: String,
    /// Who gets it.
    #[serde(default = "roots", alias = "recipients")]
    to: Vec<String>,
    /// Who gets a copy.
    #[serde(default)]
    cc: Vec<String>,
    /// Who gets a copy that the others are not told of.
    #[serde(default)]
    bcc: Vec<String>,
    /// The subject.
    #[serde(alias = "msg")]
    subject: String,
    /// The text; the subject by default.
    #[serde(default)]
    body: Option<String>,
    /// Whether the text is plain or HTML.
    #[serde(default)]
    subtype: Subtype,
    /// The encoding of the text.
    #[serde(default = "utf8")]
    charset: String,
    /// Files that go with it.
    #[serde(default)]
    attach: Vec<PathArg>,
    /// Further headers, as `name=value`.
    #[serde(default)]
    headers: Vec<String>,
    /// The domain in its `Message-ID`.
    #[serde(default = "ansible")]
    message_id_domain: String,
    /// The server.
    #[serde(default = "localhost")]
    host: String,
    /// Its port.
    #[serde(default = "port")]
    port: u16,
    /// Who logs in.
    #[serde(default)]
    username: Option<String>,
    /// With which password.
    #[serde(default)]
    password: Option<String>,
    /// Whether the connection is encrypted.
    #[serde(default)]
    secure: Secure,
    /// How many seconds the server may take.
    #[serde(default = "timeout")]
    timeout: u64,
    /// How the host calls itself.
    #[serde(default)]
    ehlohost: Option<String>,
}

fn root() -> String {
    "root".to_owned()
}

fn roots() -> Vec<String> {
    vec![root()]
}

fn utf8() -> String {
    "utf-8".to_owned()
}

fn ansible() -> String {
    "ansible".to_owned()
}

fn localhost() -> String {
    "localhost".to_owned()
}

fn port() -> u16 {
    25
}

fn timeout() -> u64 {
    20
}

/// Whether a text is plain or HTML.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Subtype {
    Html,
    #[default]
    Plain,
}

/// Whether a connection is encrypted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Secure {
    /// From the start.
    Always,
    /// Not.
    Never,
    /// After it was asked for.
    Starttls,
    /// Where that is possible.
    #[default]
    Try,
}

impl Module for Mail {
    const NAME: &'static str = "community.general.mail";
    const CHECK_MODE: CheckMode = CheckMode::Skipped;

    fn check(&self) -> Result<(), String> {
        let lines = [&self.sender, &self.subject, &self.message_id_domain, &self.host];
        let lists = [&self.to, &self.cc, &self.bcc, &self.headers];
        let ehlo = self.ehlohost.iter();
        if lines
            .into_iter()
            .chain(lists.into_iter().flatten())
            .chain(ehlo)
            .any(|line| line.contains(['\r', '\n', '\0']))
        {
            return Err("addresses, subject and headers must be one line each".to_owned());
        }
        if self.recipients().is_empty() {
            return Err("nobody would get the mail".to_owned());
        }
        if self.recipients().iter().chain([&message::address(&self.sender)]).any(|who| who.contains(['<', '>', ' '])) {
            return Err("an address cannot hold a space or an angle bracket".to_owned());
        }
        if self.username.is_some() != self.password.is_some() {
            return Err("username and password must be given together".to_owned());
        }
        Ok(())
    }

    fn run(self, host: &Host) -> Result<Outcome, Failure> {
        let (message, mut warnings) = self.message(host)?;
        let recipients = self.recipients();
        let name = self.ehlohost.clone().or_else(|| host.text("/proc/sys/kernel/hostname"));
        let name = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let sent = host.change(|| {
            let failed = |msg: String| Failure::new(msg).with("rc", 1);
            let name = name.as_deref().unwrap_or("[127.0.0.1]");
            let mut session = Session::open(&self.host, self.port, self.secure, self.timeout, name).map_err(failed)?;
            if let (Some(user), Some(password)) = (&self.username, &self.password) {
                if !session.encrypted() {
                    warnings.push("Username and Password was sent without encryption".to_owned());
                }
                session.log_in(user, password).map_err(failed)?;
            }
            session.send(&message::address(&self.sender), &recipients, &message).map_err(failed)
        })?;
        let refused = sent.unwrap_or_default();
        let mut outcome = Outcome::unchanged();
        let msg =
            if refused.is_empty() { "Mail sent successfully" } else { "Failed to send mail to at least one recipient" };
        outcome.set("msg", msg);
        warnings
            .extend(refused.iter().map(|(who, code, said)| format!("Failed to send mail to '{who}': {code} {said}")));
        let told: Map<String, Value> =
            refused.into_iter().map(|(who, code, said)| (who, json!([code, said]))).collect();
        outcome.set("result", told);
        if !warnings.is_empty() {
            outcome.set("warnings", warnings);
        }
        Ok(outcome)
    }
}

impl Mail {
    /// The addresses of all who get it.
    fn recipients(&self) -> Vec<String> {
        let all = self.to.iter().chain(&self.cc).chain(&self.bcc);
        all.map(|who| message::address(who)).filter(|who| !who.is_empty()).collect()
    }

    /// The mail as it is sent, and what had to be left out.
    fn message(&self, host: &Host) -> Result<(Vec<u8>, Vec<String>), Failure> {
        let mut warnings = Vec::new();
        let now = jiff::Zoned::now();
        let id = format!("<{}.{}@{}>", now.timestamp().as_nanosecond(), std::process::id(), self.message_id_domain);
        let mut headers = vec![
            ("From".to_owned(), message::people(std::slice::from_ref(&self.sender))),
            ("Date".to_owned(), now.strftime("%a, %d %b %Y %H:%M:%S %z").to_string()),
            ("Subject".to_owned(), message::words(&self.subject)),
            ("Message-ID".to_owned(), id),
            ("X-Mailer".to_owned(), "Ansible mail module".to_owned()),
        ];
        for header in &self.headers {
            match header.split_once('=') {
                Some((name, value)) if message::is_header(name.trim()) => {
                    headers.push((name.trim().to_owned(), message::words(value.trim())));
                }
                _ => warnings.push(format!("Skipping header '{header}', unable to parse")),
            }
        }
        for (name, people) in [("To", &self.to), ("Cc", &self.cc)] {
            if !people.is_empty() {
                headers.push((name.to_owned(), message::people(people)));
            }
        }
        let body = format!("{}\n\n", self.body.as_ref().unwrap_or(&self.subject));
        let content = message::encoded(&body, &self.charset).map_err(Failure::new)?;
        let subtype = if self.subtype == Subtype::Html { "html" } else { "plain" };
        let kind = format!("text/{subtype}; charset=\"{}\"", self.charset);
        let mut parts = vec![Part { kind, name: None, content }];
        for path in &self.attach {
            let path = host.path(path)?;
            let content = host
                .read(&path)
                .map_err(|failure| failure.with("rc", 1))
                .map_err(|failure| Failure { msg: format!("Failed to send mail: {}", failure.msg), ..failure })?;
            let name = path.file_name().map(|name| text(name.as_ref()));
            parts.push(Part { kind: "application/octet-stream".to_owned(), name, content });
        }
        let message = message::build(&headers, &parts).context(|| "cannot write the mail".to_owned())?;
        Ok((message, warnings))
    }
}
