//! What `with_<lookup>` makes of its terms, as the reference was seen to.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use serde_json::json;

use super::loop_items_for;
use crate::template::{Fixed, Templar};

fn templar(search: &std::path::Path) -> (Templar, crate::value::Value) {
    let text = include_str!("../cases/loops.yml").to_owned();
    let all = crate::source::load_text("loops.yml", None, text).unwrap().unwrap().to_value();
    let map = all.get("vars").and_then(|v| v.as_map().cloned()).unwrap();
    (Templar::new(Arc::new(Fixed { map, search: vec![search.to_path_buf()] })), all.get("loops").unwrap().clone())
}

#[test]
fn terms_become_items() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/template/cases/lookups");
    let (templar, loops) = templar(&here);
    for case in loops.as_list().unwrap() {
        let mut entries = case.as_map().unwrap().iter();
        let (lookup, terms) = entries.next().unwrap();
        let (_, want) = entries.next().unwrap();
        let lookup = lookup.as_str().unwrap().strip_prefix("with_").unwrap();
        let got = match loop_items_for("debug", lookup, terms, &templar) {
            Ok(items) => json!(items.iter().map(crate::value::Value::to_json).collect::<Vec<_>>()),
            Err(error) => json!(error.message),
        };
        let got = got.to_string().replace(&here.display().to_string(), "HERE");
        assert_eq!(got, want.to_json().to_string(), "with_{lookup}: {}", terms.to_json());
    }
}
