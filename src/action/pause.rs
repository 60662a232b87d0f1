//! `pause`: waits, on the controller, once for all hosts.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::{ActionContext, ActionError, flag, text};
use crate::console;
use crate::value::{Map, Value};

/// `pause`: waits for its time, or for a line that is typed. Without a terminal there is nobody to wait for, which is said
/// and not a failure.
pub(super) async fn pause(ctx: &ActionContext<'_>, args: &Map) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, args)?;
    if args.contains_key("minutes") && args.contains_key("seconds") {
        return Err(ActionError::failed("parameters are mutually exclusive: minutes|seconds"));
    }
    let (wait, unit, each) = match (number(args, "seconds")?, number(args, "minutes")?) {
        (Some(seconds), _) => (Some(seconds), "seconds", 1.0),
        (None, Some(minutes)) => (Some(minutes * 60.0), "minutes", 60.0),
        (None, None) => (None, "minutes", 60.0),
    };
    let now = || Value::from(jiff::Zoned::now().strftime("%F %T.%6f").to_string());
    let mut out = Map::from_iter([("start".into(), now())]);
    let began = Instant::now();
    let echo = flag(args, "echo", true);
    let prompt = text(args, "prompt");
    let mut answer = String::new();
    match wait {
        Some(seconds) => {
            if let Some(prompt) = prompt.filter(|_| std::io::stdin().is_terminal()) {
                console::say(&format!("[{}]\n{prompt}:\n", title(ctx)));
            }
            // As there, no pause is shorter than a second.
            let seconds = seconds.max(1.0);
            console::say(&format!("Pausing for {seconds} seconds\n"));
            let most = Duration::from_secs(u64::MAX / 4);
            tokio::time::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(most)).await;
        }
        None if std::io::stdin().is_terminal() => {
            let prompt = prompt.unwrap_or_else(|| "Press enter to continue, Ctrl+C to interrupt".to_owned());
            let hidden = if echo { "" } else { " (output is hidden)" };
            console::say(&format!("[{}]\n{prompt}{hidden}:\n", title(ctx)));
            let read = console::line(echo).await;
            let read = read.map_err(|e| ActionError::failed(format!("cannot read from the terminal: {e}")))?;
            answer = read.unwrap_or_default();
        }
        None => {
            let warning = "Not waiting for response to prompt as stdin is not interactive";
            out.insert("warnings".into(), Value::list(vec![warning.into()]));
        }
    }
    let paused = (began.elapsed().as_secs_f64() / each * 100.0).round() / 100.0;
    out.insert("stdout".into(), Value::from(format!("Paused for {paused:?} {unit}")));
    out.insert("stop".into(), now());
    out.insert("delta".into(), Value::Int(began.elapsed().as_secs().try_into().unwrap_or(i64::MAX)));
    out.insert("stderr".into(), "".into());
    out.insert("user_input".into(), answer.into());
    out.insert("echo".into(), Value::Bool(echo));
    out.insert("rc".into(), Value::Int(0));
    out.insert("changed".into(), Value::Bool(false));
    Ok(out)
}

/// How long to wait, in whole units as Python's `int()` reads them.
fn number(args: &Map, name: &str) -> Result<Option<f64>, ActionError> {
    let Some(value) = args.get(name) else { return Ok(None) };
    let wrong = |why: String| {
        let kind = crate::template::python_type(value);
        ActionError::failed(format!("argument '{name}' is of type {kind} and we were unable to convert to int: {why}"))
    };
    match value {
        Value::Null => Ok(None),
        Value::Int(number) => Ok(Some(*number as f64)),
        Value::Bool(flag) => Ok(Some(f64::from(u8::from(*flag)))),
        Value::Float(number) => Ok(Some(number.trunc())),
        Value::Str(text) => match text.as_str().trim().parse::<i64>() {
            Ok(number) => Ok(Some(number as f64)),
            Err(_) => {
                let shown = Value::list(vec![value.clone()]).to_text();
                let shown = shown.trim_start_matches('[').trim_end_matches(']');
                Err(wrong(format!("invalid literal for int() with base 10: {shown}")))
            }
        },
        other => Err(wrong(format!(
            "int() argument must be a string, a bytes-like object or a real number, not '{}'",
            crate::template::python_type(other)
        ))),
    }
}

/// What the task is called where it asks.
fn title(ctx: &ActionContext<'_>) -> String {
    let named = ctx.name.and_then(|name| ctx.templar.string(name).ok());
    named.map_or_else(|| ctx.written.to_owned(), |name| name.to_text())
}
