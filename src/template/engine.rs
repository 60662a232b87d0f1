//! The engine: one environment for strings in playbooks, compiled templates kept by their text.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, LazyLock};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value as Jinja};

use super::lazy::Root;
use super::rewrite::{Strings, rewrite};
use super::{
    TemplateError, call, chain, compare, filters, forms, functions, lipsum, lookups, methods, missing, mutable,
    notices, operators, python, syntax, tests, time,
};
use crate::value::{Str, Undecryptable};

thread_local! {
    /// What each template under way printed.
    static PRINTED: RefCell<Vec<Printed>> = const { RefCell::new(Vec::new()) };
    /// Whether the template under way may hold encrypted text that cannot be decrypted.
    static ABOUT_VAULT: Cell<bool> = const { Cell::new(false) };
}

/// What a template under way printed.
enum Printed {
    /// Of several things the last, with the text it came to.
    Last(Option<(Jinja, String)>),
    /// The one expression that the template is. It is not made into text: nobody asked for that, and a variable may hold
    /// everything there is.
    Only(Option<Jinja>),
}

/// Strings in playbooks: blocks eat the newline after them, as in the reference.
static INLINE: LazyLock<Environment<'static>> = LazyLock::new(|| strings(Strings::Raw));

/// Expressions without braces, which the reference does read escapes in.
static EXPRESSIONS: LazyLock<Environment<'static>> = LazyLock::new(|| strings(Strings::Escaped));

static SYNTAX: LazyLock<SyntaxConfig> =
    LazyLock::new(|| SyntaxConfig::builder().trim_blocks(true).build().unwrap_or_default());

fn strings(how: Strings) -> Environment<'static> {
    let mut env = environment(SYNTAX.clone());
    // A template's name is its text, so that the engine's own cache finds it again. Only strings of the user's files are
    // templates, so there are no more of these than the user wrote.
    env.set_loader(move |name| Ok(Some(rewrite(name, &SYNTAX, how))));
    env
}

/// An environment with everything that Ansible adds to Jinja.
pub(super) fn environment(syntax: SyntaxConfig) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(syntax);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_unknown_method_callback(methods::call);
    env.set_debug(true);
    env.set_recursion_limit(200);
    env.set_formatter(|out, state, value| {
        let invalid = matches!(value.kind(), ValueKind::Undefined | ValueKind::Invalid);
        let kept = !invalid
            && PRINTED.with_borrow_mut(|stack| match stack.last_mut() {
                Some(Printed::Only(only)) => {
                    *only = Some(value.clone());
                    true
                }
                _ => false,
            });
        if kept {
            return Ok(());
        }
        let text = match value.kind() {
            ValueKind::None => String::new(),
            ValueKind::String => value.to_str().map(|s| s.to_string()).unwrap_or_default(),
            ValueKind::Invalid => return crate::value::Value::from_jinja(value).map(drop),
            ValueKind::Undefined => return minijinja::escape_formatter(out, state, value),
            _ => deep_text(value)?,
        };
        out.write_str(&text).map_err(|_| minijinja::Error::from(minijinja::ErrorKind::WriteFailure))?;
        PRINTED.with_borrow_mut(|stack| {
            if let Some(Printed::Last(last)) = stack.last_mut() {
                *last = Some((value.clone(), text));
            }
        });
        Ok(())
    });
    env.add_filter(NATIVE, native_of);
    chain::add_to(&mut env);
    operators::add_to(&mut env);
    forms::add_to(&mut env);
    mutable::add_to(&mut env);
    compare::add_to(&mut env);
    time::add_to(&mut env);
    call::add_functions(&mut env, time::FUNCTIONS);
    call::add_functions(&mut env, functions::FUNCTIONS);
    call::add_functions(&mut env, lipsum::FUNCTIONS);
    filters::add_to(&mut env);
    tests::add_to(&mut env);
    lookups::add_to(&mut env);
    env
}

/// The filter around a macro's call.
pub(super) const NATIVE: &str = "__native";

