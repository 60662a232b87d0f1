//! Template files: their own options, includes and imports along the search path.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Value as Jinja};

use super::compare::RENDERING;
use super::lazy::Root;
use super::rewrite::{Strings, rewrite};
use super::{TemplateError, engine, missing, operators, python};
use crate::source;
use crate::value::{Map, Value};
use crate::vault::{Secrets, is_encrypted};

/// How a template file is read: the options of the `template` module and its `#jinja2:` header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileOptions {
    /// What opens and closes a block.
    pub block: (String, String),
    /// What opens and closes an expression.
    pub variable: (String, String),
    /// What opens and closes a comment.
    pub comment: (String, String),
    /// What makes a whole line a block, unless it is empty.
    pub line_statement: String,
    /// What makes the rest of a line a comment, unless it is empty.
    pub line_comment: String,
    /// Whether a block eats the newline behind it.
    pub trim_blocks: bool,
    /// Whether a block eats the white space before it on its line.
    pub lstrip_blocks: bool,
    /// Whether the file's last newline is kept.
    pub keep_trailing_newline: bool,
    /// What ends a line in what is written, the last one excepted, unless it is a newline.
    pub newline: Option<String>,
    /// What ends every line of a file that has anything to evaluate.
    pub line_end: String,
}

impl Default for FileOptions {
    fn default() -> Self {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            line_statement: String::new(),
            line_comment: String::new(),
            trim_blocks: true,
            lstrip_blocks: false,
            keep_trailing_newline: true,
            newline: None,
            line_end: "\n".to_owned(),
        }
    }
}

impl FileOptions {
    /// The options that the arguments of `template` give; those that are not plain text yet are left as they are.
    #[must_use]
    pub fn of_args(args: &Map) -> Self {
        let mut options = Self::default();
        let set = |name: &str, target: &mut String| {
            if let Some(Value::Str(text)) = args.get(name) {
                text.as_str().clone_into(target);
            }
        };
        set("block_start_string", &mut options.block.0);
        set("block_end_string", &mut options.block.1);
        set("variable_start_string", &mut options.variable.0);
        set("variable_end_string", &mut options.variable.1);
        set("comment_start_string", &mut options.comment.0);
        set("comment_end_string", &mut options.comment.1);
        let flag = |name: &str, default| args.get(name).and_then(Value::to_bool).unwrap_or(default);
        options.trim_blocks = flag("trim_blocks", true);
        options.lstrip_blocks = flag("lstrip_blocks", false);
        options
    }

    /// The options that a `#jinja2: name:value, …` first line changes, and the text behind that line.
    fn with_header<'t>(&self, text: &'t str) -> Result<(Self, &'t str), String> {
        let Some(rest) = text.strip_prefix("#jinja2:") else { return Ok((self.clone(), text)) };
        let (header, body) = rest.split_once('\n').unwrap_or((rest, ""));
        let mut options = self.clone();
        for part in header.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (name, value) = part
                .split_once(':')
                .ok_or_else(|| format!("Missing key-value separator `:` in '#jinja2:' override pair '{part}'."))?;
            let value = value.trim().trim_matches(['\'', '"']);
            let flag = || match value.to_lowercase().as_str() {
                "true" | "yes" | "1" => Ok(true),
                "false" | "no" | "0" => Ok(false),
                _ => Err(format!("`{}` in the #jinja2 header must be True or False", name.trim())),
            };
            match name.trim() {
                "trim_blocks" => options.trim_blocks = flag()?,
                "lstrip_blocks" => options.lstrip_blocks = flag()?,
                // As in the reference, whose own rule for newlines at the end comes after this one.
                "keep_trailing_newline" => drop(flag()?),
                "newline_sequence" => options.newline = Some(value.replace("\\r", "\r").replace("\\n", "\n")),
                "line_statement_prefix" => options.line_statement = value.to_owned(),
                "line_comment_prefix" => options.line_comment = value.to_owned(),
                "block_start_string" => options.block.0 = value.to_owned(),
                "block_end_string" => options.block.1 = value.to_owned(),
                "variable_start_string" => options.variable.0 = value.to_owned(),
                "variable_end_string" => options.variable.1 = value.to_owned(),
                "comment_start_string" => options.comment.0 = value.to_owned(),
                "comment_end_string" => options.comment.1 = value.to_owned(),
                other => return Err(format!("Invalid '#jinja2:' override key '{other}'.")),
            }
        }
        Ok((options, body))
    }

    /// Whether a text has anything that is not for itself.
    fn is_template(&self, text: &str) -> bool {
        let starts = [&self.block.0, &self.variable.0, &self.comment.0, &self.line_statement, &self.line_comment];
        starts.into_iter().any(|start| !start.is_empty() && text.contains(start.as_str()))
    }

    fn syntax(&self) -> Result<SyntaxConfig, minijinja::Error> {
        SyntaxConfig::builder()
            .block_delimiters(self.block.0.clone(), self.block.1.clone())
            .variable_delimiters(self.variable.0.clone(), self.variable.1.clone())
            .comment_delimiters(self.comment.0.clone(), self.comment.1.clone())
            .line_statement_prefix(self.line_statement.clone())
            .line_comment_prefix(self.line_comment.clone())
            .trim_blocks(self.trim_blocks)
            .lstrip_blocks(self.lstrip_blocks)
            .build()
    }
}

