//! Writes YAML byte for byte as libyaml does under PyYAML's safe dumper, which is what the reference's filters call.

use super::blocks::can_be_block;
use super::json;
use super::scalars::{Traits, escaped, is_break, is_printable, is_simple, resolves_to_text, scalar_text};
use crate::value::{Key, Value};

/// What `yaml.dump` is asked for.
pub(super) struct Options {
    pub indent: i64,
    pub width: i64,
    pub sort_keys: bool,
    /// `None`: flow style for what holds only scalars.
    pub flow: Option<bool>,
    pub explicit_start: bool,
    pub explicit_end: bool,
    pub unicode: bool,
    pub style: Option<char>,
    /// With the type of everything.
    pub canonical: bool,
    /// Text of several lines as a literal block, where that can be.
    pub literal: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            indent: 2,
            width: 80,
            sort_keys: true,
            flow: None,
            explicit_start: false,
            explicit_end: false,
            unicode: true,
            style: None,
            canonical: false,
            literal: false,
        }
    }
}

/// Where a node stands.
#[derive(Clone, Copy, Default)]
struct Place {
    in_mapping: bool,
    simple_key: bool,
}

/// The entries of a dictionary in the order they are written.
pub(super) fn entries(map: &crate::value::Map, sort: bool) -> Vec<(Value, Value)> {
    let mut entries: Vec<(&Key, &Value)> = map.iter().collect();
    if sort {
        // Keys that cannot be compared stay as they are, as with PyYAML.
        let _ = json::sort(&mut entries);
    }
    entries.into_iter().map(|(k, v)| (k.to_value(), v.clone())).collect()
}

/// libyaml's emitter: what was written last decides where the next thing goes.
pub(super) struct Emitter {
    out: String,
    options: Options,
    pub(super) step: i64,
    pub(super) width: i64,
    indent: i64,
    indents: Vec<i64>,
    pub(super) column: i64,
    flow_level: usize,
    pub(super) whitespace: bool,
    pub(super) indention: bool,
    /// Whether what was written last ends in empty lines that are its own.
    pub(super) open_ended: bool,
}

impl Emitter {
    pub fn dump(value: &Value, options: Options) -> String {
        let step = if (2..10).contains(&options.indent) { options.indent } else { 2 };
        let width = match options.width {
            w if w < 0 => i64::MAX,
            w if w <= step * 2 => 80,
            w => w,
        };
        let mut emitter = Self {
            out: String::new(),
            options,
            step,
            width,
            indent: -1,
            indents: Vec::new(),
            column: 0,
            flow_level: 0,
            whitespace: true,
            indention: true,
            open_ended: false,
        };
        if emitter.options.explicit_start {
            emitter.indicator("---", true, false, false);
        }
        emitter.node(value, Place::default());
        emitter.write_indent();
        if emitter.options.explicit_end || emitter.open_ended {
            emitter.indicator("...", true, false, false);
            emitter.write_indent();
        }
        emitter.out
    }

    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    pub(super) fn put_text(&mut self, text: &str) {
        text.chars().for_each(|c| self.put(c));
    }

    pub(super) fn put_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    pub(super) fn indicator(&mut self, text: &str, need_whitespace: bool, is_whitespace: bool, is_indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        text.chars().for_each(|c| self.put(c));
        self.whitespace = is_whitespace;
        self.indention = self.indention && is_indention;
    }

