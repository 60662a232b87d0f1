//! `wait_for_connection` and `reboot`: actions about the connection itself.

use std::time::{Duration, Instant};

use super::{ActionContext, ActionError, Hands, list, text};
use crate::remote::Call;
use crate::value::{Map, Value};

fn seconds(args: &Map, name: &str, default: f64) -> Result<Duration, ActionError> {
    let Some(text) = text(args, name) else { return Ok(Duration::from_secs_f64(default)) };
    // As in the reference, a time before now is now.
    let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
    number
        .and_then(|n| Duration::try_from_secs_f64(n.max(0.0)).ok())
        .ok_or_else(|| ActionError::failed(format!("{name}: '{text}' is not a number of seconds")))
}

/// Logs in and has the worker answer; gives up after `limit`.
async fn answers(hands: &dyn Hands, limit: Duration) -> Result<(), String> {
    let ping = hands.calls("ansible.builtin.ping", vec![Call::default()]);
    match tokio::time::timeout(limit, ping).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
    }
}

/// How long a host may take to answer once it is asked, its first worker on the way there included. That it cannot be
/// reached shows sooner: making a connection has a limit of its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tries until the host answers; a try that has begun is not cut off by the deadline, as in the reference.
async fn until_answers(
    hands: &dyn Hands,
    patience: Duration,
    sleep: Duration,
    deadline: Instant,
) -> Result<(), String> {
    loop {
        hands.reset().await;
        match answers(hands, patience).await {
            Ok(()) => return Ok(()),
            Err(last) if Instant::now() + sleep >= deadline => return Err(last),
            Err(_) => tokio::time::sleep(sleep).await,
        }
    }
}

/// `wait_for_connection`: waits until the host can be logged in to.
pub(super) async fn wait_for_connection(
    ctx: &ActionContext<'_>,
    args: &Map,
    hands: &dyn Hands,
) -> Result<Map, ActionError> {
    ctx.known_options(args)?;
    ctx.check_args(ctx.module, args)?;
    let began = Instant::now();
    let patience = seconds(args, "connect_timeout", 5.0)?.max(PATIENCE);
    let timeout = seconds(args, "timeout", 600.0)?;
    let sleep = seconds(args, "sleep", 1.0)?;
    if ctx.check {
        return Ok(Map::from_iter([
            ("skipped".into(), Value::Bool(true)),
            ("elapsed".into(), Value::Int(0)),
            ("changed".into(), Value::Bool(false)),
        ]));
    }
    tokio::time::sleep(seconds(args, "delay", 0.0)?).await;
    let outcome = until_answers(hands, patience, sleep, began + timeout).await;
    let elapsed = Value::Int(began.elapsed().as_secs().try_into().unwrap_or(i64::MAX));
    let mut out = Map::from_iter([("elapsed".into(), elapsed), ("changed".into(), Value::Bool(false))]);
    match outcome {
        Ok(()) => Ok(out),
        Err(last) => {
            out.insert("msg".into(), format!("timed out waiting for ping module test: {last}").into());
            Err(ActionError::Failed(out))
        }
    }
}

