//! Templates for people to read, such as the names of tasks: what is wrong stands in its place and the rest is there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::Value as Jinja;
use minijinja::machinery::{Token, tokenize};

use super::lazy::Root;
use super::{Templar, TemplateError, engine, lazy, truthy};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::value::{Str, Value};

/// What went wrong so far, each thing with its number.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    count: AtomicUsize,
    told: Mutex<Vec<Diagnostic>>,
}

/// A part of a template.
enum Piece<'t> {
    Text(&'t str),
    /// An expression without its braces, and with them.
    Output(&'t str, &'t str),
    /// A statement to its end; one that sets something, and all that follows it.
    Statements(&'t str),
}

/// What is wrong with one text.
struct Report<'r> {
    troubles: &'r Troubles,
    lines: Vec<String>,
}

impl Report<'_> {
    /// Notes an error; what stands in its place.
    fn add(&mut self, message: &str) -> String {
        let number = self.troubles.count.fetch_add(1, Ordering::SeqCst) + 1;
        let line = format!("error {number} - {message}");
        let shown = format!("<< {line} >>");
        self.lines.push(line);
        shown
    }

    /// Notes an error that ends a template.
    fn end(&mut self, message: &str) -> String {
        let shown = self.add(message);
        shown + &self.add("template potentially truncated")
    }

    fn tell(self, place: Option<Span>) {
        if self.lines.is_empty() {
            return;
        }
        let plural = if self.lines.len() == 1 { "" } else { "s" };
        let message = format!("Encountered {} template error{plural}.\n{}", self.lines.len(), self.lines.join("\n"));
        let warning = Diagnostic::warning("run::template", message).or_at(place);
        self.troubles.told.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
    }
}

impl Troubles {
    fn report(&self) -> Report<'_> {
        Report { troubles: self, lines: Vec::new() }
    }

    /// What stands in the place of a value that cannot be had.
    pub(super) fn in_place(&self, error: &TemplateError, place: Option<Span>) -> String {
        let mut report = self.report();
        let shown = report.add(&error.message);
        report.tell(place);
        shown
    }

    fn take(&self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Evaluates a template whose errors are shown; one expression alone that comes to nothing is an error still, so that it
/// counts as undefined.
pub(super) fn render(root: &Arc<Root>, text: &Str, troubles: &Troubles) -> Result<Jinja, TemplateError> {
    let explained = |error: TemplateError| Templar { root: root.clone() }.explain_inside(error, text);
    let pieces = pieces(text.as_str());
    let mut report = troubles.report();
    if let [Piece::Output(expression, _)] = pieces.as_slice() {
        let error = match engine::render_inline(root, text) {
            Ok(value) => return Ok(value),
            Err(error) => explained(error),
        };
        if goes_on(root, expression) {
            return Err(error);
        }
        let shown = report.end(&error.message);
        report.tell(text.origin());
        return Ok(Jinja::from(shown));
    }
    let mut out = String::new();
    for piece in &pieces {
        let (source, expression) = match piece {
            Piece::Text(plain) => {
                out.push_str(plain);
                continue;
            }
            Piece::Output(expression, source) => (source, Some(expression)),
            Piece::Statements(rest) => (rest, None),
        };
        // With a letter before it, whatever it comes to is put down as text.
        let part = Str::trusted(format!("x{source}"), text.origin());
        match engine::render_inline(root, &part) {
            Ok(value) => out.push_str(value.to_string().strip_prefix('x').unwrap_or_default()),
            Err(error) if expression.is_some_and(|expression| goes_on(root, expression)) => {
                match nested(root, source, text) {
                    Some(value) => out.push_str(&value.to_text()),
                    None => out.push_str(&report.add(&explained(error).message)),
                }
            }
            Err(error) => {
                out.push_str(&report.end(&explained(error).message));
                break;
            }
        }
    }
    report.tell(text.origin());
    Ok(Jinja::from(out))
}

/// A list or dictionary in which something is wrong deep inside: that is told in its place.
fn nested(root: &Arc<Root>, source: &str, text: &Str) -> Option<Value> {
    let alone = Str::trusted(source, text.origin());
    lazy::to_value(&engine::render_inline(root, &alone).ok()?).ok()
}

/// The parts of a template; text that cannot be taken apart is one part.
fn pieces(source: &str) -> Vec<Piece<'_>> {
    let Ok(tokens) = tokenize(source, false, engine::syntax()).collect::<Result<Vec<_>, _>>() else {
        return vec![Piece::Statements(source)];
    };
    let mut out = Vec::new();
    let mut start = None;
    // How deep in statements, and where the outermost begins.
    let (mut depth, mut statement) = (0_usize, None);
    let mut words = tokens.iter().skip(1).map(|(token, _)| token);
    for (token, span) in &tokens {
        let next = words.next();
        let (from, to) = (span.start_offset as usize, span.end_offset as usize);
        match token {
            Token::BlockStart => {
                let Some(Token::Ident(word)) = next else { return vec![Piece::Statements(source)] };
                let begun = *statement.get_or_insert(from);
                match *word {
                    "if" | "for" | "filter" | "with" | "raw" => depth += 1,
                    word if word.starts_with("end") => depth = depth.saturating_sub(1),
                    "else" | "elif" => {}
                    _ => {
                        out.push(Piece::Statements(source.get(begun..).unwrap_or_default()));
                        break;
                    }
                }
            }
            Token::BlockEnd if depth == 0 => {
                let begun = statement.take().unwrap_or(from);
                out.push(Piece::Statements(source.get(begun..to).unwrap_or_default()));
            }
            _ if statement.is_some() => {}
            Token::TemplateData(text) => out.push(Piece::Text(text)),
            Token::VariableStart => start = Some((from, to)),
            Token::VariableEnd => {
                let Some((outer, inner)) = start.take() else { continue };
                let (Some(expression), Some(whole)) = (source.get(inner..from), source.get(outer..to)) else {
                    return vec![Piece::Statements(source)];
                };
                out.push(Piece::Output(expression, whole));
            }
            _ => {}
        }
    }
    out
}

