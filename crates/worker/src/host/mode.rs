//! Symbolic permissions, as chmod(1) takes them.

/// Applies a symbolic mode such as `u=rw,g+X,o-rwx` to the permission bits `current`.
///
/// Without a `who`, all three are meant and no umask is applied, as in the reference. `X` gives execute permission to
/// directories and to files that somebody may execute already. Fails with a sentence when the text is not a mode.
pub fn symbolic_mode(text: &str, current: u32, is_dir: bool) -> Result<u32, String> {
    let bad = || format!("bad symbolic permission for mode: {text}");
    let mut mode = current;
    if text.is_empty() {
        return Ok(mode);
    }
    for clause in text.split(',') {
        let end = clause.find(['+', '-', '=']).ok_or_else(bad)?;
        let (who, mut actions) = clause.split_at(end);
        if !who.chars().all(|c| matches!(c, 'u' | 'g' | 'o' | 'a')) {
            return Err(bad());
        }
        let who = if who.is_empty() || who.contains('a') { "ugo" } else { who };
        while !actions.is_empty() {
            let operator = actions.chars().next().ok_or_else(bad)?;
            let rest = &actions[1..];
            let end = rest.find(['+', '-', '=']).unwrap_or(rest.len());
            let (perms, next) = rest.split_at(end);
            let mut clear = 0;
            let mut bits = 0;
            for class in who.chars() {
                bits |= class_bits(class, perms, mode, is_dir || mode & 0o111 != 0).ok_or_else(bad)?;
                clear |= class_mask(class);
            }
            mode = match operator {
                '+' => mode | bits,
                '-' => mode & !bits,
                _ => (mode & !clear) | bits,
            };
            actions = next;
        }
    }
    Ok(mode)
}

/// Every bit that belongs to a class, with its set-id or the sticky bit.
fn class_mask(class: char) -> u32 {
    match class {
        'u' => 0o4700,
        'g' => 0o2070,
        _ => 0o1007,
    }
}

/// The bits that `perms` means for one class; `None` when it holds a letter that means nothing.
fn class_bits(class: char, perms: &str, mode: u32, executable: bool) -> Option<u32> {
    let shift = match class {
        'u' => 6,
        'g' => 3,
        _ => 0,
    };
    let mut bits = 0;
    for perm in perms.chars() {
        bits |= match perm {
            'r' => 4 << shift,
            'w' => 2 << shift,
            'x' => 1 << shift,
            'X' if executable => 1 << shift,
            'X' => 0,
            's' if class == 'u' => 0o4000,
            's' if class == 'g' => 0o2000,
            's' => 0,
            't' if class == 'o' => 0o1000,
            't' => 0,
            'u' => ((mode >> 6) & 7) << shift,
            'g' => ((mode >> 3) & 7) << shift,
            'o' => (mode & 7) << shift,
            _ => return None,
        };
    }
    Some(bits)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::symbolic_mode;

    #[test]
    fn follows_chmod() {
        let cases: [(&str, u32, bool, u32); 10] = [
            ("u=rw,g=r,o=", 0o777, false, 0o640),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o644, false, 0o755),
            ("u+s,g+s", 0o755, false, 0o6755),
            ("o+t", 0o777, true, 0o1777),
            ("go-rwx", 0o755, false, 0o700),
            ("a+X", 0o644, false, 0o644),
            ("a+X", 0o644, true, 0o755),
            ("g=u", 0o640, false, 0o660),
            ("u=rwx+s-w", 0o000, false, 0o4500),
        ];
        for (text, from, dir, to) in cases {
            assert_eq!(symbolic_mode(text, from, dir).unwrap(), to, "{text} on {from:o}");
        }
        assert!(symbolic_mode("rw", 0, false).is_err());
        assert!(symbolic_mode("u=q", 0, false).is_err());
    }
}
