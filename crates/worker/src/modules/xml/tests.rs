#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::super::stage::Stage;
use super::*;

const HEAD: &str = "<?xml version='1.0' encoding='UTF-8'?>\n";
const FILE: &str = "<b t=\"x\">\n  <n>Tasty</n>\n  <!-- c -->\n  <l>\n    <i>one</i>\n    <i c=\"red\">two</i>\n  </l>\n  <e/>\n  <m>a<u>b</u>c</m>\n</b>";

/// The content after a change, which is predicted first and made once; `None` where nothing changes.
fn change(args: &Value, again: bool) -> Option<String> {
    let file = format!("{HEAD}{FILE}");
    let stage = Stage::new(&[("/f.xml", &file)]);
    let mut all = json!({"path": "/f.xml"});
    all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
    let dry = stage.check::<Xml>(all.clone()).unwrap();
    assert_eq!(stage.text("/f.xml"), file);
    let made = stage.call::<Xml>(all.clone()).unwrap();
    assert_eq!((dry.changed, dry.diffs), (made.changed, made.diffs), "{args}");
    let text = stage.text("/f.xml");
    assert_eq!(stage.call::<Xml>(all).unwrap().changed, again, "{args}");
    made.changed.then(|| text.strip_prefix(HEAD).unwrap().to_owned())
}

#[test]
fn values_are_set() {
    for (args, from, to) in [
        (json!({"xpath": "/b/n", "value": "New & <old>"}), "Tasty", "New &amp; &lt;old&gt;"),
        (json!({"xpath": "/b/n", "value": 11}), "Tasty", "11"),
        (json!({"xpath": "/b/m", "value": "q"}), "<m>a<u>", "<m>q<u>"),
        (json!({"xpath": "//i[@c='red']", "value": "3"}), "two", "3"),
        (json!({"xpath": "/b/n", "attribute": "k", "value": "a\"&'"}), "<n>", "<n k=\"a&quot;&amp;'\">"),
        (json!({"xpath": "/b", "attribute": "t", "value": "y"}), "t=\"x\"", "t=\"y\""),
        (json!({"xpath": "/b/l/i[last()]/@c", "state": "absent"}), "<i c=\"red\">", "<i>"),
        (json!({"xpath": "/b/l/i[1]", "state": "absent"}), "<i>one</i>\n    ", ""),
        (json!({"xpath": "/b/l/*", "state": "absent"}), "<i>one</i>\n    <i c=\"red\">two</i>\n  ", ""),
        (json!({"xpath": "/b/m/u", "state": "absent"}), "<u>b</u>", ""),
        (json!({"xpath": "/b/comment()", "state": "absent"}), "<!-- c -->\n  ", ""),
        (
            json!({"xpath": "/b/l", "set_children": [{"i": "x"}]}),
            "<i>one</i>\n    <i c=\"red\">two</i>\n  ",
            "<i>x</i>",
        ),
        (json!({"xpath": "/b/l", "set_children": []}), "<i>one</i>\n    <i c=\"red\">two</i>\n  ", ""),
    ] {
        let again = args["xpath"] == "/b/l/i[1]";
        assert_eq!(change(&args, again).unwrap(), FILE.replacen(from, to, 1), "{args}");
    }
    for args in [
        json!({"xpath": "/b/n", "value": "Tasty"}),
        json!({"xpath": "/b/none", "state": "absent"}),
        json!({"xpath": "/b/e"}),
        json!({"xpath": "/b/n", "value": null}),
        json!({"xpath": "/b/l", "set_children": [{"i": "one"}, {"i": {"c": "red", "+value": "two"}}]}),
        json!({"xpath": "/b/none", "add_children": ["x"]}),
        json!({"pretty_print": true, "xpath": "/b/e"}),
    ] {
        assert!(change(&args, false).is_none(), "{args}");
    }
}

#[test]
fn what_is_missing_is_made() {
    for (xpath, value, made) in [
        ("/b/p", Some("1"), "<p>1</p>"),
        ("/b/p/q/r", Some("1"), "<p><q><r>1</r></q></p>"),
        ("/b/p/@k", None, "<p k=\"\"/>"),
        ("/b/p/@k='v'", None, "<p k=\"v\"/>"),
        ("/b/p[@k='v w']", Some("1"), "<p k=\"v w\">1</p>"),
        ("/b/p[@k='1' and @l=\"2\"]/q", None, "<p k=\"1\" l=\"2\"><q/></p>"),
        ("/b/p[@k='1'][@l='2']", None, "<p k=\"1\" l=\"2\"/>"),
        ("/b/p[text()='v']", None, "<p>v</p>"),
        ("/b/p[q/text()='v']", None, "<p><q>v</q></p>"),
        ("/b/p/text()='v'", None, "<p>v</p>"),
        ("/b/n[@k='1']", None, "<n k=\"1\"/>"),
        ("//b/p", None, "<p/>"),
    ] {
        let wanted = FILE.replacen("</b>", &format!("{made}</b>"), 1);
        assert_eq!(change(&json!({"xpath": xpath, "value": value}), false).unwrap(), wanted, "{xpath}");
    }
}

