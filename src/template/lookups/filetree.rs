//! The lookup `community.general.filetree`: everything below directories, as what a task has to make of it.

use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use minijinja::Error;

use super::{Lookup, files};
use crate::config::absolute_path;
use crate::template::call::fail;
use crate::template::files::name_of;
use crate::template::python;
use crate::value::{Map, Value};

/// One dictionary for each directory, file and link below the terms; what an earlier term has is left out of later ones.
/// Directories come first, else names are in the order in which the file system has them, as in the reference. A directory that
/// is not there has nothing in it.
pub(super) fn run(lookup: &Lookup<'_>) -> Result<Vec<Value>, Error> {
    let (mut out, mut seen) = (Vec::new(), HashSet::new());
    for term in &lookup.terms {
        let found = files::find(lookup, &python::text(term), "files").map(|root| absolute_path(&root));
        if let Some(root) = found.filter(|root| root.is_dir()) {
            below(&root, "", &mut seen, &mut out)?;
        }
    }
    Ok(out)
}

fn below(root: &Path, directory: &str, seen: &mut HashSet<String>, out: &mut Vec<Value>) -> Result<(), Error> {
    let place = root.join(directory);
    let attempted = |e: std::io::Error| fail(format!("cannot read the directory '{}': {e}", place.display()));
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(&place).map_err(attempted)? {
        names.push(entry.map_err(attempted)?.file_name().to_string_lossy().into_owned());
    }
    // A link to a directory counts as one for the order, and is not followed.
    names.sort_by_key(|name| !place.join(name).is_dir());
    for name in &names {
        let path = format!("{directory}{name}");
        let full = root.join(&path);
        let meta = full.symlink_metadata().map_err(|e| fail(format!("cannot stat '{}': {e}", full.display())))?;
        if let Some(entry) = entry(root, &path, &full, &meta)
            && seen.insert(path)
        {
            out.push(entry);
        }
    }
    for name in names.iter().filter(|name| place.join(name).symlink_metadata().is_ok_and(|meta| meta.is_dir())) {
        below(root, &format!("{directory}{name}/"), seen, out)?;
    }
    Ok(())
}

/// What is told of one path; nothing of sockets, devices and pipes.
fn entry(root: &Path, path: &str, full: &Path, meta: &Metadata) -> Option<Value> {
    let (state, src) = match meta.file_type() {
        kind if kind.is_dir() => ("directory", None),
        kind if kind.is_symlink() => ("link", std::fs::read_link(full).ok().map(|target| target.display().to_string())),
        kind if kind.is_file() => ("file", Some(full.display().to_string())),
        _ => return None,
    };
    let moment = |seconds: i64, nanos: i64| Value::Float(seconds as f64 + nanos as f64 * 1e-9);
    let named = |id: u32, list: &str| name_of(id, list).map_or_else(|| Value::Int(id.into()), Value::from);
    let mut out = Map::new();
    let mut set = |key: &str, value: Value| out.insert(key.into(), value);
    set("root", root.display().to_string().into());
    set("path", path.into());
    set("state", state.into());
    if let Some(src) = src {
        set("src", src.into());
    }
    set("uid", Value::Int(meta.uid().into()));
    set("gid", Value::Int(meta.gid().into()));
    set("owner", named(meta.uid(), "/etc/passwd"));
    set("group", named(meta.gid(), "/etc/group"));
    set("mode", format!("0{:03o}", meta.mode() & 0o7777).into());
    set("size", Value::Int(meta.size().try_into().unwrap_or(i64::MAX)));
    set("mtime", moment(meta.mtime(), meta.mtime_nsec()));
    set("ctime", moment(meta.ctime(), meta.ctime_nsec()));
    Some(Value::map(out))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use crate::template::{Fixed, Templar};
    use crate::value::{Map, Str};

    #[test]
    fn trees_are_told_with_directories_first_and_the_first_of_a_name_counts() {
        let dir = tempfile::tempdir().unwrap();
        let files = dir.path().join("files");
        for (path, content) in [("web/b", "bb"), ("web/sub/c", ""), ("over/b", "")] {
            let path = files.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        symlink("/nowhere", files.join("web/a")).unwrap();
        let templar = Templar::new(Arc::new(Fixed { map: Map::new(), search: vec![dir.path().to_path_buf()] }));
        let told = |template: &str| templar.string(&Str::trusted(template, None)).unwrap().to_text();
        let path = dir.path().display().to_string();
        let tree = "{{ query('filetree', 'over', 'web/', 'nope') | map('dict2items') }}";
        let paths = "{% for f in query('filetree', 'over', '../files/web/', 'nope') %}{{ f.state }} {{ f.path }} {{ f.src | d('-') }} {{ f.size if f.state == 'file' }};{% endfor %}";
        let wanted = format!(
            "file b {path}/files/over/b 0;directory sub - ;link a /nowhere ;file sub/c {path}/files/web/sub/c 0;"
        );
        assert_eq!(told(paths), wanted);
        for part in ["'root'", "'mode'", "'0644'", "'mtime'", "'owner'", "'gid'"] {
            assert!(told(tree).contains(part), "{part}");
        }
    }
}
