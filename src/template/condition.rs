//! Conditions: truth values and expressions that come to one, with and without braces, as ansible-core 2.19 takes them.

use super::{OMITTED, Templar, TemplateError, is_path, only_path, python_type, truthy};
use crate::source::Span;
use crate::template::Variable;
use crate::value::{Map, Str, Value};

/// What an expression that comes from a host, or from a template, is answered.
pub const UNTRUSTED: &str = "Encountered untrusted template or expression.";

/// An expression with templates in its constants, as in `name == '{{ other }}'`: the expression with variables in their
/// place, and those.
fn embedded(text: &Str) -> Option<(Str, Map)> {
    let source = text.as_str();
    let whole = source.trim();
    if whole.starts_with("{{") || whole.starts_with("{%") {
        return None;
    }
    let (mut out, mut constants) = (String::new(), Map::new());
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'']) {
        let quote = char::from(rest.as_bytes()[at]);
        let inside = &rest[at + 1..];
        let end = inside.find(quote)?;
        out.push_str(&rest[..at]);
        if crate::value::holds_jinja(&inside[..end]) {
            let name = format!("_constant_{}", constants.len());
            out.push_str(&name);
            constants.insert(name.into(), Value::Str(Str::trusted(&inside[..end], text.origin())));
        } else {
            out.push_str(&rest[at..=at + 1 + end]);
        }
        rest = &inside[end + 1..];
    }
    out.push_str(rest);
    let left = crate::value::holds_jinja(&out);
    (!constants.is_empty() && !left).then(|| (Str::trusted(out, text.origin()), constants))
}

/// What is said of templates in the constants of an expression.
const EMBEDDED: &str = "Jinja constant strings should not contain embedded templates. This feature will be disabled by default in ansible-core 2.23.";

/// What to do instead.
const INLINE: &str = "Use inline expressions, for example: `when: \"{{ a_var }}\" == 42` becomes `when: a_var == 42`";

impl Templar {
    /// A condition: a truth value, or an expression that comes to one. Anything else is an error, as in ansible-core 2.19.
    pub fn condition(&self, condition: &Value) -> Result<bool, TemplateError> {
        if is_empty_condition(condition) {
            return self.empty_condition(condition);
        }
        let origin = if let Value::Str(text) = condition { text.origin() } else { None };
        let (result, from) = match condition {
            Value::Str(text) if text.is_template() => match embedded(text) {
                Some((expression, constants)) => {
                    if let Some(notices) = self.variables().notices() {
                        notices.warn_with(EMBEDDED, origin, Some(INLINE));
                    }
                    (self.with(constants).expression(&expression)?, origin)
                }
                None => self.condition_of_template(text)?,
            },
            Value::Str(text) if !text.is_trusted() => return Err(TemplateError::message(UNTRUSTED, origin)),
            Value::Str(text) => (self.expression(text)?, None),
            Value::Bool(_) => (condition.clone(), None),
            other if self.allows_broken_conditions() => (other.clone(), None),
            _ => return Err(TemplateError::message("Conditional expressions must be strings.", None)),
        };
        match result {
            Value::Bool(verdict) => Ok(verdict),
            Value::Omit => Err(TemplateError::message(OMITTED, origin)),
            other if self.allows_broken_conditions() => Ok(is_empty_condition(&other) || truthy(&other)),
            other => {
                let truth = if truthy(&other) { "True" } else { "False" };
                let from = || match condition {
                    Value::Str(text) => from.or_else(|| self.origin_of(text)).or(origin),
                    _ => from,
                };
                let place = match &other {
                    Value::Null => None,
                    Value::Str(text) => text.origin().or_else(from),
                    _ => from(),
                };
                let message = format!(
                    "Conditional result ({truth}) was derived from value of type '{}' at '{}'. Conditionals must have a boolean result.",
                    python_type(&other),
                    place.map_or_else(|| "<unknown>".to_owned(), written_at)
                );
                Err(TemplateError::message(message, origin))
            }
        }
    }