/// What a macro printed last, when that is all that it came to.
fn native_of(value: &Jinja) -> Jinja {
    PRINTED.with_borrow(|stack| match (stack.last(), value.as_str()) {
        (Some(Printed::Last(Some((last, text)))), Some(all)) if text == all => last.clone(),
        _ => value.clone(),
    })
}

/// A container as text; what is wrong or undefined inside it is an error, not a word in the text.
pub(super) fn deep_text(value: &Jinja) -> Result<String, minijinja::Error> {
    match value.kind() {
        // Larger than a variable can hold, but not than a text can.
        ValueKind::Number if value.is_integer() => Ok(value.to_string()),
        ValueKind::Seq if holds_groups(value) => python::repr_of(value),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map | ValueKind::Number => {
            Ok(python::text(&crate::value::Value::from_jinja(value)?))
        }
        // Encrypted text that cannot be decrypted is not printed as something else.
        _ => match value.downcast_object_ref::<Undecryptable>() {
            Some(encrypted) => Err(encrypted.error()),
            None => Ok(value.to_string()),
        },
    }
}

/// Whether a list is what `groupby` gives, whose pairs print as such.
fn holds_groups(value: &Jinja) -> bool {
    let first = value.get_item_by_index(0);
    first.is_ok_and(|item| item.downcast_object_ref::<filters::Group>().is_some())
}

/// Filters and tests that take encrypted text.
const VAULT_WORDS: &[&str] = &["unvault", "vault_encrypted", "tagged_with"];

/// A value as a template gets it. Encrypted text that cannot be decrypted is an error as soon as it is touched, except in
/// a template that uses the filters and tests that are about just that.
pub(super) fn touch(value: Jinja) -> Jinja {
    match value.downcast_object_ref::<Undecryptable>() {
        Some(encrypted) if !ABOUT_VAULT.get() => Jinja::from(encrypted.error()),
        _ => value,
    }
}

/// How templates in playbooks are written.
pub(super) fn syntax() -> SyntaxConfig {
    SYNTAX.clone()
}

/// Evaluates a string that is a template; one that is a single expression keeps the expression's type.
pub(super) fn render_inline(root: &Arc<Root>, text: &Str) -> Result<Jinja, TemplateError> {
    notices::within(text.origin(), || native(&INLINE, root, text.as_str())).map_err(|e| {
        missing::spelled(operators::told(TemplateError::new(&e, Some(text)), &e, root), root, text.as_str())
    })
}

/// The variables that a template uses, functions of the language aside, in the order in which they stand in it.
pub(super) fn names_in(text: &str) -> Vec<String> {
    let Ok(template) = INLINE.get_template(text) else { return Vec::new() };
    let is_function = |name: &String| INLINE.globals().any(|(known, _)| known == name);
    let mut names: Vec<String> = template.undeclared_variables(false).into_iter().filter(|n| !is_function(n)).collect();
    names.sort_by_key(|name| text.find(name.as_str()));
    names
}

/// Evaluates an expression without braces.
pub(super) fn evaluate(root: &Arc<Root>, text: &Str) -> Result<Jinja, TemplateError> {
    let template = format!("{{{{ {} }}}}", text.as_str());
    notices::within(text.origin(), || native(&EXPRESSIONS, root, &template)).map_err(|e| {
        let mut error = operators::told(TemplateError::new(&e, None), &e, root);
        // What a variable's own template ran into is not the expression's.
        if error.whole.is_none()
            && let Some(refusal) = error.message.strip_prefix(compare::RENDERING)
        {
            error.message = format!("Error rendering expression: {refusal}");
        }
        if error.is_syntax {
            error.message = syntax::in_expression(&error.message);
        }
        if error.span.is_none() {
            // Three bytes stand before the expression.
            let range = e.range().map(|r| r.start.saturating_sub(3)..r.end.saturating_sub(3));
            error.span = super::place_within(text, e.line(), range).or(text.origin());
        }
        error.seen_from(Some(text));
        missing::spelled(error, root, &template)
    })
}

/// A part of an expression, evaluated on its own.
pub(super) fn part(root: &Arc<Root>, expression: &str) -> Option<Jinja> {
    native(&EXPRESSIONS, root, &format!("{{{{ {expression} }}}}")).ok()
}

