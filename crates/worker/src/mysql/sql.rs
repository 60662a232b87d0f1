//! Names and texts as they are written in statements.

/// A name: in backticks, in which a backtick is two.
pub fn ident(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A text: in quotes; backslashes mean something where the server does not say otherwise.
pub fn literal(text: &str, plain_backslashes: bool) -> String {
    let text = if plain_backslashes { text.to_owned() } else { text.replace('\\', "\\\\").replace('\0', "\\0") };
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_name_or_a_text() {
        assert_eq!(ident("a`b"), "`a``b`");
        assert_eq!(literal("a'b\\", false), "'a''b\\\\'");
        assert_eq!(literal("a'b\\", true), "'a''b\\'");
    }
}