    pub(super) fn write_indent(&mut self) {
        let indent = self.indent.max(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.put_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    fn increase(&mut self, flow: bool, indentless: bool) {
        self.indents.push(self.indent);
        if self.indent < 0 {
            self.indent = if flow { self.step } else { 0 };
        } else if !indentless {
            self.indent += self.step;
        }
    }

    fn decrease(&mut self) {
        self.indent = self.indents.pop().unwrap_or(-1);
    }

    fn is_flow(&self, value: &Value) -> bool {
        let vaulted = |v: &Value| matches!(v, Value::Str(text) if text.as_vaulted().is_some());
        let scalar =
            |v: &Value| !matches!(v, Value::List(_) | Value::Map(_)) && self.options.style.is_none() && !vaulted(v);
        match self.options.flow {
            _ if self.flow_level > 0 => true,
            Some(flow) => flow,
            None => match value {
                Value::List(items) => items.iter().all(scalar),
                Value::Map(map) => map.values().all(scalar) && self.options.style.is_none(),
                _ => false,
            },
        }
    }

    fn node(&mut self, value: &Value, place: Place) {
        match value {
            Value::List(items) if items.is_empty() || self.is_flow(value) => self.flow_list(items),
            Value::List(items) => self.block_list(items, place),
            Value::Map(map) if map.is_empty() || self.is_flow(value) => {
                self.flow_map(&entries(map, self.options.sort_keys))
            }
            Value::Map(map) => self.block_map(&entries(map, self.options.sort_keys)),
            Value::Str(text) if text.as_vaulted().is_some() => self.vaulted(text.as_str()),
            scalar => self.scalar(scalar, place),
        }
    }

    /// Encrypted text, as it stands in files.
    fn vaulted(&mut self, text: &str) {
        self.increase(true, false);
        self.indicator("!vault", true, false, false);
        self.indicator(if text.ends_with('\n') { "|" } else { "|-" }, true, false, false);
        for line in text.lines() {
            self.put_break();
            (0..self.indent).for_each(|_| self.put(' '));
            line.chars().for_each(|c| self.put(c));
            self.whitespace = false;
            self.indention = false;
        }
        if text.ends_with('\n') {
            self.put_break();
            self.whitespace = true;
            self.indention = true;
        }
        self.decrease();
    }

    fn flow_list(&mut self, items: &[Value]) {
        self.indicator("[", true, true, false);
        self.increase(true, false);
        self.flow_level += 1;
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.width {
                self.write_indent();
            }
            self.node(item, Place::default());
        }
        self.flow_level -= 1;
        self.decrease();
        self.indicator("]", false, false, false);
    }

    fn flow_map(&mut self, entries: &[(Value, Value)]) {
        self.indicator("{", true, true, false);
        self.increase(true, false);
        self.flow_level += 1;
        for (i, (key, value)) in entries.iter().enumerate() {
            if i > 0 {
                self.indicator(",", false, false, false);
            }
            if self.column > self.width {
                self.write_indent();
            }
            let place = Place { in_mapping: true, ..Place::default() };
            if is_simple(key) {
                self.node(key, Place { simple_key: true, ..place });
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, false);
                self.node(key, place);
                if self.column > self.width {
                    self.write_indent();
                }
                self.indicator(":", true, false, false);
            }
            self.node(value, place);
        }
        self.flow_level -= 1;
        self.decrease();
        self.indicator("}", false, false, false);
    }

    fn block_list(&mut self, items: &[Value], place: Place) {
        let indentless = place.in_mapping && !self.indention;
        self.increase(false, indentless);
        for item in items {
            self.write_indent();
            self.indicator("-", true, false, true);
            self.node(item, Place::default());
        }
        self.decrease();
    }

    fn block_map(&mut self, entries: &[(Value, Value)]) {
        self.increase(false, false);
        for (key, value) in entries {
            self.write_indent();
            let place = Place { in_mapping: true, ..Place::default() };
            if is_simple(key) {
                self.node(key, Place { simple_key: true, ..place });
                self.indicator(":", false, false, false);
            } else {
                self.indicator("?", true, false, true);
                self.node(key, place);
                self.write_indent();
                self.indicator(":", true, false, true);
            }
            self.node(value, place);
        }
        self.decrease();
    }