/// A template's name in the engine: search path, path, and what tells two versions of the file apart.
///
/// Names hold everything the loader needs, so that one environment with one cache serves every host and role.
const SEPARATOR: char = '\u{1}';

fn name(search: &str, path: &Path) -> String {
    let version = std::fs::metadata(path)
        .map(|m| {
            use std::os::unix::fs::MetadataExt;
            format!("{}.{}.{}", m.mtime(), m.mtime_nsec(), m.len())
        })
        .unwrap_or_default();
    format!("{search}{SEPARATOR}{version}{SEPARATOR}{}", path.display())
}

fn path_of(name: &str) -> &str {
    name.rsplit(SEPARATOR).next().unwrap_or(name)
}

type Environments = Mutex<HashMap<FileOptions, Arc<Environment<'static>>>>;
static ENVIRONMENTS: LazyLock<Environments> = LazyLock::new(Environments::default);

fn environment(options: &FileOptions) -> Result<Arc<Environment<'static>>, minijinja::Error> {
    let mut environments = ENVIRONMENTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(env) = environments.get(options) {
        return Ok(env.clone());
    }
    let syntax = options.syntax()?;
    let mut env = engine::environment(syntax.clone());
    let own = options.clone();
    env.set_loader(move |name| match std::fs::read_to_string(path_of(name)) {
        Ok(text) => {
            let (_, body) = own.with_header(&text).unwrap_or((own.clone(), &text));
            Ok(Some(rewrite(body, &syntax, Strings::Escaped)))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => {
            let message = format!("cannot read the template `{}`: {e}", path_of(name));
            Err(minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message))
        }
    });
    env.set_path_join_callback(|wanted, parent| {
        let search = parent.split(SEPARATOR).next().unwrap_or_default();
        let beside = Path::new(path_of(parent)).parent().map(Path::to_path_buf);
        let places = search.split('\n').filter(|p| !p.is_empty()).map(PathBuf::from);
        let found = places.chain(beside).map(|place| place.join(wanted)).find(|path| path.is_file());
        name(search, &found.unwrap_or_else(|| PathBuf::from(wanted))).into()
    });
    let env = Arc::new(env);
    environments.insert(options.clone(), env.clone());
    Ok(env)
}

/// Where a template's includes are looked for: `templates` below each directory of the search path, then itself.
fn search(root: &Root) -> String {
    let mut places = Vec::new();
    for directory in root.search_path() {
        places.push(directory.join("templates").display().to_string());
        places.push(directory.display().to_string());
    }
    places.join("\n")
}

