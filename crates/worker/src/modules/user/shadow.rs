//! shadow(5): what it says of a user, and what may stand there.

use crate::host::Host;

/// A user's line; `-1` stands for an empty number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shadow {
    pub(super) password: String,
    pub(super) min: i64,
    pub(super) max: i64,
    pub(super) warn: i64,
    pub(super) inactive: i64,
    /// Days since 1970 when the account expires.
    pub(super) expires: i64,
}

impl Shadow {
    /// A user's line; `None` when there is none, or it may not be read.
    pub(super) fn of(host: &Host, name: &str) -> Option<Self> {
        let text = host.text("/etc/shadow")?;
        text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let number = |at: usize| fields.get(at).and_then(|n| n.parse().ok()).unwrap_or(-1);
            (fields.first() == Some(&name)).then(|| Self {
                password: fields.get(1).copied().unwrap_or_default().to_owned(),
                min: number(3),
                max: number(4),
                warn: number(5),
                inactive: number(6),
                expires: number(7),
            })
        })
    }
}

/// Whether a text can be what crypt(5) makes of a password, or says that there is none.
pub(super) fn is_hash(password: &str) -> bool {
    if password.is_empty() || password.chars().all(|c| matches!(c, '*' | '!' | 'x')) {
        return true;
    }
    let hash = password.trim_start_matches('!');
    let Some((method, rest)) = hash.strip_prefix('$').and_then(|rest| rest.split_once('$')) else {
        // DES without a prefix.
        return hash.len() == 13 && hash.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/'));
    };
    let last = rest.rsplit('$').next().unwrap_or_default();
    // Those of libcrypt know neither plus nor equals.
    let other = !matches!(method, "1" | "5" | "6" | "y");
    let plain = last.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '/') || other && "=+".contains(c));
    let length = match method {
        "1" => last.len() == 22,
        "5" => last.len() == 43,
        "6" => last.len() == 86,
        _ => !last.is_empty(),
    };
    plain && length
}

/// The date, `YYYY-MM-DD`, of a time in seconds since 1970, in UTC.
pub(super) fn date(seconds: f64) -> Option<String> {
    let time = jiff::Timestamp::from_second(seconds as i64).ok()?;
    Some(time.to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%d").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_words() {
        let sha = format!("$6$rounds=5000$salt${}", "a".repeat(86));
        for good in ["*", "!", "!!", "", &sha, "$y$j9T$abc$def/GHI.", &format!("!{sha}")] {
            assert!(is_hash(good), "{good}");
        }
        let plus = format!("$6$salt${}++", "a".repeat(84));
        for bad in ["secret", "$6$abc$def", "$1$x$short", &plus] {
            assert!(!is_hash(bad), "{bad}");
        }
        assert_eq!(date(1_893_456_000.0).as_deref(), Some("2030-01-01"));
    }
}
