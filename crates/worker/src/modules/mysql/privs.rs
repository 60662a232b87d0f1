//! Privileges: as a task says them, as a server shows them, and what has to be granted and revoked.

use indexmap::IndexMap;
use serde_json::Value;

use crate::mysql::sql::ident;

/// What may be done, by what it may be done to (as it is written in a statement).
pub type Privileges = IndexMap<String, Vec<String>>;

/// Reads the privileges of a task, `db.table:priv,priv/db.table:priv` or a dictionary.
pub fn wanted(value: &Value, case_sensitive: bool) -> Result<Privileges, String> {
    let mut found = Privileges::new();
    let mut add = |object: &str, list: &str| -> Result<(), String> {
        let list = list_of(list, case_sensitive);
        if list.is_empty() {
            return Err(format!("no privilege is given on `{object}`"));
        }
        found.insert(object_of(object)?, list);
        Ok(())
    };
    match value {
        Value::Object(map) => {
            for (object, list) in map {
                let list = match list {
                    Value::String(text) => text.clone(),
                    Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
                    _ => return Err(format!("the privileges on `{object}` are no text")),
                };
                add(object, &list)?;
            }
        }
        Value::String(text) => {
            for part in split_outside(text, '/', "`'\"") {
                let part = part.trim();
                let colon = part.rfind(':').ok_or_else(|| format!("`{part}` has no privileges after a colon"))?;
                let (object, list) = part.split_at(colon);
                add(object, list.get(1..).unwrap_or_default())?;
            }
        }
        _ => return Err("privileges are a text or a dictionary".to_owned()),
    }
    // Without a word about everything, a user has the right to log in.
    found.entry("*.*".to_owned()).or_insert_with(|| vec!["USAGE".to_owned()]);
    Ok(found)
}

/// Reads what `SHOW GRANTS` shows.
pub fn granted(lines: &[String], case_sensitive: bool) -> Privileges {
    let mut found = Privileges::new();
    for line in lines {
        let Some(rest) = line.strip_prefix("GRANT ") else { continue };
        let Some((list, rest)) = rest.split_once(" ON ") else { continue };
        if list == "PROXY" {
            continue;
        }
        // The name may hold the word, in backticks.
        let parts = split_words(rest, " TO ");
        let Some(object) = parts.first().and_then(|object| object_of(object).ok()) else { continue };
        let mut list = list_of(list, case_sensitive);
        if line.contains("WITH GRANT OPTION") && !list.contains(&"GRANT".to_owned()) {
            list.insert(0, "GRANT".to_owned());
        }
        let kept: &mut Vec<String> = found.entry(object).or_default();
        kept.extend(list);
    }
    found
}

/// A list of privileges; commas within brackets are part of one.
fn list_of(text: &str, case_sensitive: bool) -> Vec<String> {
    let list = split_outside(text, ',', "`");
    list.iter()
        .map(|privilege| one(privilege.trim(), case_sensitive))
        .filter(|privilege| !privilege.is_empty())
        .collect()
}

fn one(text: &str, case_sensitive: bool) -> String {
    let text = match text.split_once('(') {
        Some((name, columns)) => {
            let columns = if case_sensitive { columns.to_owned() } else { columns.to_uppercase() };
            // The server shows columns in an order of its own.
            let mut columns: Vec<&str> =
                columns.trim_end_matches(')').split(',').map(|c| c.trim().trim_matches('`')).collect();
            columns.sort_unstable();
            let columns = columns.join(", ");
            format!("{} ({columns})", name.trim().to_uppercase())
        }
        None => text.to_uppercase(),
    };
    match text.as_str() {
        "ALL PRIVILEGES" => "ALL".to_owned(),
        "GRANT OPTION" => "GRANT".to_owned(),
        _ => text,
    }
}

/// What privileges are on, as it is written in a statement.
fn object_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    let (kind, name) = match text.split_once(' ') {
        Some((kind, name)) if ["FUNCTION", "PROCEDURE", "TABLE"].contains(&kind.to_uppercase().as_str()) => {
            (format!("{} ", kind.to_uppercase()), name.trim())
        }
        _ => (String::new(), text),
    };
    let parts = split_outside(name, '.', "`'\"");
    let [database, table] = parts.as_slice() else {
        return Err(format!("`{text}` is not of the form database.table"));
    };
    Ok(format!("{kind}{}.{}", quoted(database), quoted(table)))
}