/// A template file's text, and whether it is encrypted.
fn read(path: &Path, vault: &Secrets) -> Result<(String, bool), String> {
    let wrong = |e: &dyn std::fmt::Display| format!("cannot read the template `{}`: {e}", path.display());
    let bytes = std::fs::read(path).map_err(|e| wrong(&e))?;
    let encrypted = is_encrypted(&bytes);
    let bytes = vault.reveal(bytes).map_err(|e| wrong(&e))?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(&"it is not UTF-8"))?;
    Ok((text, encrypted))
}

/// Renders a file: its text, and the value that it is the text of, when it prints nothing else.
pub(super) fn render(
    root: &Arc<Root>,
    path: &Path,
    options: &FileOptions,
) -> Result<(String, Option<Jinja>), TemplateError> {
    let fail = |message: String| TemplateError::message(message, None);
    let (text, encrypted) = read(path, &root.variables().vault()).map_err(&fail)?;
    let (options, body) = options.with_header(&text).map_err(|e| bad_header(path, &e))?;
    let skipped = text.len() - body.len();
    // The text of what is encrypted is no part of an error.
    let error = |e: minijinja::Error| {
        let error =
            if encrypted { TemplateError::new(&e, None) } else { place(&e, path, &search(root), &text, skipped) };
        missing::spelled(operators::told(error, &e, root), root, body)
    };
    let env = environment(&options).map_err(error)?;
    let name = name(&search(root), path);
    let source;
    let template = if encrypted {
        source = rewrite(body, &options.syntax().map_err(error)?, Strings::Escaped);
        env.template_from_named_str(&name, &source).map_err(error)?
    } else {
        env.get_template(&name).map_err(error)?
    };
    let rendered = engine::in_full(|| template.render(Jinja::from_dyn_object(root.clone())));
    let (mut out, value) = rendered.map_err(error)?;
    // The engine drops a file's last newline, which is right for what is included. The whole gets back what it had where it is
    // text: what prints one number or one list is that, and what prints nothing at all is nothing.
    let newlines = |text: &str| text.len() - text.trim_end_matches('\n').len();
    if let Some(newline) = options.newline.as_ref().filter(|newline| *newline != "\n") {
        out = out.replace('\n', newline);
    }
    let value = if options.is_template(body) { value } else { Some(Jinja::from(out.as_str())) };
    let is_text = value.as_ref().map_or(!out.is_empty(), |value| value.as_str().is_some());
    if options.keep_trailing_newline && is_text {
        let missing = newlines(body).saturating_sub(newlines(&out));
        out.push_str(&"\n".repeat(missing));
    }
    if options.line_end != "\n" && options.is_template(body) {
        out = out.replace('\n', &options.line_end);
    }
    Ok((out, value))
}

/// What is wrong with a file's first line.
fn bad_header(path: &Path, why: &str) -> TemplateError {
    let mut error = TemplateError::message(format!("Syntax error in template: {why}"), None);
    error.is_syntax = true;
    error.file = Some(Box::new((path.display().to_string(), 1)));
    error
}

/// The template that the engine did not find, in its own words.
fn wanted(detail: &str) -> Option<&str> {
    let start = detail.rfind("\\u{1}").map(|at| at + "\\u{1}".len());
    let rest = match start {
        Some(start) => detail.get(start..)?,
        None => detail.split_once(" template '")?.1,
    };
    rest.split(['\'', '"']).next()
}

/// An error's place in the file it is in, which may be one that was included.
fn place(error: &minijinja::Error, path: &Path, search: &str, text: &str, skipped: usize) -> TemplateError {
    // The engine wraps the error of an included template.
    let mut inner = error;
    while let Some(next) = std::error::Error::source(inner).and_then(|s| s.downcast_ref::<minijinja::Error>()) {
        inner = next;
    }
    let mut out = TemplateError::new(inner, None).read_in(inner, text.get(skipped..).unwrap_or_default());
    if out.span.is_some() {
        return out;
    }
    if inner.kind() == minijinja::ErrorKind::TemplateNotFound
        && let Some(wanted) = inner.detail().and_then(wanted)
    {
        let beside = path.parent().map(|directory| directory.display().to_string());
        let places = beside.iter().map(String::as_str).chain(search.split('\n'));
        let places = places.map(python::quoted).collect::<Vec<_>>().join(", ");
        out.message = format!("{RENDERING}{} not found in search paths: {places}", python::quoted(wanted));
    }
    let file = inner.name().map_or(path, |n| Path::new(path_of(n)));
    let (text, skipped) =
        if file == path { (text.to_owned(), skipped) } else { (std::fs::read_to_string(file).unwrap_or_default(), 0) };
    let Some(line) = inner.line() else { return out };
    let line = line + text[..skipped].matches('\n').count();
    out.file = Some(Box::new((file.display().to_string(), line)));
    let whole = source::register(file.display().to_string(), Some(file), text.clone());
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let indent = content.len() - content.trim_start().len();
    out.span = Some(whole.part(start + indent, start + content.trim_end().len()));
    out
}

