//! Ranges in host names: `web[01:20]`, `db-[a:f]`, `n[0:10:2]`.

/// How many hosts one pattern may stand for.
const MOST: usize = 1_000_000;

/// The letters in the order in which ranges count them.
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Why a range cannot be counted out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// It does not look like a range.
    #[error("{0}")]
    NoRange(String),
    /// It does, and cannot be used.
    #[error("{0}")]
    Unusable(String),
}

fn no_range(message: &str) -> RangeError {
    RangeError::NoRange(message.to_owned())
}

/// The names a pattern stands for; itself when there is no range in it. Fails with a sentence on a range that is none.
pub fn expand(pattern: &str) -> Result<Vec<String>, RangeError> {
    let mut pieces = Vec::new();
    let mut many: usize = 1;
    let mut rest = pattern;
    while let Some((head, inside)) = rest.split_once('[') {
        let Some((body, tail)) = inside.split_once(']') else {
            return Err(RangeError::Unusable(format!("host range has no closing bracket: {pattern}")));
        };
        let middle = sequence(body)?;
        many = many.saturating_mul(middle.len());
        if many > MOST {
            return Err(too_many(pattern));
        }
        pieces.push((head, middle));
        rest = tail;
    }
    let start = vec![String::new()];
    let mut names = pieces.iter().fold(start, |names, (head, middle)| {
        names.iter().flat_map(|name| middle.iter().map(move |m| format!("{name}{head}{m}"))).collect()
    });
    if !rest.is_empty() {
        names.iter_mut().for_each(|name| name.push_str(rest));
    }
    Ok(names)
}

fn too_many(range: &str) -> RangeError {
    RangeError::Unusable(format!("host range stands for more than a million hosts: {range}"))
}

/// What stands between the brackets, counted out.
fn sequence(body: &str) -> Result<Vec<String>, RangeError> {
    let parts: Vec<&str> = body.split(':').collect();
    let (begin, end, step) = match parts.as_slice() {
        [begin, end] => (*begin, *end, "1"),
        [begin, end, step] => (*begin, *end, *step),
        _ => return Err(no_range("host range must be begin:end or begin:end:step")),
    };
    let begin = if begin.is_empty() { "0" } else { begin };
    if end.is_empty() {
        return Err(no_range("host range must specify end value"));
    }
    let width = if begin.starts_with('0') && begin.len() > 1 { begin.len() } else { 0 };
    if width > 0 && begin.len() != end.len() {
        return Err(no_range("host range must specify equal-length begin and end formats"));
    }
    let step: usize = match step.parse() {
        Ok(step) if step > 0 => step,
        _ => return Err(RangeError::Unusable(format!("host range must have a step above zero, not '{step}'"))),
    };
    if let (Some(from), Some(to)) = (letter(begin), letter(end)) {
        if from > to {
            return Err(no_range("host range must have begin <= end"));
        }
        return Ok((from..=to).step_by(step).map(|at| char::from(LETTERS[at]).to_string()).collect());
    }
    let (Ok(from), Ok(to)) = (begin.parse::<u64>(), end.parse::<u64>()) else {
        let message = format!("host range must be between two numbers or two letters: [{body}]");
        return Err(RangeError::Unusable(message));
    };
    // As in the reference, numbers that go down are no hosts at all.
    if from > to {
        return Ok(Vec::new());
    }
    if (to - from) / step as u64 >= MOST as u64 {
        return Err(too_many(body));
    }
    Ok((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

fn letter(text: &str) -> Option<usize> {
    match text.as_bytes() {
        [byte] => LETTERS.iter().position(|letter| letter == byte),
        _ => None,
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
        assert_eq!(expand("a[:2]").unwrap(), ["a0", "a1", "a2"]);
        assert_eq!(expand("[y:B]").unwrap(), ["y", "z", "A", "B"]);
        assert!(expand("a[3:1]").unwrap().is_empty());
        let huge = ["a[1:99999999]", "a[0:9999][0:9999]", "a[0:18446744073709551615]"];
        for bad in
            ["a[1]", "a[1:", "a[01:100]", "a[1:]", "a[1:5:0]", "a[a:9]", "a[c:a]", "a[1:2:3:4]"].into_iter().chain(huge)
        {
            assert!(expand(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_pattern_is_counted_out_or_refused(text in "[a-c0-9\\[\\]:é-]{0,30}", from in 0u64.., to in 0u64..) {
            for text in [text, format!("h[{from}:{to}]"), format!("h[0:9][0:9][{from}:{to}]")] {
                if let Ok(names) = expand(&text) {
                    proptest::prop_assert!(names.len() <= super::MOST);
                }
            }
        }

        #[test]
        fn numbers_are_all_there(from in 0u64..5000, many in 0u64..500, step in 1u64..9) {
            let to = from + many;
            let names = expand(&format!("h[{from}:{to}:{step}].x")).unwrap();
            proptest::prop_assert_eq!(names.len() as u64, many / step + 1);
            proptest::prop_assert_eq!(&names[0], &format!("h{from}.x"));
        }
    }
}