    fn scalar(&mut self, value: &Value, place: Place) {
        let text = scalar_text(value);
        let is_text = matches!(value, Value::Str(_));
        let traits = Traits::of(&text, self.options.unicode);
        let implicit = !is_text || resolves_to_text(&text);
        let mut style = self.options.style.unwrap_or(' ');
        if matches!(style, '|' | '>') && place.simple_key {
            style = '"';
        }
        if style == ' ' && place.simple_key && traits.multiline {
            style = '\'';
        }
        if style == ' ' {
            let allowed = if self.flow_level > 0 { traits.flow_plain } else { traits.block_plain };
            let empty = text.is_empty() && (self.flow_level > 0 || place.simple_key);
            if !allowed || empty || !implicit {
                style = '\'';
            }
        }
        let block = self.flow_level == 0 && can_be_block(&text, traits.printable);
        if style == '\'' && !traits.single_quoted || matches!(style, '|' | '>') && !block {
            style = '"';
        }
        if !is_text && style != ' ' {
            // Not text, although it is written like it.
            self.indicator("!", true, false, false);
        }
        self.increase(true, false);
        self.open_ended = false;
        match style {
            _ if self.options.literal && is_text && !place.simple_key && text.contains('\n') => self.literal(&text),
            '\'' => self.single_quoted(&text, !place.simple_key),
            ' ' => self.plain(&text, !place.simple_key),
            '|' | '>' => self.block(&text, style),
            _ => self.double_quoted(&text, !place.simple_key),
        }
        self.decrease();
    }

    /// A literal block; white space at the ends of lines and of the text, which nobody would see, is left out.
    fn literal(&mut self, text: &str) {
        self.indicator("|", true, false, false);
        if text.starts_with([' ', '\n']) {
            self.out.push_str(&self.step.to_string());
        }
        self.out.push('-');
        let pad = " ".repeat(usize::try_from(self.indent).unwrap_or(0));
        for line in text.trim_end().split('\n') {
            let line = line.trim_end().replace('\t', &" ".repeat(8));
            self.out.push('\n');
            if !line.is_empty() {
                self.out.push_str(&pad);
                self.out.push_str(&line);
            }
        }
        self.column = 1;
        self.whitespace = false;
        self.indention = false;
    }

    fn plain(&mut self, text: &str, allow_breaks: bool) {
        if !self.whitespace && (!text.is_empty() || self.flow_level > 0) {
            self.put(' ');
        }
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (i, c) in chars.iter().enumerate() {
            let next_space = chars.get(i + 1) == Some(&' ');
            if *c == ' ' && allow_breaks && !spaces && self.column > self.width && !next_space {
                self.write_indent();
            } else {
                self.put(*c);
            }
            spaces = *c == ' ';
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, allow_breaks: bool) {
        self.indicator("'", true, false, false);
        let chars: Vec<char> = text.chars().collect();
        let (mut spaces, mut breaks) = (false, false);
        for (i, c) in chars.iter().enumerate() {
            let inner = i > 0 && i + 1 < chars.len();
            if *c == ' ' {
                let next_space = chars.get(i + 1) == Some(&' ');
                if allow_breaks && !spaces && self.column > self.width && inner && !next_space {
                    self.write_indent();
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else if is_break(*c) {
                if !breaks && *c == '\n' {
                    self.put_break();
                }
                self.break_as(*c);
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if *c == '\'' {
                    self.put('\'');
                }
                self.put(*c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        if breaks {
            self.write_indent();
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    pub(super) fn break_as(&mut self, c: char) {
        if c == '\n' {
            self.put_break();
        } else {
            self.out.push(c);
            self.column = 0;
        }
    }

    fn double_quoted(&mut self, text: &str, allow_breaks: bool) {
        self.indicator("\"", true, false, false);
        let chars: Vec<char> = text.chars().collect();
        let mut spaces = false;
        for (i, c) in chars.iter().enumerate() {
            let escape = !is_printable(*c) || is_break(*c) || matches!(c, '"' | '\\' | '\u{feff}');
            if escape || (!self.options.unicode && !c.is_ascii()) {
                escaped(*c).chars().for_each(|c| self.put(c));
                spaces = false;
            } else if *c == ' ' {
                let inner = i > 0 && i + 1 < chars.len();
                if allow_breaks && !spaces && self.column > self.width && inner {
                    self.write_indent();
                    if chars.get(i + 1) == Some(&' ') {
                        self.put('\\');
                    }
                } else {
                    self.put(' ');
                }
                spaces = true;
            } else {
                self.put(*c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }
}