/// `reboot`: restarts the host and waits until it is back.
pub(super) async fn reboot(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    let began = Instant::now();
    if hands.is_local() {
        return Err(ActionError::Failed(Map::from_iter([
            ("msg".into(), Value::from("Running reboot with local connection would reboot the control node.")),
            ("elapsed".into(), Value::Int(0)),
            ("rebooted".into(), Value::Bool(false)),
            ("changed".into(), Value::Bool(false)),
        ])));
    }
    ctx.known_options(args)?;
    ctx.check_args(ctx.module, args)?;
    let elapsed = || Value::Int(began.elapsed().as_secs().try_into().unwrap_or(i64::MAX));
    if ctx.check {
        return Ok(Map::from_iter([
            ("changed".into(), Value::Bool(true)),
            ("rebooted".into(), Value::Bool(true)),
            ("elapsed".into(), Value::Int(0)),
        ]));
    }
    let timeout = seconds(args, "reboot_timeout", 600.0)?;
    let connect = seconds(args, "connect_timeout", 5.0)?.max(Duration::from_secs(1));
    let boot_time = text(args, "boot_time_command").unwrap_or_else(|| "cat /proc/sys/kernel/random/boot_id".to_owned());
    let before = shell(hands, &boot_time).await?;
    let command = reboot_command(args);
    // The host may be gone before it answers.
    let sent = tokio::time::timeout(Duration::from_secs(60), shell(hands, &command)).await;
    if let Ok(Ok(done)) = &sent
        && done.rc > 0
    {
        let mut out = done.clone().into_map();
        out.insert("msg".into(), format!("Reboot command failed, error was: {} {}", done.stdout, done.stderr).into());
        out.insert("rebooted".into(), Value::Bool(false));
        return Err(ActionError::Failed(out));
    }
    tokio::time::sleep(seconds(args, "post_reboot_delay", 0.0)?).await;
    let deadline = began + timeout;
    let late = |what: &str| {
        let msg = format!("Timed out waiting for {what} (timeout={})", timeout.as_secs());
        ActionError::Failed(Map::from_iter([
            ("msg".into(), msg.into()),
            ("rebooted".into(), Value::Bool(true)),
            ("changed".into(), Value::Bool(true)),
        ]))
    };
    loop {
        // A boot id that differs tells that the host went down and came back, however fast.
        let up = until_answers(hands, connect, Duration::from_millis(500), deadline).await;
        up.map_err(|_| late("last boot time check"))?;
        match tokio::time::timeout(connect.max(Duration::from_secs(10)), shell(hands, &boot_time)).await {
            Ok(Ok(now)) if now.rc == 0 && now.stdout != before.stdout => break,
            _ if Instant::now() >= deadline => return Err(late("last boot time check")),
            _ => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    }
    let test = text(args, "test_command").unwrap_or_else(|| "whoami".to_owned());
    loop {
        match shell(hands, &test).await {
            Ok(done) if done.rc == 0 => break,
            _ if Instant::now() >= deadline => return Err(late("post-reboot test command")),
            Ok(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            Err(_) => {
                hands.reset().await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    Ok(Map::from_iter([
        ("changed".into(), Value::Bool(true)),
        ("rebooted".into(), Value::Bool(true)),
        ("elapsed".into(), elapsed()),
    ]))
}

/// The command that restarts the host, after the delay asked for.
fn reboot_command(args: &Map) -> String {
    if let Some(command) = text(args, "reboot_command") {
        return command;
    }
    let message = text(args, "msg").unwrap_or_else(|| "Reboot initiated by rplay".to_owned());
    let delay = text(args, "pre_reboot_delay").and_then(|d| d.trim().parse::<f64>().ok()).unwrap_or(0.0);
    let minutes = (delay / 60.0).floor() as u64;
    let mut paths = list(args, "search_paths");
    if paths.is_empty() {
        paths = ["/sbin", "/bin", "/usr/sbin", "/usr/bin", "/usr/local/sbin"].map(ToOwned::to_owned).to_vec();
    }
    let path = shell_words::quote(&paths.join(":")).into_owned();
    format!(
        "PATH={path}:$PATH; export PATH; exec shutdown -r {} {}",
        if minutes == 0 { "now".to_owned() } else { format!("+{minutes}") },
        shell_words::quote(&message)
    )
}

#[derive(Debug, Clone)]
struct Done {
    rc: i64,
    stdout: String,
    stderr: String,
}

impl Done {
    fn into_map(self) -> Map {
        Map::from_iter([
            ("rc".into(), Value::Int(self.rc)),
            ("stdout".into(), self.stdout.into()),
            ("stderr".into(), self.stderr.into()),
        ])
    }
}

/// Runs a line of shell on the host, as the user the task becomes.
async fn shell(hands: &dyn Hands, line: &str) -> Result<Done, ActionError> {
    let mut args = rplay_protocol::Object::new();
    args.insert("_raw_params".into(), line.into());
    let answers = hands.calls("ansible.builtin.shell", vec![Call { args, content: None }]).await?;
    let result = answers.into_iter().next().map(|a| crate::value::from_object(&a.result)).unwrap_or_default();
    Ok(Done {
        rc: result.get("rc").and_then(Value::as_int).unwrap_or(-1),
        stdout: text(&result, "stdout").unwrap_or_default(),
        stderr: text(&result, "stderr").unwrap_or_default(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::future::BoxFuture;

    use super::*;
    use crate::action::{Executed, Opened};
    use crate::remote::{Answer, RemoteError};

    /// A host that takes its time to answer.
    struct Slow(Duration);

    impl Hands for Slow {
        fn calls(&self, _: &'static str, _: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
            Box::pin(async {
                tokio::time::sleep(self.0).await;
                Ok(Vec::new())
            })
        }

        fn queries(&self, module: &'static str, calls: Vec<Call>) -> BoxFuture<'_, Result<Vec<Answer>, RemoteError>> {
            self.calls(module, calls)
        }

        fn exec(&self, _: String) -> BoxFuture<'_, Result<Executed, RemoteError>> {
            Box::pin(async { Ok(Executed::default()) })
        }

        fn open(&self, _: String) -> BoxFuture<'_, Result<Opened, RemoteError>> {
            Box::pin(async { Err(RemoteError::BecomeTimeout(String::new())) })
        }

        fn delegate(&self) -> Option<&str> {
            None
        }

        fn is_local(&self) -> bool {
            false
        }

        fn reset(&self) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
    }

    #[tokio::test]
    async fn a_try_that_has_begun_may_end() {
        let (now, sleep) = (Instant::now(), Duration::from_millis(1));
        let slow = Slow(Duration::from_millis(50));
        assert!(until_answers(&slow, PATIENCE, sleep, now).await.is_ok());
        assert!(until_answers(&slow, sleep, sleep, now).await.unwrap_err().starts_with("no answer"));
    }
}