/// Whether what is wrong in an expression only takes its place: names, keys, calls, filters and tests hand on what is
/// undefined, operators end the template.
fn goes_on(root: &Arc<Root>, expression: &str) -> bool {
    let braced = format!("{{{{{expression}}}}}");
    let Ok(tokens) = tokenize(&braced, false, engine::syntax()).collect::<Result<Vec<_>, _>>() else { return false };
    let inner = &tokens[1.min(tokens.len())..tokens.len().saturating_sub(1)];
    if let Some((condition, branches)) = choice(inner, &braced) {
        let condition = Str::trusted(format!("{{{{ {condition} }}}}"), None);
        return match (Templar { root: root.clone() }).string(&condition) {
            Ok(value) => goes_on(root, if truthy(&value) { branches.0 } else { branches.1 }),
            Err(_) => false,
        };
    }
    let mut before = None;
    inner.iter().all(|(token, _)| {
        let begins = matches!(
            before.replace(token),
            None | Some(Token::BracketOpen | Token::ParenOpen | Token::Comma | Token::Colon | Token::Assign)
        );
        match token {
            // The sign of a number is no operator.
            Token::Minus | Token::Plus => begins && before.is_some() && inner.len() > 2,
            Token::Ident(word) => !matches!(*word, "in" | "not" | "and" | "or" | "if"),
            Token::Tilde
            | Token::Mul
            | Token::Div
            | Token::FloorDiv
            | Token::Pow
            | Token::Mod
            | Token::Eq
            | Token::Ne
            | Token::Gt
            | Token::Gte
            | Token::Lt
            | Token::Lte => false,
            _ => true,
        }
    })
}

/// The condition of `a if condition else b` and its two sides.
fn choice<'t>(
    tokens: &[(Token<'_>, minijinja::machinery::Span)],
    source: &'t str,
) -> Option<(&'t str, (&'t str, &'t str))> {
    let mut depth = 0;
    let mut words = [None, None];
    for (token, span) in tokens {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => depth -= 1,
            Token::Ident("if") if depth == 0 && words[0].is_none() => words[0] = Some(span),
            Token::Ident("else") if depth == 0 && words[1].is_none() => words[1] = Some(span),
            _ => {}
        }
    }
    let [Some(if_), Some(else_)] = words else { return None };
    let at = |offset: u32| offset as usize;
    let first = at(tokens.first()?.1.start_offset);
    let last = at(tokens.last()?.1.end_offset);
    Some((
        source.get(at(if_.end_offset)..at(else_.start_offset))?,
        (source.get(first..at(if_.start_offset))?, source.get(at(else_.end_offset)..last)?),
    ))
}

impl Templar {
    /// This templar for people to read: [`Templar::shown`] and [`Templar::shown_expression`] put what is wrong in its place.
    fn tolerant(&self) -> Self {
        Self { root: Arc::new(Root::tolerant(self.root.variables().clone())) }
    }

    /// A template as people are to see it, whatever is wrong in it, and what is to be said of that.
    #[must_use]
    pub fn shown(&self, text: &Str) -> (Value, Vec<Diagnostic>) {
        let templar = self.tolerant();
        let result = templar.string(text);
        templar.settled(result, text)
    }

    /// What an expression comes to, what is undefined in it put in its place; other errors are errors.
    pub fn shown_expression(&self, text: &Str) -> Result<(Value, Vec<Diagnostic>), TemplateError> {
        let templar = self.tolerant();
        match templar.expression(text) {
            Err(error) if !error.is_undefined => Err(error),
            result => Ok(templar.settled(result, text)),
        }
    }

    fn settled(&self, result: Result<Value, TemplateError>, text: &Str) -> (Value, Vec<Diagnostic>) {
        let Some(troubles) = self.root.troubles() else { return (Value::Null, Vec::new()) };
        let value = result.unwrap_or_else(|error| troubles.in_place(&error, text.origin()).into());
        (value, troubles.take())
    }
}
