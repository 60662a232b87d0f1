//! The playbook language, held against traces of what the reference does.

#![allow(clippy::unwrap_used)]

mod case;
mod diagnostics;
mod run;

use case::Case;

/// Runs one of the project's own cases.
fn check(name: &str) {
    check_file(&case::directory().join(format!("{name}.case")));
}

/// Runs every case of the directory that `LANGUAGE_CASES` names, and tells which differ.
#[test]
#[ignore = "needs a directory of generated cases, as tests/fuzz/run makes one"]
fn cases_elsewhere() {
    let directory = std::env::var_os("LANGUAGE_CASES").expect("LANGUAGE_CASES names a directory of cases");
    let files = std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    let mut cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|ending| ending == "case")).collect();
    cases.sort();
    assert!(!cases.is_empty(), "there is no case");
    let differ: Vec<_> = cases
        .iter()
        .filter(|path| std::panic::catch_unwind(|| check_file(path)).is_err())
        .map(|p| p.display())
        .collect();
    for path in &differ {
        println!("differs: {path}");
    }
    assert!(differ.is_empty(), "{} of {} cases differ", differ.len(), cases.len());
}

/// Runs a case and compares its trace with what it says.
fn check_file(path: &std::path::Path) {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let case = Case::parse(&std::fs::read_to_string(path).unwrap());
    let temp = tempfile::tempdir().unwrap();
    let root = temp.path().canonicalize().unwrap();
    case.write(&root);
    let ran = run::run(&root, &case.args);
    if ran.trace != case.expect {
        let diff = similar::TextDiff::from_lines(&case.expect, &ran.trace);
        let mut said: String = ran.diagnostics.iter().map(|d| format!("{d}\n")).collect();
        said.extend(ran.failures().into_iter().map(|message| format!("{message}\n")));
        panic!("{name}: - the reference, + this\n{}\n{said}", diff.unified_diff().context_radius(3));
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[test] fn $name() { check(stringify!($name)); })*

        /// A case file that nobody runs would say nothing.
        #[test]
        fn every_case_is_run() {
            let mut listed: Vec<&str> = vec![$(stringify!($name)),*];
            listed.sort_unstable();
            let files = std::fs::read_dir(case::directory()).unwrap();
            let mut found: Vec<String> =
                files.map(|f| f.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
            found.sort();
            assert_eq!(listed, found);
        }
    };
}

include!("list.rs");
