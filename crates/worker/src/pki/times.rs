//! Points in time as arguments give them: `+10d`, or ASN.1 TIME.

use der::DateTime;

/// A point in time in seconds since 1970; `name` is the argument that says it.
pub(crate) fn parse(text: &str, name: &str, now: i64) -> Result<i64, String> {
    let invalid = || format!("The time spec \"{text}\" for {name} is invalid");
    match text.chars().next() {
        Some(sign @ ('+' | '-')) => {
            let span = span(&text[1..]).ok_or_else(invalid)?;
            now.checked_add(if sign == '+' { span } else { -span }).ok_or_else(invalid)
        }
        _ => absolute(text).ok_or_else(invalid),
    }
}

/// `32w1d2h` in seconds; a number without a unit at the end is seconds.
fn span(text: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut digits = String::new();
    let mut units = "wdhms".chars();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        // Units come in this order, each once at most.
        units.by_ref().find(|unit| *unit == c)?;
        let factor = match c {
            'w' => 604_800,
            'd' => 86_400,
            'h' => 3_600,
            'm' => 60,
            _ => 1,
        };
        total = total.checked_add(digits.parse::<i64>().ok()?.checked_mul(factor)?)?;
        digits.clear();
    }
    if digits.is_empty() { (!text.is_empty()).then_some(total) } else { total.checked_add(digits.parse().ok()?) }
}

/// `YYYYMMDDhhmm[ss]` with `Z` or an offset behind.
fn absolute(text: &str) -> Option<i64> {
    let at = text.find(['Z', '+', '-'])?;
    let (digits, zone) = text.split_at(at);
    if !matches!(digits.len(), 12 | 14) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let two = |at: usize| digits.get(at..at + 2).and_then(|two| two.parse::<u8>().ok());
    let seconds = if digits.len() == 14 { two(12)? } else { 0 };
    let time = DateTime::new(digits.get(..4)?.parse().ok()?, two(4)?, two(6)?, two(8)?, two(10)?, seconds).ok()?;
    let time = i64::try_from(time.unix_duration().as_secs()).ok()?;
    if zone == "Z" {
        return Some(time);
    }
    let (sign, rest) = zone.split_at(1);
    let hours: i64 = rest.get(..2)?.parse().ok()?;
    let minutes: i64 = rest.get(2..4).filter(|_| rest.len() == 4)?.parse().ok()?;
    let offset = hours * 3600 + minutes * 60;
    Some(if sign == "+" { time - offset } else { time + offset })
}

/// A point in time as results tell it.
pub(crate) fn told(time: DateTime) -> String {
    let (date, clock) = ((time.year(), time.month(), time.day()), (time.hour(), time.minutes(), time.seconds()));
    format!("{:04}{:02}{:02}{:02}{:02}{:02}Z", date.0, date.1, date.2, clock.0, clock.1, clock.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_relative_or_absolute() {
        let read = |text: &str| parse(text, "not_after", 1000).ok();
        assert_eq!(read("+1w2d3h4m5s"), Some(1000 + 7 * 86400 + 2 * 86400 + 3 * 3600 + 4 * 60 + 5));
        assert_eq!(read("-10"), Some(990));
        assert_eq!(read("+0s"), Some(1000));
        assert_eq!(read("20400101000000Z"), Some(2_208_988_800));
        assert_eq!(read("204001010000Z"), Some(2_208_988_800));
        assert_eq!(read("20400101000000+0100"), Some(2_208_985_200));
        for odd in [
            "foo",
            "",
            "+",
            "+1x",
            "+1s1d",
            "365",
            "20400101000000",
            "2040010100Z",
            "20401301000000Z",
            "+99999999999999999w",
        ] {
            assert_eq!(read(odd), None, "{odd}");
        }
        assert!(parse("foo", "not_after", 0).unwrap_err().contains("\"foo\" for not_after"));
    }
}
