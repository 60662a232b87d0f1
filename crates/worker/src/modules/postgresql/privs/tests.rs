//! What is asked of the server.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::args;

fn privs(given: Value) -> Privs {
    let mut all = json!({"db": "d", "roles": "r"});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    args::parse(all.as_object().unwrap()).unwrap()
}

#[test]
fn statements_are_made() {
    let roles = ["\"a\"".to_owned(), "PUBLIC".to_owned()];
    for (given, wanted) in [
        (
            json!({"privs": "select,INSERT", "objs": "t,u"}),
            "GRANT INSERT,SELECT ON table \"public\".\"t\",\"public\".\"u\" TO \"a\",PUBLIC;",
        ),
        (
            json!({"privs": "ALL", "objs": "x\"y; drop"}),
            "GRANT ALL ON table \"public\".\"x\"\"y; drop\" TO \"a\",PUBLIC;",
        ),
        (
            json!({"privs": "ALL", "type": "database", "state": "absent"}),
            "REVOKE ALL ON database \"d\" FROM \"a\",PUBLIC;",
        ),
        (
            json!({"privs": "ALL", "objs": "ALL_IN_SCHEMA", "type": "sequence", "schema": "s"}),
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA \"s\" TO \"a\",PUBLIC;",
        ),
        (
            json!({"privs": "EXECUTE", "objs": "f(int:text),g()", "type": "function"}),
            "GRANT EXECUTE ON function \"public\".\"f\"(int,text),\"public\".\"g\"() TO \"a\",PUBLIC;",
        ),
        (
            json!({"objs": "g", "type": "group", "admin_option": false}),
            "GRANT \"g\" TO \"a\",PUBLIC;\nREVOKE ADMIN OPTION FOR \"g\" FROM \"a\",PUBLIC;",
        ),
        (
            json!({"privs": "SELECT", "objs": "TABLES", "type": "default_privs", "target_roles": "o,p", "schema": "not-specified", "grant_option": true}),
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"o\",\"p\" REVOKE ALL ON TABLES FROM \"a\",PUBLIC;\n\
             ALTER DEFAULT PRIVILEGES FOR ROLE \"o\",\"p\" GRANT SELECT ON TABLES TO \"a\",PUBLIC WITH GRANT OPTION;",
        ),
        (
            json!({"privs": "SET", "objs": "a.b", "type": "parameter"}),
            "GRANT SET ON parameter \"a\".\"b\" TO \"a\",PUBLIC;",
        ),
    ] {
        let privs = privs(given);
        privs.check().unwrap();
        assert_eq!(privs.statement(&roles).unwrap(), wanted);
    }
}

#[test]
fn what_cannot_be_is_told() {
    for (given, wanted) in [
        (json!({"objs": "t"}), "Argument \"privs\" is required for type \"table\"."),
        (json!({"privs": "SELECT"}), "Argument \"objs\" is required for type \"table\"."),
        (json!({"privs": "x", "objs": "g", "type": "group"}), "Argument \"privs\" not allowed for type \"group\"."),
        (
            json!({"privs": "ALL", "type": "database", "schema": "s"}),
            "Argument \"schema\" is not allowed for type \"database\".",
        ),
        (json!({"privs": "BOGUS,SELECT", "objs": "t"}), "Invalid privileges specified: frozenset({'BOGUS'})"),
        (
            json!({"privs": "ALL", "objs": "x", "type": "default_privs"}),
            "Invalid Object set specified: frozenset({'X'})",
        ),
        (
            json!({"privs": "USAGE", "objs": "TABLES", "type": "default_privs"}),
            "Invalid priv specified. Valid object for priv: frozenset(). Objects: frozenset({'TABLES'})",
        ),
        (
            json!({"privs": "EXECUTE", "objs": "f(int); drop table x", "type": "function"}),
            "'f(int); drop table x' is not a routine's name with the types of its arguments",
        ),
    ] {
        assert_eq!(privs(given).check(), Err(wanted.to_owned()));
    }
}
