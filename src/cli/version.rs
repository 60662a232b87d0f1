//! `--version` under the reference's names: its shape, with this program's facts.

use std::path::Path;

use crate::vars::ANSIBLE_VERSION;

/// The lines of `--version`.
pub fn lines(applet: &str, config_file: Option<&Path>) -> String {
    let file = config_file.map_or_else(|| "None".to_owned(), |path| path.display().to_string());
    let program = std::env::current_exe().map(|path| path.display().to_string()).unwrap_or_default();
    let own = env!("CARGO_PKG_VERSION");
    format!(
        "{applet} [core {ANSIBLE_VERSION}]\n  config file = {file}\n  configured module search path = []\n  \
         ansible python module location = None (rplay {own} has its modules built in)\n  \
         ansible collection location = None\n  executable location = {program}\n  python version = None\n  \
         jinja version = None (minijinja)\n  pyyaml version = None\n"
    )
}
