//! Lookups of variables and hosts: `vars`, `varnames`, `inventory_hostnames`.

use std::collections::HashSet;

use fancy_regex::Regex;
use minijinja::{Error, ErrorKind};

use super::Lookup;
use crate::template::call::fail;
use crate::template::regex::{Flags, Pattern};
use crate::template::{python, python_type};
use crate::value::Value;

type Found = Result<Vec<Value>, Error>;

pub(super) fn vars(lookup: &Lookup<'_>) -> Found {
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Some(name) = term.as_str() else {
            return Err(fail(format!("Variable name must be 'str' not '{}'.", python_type(term))));
        };
        let found = match lookup.templar.variable(name) {
            Ok(found) => found,
            Err(error) if error.is_undefined && lookup.options.contains_key("default") => None,
            Err(error) => return Err(error.into_engine()),
        };
        // As in the reference: none is no default.
        match (found, lookup.options.get("default").filter(|default| !default.is_null())) {
            (Some(value), _) => out.push(value),
            (None, Some(default)) => out.push(default.clone()),
            (None, None) => {
                let message = format!("No variable named '{name}' was found.");
                return Err(Error::new(ErrorKind::UndefinedError, message));
            }
        }
    }
    Ok(out)
}

pub(super) fn varnames(lookup: &Lookup<'_>) -> Found {
    let names = lookup.templar.variables().names();
    let mut out = Vec::new();
    for term in &lookup.terms {
        let Some(pattern) = term.as_str() else {
            return Err(fail(format!("Invalid setting identifier, {} is not a string", python::repr(term))));
        };
        let pattern = Pattern::new(pattern, Flags::default()).map_err(|e| {
            fail(format!("Unable to use \"{pattern}\" as a search parameter: {}", e.detail().unwrap_or_default()))
        })?;
        for name in &names {
            if pattern.captures(name, 0)?.is_some() {
                out.push(Value::from(&**name));
            }
        }
    }
    Ok(out)
}

/// The hosts that patterns of names, groups, globs and `~expressions` pick, with `&` and `!`.
pub(super) fn inventory_hostnames(lookup: &Lookup<'_>) -> Found {
    let groups = lookup.templar.variable("groups").map_err(|e| e.into_engine())?.unwrap_or_default();
    let Value::Map(groups) = groups else { return Ok(Vec::new()) };
    let texts = |value: &Value| value.as_list().unwrap_or_default().iter().map(python::text).collect::<Vec<_>>();
    let all: Vec<String> = groups.get("all").map(texts).unwrap_or_default();
    let matching = |pattern: &str| -> Result<Vec<String>, Error> {
        let fits: Box<dyn Fn(&str) -> bool> = match pattern.strip_prefix('~') {
            Some(expression) => {
                let regex = Regex::new(&format!(r"\A(?:{expression})")).map_err(|e| fail(e.to_string()))?;
                Box::new(move |name| regex.is_match(name).unwrap_or(false))
            }
            None => {
                let glob = globset::Glob::new(pattern).map_err(|e| fail(e.to_string()))?.compile_matcher();
                Box::new(move |name| glob.is_match(name))
            }
        };
        let mut out: Vec<String> = Vec::new();
        for (group, hosts) in groups.iter() {
            if fits(&group.to_string()) {
                out.extend(texts(hosts));
            }
        }
        out.extend(all.iter().filter(|host| fits(host)).cloned());
        Ok(out)
    };
    let mut patterns: Vec<String> = Vec::new();
    for term in &lookup.terms {
        let text = python::text(term);
        // A colon inside brackets or in an address separates nothing.
        let separators: &[char] =
            if text.contains('[') || text.matches(':').count() > 1 { &[','] } else { &[',', ':'] };
        patterns.extend(text.split(separators).map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()));
    }
    let mut chosen: Vec<String> = Vec::new();
    let plain = patterns.iter().filter(|p| !p.starts_with(['&', '!']));
    for pattern in plain {
        chosen.extend(matching(pattern)?);
    }
    for pattern in &patterns {
        if let Some(pattern) = pattern.strip_prefix('&') {
            let keep: HashSet<String> = matching(pattern)?.into_iter().collect();
            chosen.retain(|host| keep.contains(host));
        }
    }
    for pattern in &patterns {
        if let Some(pattern) = pattern.strip_prefix('!') {
            let drop: HashSet<String> = matching(pattern)?.into_iter().collect();
            chosen.retain(|host| !drop.contains(host));
        }
    }
    let mut seen = HashSet::new();
    Ok(chosen.into_iter().filter(|host| seen.insert(host.clone())).map(Value::from).collect())
}