    /// Where the variable is written that an expression, or a template, is the name of.
    fn origin_of(&self, text: &Str) -> Option<Span> {
        let source = text.as_str().trim();
        let path = only_path(source).or_else(|| is_path(source).then_some(source))?;
        let (name, _) = path.split_at(path.find(['.', '[']).unwrap_or(path.len()));
        match self.variables().get(name)? {
            // A variable that is a template itself is where the value was made.
            Variable::Value(Value::Str(other)) if name == path && other.is_template() => {
                let is_itself = only_path(other.as_str()).is_none_or(|inner| inner.starts_with(name));
                if is_itself { other.origin() } else { self.origin_of(&other).or(other.origin()) }
            }
            _ => self.own_text(path)?.origin(),
        }
    }

    /// What a condition in braces comes to. A text of the user's own is the condition itself, as in
    /// `when: "{{ item.condition }}"`; braces within an expression are a mistake.
    fn condition_of_template(&self, text: &Str) -> Result<(Value, Option<Span>), TemplateError> {
        let source = text.as_str().trim();
        let whole = [("{{", "}}"), ("{%", "%}")].iter().any(|(a, z)| source.starts_with(a) && source.ends_with(z));
        if !whole && !self.allows_broken_conditions() {
            let message = "Syntax error in expression. Template delimiters are not supported in expressions: expected token ':', got '}'";
            return Err(TemplateError::message(message, text.origin()));
        }
        // White space around the braces is none of the condition's.
        let result = self.string(&Str::trusted(source, text.origin()))?;
        // A text that is the condition itself may stand in braces.
        if !matches!(result, Value::Str(_))
            && let Some(notices) = self.variables().notices()
        {
            let sentence = "Conditionals should not be surrounded by templating delimiters such as {{ }} or {% %}.";
            notices.deprecate(sentence, text.origin());
        }
        match result {
            Value::Str(inner) if inner.as_str().trim().is_empty() => {
                self.empty_condition(&Value::Str(text.clone()))?;
                Ok((Value::Bool(true), None))
            }
            Value::Null => {
                self.empty_condition(&Value::Str(text.clone()))?;
                Ok((Value::Bool(true), None))
            }
            Value::Str(inner) if inner.is_trusted() && !inner.is_template() => {
                let from = self.origin_of(&inner).or(inner.origin()).or(text.origin());
                Ok((self.expression(&inner)?, from))
            }
            Value::Str(_) if !self.allows_broken_conditions() => {
                Err(TemplateError::message(UNTRUSTED, self.origin_of(text).or(text.origin())))
            }
            other => Ok((other, self.origin_of(text).or(text.origin()))),
        }
    }

    /// A condition that says nothing is an error, or holds where broken conditions are allowed.
    fn empty_condition(&self, condition: &Value) -> Result<bool, TemplateError> {
        if self.allows_broken_conditions() {
            return Ok(true);
        }
        let origin = if let Value::Str(text) = condition { text.origin() } else { None };
        Err(TemplateError::message("Empty conditional expressions are not allowed.", origin))
    }

    /// Whether `ALLOW_BROKEN_CONDITIONALS` is set: then conditions may be of any type.
    fn allows_broken_conditions(&self) -> bool {
        let settings = self.variables().settings();
        settings.get("ALLOW_BROKEN_CONDITIONALS").is_some_and(|setting| setting.value.as_bool() == Some(true))
    }
}

/// A place as sentences about values name it.
fn written_at(span: Span) -> String {
    let (source, place) = (span.source(), span.location());
    let file = source.path.as_ref().map_or_else(
        || source.name.clone(),
        |path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).display().to_string(),
    );
    if source.by_line { format!("{file}:{}", place.line) } else { format!("{file}:{}:{}", place.line, place.column) }
}

/// Whether a condition, or what it comes to, says nothing.
fn is_empty_condition(condition: &Value) -> bool {
    match condition {
        Value::Null => true,
        Value::Str(text) => text.as_str().trim().is_empty(),
        _ => false,
    }
}
