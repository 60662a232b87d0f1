//! `synchronize`: rsync between here and the host, over the login that the run has already.
//!
//! rsync starts this program as its remote shell (`rplay tunnel`), which asks the run, over a socket that only this user can
//! open, to start rsync's other half on the host. So a bastion, keys, passwords and becoming a user are the run's.

pub mod tunnel;

use std::path::PathBuf;

use super::{ActionContext, ActionError, Hands, flag, text};
use crate::playbook::{expand_home, find_file};
use crate::remote::Call;
use crate::value::{Map, Value};

/// What rsync writes before the name of each file that it changes.
const MARK: &str = "<<CHANGED>>";

/// Where the two ends are.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    /// Both here, or one at an rsync daemon.
    Here,
    /// Both on the host.
    There,
    /// From here to the host.
    Push,
    /// From the host to here.
    Pull,
}

pub(super) async fn synchronize(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Map, ActionError> {
    ctx.check_args(ctx.module, args)?;
    check(args).map_err(ActionError::failed)?;
    let ends = ends(ctx, args, hands)?;
    let (src, dest) = places(ctx, args, ends);
    let program = match ctx.templar.variable("ansible_rsync_path")? {
        Some(path) if ends != Ends::There && !path.is_null() => path.to_text(),
        _ => "rsync".to_owned(),
    };
    let mut words = vec![program];
    words.extend(options(args, ctx.check));
    let mut tunnel = None;
    if matches!(ends, Ends::Push | Ends::Pull) {
        let open =
            tunnel::Tunnel::open().map_err(|e| ActionError::failed(format!("cannot make a socket for rsync: {e}")))?;
        words.push(format!("--rsh={}", open.command().map_err(|e| ActionError::failed(e.to_string()))?));
        tunnel = Some(open);
    }
    words.extend(text(args, "rsync_path").map(|path| format!("--rsync-path={path}")));
    words.extend(more_options(args));
    words.push(format!("--out-format={MARK}%i %n%L"));
    words.extend([src, dest]);
    let done = match tunnel {
        Some(tunnel) => tunnel.run(&words, hands).await?,
        None if ends == Ends::There => there(&words, hands).await?,
        None => tunnel::here(&words).await?,
    };
    result(ctx, args, &words, &done)
}

fn check(args: &Map) -> Result<(), String> {
    for name in ["private_key", "dest_port"] {
        if args.get(name).is_some_and(|value| !value.is_null()) {
            let how = if name == "dest_port" { "ansible_port" } else { "ansible_ssh_private_key_file" };
            return Err(format!("synchronize goes over the login of the run: set {how} instead of {name}"));
        }
    }
    match text(args, "mode").as_deref() {
        None | Some("push" | "pull") => Ok(()),
        Some(other) => Err(format!("value of mode must be one of: pull, push, got: {other}")),
    }
}

fn ends(ctx: &ActionContext<'_>, args: &Map, hands: &dyn Hands) -> Result<Ends, ActionError> {
    let of_daemon = ["src", "dest"].iter().any(|name| text(args, name).is_some_and(|path| path.contains("rsync://")));
    match hands.delegate() {
        // A task that is delegated runs rsync where it is delegated to, between that host and its own.
        Some(_) if hands.is_local() => Ok(Ends::Here),
        Some(name) if name == ctx.host || of_daemon => Ok(Ends::There),
        Some(name) => {
            let msg = format!(
                "synchronize from `{name}` to `{}` is not supported: delegate to localhost or to the host itself",
                ctx.host
            );
            Err(ActionError::failed(msg))
        }
        None if hands.is_local() || of_daemon => Ok(Ends::Here),
        None if text(args, "mode").as_deref() == Some("pull") => Ok(Ends::Pull),
        None => Ok(Ends::Push),
    }
}

/// The two paths as rsync gets them.
fn places(ctx: &ActionContext<'_>, args: &Map, ends: Ends) -> (String, String) {
    let (src, dest) = (text(args, "src").unwrap_or_default(), text(args, "dest").unwrap_or_default());
    let far = |path: String| format!("rplay:{path}");
    match ends {
        Ends::Here => (local(ctx, src, true), local(ctx, dest, false)),
        Ends::There => (plain(src), plain(dest)),
        Ends::Push => (local(ctx, src, true), far(dest)),
        Ends::Pull => (far(src), local(ctx, dest, false)),
    }
}

/// A path that is no option.
fn plain(path: String) -> String {
    if path.starts_with('-') { format!("./{path}") } else { path }
}

/// A path here, absolute; a slash at its end means what is in it, and stays.
fn local(ctx: &ActionContext<'_>, path: String, is_source: bool) -> String {
    if path.contains("rsync://") {
        return path;
    }
    let found = if is_source { find_file(&path, "files", ctx.search) } else { None };
    let beside = || ctx.search.last().cloned().unwrap_or_default().join(expand_home(&path));
    let place: PathBuf = std::path::absolute(found.unwrap_or_else(beside)).unwrap_or_else(|_| PathBuf::from(&path));
    let mut shown = place.display().to_string();
    if path.ends_with('/') && !shown.ends_with('/') {
        shown.push('/');
    }
    shown
}

/// The options that come before the remote shell.
fn options(args: &Map, check: bool) -> Vec<String> {
    let mut out = Vec::new();
    let mut add = |given: bool, options: &[&str]| {
        if given {
            out.extend(options.iter().map(|option| (*option).to_owned()));
        }
    };
    add(flag(args, "delay_updates", true), &["--delay-updates", "-F"]);
    add(flag(args, "compress", true), &["--compress"]);
    let timeout = text(args, "rsync_timeout").filter(|seconds| seconds != "0").map(|s| format!("--timeout={s}"));
    add(timeout.is_some(), &[timeout.as_deref().unwrap_or_default()]);
    add(check, &["--dry-run"]);
    add(flag(args, "delete", false), &["--delete-after"]);
    add(flag(args, "existing_only", false), &["--existing"]);
    add(flag(args, "checksum", false), &["--checksum"]);
    add(flag(args, "copy_links", false), &["--copy-links"]);
    let archive = flag(args, "archive", true);
    add(archive, &["--archive"]);
    for name in ["recursive", "links", "perms", "times", "owner", "group"] {
        match flag(args, name, archive) {
            false if archive => add(true, &[&format!("--no-{name}")]),
            true if !archive => add(true, &[&format!("--{name}")]),
            _ => {}
        }
    }
    add(flag(args, "dirs", false), &["--dirs"]);
    out
}

/// Those that come after it.
fn more_options(args: &Map) -> Vec<String> {
    let mut out = list(args, "rsync_opts");
    if flag(args, "partial", false) {
        out.push("--partial".to_owned());
    }
    let linked = list(args, "link_dest");
    if !linked.is_empty() {
        out.extend(["-H".to_owned(), "-vv".to_owned()]);
        out.extend(linked.iter().map(|path| format!("--link-dest={path}")));
    }
    out
}

fn list(args: &Map, name: &str) -> Vec<String> {
    match args.get(name) {
        Some(Value::List(items)) => items.iter().map(Value::to_text).collect(),
        Some(value) if !value.is_null() => value.to_text().split(',').map(|part| part.trim().to_owned()).collect(),
        _ => Vec::new(),
    }
}

/// Runs rsync on the host, between two places there.
async fn there(words: &[String], hands: &dyn Hands) -> Result<super::Executed, ActionError> {
    let mut object = rplay_protocol::Object::new();
    object.insert("argv".into(), words.to_vec().into());
    object.insert("expand_argument_vars".into(), false.into());
    object.insert("strip_empty_ends".into(), false.into());
    // In check mode a dry run of rsync's says what would be, so the command itself is always run.
    let answers = hands.queries("ansible.builtin.command", vec![Call { args: object, content: None }]).await?;
    let answer = answers.into_iter().next().ok_or_else(|| ActionError::failed("the host did not answer"))?;
    let result = crate::value::from_object(&answer.result);
    let Some(rc) = result.get("rc").and_then(Value::as_int) else { return Err(ActionError::Failed(result)) };
    let bytes = |name: &str| text(&result, name).unwrap_or_default().into_bytes();
    Ok(super::Executed { rc: i32::try_from(rc).unwrap_or(1), stdout: bytes("stdout"), stderr: bytes("stderr") })
}

fn result(ctx: &ActionContext<'_>, args: &Map, words: &[String], done: &super::Executed) -> Result<Map, ActionError> {
    let mut out = Map::new();
    out.insert("cmd".into(), shell_words::join(words).into());
    out.insert("rc".into(), Value::Int(done.rc.into()));
    if done.rc != 0 {
        let said = if done.stderr.is_empty() { &done.stdout } else { &done.stderr };
        out.insert("changed".into(), Value::Bool(false));
        out.insert("msg".into(), String::from_utf8_lossy(said).into_owned().into());
        return Err(ActionError::Failed(out));
    }
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    // Asked to be talkative, rsync names what it leaves alone too.
    let talkative = !list(args, "link_dest").is_empty();
    let counts = |line: &str| line.strip_prefix(MARK).is_some_and(|rest| !talkative || !rest.starts_with('.'));
    out.insert("changed".into(), Value::Bool(said.lines().any(counts)));
    let clean = said.replace(MARK, "");
    let lines: Vec<Value> = clean.lines().map(|line| Value::from(line.to_owned())).collect();
    if ctx.diff {
        out.insert("diff".into(), Value::map(Map::from_iter([("prepared".into(), Value::from(clean.clone()))])));
    }
    out.insert("msg".into(), clean.into());
    out.insert("stdout_lines".into(), Value::list(lines));
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(args: serde_json::Value) -> Map {
        crate::value::from_object(args.as_object().unwrap())
    }

    #[test]
    fn options_are_rsyncs() {
        let shown = |given: serde_json::Value, check: bool| {
            let args = args(given);
            [options(&args, check), more_options(&args)].concat().join(" ")
        };
        assert_eq!(shown(json!({}), false), "--delay-updates -F --compress --archive");
        assert_eq!(
            shown(json!({"delete": true}), true),
            "--delay-updates -F --compress --dry-run --delete-after --archive"
        );
        let without = json!({"times": false, "owner": "no", "group": false, "perms": false, "recursive": false});
        assert_eq!(
            shown(without, false),
            "--delay-updates -F --compress --archive --no-recursive --no-perms --no-times --no-owner --no-group"
        );
        let all = json!({"archive": false, "recursive": true, "links": true, "checksum": true, "compress": false,
            "delete": true, "rsync_opts": ["--exclude=.git", "--no-motd"], "rsync_timeout": 9, "partial": true,
            "existing_only": true, "copy_links": true, "dirs": true, "delay_updates": false, "link_dest": ["/a", "/b"]});
        assert_eq!(
            shown(all, false),
            "--timeout=9 --delete-after --existing --checksum --copy-links --recursive --links --dirs --exclude=.git \
             --no-motd --partial -H -vv --link-dest=/a --link-dest=/b"
        );
    }

    #[test]
    fn what_would_be_another_login_is_refused() {
        assert!(check(&args(json!({"private_key": "/k"}))).unwrap_err().contains("ansible_ssh_private_key_file"));
        assert!(check(&args(json!({"dest_port": 23}))).unwrap_err().contains("ansible_port"));
        assert!(check(&args(json!({"mode": "shove"}))).unwrap_err().contains("must be one of: pull, push"));
        assert_eq!(check(&args(json!({"mode": "pull", "dest_port": null}))), Ok(()));
    }
}