fn quoted(name: &str) -> String {
    let bare = ['`', '\'', '"'].iter().find_map(|q| name.strip_prefix(*q)?.strip_suffix(*q));
    match (name, bare) {
        ("*", _) => "*".to_owned(),
        (_, Some(bare)) => ident(&bare.replace("``", "`")),
        (name, None) => ident(name),
    }
}

/// Splits a text where a character is neither quoted nor in brackets.
fn split_outside(text: &str, at: char, quotes: &str) -> Vec<String> {
    let (mut parts, mut part, mut quote, mut depth) = (Vec::new(), String::new(), None, 0_usize);
    for c in text.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            None if quotes.contains(c) => quote = Some(c),
            None if c == '(' => depth += 1,
            None if c == ')' => depth = depth.saturating_sub(1),
            None if c == at && depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
    }
    parts.push(part);
    parts
}

/// Splits a text at the first place of `at` that is not in backticks.
fn split_words<'t>(text: &'t str, at: &str) -> Vec<&'t str> {
    let mut quoted = false;
    for (index, c) in text.char_indices() {
        quoted ^= c == '`';
        if !quoted && text.get(index..).is_some_and(|rest| rest.starts_with(at)) {
            return vec![text.get(..index).unwrap_or_default(), text.get(index + at.len()..).unwrap_or_default()];
        }
    }
    vec![text]
}

/// What has to be done so that a user has other privileges.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is taken away, then what is given.
    pub revoke: Vec<(String, Vec<String>)>,
    pub grant: Vec<(String, Vec<String>)>,
}

/// How what is wanted stands to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing else is there afterwards.
    Exact,
    /// What else is there stays.
    Append,
    /// What is named goes.
    Subtract,
}

/// What has to be granted and revoked.
pub fn plan(have: &Privileges, wanted: &Privileges, mode: Mode) -> Plan {
    let mut plan = Plan::default();
    if mode == Mode::Exact {
        for (object, list) in have.iter().filter(|(object, _)| !wanted.contains_key(*object)) {
            let list = without_usage(list);
            if !list.is_empty() {
                plan.revoke.push((object.clone(), list));
            }
        }
    }
    for (object, list) in wanted {
        let none = Vec::new();
        let kept = have.get(object).unwrap_or(&none);
        let new: Vec<String> = list.iter().filter(|p| !kept.contains(p)).cloned().collect();
        let old: Vec<String> = kept.iter().filter(|p| !list.contains(p)).cloned().collect();
        match mode {
            Mode::Subtract => {
                let gone = without_usage(&list.iter().filter(|p| kept.contains(p)).cloned().collect::<Vec<_>>());
                if !gone.is_empty() {
                    plan.revoke.push((object.clone(), gone));
                }
            }
            // Where everything may be done, what is a part of it is there.
            Mode::Append if kept.contains(&"ALL".to_owned()) && !new.contains(&"GRANT".to_owned()) => {}
            Mode::Append | Mode::Exact => {
                let old = without_usage(&old);
                if mode == Mode::Exact && !old.is_empty() {
                    plan.revoke.push((object.clone(), old));
                }
                let new = if kept.is_empty() { new } else { without_usage(&new) };
                // The right to log in comes with any other.
                let needless = kept.is_empty() && new == ["USAGE"] && !have.is_empty();
                if !new.is_empty() && !needless {
                    plan.grant.push((object.clone(), new));
                }
            }
        }
    }
    plan
}

fn without_usage(list: &[String]) -> Vec<String> {
    list.iter().filter(|p| *p != "USAGE").cloned().collect()
}

/// The statements that grant, or revoke, privileges on something; `user` is written as in a statement.
pub fn grant(object: &str, list: &[String], user: &str) -> String {
    let privileges: Vec<&str> =
        list.iter().map(String::as_str).filter(|p| !matches!(*p, "GRANT" | "REQUIRESSL")).collect();
    let privileges = if privileges.is_empty() { "USAGE".to_owned() } else { privileges.join(", ") };
    let option = if list.iter().any(|p| p == "GRANT") { " WITH GRANT OPTION" } else { "" };
    format!("GRANT {privileges} ON {object} TO {user}{option}")
}

