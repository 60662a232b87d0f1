//! Runs the tables in `cases/`: an expression or template on one line, and on the next, indented, `= ` and the result as JSON
//! or `! ` and the error (or a part of it that identifies it). `⏎` stands for a newline. The results are what the reference
//! was observed to give for the variables of `cases/vars.yml`.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::{Fixed, Templar};
use crate::value::{Str, Value};

fn templar(vars: &str, search: Vec<std::path::PathBuf>) -> Templar {
    let vars = vars.to_owned();
    let value = crate::source::load_text("vars.yml", None, vars).unwrap().unwrap().to_value();
    let mut map = value.as_map().unwrap().clone();
    map.insert("omit".into(), Value::Omit);
    Templar::new(Arc::new(Fixed { map, search }))
}

/// The order of keys counts, and so does 1 against 1.0.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    serde_json::to_string(a).ok() == serde_json::to_string(b).ok()
}

fn check(table: &str, templar: impl Fn() -> Templar) {
    let mut wrong = Vec::new();
    let mut count = 0;
    let lines: Vec<&str> = table.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')).collect();
    for pair in lines.chunks(2) {
        let [expression, outcome] = pair else { panic!("a case without a result: {pair:?}") };
        let text = expression.replace('⏎', "\n");
        let template = if text.contains("{{") || text.contains("{%") { text } else { format!("{{{{ {text} }}}}") };
        let got = templar().string(&Str::trusted(template, None));
        count += 1;
        let outcome = outcome.trim_start();
        match (outcome.split_at(2), got) {
            (("= ", want), Ok(got)) => {
                let want: serde_json::Value = serde_json::from_str(want).unwrap_or_else(|e| panic!("{want}: {e}"));
                if !same(&got.to_json(), &want) {
                    wrong.push(format!("{expression}\n   want {want}\n   got  {}", got.to_json()));
                }
            }
            (("! ", want), Err(got)) => {
                if !got.message.replace('\n', "⏎").contains(want) {
                    wrong.push(format!("{expression}\n   want ! {want}\n   got  ! {}", got.message));
                }
            }
            ((_, want), Ok(got)) => wrong.push(format!("{expression}\n   want ! {want}\n   got  {}", got.to_json())),
            ((_, want), Err(got)) => wrong.push(format!("{expression}\n   want {want}\n   got  ! {}", got.message)),
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

macro_rules! tables {
    ($($name:ident)*) => {
        $(#[test] fn $name() {
            check(include_str!(concat!("cases/", stringify!($name), ".txt")), || templar(include_str!("cases/vars.yml"), Vec::new()));
        })*
    };
}

tables! { addresses address_tests networks core syntax undefined jinja data regex paths hashes lists tests random general utils types }

#[test]
fn lookups() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/template/cases/lookups");
    check(include_str!("cases/lookups.txt"), || templar(include_str!("cases/lookups/vars.yml"), vec![here.clone()]));
}

#[test]
fn general_lookups() {
    check(include_str!("cases/lookups/general.txt"), || templar(include_str!("cases/lookups/general.yml"), Vec::new()));
}

#[test]
fn collections() {
    check(include_str!("cases/collections.txt"), || templar(include_str!("cases/collections.yml"), Vec::new()));
}

#[test]
fn words() {
    check(include_str!("cases/words.txt"), || templar(include_str!("cases/words.yml"), Vec::new()));
}
