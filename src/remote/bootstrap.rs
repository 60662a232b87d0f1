//! First contact: a shell script of a few lines that starts the worker, or takes it in first.
//!
//! One command over one channel does everything: when the worker is on the host already, the script becomes it at once;
//! else it says so, reads the program from its standard input, puts it in place and becomes it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use super::RemoteError;

/// What the script prints when it needs the program: then the machine and how the program may be packed.
pub(super) const NEED: &[u8] = b"RPLAY-NEED ";

/// What the script prints when no directory will do.
pub(super) const NOWHERE: &[u8] = b"RPLAY-NOWHERE";

/// The script. `@BUILD@` is replaced by the build id, which is hexadecimal. No single quotes: it travels inside them.
const SCRIPT: &str = r#"umask 022; b=@BUILD@; u=$(id -u); h="${XDG_CACHE_HOME:-${HOME:-/nowhere}/.cache}/rplay"; v="/var/tmp/rplay-$u"; m="/dev/shm/rplay-$u"; mine() { set -- $(ls -ldn "$1" 2>/dev/null); case "$1" in d*) [ "$3" = "$u" ];; *) return 1;; esac; }; run() { [ -x "$1/$b/rplay" ] && exec "$1/$b/rplay" worker; }; run "$h"; mine "$v" && run "$v"; mine "$m" && run "$m"; for d in "$h" "$v" "$m"; do mkdir -p "$d/$b" 2>/dev/null || continue; mine "$d" || continue; t="$d/$b/.new.$$"; (: > "$t") 2>/dev/null || continue; chmod 755 "$t"; if [ ! -x "$t" ]; then rm -rf "$d/$b"; continue; fi; trap "rm -f \"$t\"" EXIT HUP INT TERM; if command -v gzip >/dev/null 2>&1; then z=gzip; else z=plain; fi; echo "RPLAY-NEED $(uname -m) $z"; read -r n || exit 1; if [ $z = gzip ]; then head -c "$n" | gzip -dc > "$t" || exit 1; else head -c "$n" > "$t" || exit 1; fi; mv -f "$t" "$d/$b/rplay" || exit 1; ls -1t "$d" | tail -n +3 | while read -r o; do case "$o" in *[!0-9a-f]*) ;; *) rm -rf "$d/$o";; esac; done; exec "$d/$b/rplay" worker; done; echo RPLAY-NOWHERE; exit 1"#;

/// The shell command that starts a worker of this build.
pub(super) fn command(build: &str) -> String {
    format!("exec /bin/sh -c '{}'", SCRIPT.replace("@BUILD@", build))
}

/// What tells one build of rplay from another: a hash of the program, computed once.
///
/// That takes some milliseconds: call it on a thread of its own as soon as it is clear that a host will be contacted.
pub fn build_id() -> Result<&'static str, RemoteError> {
    static ID: OnceLock<Result<String, String>> = OnceLock::new();
    let id = ID.get_or_init(|| {
        let path = own_path()?;
        let mut hash = Sha256::new();
        let read = std::fs::File::open(&path).and_then(|mut program| std::io::copy(&mut program, &mut hash));
        read.map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(hash.finalize().iter().take(10).map(|b| format!("{b:02x}")).collect())
    });
    id.as_deref().map_err(|e| RemoteError::Deploy(e.clone()))
}

fn own_path() -> Result<PathBuf, String> {
    // The link still leads to the program when the file was replaced by an upgrade in the meantime.
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        return Ok(link.to_path_buf());
    }
    std::env::current_exe().map_err(|e| format!("cannot find this program's own file: {e}"))
}

/// A program to bring to a host.
#[derive(Debug)]
pub struct Program {
    plain: Vec<u8>,
    packed: OnceLock<Vec<u8>>,
}

impl Program {
    /// The program for a machine as `uname -m` names it: this one, or one that lies beside it or in `RPLAY_WORKERS`.
    pub fn for_machine(machine: &str) -> Result<Arc<Self>, RemoteError> {
        static OWN: OnceLock<Result<Arc<Program>, String>> = OnceLock::new();
        let same = machine == std::env::consts::ARCH || (machine == "amd64" && std::env::consts::ARCH == "x86_64");
        if same {
            let own = OWN.get_or_init(|| own_path().and_then(|path| Self::read(&path)));
            return own.clone().map_err(RemoteError::Deploy);
        }
        let name = format!("rplay-{machine}-linux");
        let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
        let given = std::env::var_os("RPLAY_WORKERS").map(PathBuf::from);
        let found = given.iter().chain(beside.iter()).map(|place| place.join(&name)).find(|path| path.is_file());
        match found {
            Some(path) => Self::read(&path).map_err(RemoteError::Deploy),
            None => Err(RemoteError::Deploy(format!(
                "the host is a {machine} machine, and there is no `{name}` beside rplay or in RPLAY_WORKERS"
            ))),
        }
    }

    fn read(path: &Path) -> Result<Arc<Self>, String> {
        let plain = std::fs::read(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok(Arc::new(Self { plain, packed: OnceLock::new() }))
    }

    /// The program as it travels, packed with gzip or not.
    pub(super) fn bytes(&self, gzip: bool) -> &[u8] {
        if !gzip {
            return &self.plain;
        }
        self.packed.get_or_init(|| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
            // Writing to memory does not fail.
            let packed = encoder.write_all(&self.plain).and_then(|()| encoder.finish());
            packed.unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_travels_in_single_quotes_on_one_line() {
        assert!(!SCRIPT.contains('\'') && !SCRIPT.contains('\n'));
        assert!(command("00ff").contains("b=00ff;"));
    }
}
