//! `json_query`: JMESPath, as the collection `community.general` has it.

use minijinja::{Error, Value as Jinja};

use crate::template::call::{Call, Spec, ansible, fail};
use crate::value::Value;

pub(super) const FILTERS: &[Spec] =
    &[ansible(&["json_query", "community.general.json_query"], &["data", "expr"], json_query)];

fn json_query(call: &mut Call<'_, '_, '_>) -> Result<Jinja, Error> {
    let expression = call.text(1)?;
    let wrong = |e: &jmespath::JmespathError| fail(format!("JMESPathError in json_query filter plugin:\n{e}"));
    let compiled = jmespath::compile(&expression).map_err(|e| wrong(&e))?;
    let found = compiled.search(call.value(0)?.to_json()).map_err(|e| wrong(&e))?;
    let json = serde_json::to_value(&*found).map_err(|e| fail(e.to_string()))?;
    Ok(Value::from_json(&json).to_jinja())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use std::sync::Arc;

    use serde_json::json;

    use crate::template::{Fixed, Templar};
    use crate::value::{Map, Str, Value};

    #[test]
    fn answers_queries() {
        let hosts = json!([{"name": "a", "port": 1, "up": true}, {"name": "b", "port": 22, "up": false}]);
        let map = Map::from_iter([("hosts".into(), Value::from_json(&hosts))]);
        let templar = Templar::new(Arc::new(Fixed { map, search: Vec::new() }));
        let cases = [
            ("[*].name", json!(["a", "b"])),
            ("[?up].port", json!([1])),
            ("[?name=='b'].port | [0]", json!(22)),
            ("[].{n: name, p: port} | [1]", json!({"n": "b", "p": 22})),
            ("length(@)", json!(2)),
            ("[0].nope", json!(null)),
        ];
        for (query, want) in cases {
            let text = format!("{{{{ hosts | json_query(\"{query}\") }}}}");
            assert_eq!(templar.string(&Str::trusted(text, None)).unwrap().to_json(), want, "{query}");
        }
        let error = templar.string(&Str::trusted("{{ hosts | community.general.json_query('[') }}", None)).unwrap_err();
        assert!(error.message.contains("JMESPathError"), "{}", error.message);
    }
}
