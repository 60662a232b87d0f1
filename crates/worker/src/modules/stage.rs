//! For tests: a little host below a temporary directory, with programs that write down how they were called.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::args;
use crate::host::{Content, Host, WriteOptions};
use crate::module::{Failure, Module, Outcome};

/// A temporary host: files live below `root`, programs in a directory that is first on `PATH`.
pub(super) struct Stage {
    dir: tempfile::TempDir,
}

impl Stage {
    /// A host with these files.
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        let stage = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(stage.dir.path().join("bin")).unwrap();
        // The programs are found under the same path below the root, where a host looks for them.
        let within = stage.real(&stage.dir.path().to_string_lossy());
        std::fs::create_dir_all(&within).unwrap();
        std::os::unix::fs::symlink(stage.dir.path().join("bin"), within.join("bin")).unwrap();
        for (path, content) in files {
            stage.file(path, content);
        }
        stage
    }

    /// Puts a file there.
    pub(super) fn file(&self, path: &str, content: &str) {
        let real = self.real(path);
        std::fs::create_dir_all(real.parent().unwrap()).unwrap();
        std::fs::write(real, content).unwrap();
    }

    /// Where a path of the host really is.
    pub(super) fn real(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    /// A file's content.
    pub(super) fn text(&self, path: &str) -> String {
        std::fs::read_to_string(self.real(path)).unwrap_or_default()
    }

    /// A program: notes its name, arguments and standard input, then does what the shell lines say (`$R` is the root).
    pub(super) fn program(&self, name: &str, lines: &str) -> &Self {
        let path = self.dir.path().join("bin").join(name);
        let log = self.dir.path().join("log");
        let root = self.dir.path().join("root");
        let script = format!(
            "#!/bin/sh\nR={root}\nprintf '%s' {name} >>{log}\nfor a in \"$@\"; do printf ' %s' \"[$a]\" >>{log}; done\n\
             case {name} in chpasswd) printf ' <'; cat;; esac >>{log}\necho >>{log}\n{lines}\n",
            root = root.display(),
            log = log.display(),
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// How the programs were called since the last time this was asked.
    pub(super) fn calls(&self) -> Vec<String> {
        let log = self.dir.path().join("log");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let _ = std::fs::remove_file(&log);
        text.lines().filter(|l| !l.is_empty()).map(ToOwned::to_owned).collect()
    }

    /// The host.
    pub(super) fn host(&self) -> Host {
        let path = format!("{}:/usr/bin:/bin", self.dir.path().join("bin").display());
        Host::at(self.dir.path().join("root")).with_environment(vec![("PATH".into(), path)])
    }

    /// Calls a module for real.
    pub(super) fn call<M: Module>(&self, args: Value) -> Result<Outcome, Failure> {
        call::<M>(&self.host(), &args)
    }

    /// Calls a module in check mode.
    pub(super) fn check<M: Module>(&self, args: Value) -> Result<Outcome, Failure> {
        call::<M>(&self.host().checking(true), &args)
    }

    /// Whether something is at a path.
    pub(super) fn exists(&self, path: &str) -> bool {
        Path::new(&self.real(path)).exists()
    }
}

/// Calls a module on a host.
pub(super) fn call<M: Module>(host: &Host, args: &Value) -> Result<Outcome, Failure> {
    let module: M = args::parse(args.as_object().unwrap())?;
    module.check().map_err(Failure::new)?;
    module.run(host)
}

/// Gives the file `/f` of a host its content.
pub(super) fn put(host: &Host, content: &str) {
    let content = Content::from(content.as_bytes().to_vec());
    host.write_file(Path::new("/f"), &content, &WriteOptions::default()).unwrap();
}

/// Calls a module that edits a file, on `/f` unless the arguments say otherwise.
pub(super) fn edit<M: Module>(host: &Host, mut args: Value) -> Result<Outcome, Failure> {
    args.as_object_mut().unwrap().entry("path").or_insert("/f".into());
    call::<M>(host, &args)
}

/// Dry, for real, and again: the dry run predicts and changes nothing. Gives the content, the first and the second outcome.
pub(super) fn edited<M: Module>(content: &str, args: &Value) -> (String, Outcome, Outcome) {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::at(dir.path());
    put(&host, content);
    let dry = edit::<M>(&Host::at(dir.path()).checking(true), args.clone()).unwrap();
    assert_eq!(host.text("/f").unwrap(), content, "the dry run changed something: {args}");
    let first = edit::<M>(&host, args.clone()).unwrap();
    assert_eq!((dry.changed, &dry.fields["msg"]), (first.changed, &first.fields["msg"]), "{args}");
    let text = host.text("/f").unwrap();
    (text, first, edit::<M>(&host, args.clone()).unwrap())
}
