//! Becoming another user for one command, without a worker: the method's prompt, the password, the word of success.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Become, RemoteError};
use crate::connection::Process;

/// What is asked and waited for around a command that another user runs.
#[derive(Debug)]
pub struct Dialogue {
    /// What the other user's shell writes before the command runs.
    success: String,
    /// What sudo asks with.
    question: String,
    /// How long success may take.
    patience: Duration,
}

/// What has been said on the two outputs so far.
#[derive(Debug, Default)]
struct Said {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    /// How much of each came up to the prompt.
    answered: Option<(usize, usize)>,
}

impl Dialogue {
    /// A dialogue with words that nothing else says.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        use rand::Rng;
        let mut rng = rand::rng();
        let key: String = (0..32).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
        Self {
            success: format!("BECOME-SUCCESS-{key}"),
            question: format!("[sudo via ansible, key={key}] password:"),
            patience,
        }
    }

    /// The line that runs `command` as the other user.
    pub fn command(&self, user: &Become, command: &str) -> Result<String, RemoteError> {
        let spec = &user.spec;
        let exe = shell_words::quote(spec.exe.as_deref().unwrap_or(&spec.method));
        let name = shell_words::quote(&spec.user);
        let line = format!("echo {} ; {command}", self.success);
        let line = shell_words::quote(&line);
        let mut flags = spec.all_flags();
        let mut out = match spec.method.as_str() {
            "sudo" => {
                if user.password.is_some() {
                    flags.retain(|flag| flag != "-n" && flag != "--non-interactive");
                    flags.extend(["-S".to_owned(), "-p".to_owned(), self.question.clone()]);
                }
                format!("{exe} {} -u {name} -- /bin/sh -c {line}", shell_words::join(flags))
            }
            "su" => format!("{exe} {} {name} -s /bin/sh -c {line}", shell_words::join(flags)),
            "doas" if user.password.is_none() => {
                format!("{exe} {} -u {name} -- /bin/sh -c {line}", shell_words::join(flags))
            }
            other => return Err(RemoteError::Become(format!("cannot become another user by {other} with a password"))),
        };
        if let Some(directory) = &user.directory {
            out = format!("cd {} && {out}", shell_words::quote(directory));
        }
        Ok(out)
    }

    /// Waits until the command runs as the other user; gives what it has said by then.
    pub async fn lead(&self, process: &mut Process, user: &Become) -> Result<(Vec<u8>, Vec<u8>), RemoteError> {
        let mut said = Said::default();
        let waiting = self.converse(process, user, &mut said);
        let outcome = tokio::time::timeout(self.patience, waiting).await;
        let what = match outcome {
            Ok(Ok(())) => return Ok(self.without_preamble(said)),
            Ok(Err(what)) => what,
            Err(_) => "Timed out",
        };
        let or_prompt = match (&user.password, said.answered) {
            (Some(_), None) => " or become password prompt",
            _ => "",
        };
        let mut message = format!("{what} waiting for become success{or_prompt}.");
        for (name, bytes) in [("Output", &said.stdout), ("Error", &said.stderr)] {
            let text = String::from_utf8_lossy(bytes);
            if !text.trim().is_empty() {
                message.push_str(&format!("\n>>> Standard {name}\n{}", text.trim_end()));
            }
        }
        Err(if outcome.is_err() { RemoteError::BecomeTimeout(message) } else { RemoteError::Become(message) })
    }

    /// Answers the prompt until success shows; an error is what went wrong.
    async fn converse(&self, process: &mut Process, user: &Become, said: &mut Said) -> Result<(), &'static str> {
        let (mut out, mut err) = ([0; 4096], [0; 4096]);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            tokio::select! {
                read = process.stdout.read(&mut out), if out_open => match read {
                    Ok(n) if n > 0 => said.stdout.extend_from_slice(out.get(..n).unwrap_or_default()),
                    _ => out_open = false,
                },
                read = process.stderr.read(&mut err), if err_open => match read {
                    Ok(n) if n > 0 => said.stderr.extend_from_slice(err.get(..n).unwrap_or_default()),
                    _ => err_open = false,
                },
            }
            if self.success_end(&said.stdout).is_some() {
                return Ok(());
            }
            let Some(password) = &user.password else { continue };
            if self.is_asked(user, said) {
                if said.answered.is_some() {
                    return Err("Duplicate become password prompt encountered");
                }
                said.answered = Some((said.stdout.len(), said.stderr.len()));
                let answer = format!("{}\n", password.expose());
                // A method that is gone says so by its end.
                let _ = process.stdin.write_all(answer.as_bytes()).await;
                let _ = process.stdin.flush().await;
            }
        }
        Err("Premature end of stream")
    }

    /// Where the command's own output starts.
    fn success_end(&self, stdout: &[u8]) -> Option<usize> {
        let text = stdout.windows(self.success.len()).position(|window| window == self.success.as_bytes())?;
        let end = text + self.success.len();
        // The whole line has to be there.
        let rest = stdout.get(end..)?;
        Some(end + rest.iter().position(|byte| *byte == b'\n')? + 1)
    }

    fn is_asked(&self, user: &Become, said: &Said) -> bool {
        let (out, err) = said.answered.unwrap_or_default();
        let fresh = [said.stdout.get(out..), said.stderr.get(err..)];
        fresh.into_iter().flatten().any(|bytes| self.asks(user, &String::from_utf8_lossy(bytes)))
    }

    /// Whether this is the method's question for a password.
    fn asks(&self, user: &Become, text: &str) -> bool {
        if user.spec.method == "sudo" {
            return text.contains(&self.question);
        }
        // The question is in the host's language, and waits behind a colon.
        let last = text.rsplit('\n').next().unwrap_or_default().trim_end().to_lowercase();
        let Some(asked) = last.strip_suffix(':').or_else(|| last.strip_suffix('：')) else { return false };
        let asked = asked.trim_end();
        // A complaint begins with the program's name and a colon, and may come in pieces. What is run may be a wrapper.
        let method = user.spec.method.as_str();
        let exe = user.spec.exe.as_deref().and_then(|exe| exe.rsplit('/').next()).unwrap_or(method);
        if [method, exe].iter().any(|name| name.to_lowercase() == asked) {
            return false;
        }
        user.prompts.is_empty() || user.prompts.iter().any(|prompt| asked.ends_with(&prompt.to_lowercase()))
    }

    /// The outputs without what was said before the command ran.
    fn without_preamble(&self, mut said: Said) -> (Vec<u8>, Vec<u8>) {
        let start = self.success_end(&said.stdout).unwrap_or_default();
        said.stdout.drain(..start);
        if let Some((_, asked)) = said.answered {
            said.stderr.drain(..asked.min(said.stderr.len()));
            if said.stderr.first() == Some(&b'\n') {
                said.stderr.remove(0);
            }
        }
        (said.stdout, said.stderr)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rplay_protocol::BecomeSpec;

    use super::*;
    use crate::connection::local::Local;
    use crate::connection::{ExecOptions, Secret};

    fn user(prompts: &[&str]) -> Become {
        Become {
            spec: BecomeSpec { method: "su".into(), user: "zoe".into(), exe: None, flags: None, has_password: true },
            password: Some(Secret::new("sesame")),
            prompts: prompts.iter().map(|p| (*p).to_owned()).collect(),
            directory: None,
            patience: None,
        }
    }

    async fn lead(script: &str, prompts: &[&str]) -> Result<(String, String), RemoteError> {
        let dialogue = Dialogue::new(Duration::from_millis(500));
        let script = script.replace("SUCCESS", &format!("echo {}", dialogue.success));
        let mut process = Local.exec(&script, ExecOptions::default()).unwrap();
        let (out, err) = dialogue.lead(&mut process, &user(prompts)).await?;
        let (mut out, mut err) = (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap());
        process.stdout.read_to_string(&mut out).await.unwrap();
        process.stderr.read_to_string(&mut err).await.unwrap();
        Ok((out, err))
    }

    #[tokio::test]
    async fn a_complaint_that_comes_in_pieces_is_no_question() {
        let script =
            "printf 'Password: ' >&2; read x; printf '\\nsu:' >&2; sleep 0.1; echo ' Authentication failure' >&2";
        let error = lead(script, &[]).await.unwrap_err().to_string();
        assert!(error.contains("Premature end of stream") && error.contains("su: Authentication failure"), "{error}");
        let mut wrapped = user(&[]);
        wrapped.spec.exe = Some("/opt/wrapper.sh".into());
        let dialogue = Dialogue::new(Duration::from_secs(1));
        assert!(!dialogue.asks(&wrapped, "\nsu:") && !dialogue.asks(&wrapped, "wrapper.sh: "));
        assert!(dialogue.asks(&wrapped, "Password: "));
    }

    #[tokio::test]
    async fn the_password_goes_to_the_prompt_and_nothing_of_it_stays() {
        let script = "echo motd; printf 'Password: ' >&2; read word; SUCCESS; echo $word; echo oops >&2";
        assert_eq!(lead(script, &[]).await.unwrap(), ("sesame\n".into(), "oops\n".into()));
        assert_eq!(lead(script, &["password"]).await.unwrap().0, "sesame\n");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told() {
        let refused = "printf 'Password: ' >&2; read word; echo 'su: Authentication failure' >&2";
        let error = lead(refused, &[]).await.unwrap_err();
        assert!(!error.is_unreachable());
        assert!(
            error.to_string().starts_with("Premature end of stream waiting for become success.\n>>> Standard Error")
        );
        let again = "printf 'Password: ' >&2; read word; printf 'Password: ' >&2; sleep 5";
        let error = lead(again, &[]).await.unwrap_err().to_string();
        assert!(error.starts_with("Duplicate become password prompt encountered waiting for become success."));
        let error = lead("printf 'Password: ' >&2; sleep 5", &["geheim"]).await.unwrap_err();
        assert!(error.is_unreachable());
        let words = "Timed out waiting for become success or become password prompt.\n>>> Standard Error\nPassword:";
        assert_eq!(error.to_string(), words);
    }
}