#[test]
fn children_are_added() {
    let kids = json!([{"i": "x"}, "p"]);
    for (args, from, to) in [
        (json!({"xpath": "/b/l"}), "  </l>", "  <i>x</i><p/></l>"),
        (json!({"xpath": "/b/l/i", "insertbefore": true}), "<i>one", "<i>x</i><p/><i>one"),
        (json!({"xpath": "/b/l/i", "insertafter": true}), "  </l>", "  <i>x</i><p/></l>"),
        (json!({"xpath": "/b/n", "insertafter": true}), "<!--", "<i>x</i><p/><!--"),
    ] {
        let mut all = args.clone();
        all["add_children"] = kids.clone();
        assert_eq!(change(&all, true).unwrap(), FILE.replacen(from, to, 1), "{args}");
    }
    let deep = json!({"xpath": "/b/e", "add_children": [{"h": {"n": "1", "+value": "t", "_": [{"f": "2"}, "g"]}}]});
    assert_eq!(change(&deep, true).unwrap(), FILE.replacen("<e/>", "<e><h n=\"1\">t<f>2</f><g/></h></e>", 1));
    let xml = json!({"xpath": "/b/e", "input_type": "xml", "add_children": ["<h a='1'>t<g/></h>"]});
    assert_eq!(change(&xml, true).unwrap(), FILE.replacen("<e/>", "<e><h a=\"1\">t<g/></h></e>", 1));
    let pretty = json!({"xpath": "/b/l", "pretty_print": true, "add_children": ["p"]});
    assert_eq!(change(&pretty, true).unwrap(), FILE.replacen("  </l>", "    <p/>\n  </l>", 1) + "\n");
}

#[test]
fn matches_are_told() {
    let file = format!("{HEAD}{FILE}");
    let told = |args: Value| {
        let mut all = json!({"xmlstring": file});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        let mut told = Stage::new(&[]).call::<Xml>(all).unwrap();
        assert!(!told.changed && told.fields["xmlstring"] == file.as_str());
        told.fields.remove("actions");
        told.fields.remove("xmlstring");
        Value::from(told.fields)
    };
    assert_eq!(told(json!({"xpath": "//i", "count": true})), json!({"count": 2, "msg": "found 2 nodes"}));
    let ways = "selector '//i|//n' match: [\"/b/n\", \"/b/l/i[1]\", \"/b/l/i[2]\"]";
    assert_eq!(told(json!({"xpath": "//i|//n", "print_match": true})), json!({"matches": [], "msg": ways}));
    let wanted = json!({"matches": [{"i": "one"}, {"i": "two"}], "count": 2, "msg": 2});
    assert_eq!(told(json!({"xpath": "//i", "content": "text"})), wanted);
    let wanted = json!({"matches": [{"i": {}}, {"i": {"c": "red"}}], "count": 2, "msg": 2});
    assert_eq!(told(json!({"xpath": "//i", "content": "attribute"})), wanted);
    assert_eq!(
        told(json!({"xpath": "/b/e", "content": "text"})),
        json!({"matches": [{"e": null}], "count": 1, "msg": 1})
    );
}

#[test]
fn namespaces_have_prefixes() {
    let file = "<f xmlns=\"u:x\" xmlns:z=\"u:z\"><g z:k=\"1\"/></f>";
    for (args, wanted) in [
        (json!({"xpath": "/x:f/x:g", "attribute": "q:k", "value": "2"}), "<g z:k=\"2\"/>"),
        (
            json!({"xpath": "/x:f/x:g", "attribute": "n:k", "value": "2"}),
            "<g xmlns:ns0=\"u:n\" z:k=\"1\" ns0:k=\"2\"/>",
        ),
        (json!({"xpath": "/x:f/x:g/@q:k", "state": "absent"}), "<g/>"),
        (json!({"xpath": "/x:f/x:h", "value": "v"}), "<g z:k=\"1\"/><h>v</h>"),
        (json!({"xpath": "/x:f/n:h"}), "<g z:k=\"1\"/><ns0:h xmlns:ns0=\"u:n\"/>"),
        (json!({"xpath": "/x:f", "add_children": [{"{u:z}h": "v"}]}), "<g z:k=\"1\"/><z:h>v</z:h>"),
    ] {
        let mut all = json!({"xmlstring": file, "namespaces": {"x": "u:x", "q": "u:z", "n": "u:n"}});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        let made = Stage::new(&[]).call::<Xml>(all).unwrap();
        let wanted = format!("{HEAD}<f xmlns=\"u:x\" xmlns:z=\"u:z\">{wanted}</f>");
        assert_eq!(made.fields["xmlstring"], wanted, "{args}");
    }
}

