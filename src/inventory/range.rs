//! Ranges in host names: `web[01:20]`, `db-[a:f]`, `n[0:10:2]`.

/// The names a pattern stands for; itself when there is no range in it. Fails with a sentence on a range that is none.
pub fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, body, tail)) = split(pattern) else { return Ok(vec![pattern.to_owned()]) };
    let parts: Vec<&str> = body.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(format!("the range in '{pattern}' must be [begin:end] or [begin:end:step]")),
    };
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => return Err(format!("the step of the range in '{pattern}' must be a number above 0")),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(format!("the range in '{pattern}' has no end"));
    }
    let middle = match (begin.parse::<u64>(), end.parse::<u64>()) {
        (Ok(from), Ok(to)) => numbers(pattern, begin, end, from, to, step)?,
        _ => letters(pattern, begin, end, step)?,
    };
    let tails = expand(tail)?;
    Ok(middle.iter().flat_map(|m| tails.iter().map(move |t| format!("{head}{m}{t}"))).collect())
}

/// The first range's surroundings and inside.
fn split(pattern: &str) -> Option<(&str, &str, &str)> {
    let open = pattern.find('[')?;
    let close = open + pattern[open..].find(']')?;
    let body = &pattern[open + 1..close];
    body.contains(':').then(|| (&pattern[..open], body, &pattern[close + 1..]))
}

fn numbers(pattern: &str, begin: &str, end: &str, from: u64, to: u64, step: usize) -> Result<Vec<String>, String> {
    let width = if begin.starts_with('0') && begin.len() > 1 { begin.len() } else { 0 };
    if width > 0 && begin.len() != end.len() {
        return Err(format!("begin and end of the range in '{pattern}' must have the same length"));
    }
    if from > to {
        return Err(format!("the range in '{pattern}' ends before it begins"));
    }
    if (to - from) as usize / step > 1_000_000 {
        return Err(format!("the range in '{pattern}' stands for more than a million hosts"));
    }
    Ok((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

fn letters(pattern: &str, begin: &str, end: &str, step: usize) -> Result<Vec<String>, String> {
    let one = |text: &str| match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    };
    match (one(begin), one(end)) {
        (Some(from), Some(to)) if from <= to => {
            Ok((from..=to).step_by(step).map(|b| (b as char).to_string()).collect())
        }
        _ => Err(format!("the range in '{pattern}' must be between two numbers or two letters")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::expand;

    #[test]
    fn expands_as_the_reference_does() {
        assert_eq!(expand("web[01:03].x").unwrap(), ["web01.x", "web02.x", "web03.x"]);
        assert_eq!(expand("n[0:4:2]").unwrap(), ["n0", "n2", "n4"]);
        assert_eq!(expand("[a:b][1:2]").unwrap(), ["a1", "a2", "b1", "b2"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
        assert_eq!(expand("a[1]").unwrap(), ["a[1]"]);
        for bad in ["a[3:1]", "a[01:100]", "a[1:]", "a[1:5:0]", "a[a:9]", "a[1:99999999]"] {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }
}