fn native(env: &Environment<'static>, root: &Arc<Root>, source: &str) -> Result<Jinja, minijinja::Error> {
    let template = env.get_template(source)?;
    let frame = if is_one_expression(source) { Printed::Only(None) } else { Printed::Last(None) };
    PRINTED.with_borrow_mut(|stack| stack.push(frame));
    let before = ABOUT_VAULT.replace(VAULT_WORDS.iter().any(|word| source.contains(word)));
    let output = template.render(Jinja::from_dyn_object(root.clone()));
    ABOUT_VAULT.set(before);
    let printed = PRINTED.with_borrow_mut(Vec::pop);
    let output = output?;
    match printed {
        Some(Printed::Only(Some(value))) => return Ok(restore_newline(mutable::freeze(value), source)),
        Some(Printed::Last(Some((value, text)))) if text == output => {
            return Ok(restore_newline(mutable::freeze(value), source));
        }
        _ => {}
    }
    if output.is_empty() {
        // Nothing was printed at all: the branch that is not written.
        if matches!(printed, Some(Printed::Only(None))) && source.contains(" if ") {
            let message = format!("{}Type 'Undefined' is unsupported for variable storage.", compare::RENDERING);
            return Err(call::fail(message));
        }
        return Ok(Jinja::from(()));
    }
    Ok(restore_newline(Jinja::from(output), source))
}

/// Renders a file's template, whoever asks for it: all that it prints is text. With it comes the value that it is the text
/// of, when it printed nothing else.
pub(super) fn in_full<E>(render: impl FnOnce() -> Result<String, E>) -> Result<(String, Option<Jinja>), E> {
    PRINTED.with_borrow_mut(|stack| stack.push(Printed::Last(None)));
    let out = render();
    let printed = PRINTED.with_borrow_mut(Vec::pop);
    out.map(|out| {
        let value = match printed {
            Some(Printed::Last(Some((value, text)))) if text == out => Some(mutable::freeze(value)),
            _ => None,
        };
        (out, value)
    })
}

/// Whether a template is `{{ … }}` and nothing else, as far as that shows at once.
fn is_one_expression(source: &str) -> bool {
    let source = source.strip_suffix('\n').unwrap_or(source);
    let inner = source.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    inner.is_some_and(|inner| !["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark)))
}

/// The engine drops a template's last newline; a result that is text ends with as many as the template, as in the reference.
fn restore_newline(value: Jinja, source: &str) -> Jinja {
    let count = |text: &str| text.len() - text.trim_end_matches('\n').len();
    match value.as_str() {
        Some(text) if count(source) > count(text) => {
            Jinja::from(format!("{text}{}", "\n".repeat(count(source) - count(text))))
        }
        _ => value,
    }
}

/// Whether a template (or, with `expression`, an expression without braces) can be read, without evaluating it.
pub fn check_syntax(text: &Str, expression: bool) -> Result<(), TemplateError> {
    if expression && !crate::value::holds_jinja(text.as_str()) {
        let template = format!("{{{{ {} }}}}", text.as_str());
        return parse(&template, Strings::Escaped).map_err(|e| {
            let mut error = TemplateError::new(&e, None).read_in(&e, &template);
            error.message = syntax::in_expression(&error.message);
            let range = e.range().map(|r| r.start.saturating_sub(3)..r.end.saturating_sub(3));
            error.span = super::place_within(text, e.line(), range).or(text.origin());
            error
        });
    }
    if !text.is_template() {
        return Ok(());
    }
    parse(text.as_str(), Strings::Raw).map_err(|e| TemplateError::new(&e, Some(text)))
}

fn parse(text: &str, how: Strings) -> Result<(), minijinja::Error> {
    can_be_read(text, text, &SYNTAX, how)
}

/// Reads a template and keeps nothing of it: most of what a project holds is of no use to the run at hand.
pub(super) fn can_be_read(name: &str, text: &str, syntax: &SyntaxConfig, how: Strings) -> Result<(), minijinja::Error> {
    minijinja::machinery::parse(&rewrite(text, syntax, how), name, syntax.clone()).map(drop)
}