#[test]
fn what_is_beside_the_tree_stays() {
    let file = "<?xml version=\"1.0\"?>\n<!DOCTYPE r SYSTEM \"x.dtd\">\n<?p i?>\n<r a='\"'><x><![CDATA[a < b]]></x>\r\n</r>\n<!-- e -->\n";
    let made = |strip: bool, pretty: bool| {
        let args = json!({"xmlstring": file, "xpath": "/r/@b='1'", "strip_cdata_tags": strip, "pretty_print": pretty});
        Stage::new(&[]).call::<Xml>(args).unwrap().fields["xmlstring"].as_str().unwrap().to_owned()
    };
    let head = format!("{HEAD}<!DOCTYPE r SYSTEM \"x.dtd\">\n<?p i?>");
    let root = "<r a=\"&quot;\" b=\"1\">";
    assert_eq!(made(false, false), format!("{head}{root}<x><![CDATA[a < b]]></x>\n</r><!-- e -->"));
    assert_eq!(made(true, true), format!("{head}\n{root}\n  <x>a &lt; b</x>\n</r>\n<!-- e -->\n"));
}

#[test]
fn what_cannot_be_is_told() {
    for (args, word) in [
        (json!({"path": "/f.xml", "xmlstring": "<a/>"}), "mutually exclusive: path|xmlstring"),
        (json!({"path": null}), "one of the following is required: path, xmlstring"),
        (json!({"xpath": "/b", "count": true, "value": "1"}), "mutually exclusive: add_children|content|"),
        (json!({"xpath": "/b", "attribute": "a"}), "required by 'attribute': value"),
        (json!({"value": "a"}), "required by 'value': xpath"),
        (json!({"count": true}), "count is True but all of the following are missing: xpath"),
        (json!({"path": "/none"}), "The target XML source '/none' does not exist."),
        (json!({"path": "/bad"}), "Error while parsing document: /bad"),
        (json!({"xpath": "/b/["}), "Syntax error in xpath expression: /b/["),
        (json!({"xpath": "nosuch()", "count": true}), "Syntax error in xpath expression"),
        (json!({"xpath": "/q:b", "count": true}), "Syntax error in xpath expression"),
        (json!({"xpath": "//none"}), "Can't process Xpath //none in order to spawn nodes!"),
        (json!({"xpath": "/none/x"}), "in order to spawn nodes!"),
        (json!({"xpath": "/b/n[2]"}), "in order to spawn nodes!"),
        (json!({"xpath": "/b/n[position()>7]"}), "in order to spawn nodes!"),
        (json!({"xpath": "/b/n/text()", "value": "x"}), "does not reference a node!"),
        (json!({"xpath": "/b/@t", "value": "x"}), "does not reference a node!"),
        (json!({"xpath": "count(//i)", "print_match": true}), "does not reference a node!"),
        (json!({"xpath": "//none", "content": "text"}), "does not reference a node!"),
        (json!({"xpath": "/b", "state": "absent"}), "Couldn't delete xpath target: /b"),
        (json!({"xpath": "/b", "add_children": [{"a": "b", "c": "d"}]}), "hashes with one key"),
        (json!({"xpath": "/b", "add_children": [["a"]]}), "Invalid child type: <class 'list'>"),
        (json!({"xpath": "/b", "add_children": [{"a": {"_": "b"}}]}), "must be list"),
        (json!({"xpath": "/b", "add_children": ["a b"]}), "Invalid tag name"),
        (json!({"xpath": "/b", "add_children": ["<a"], "input_type": "xml"}), "Error while parsing child element"),
        (json!({"xpath": "/b/n", "attribute": "q:a", "value": "1"}), "the prefix q is not among"),
    ] {
        let stage = Stage::new(&[("/f.xml", FILE), ("/bad", "<r><a></r>")]);
        let mut all = json!({"path": "/f.xml"});
        all.as_object_mut().unwrap().extend(args.as_object().unwrap().clone());
        if all["path"].is_null() {
            all.as_object_mut().unwrap().remove("path");
        }
        let failure = stage.call::<Xml>(all).unwrap_err();
        assert!(failure.msg.contains(word), "{args}: {}", failure.msg);
        assert_eq!(stage.text("/f.xml"), FILE);
    }
}