/// The statements that revoke privileges on something.
pub fn revoke(object: &str, list: &[String], user: &str) -> Vec<String> {
    let mut statements = Vec::new();
    if list.iter().any(|p| p == "GRANT") {
        statements.push(format!("REVOKE GRANT OPTION ON {object} FROM {user}"));
    }
    let privileges: Vec<&str> =
        list.iter().map(String::as_str).filter(|p| !matches!(*p, "GRANT" | "REQUIRESSL")).collect();
    if !privileges.is_empty() {
        statements.push(format!("REVOKE {} ON {object} FROM {user}", privileges.join(", ")));
    }
    statements
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn texts_and_dictionaries_say_the_same() {
        let text = wanted(&json!("db.*:all privileges,GRANT/my_db.`t.x`:SELECT(a,b), insert"), false).unwrap();
        let map = wanted(&json!({"db.*": "ALL,GRANT", "my_db.`t.x`": "SELECT(a,b),INSERT"}), false).unwrap();
        assert_eq!(text, map);
        assert_eq!(text["`db`.*"], ["ALL", "GRANT"]);
        assert_eq!(text["`my_db`.`t.x`"], ["SELECT (A, B)", "INSERT"]);
        assert_eq!(text["*.*"], ["USAGE"]);
        assert!(wanted(&json!("foo"), false).is_err() && wanted(&json!("foo:SELECT"), false).is_err());
        assert!(wanted(&json!("FUNCTION db.f:EXECUTE"), false).unwrap().contains_key("FUNCTION `db`.`f`"));
    }

    #[test]
    fn what_a_server_shows_is_read() {
        let have = granted(
            &lines(&[
                "GRANT USAGE ON *.* TO `u`@`localhost` IDENTIFIED BY PASSWORD '*1'",
                "GRANT ALL PRIVILEGES ON `a TO b`.* TO `u`@`localhost` WITH GRANT OPTION",
                "GRANT SELECT (`Host`, `User`), INSERT ON `mysql`.`user` TO `u`@`localhost`",
                "GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION",
            ]),
            false,
        );
        assert_eq!(have["*.*"], ["USAGE"]);
        assert_eq!(have["`a TO b`.*"], ["GRANT", "ALL"]);
        assert_eq!(have["`mysql`.`user`"], ["SELECT (HOST, USER)", "INSERT"]);
        assert_eq!(have.len(), 3);
    }

    #[test]
    fn only_what_differs_is_granted_and_revoked() {
        let have = granted(&lines(&["GRANT USAGE ON *.* TO u", "GRANT SELECT, INSERT ON `a`.* TO u"]), false);
        let same = wanted(&json!("a.*:INSERT,SELECT"), false).unwrap();
        assert_eq!(plan(&have, &same, Mode::Exact), Plan::default());
        let other = wanted(&json!("a.*:SELECT,UPDATE/b.*:ALL"), false).unwrap();
        let todo = plan(&have, &other, Mode::Exact);
        assert_eq!(todo.revoke, [("`a`.*".to_owned(), vec!["INSERT".to_owned()])]);
        assert_eq!(todo.grant.len(), 2);
        assert!(plan(&have, &other, Mode::Append).revoke.is_empty());
        let less = wanted(&json!("a.*:INSERT,DELETE"), false).unwrap();
        assert_eq!(plan(&have, &less, Mode::Subtract).revoke, [("`a`.*".to_owned(), vec!["INSERT".to_owned()])]);
        let none = wanted(&json!("*.*:USAGE"), false).unwrap();
        let todo = plan(&have, &none, Mode::Exact);
        assert_eq!((todo.revoke.len(), todo.grant.len()), (1, 0));
        assert_eq!(
            revoke("*.*", &lines(&["GRANT", "ALL"]), "u"),
            ["REVOKE GRANT OPTION ON *.* FROM u", "REVOKE ALL ON *.* FROM u"]
        );
        assert_eq!(grant("*.*", &lines(&["GRANT"]), "u"), "GRANT USAGE ON *.* TO u WITH GRANT OPTION");
    }
}
