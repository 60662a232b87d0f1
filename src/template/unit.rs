//! Values, conditions and trust, as templates evaluate them.
#![allow(clippy::unwrap_used)]

use super::*;

fn templar(vars: &str) -> Templar {
    let node = crate::source::load_text("vars.yml", None, vars.to_owned()).unwrap();
    let map = node.map(|n| n.to_value().as_map().unwrap().clone()).unwrap_or_default();
    Templar::new(Arc::new(Fixed { map, search: Vec::new() }))
}

fn render(templar: &Templar, text: &str) -> Result<serde_json::Value, TemplateError> {
    templar.string(&Str::trusted(text, None)).map(|v| v.to_json())
}

#[test]
fn evaluates_natively_and_lazily() {
    let t = templar(
        "n: 5\nbad: '{{ nope }}'\ntwo: '{{ n * 2 }}'\nd: {k: '{{ two }}', l: ['{{ n }}', x]}\ne: {x: '{{ nope }}', y: 2, z: text}\nword: w\nkeyed: {word: wrong, w: right}\n",
    );
    let cases = [
        ("{{ two }}", serde_json::json!(10)),
        ("{{ d }}", serde_json::json!({"k": 10, "l": [5, "x"]})),
        ("{{ d.l[0] + 1 }}", serde_json::json!(6)),
        ("x={{ none }}y", serde_json::json!("x=y")),
        ("{{ none }}", serde_json::json!(null)),
        ("{% if n == 5 %}{{ n }}{% endif %}", serde_json::json!(5)),
        // White space around text is part of it, and it ends with as many newlines as the template.
        ("{{ e.z }}\n", serde_json::json!("text\n")),
        (" {{ e.z }} ", serde_json::json!(" text ")),
        ("{{ word }}\n", serde_json::json!("w\n")),
        // A name in brackets is a variable.
        ("{{ keyed[word] }}", serde_json::json!("right")),
        ("{{ keyed['word'] }}", serde_json::json!("wrong")),
        (" {{ word }}", serde_json::json!(" w")),
        ("{{ word }}\n\n", serde_json::json!("w\n\n")),
        ("{% if n == 5 %}\nx\n{% endif %}\n", serde_json::json!("x\n")),
        ("{{ d.l }}\n", serde_json::json!([5, "x"])),
        ("{% if n == 6 %}{{ n }}{% endif %}", serde_json::json!(null)),
        ("{{ 1 }}{{ 2 }}", serde_json::json!("12")),
        ("{{ bad is defined }}", serde_json::json!(false)),
        ("{{ bad | default('dflt') }}", serde_json::json!("dflt")),
        ("{{ e.x is defined }} {{ e.y }}", serde_json::json!("False 2")),
        (
            "{{ d.nope is defined }} {{ d.nope.foo is not defined }} {{ zz.nope.foo | default('q') }}",
            serde_json::json!("False True q"),
        ),
        ("{{ zz['a'].b[n]['c'] | d(1) }} {{ d.k | default(2) }}", serde_json::json!("1 10")),
        ("[{{ d.l }}] {{ true }}", serde_json::json!("[[5, 'x']] True")),
        ("{{ n }}\n", serde_json::json!(5)),
        ("{{ n }}\n\n", serde_json::json!("5\n\n")),
        ("x {{ n }}\n", serde_json::json!("x 5\n")),
        ("{{ d.l + ['z'] }}", serde_json::json!([5, "x", "z"])),
        ("{{ d.items() | list }}", serde_json::json!([["k", 10], ["l", [5, "x"]]])),
        ("{{ d == {'k': 10, 'l': [5, 'x']} }}", serde_json::json!(true)),
        ("{% for k, v in d.items() %}{{ k }}:{{ v }};{% endfor %}", serde_json::json!("k:10;l:[5, 'x'];")),
        (
            "{{ d.keys() | list }} {{ 'k' in d }} {{ d.l | length }} {{ 'x' in d.l }}",
            serde_json::json!("['k', 'l'] True 2 True"),
        ),
        ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(n) }}", serde_json::json!("<5>")),
    ];
    for (text, want) in cases {
        assert_eq!(render(&t, text).unwrap_or_else(|e| panic!("{text}: {e}")), want, "{text}");
    }
}

#[test]
fn what_is_undefined_is_named_with_its_place() {
    let t = templar("bad: '{{ nope }}'\nserver_name: x\nself: '{{ self2 }}'\nself2: '{{ self }}'\nd: {}\n");
    let error = render(&t, "{{ bad }}").unwrap_err();
    assert_eq!(error.message, "'nope' is undefined");
    assert_eq!(error.span.unwrap().location().to_string(), "vars.yml:1:10");
    let error = render(&t, "{{ sever_name }}").unwrap_err();
    assert_eq!(error.nearest.as_deref(), Some("server_name"));
    let error = render(&t, "{{ d.a }}").unwrap_err();
    assert_eq!(error.message, "object of type 'dict' has no attribute 'a'");
    assert!(render(&t, "{{ self }}").unwrap_err().message.contains("recursive"), "loops end");
    assert!(render(&t, "{% if nope %}x{% endif %}").is_err());
    assert!(render(&t, "{{ nope and true }}").is_err());
}

#[test]
fn conditions_must_be_boolean() {
    let t = templar("n: 5\nok: true\n");
    let check = |text: &str| t.condition(&Value::Str(Str::trusted(text, None)));
    assert!(check("n == 5").unwrap());
    assert!(!check("not ok").unwrap());
    assert!(check("n").unwrap_err().message.contains("type 'int'"));
    assert!(check("{{ n == 5 }}").unwrap());
    assert!(t.condition(&Value::Bool(true)).unwrap());
    for empty in [Value::Null, Value::Str(Str::trusted(" ", None)), Value::Str(Str::trusted("{{ '' }}", None))] {
        assert_eq!(t.condition(&empty).unwrap_err().message, "Empty conditional expressions are not allowed.");
    }
}

#[test]
fn data_is_never_a_template() {
    let mut map = Map::new();
    map.insert("evil".into(), Value::data("{{ 1 + 1 }}"));
    let t = Templar::new(Arc::new(Fixed { map, search: Vec::new() }));
    assert_eq!(render(&t, "{{ evil }}").unwrap(), serde_json::json!("{{ 1 + 1 }}"));
    assert_eq!(render(&t, "a {{ evil }}").unwrap(), serde_json::json!("a {{ 1 + 1 }}"));
}