/// The owner of a file, by name where the local user list knows it.
pub(super) fn owner(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(meta) = std::fs::metadata(path) else { return String::new() };
    name_of(meta.uid(), "/etc/passwd").unwrap_or_else(|| meta.uid().to_string())
}

/// The name that a list of the controller's (`/etc/passwd`, `/etc/group`) has for a number.
pub(super) fn name_of(id: u32, list: &str) -> Option<String> {
    let id = id.to_string();
    std::fs::read_to_string(list).unwrap_or_default().lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == id).then(|| name.to_owned())
    })
}

/// The controller's host name.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// When a file was last changed, as Python writes it.
pub(super) fn modified(path: &Path) -> String {
    let time = std::fs::metadata(path).and_then(|m| m.modified()).ok();
    let zoned = time.and_then(|t| jiff::Timestamp::try_from(t).ok()).map(|t| t.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map(|z| z.strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()).unwrap_or_default()
}

impl FileOptions {
    /// Whether a template file can be read, without evaluating it.
    pub fn check(&self, path: &Path, vault: &Secrets) -> Result<(), TemplateError> {
        let fail = |message: String| TemplateError::message(message, None);
        let (text, encrypted) = read(path, vault).map_err(&fail)?;
        if encrypted {
            return Ok(());
        }
        let (options, body) = self.with_header(&text).map_err(|e| bad_header(path, &e))?;
        let skipped = text.len() - body.len();
        let name = path.to_string_lossy();
        let checked = options.syntax().and_then(|syntax| engine::can_be_read(&name, body, &syntax, Strings::Escaped));
        checked.map_err(|e| place(&e, path, "", &text, skipped))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod unit {
    use super::super::{Fixed, Templar};
    use super::*;

    #[test]
    fn renders_with_includes_headers_and_places() {
        let dir = tempfile::tempdir().unwrap();
        let templates = dir.path().join("templates");
        std::fs::create_dir(&templates).unwrap();
        let write = |name: &str, text: &str| std::fs::write(templates.join(name), text).unwrap();
        write("a.j2", "{% for i in l %}\n- {{ i }}\n{% endfor %}\n{% include 'b.j2' %}\nend\n");
        write("b.j2", "b={{ l | length }}\n");
        write("n.j2", "x{{ '\\n' }}\n\n");
        write(
            "h.j2",
            "#jinja2: trim_blocks: False, variable_start_string: '[['\n{% if true %}\n[[ l[0] }}\n{% endif %}\n",
        );
        write(
            "line.j2",
            "#jinja2: line_statement_prefix:\":\"\n: if true\nfoo\n: endif\nbar: x\n  : for i in [1]\n{{ i }}\n  : endfor\n",
        );
        write("pair.j2", "#jinja2: lstrip_blocks=True\nx\n");
        write("bad.j2", "one\n  {{ nope }}\n");
        write("syntax.j2", "one\n{% if %}\n");
        let map = Map::from_iter([("l".into(), Value::list(vec![1i64.into(), 2i64.into()]))]);
        let templar = Templar::new(Arc::new(Fixed { map, search: vec![dir.path().to_path_buf()] }));
        let render = |name: &str| templar.file(&templates.join(name), &FileOptions::default());
        assert_eq!(render("a.j2").unwrap(), "- 1\n- 2\nb=2end\n");
        assert_eq!(render("n.j2").unwrap(), "x\n\n");
        assert_eq!(render("line.j2").unwrap(), "foo\nbar: x\n1\n");
        assert!(render("pair.j2").unwrap_err().message.contains("Missing key-value separator"));
        assert_eq!(render("h.j2").unwrap(), "\n1\n");
        let error = render("bad.j2").unwrap_err();
        assert_eq!(error.message, "'nope' is undefined");
        let at = error.span.unwrap().location();
        assert_eq!((at.line, at.column), (2, 3));
        assert_eq!(render("syntax.j2").unwrap_err().span.unwrap().location().line, 2);
        assert!(FileOptions::default().check(&templates.join("syntax.j2"), &Secrets::default()).is_err());
        FileOptions::default().check(&templates.join("bad.j2"), &Secrets::default()).unwrap();
    }

    #[test]
    fn what_is_no_text_gets_no_newline() {
        let dir = tempfile::tempdir().unwrap();
        let map = Map::from_iter([("none".into(), Value::Null), ("l".into(), Value::list(vec![1i64.into()]))]);
        let templar = Templar::new(Arc::new(Fixed { map, search: Vec::new() }));
        let path = dir.path().join("t.j2");
        for (text, want) in [
            ("{{ l }}\n", "[1]"),
            ("{# c #}\n{{ l[0] }}\n", "1"),
            ("{% for i in l %}{{ i }}{% endfor %}\n", "1"),
            ("{{ 1 }} \n", "1 \n"),
            ("{{ 1 }}\n\n", "1\n\n"),
            ("{{ none }}\n", ""),
            ("{{ none }}\n\n", "\n\n"),
            ("{{ '' }}\n", "\n"),
            ("{% if false %}x{% endif %}\n", ""),
            ("{{ '1' }}\n", "1\n"),
            ("\n", "\n"),
            ("x\r\n{% raw %}\r\ny\r\n{% endraw %}\r\n", "x\n\ny\n"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(templar.file(&path, &FileOptions::default()).unwrap(), want, "{text:?}");
        }
    }

    /// A templar that knows `n`, which is 5.
    fn of_five() -> Templar {
        let map = Map::from_iter([("n".into(), Value::from(5i64))]);
        Templar::new(Arc::new(Fixed { map, search: Vec::new() }))
    }

    #[test]
    fn lines_end_as_they_are_told_to() {
        let dir = tempfile::tempdir().unwrap();
        let templar = of_five();
        let path = dir.path().join("t.j2");
        let dos = FileOptions { line_end: "\r\n".to_owned(), ..FileOptions::default() };
        let header = "#jinja2: newline_sequence: '\\r\\n'\n";
        for (options, text, want) in [
            (&dos, "a\n{{ n }} b\n".to_owned(), "a\r\n5 b\r\n"),
            // What there is nothing to evaluate in stays as it is.
            (&dos, "a\nb\n".to_owned(), "a\nb\n"),
            (&FileOptions::default(), format!("{header}x {{{{ n }}}}\ny\n"), "x 5\r\ny\n"),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(templar.file(&path, options).unwrap(), want, "{text:?}");
        }
    }

    #[test]
    fn a_macro_of_another_file_keeps_its_type_and_what_is_not_there_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let templar = of_five();
        let path = dir.path().join("t.j2");
        std::fs::write(dir.path().join("m.j2"), "{% macro five() %}{{ 5 }}{% endmacro %}\n").unwrap();
        std::fs::write(&path, "{% from 'm.j2' import five as f %}{{ f() }}\n").unwrap();
        assert_eq!(templar.file(&path, &FileOptions::default()).unwrap(), "5");
        for text in ["{% include 'no.j2' %}", "{% extends 'no.j2' %}"] {
            std::fs::write(&path, text).unwrap();
            let error = templar.file(&path, &FileOptions::default()).unwrap_err();
            let want =
                format!("Error rendering template: 'no.j2' not found in search paths: '{}'", dir.path().display());
            assert!(error.message.starts_with(&want), "{}", error.message);
        }
    }
}
