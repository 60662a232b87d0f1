//! `user` and `env`: who the worker runs as, and its environment.

use rplay_protocol::Object;
use serde_json::Value;

use super::Gather;

pub(super) fn gather(gather: &Gather<'_>, facts: &mut Object) {
    let uid = gather.host.uid();
    if let Ok(Some(user)) = gather.host.user_by_id(uid) {
        facts.insert("user_id".into(), user.name.into());
        facts.insert("user_uid".into(), user.uid.into());
        facts.insert("user_gid".into(), user.gid.into());
        facts.insert("user_gecos".into(), user.gecos.into());
        facts.insert("user_dir".into(), user.home.to_string_lossy().into_owned().into());
        facts.insert("user_shell".into(), user.shell.into());
    }
    facts.insert("real_user_id".into(), rustix::process::getuid().as_raw().into());
    facts.insert("effective_user_id".into(), uid.into());
    facts.insert("real_group_id".into(), rustix::process::getgid().as_raw().into());
    facts.insert("effective_group_id".into(), rustix::process::getegid().as_raw().into());
}

pub(super) fn environment(gather: &Gather<'_>, facts: &mut Object) {
    let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
    let mut all: Object = std::env::vars_os().map(|(k, v)| (text(k), Value::String(text(v)))).collect();
    for (name, value) in gather.host.environment() {
        all.insert(name.clone(), Value::String(value.clone()));
    }
    facts.insert("env".into(), Value::Object(all));
}
