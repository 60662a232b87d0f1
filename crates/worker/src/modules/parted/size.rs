//! Places on a disk as tasks write them: `10MiB`, `-20GB`, `50%`, `0,1,1`.

/// A place on a disk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Size {
    /// So much from the beginning, or, when negative, from the end.
    Of(Amount),
    /// Cylinder, head and sector.
    Chs,
}

/// A number of a unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Amount {
    number: f64,
    unit: &'static str,
}

const UNITS: &[(&str, f64)] = &[
    ("B", 1.0),
    ("KB", 1e3),
    ("kB", 1e3),
    ("KiB", 1024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
    ("TB", 1e12),
    ("TiB", 1_099_511_627_776.0),
    ("s", 0.0),
    ("%", 0.0),
    ("cyl", 0.0),
    ("chs", 0.0),
];

impl Size {
    /// Reads what `arg` says.
    pub(super) fn parse(arg: &str, text: &str) -> Result<Self, String> {
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if text.split(',').count() == 3 && text.split(',').all(digits) {
            return Ok(Self::Chs);
        }
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let at = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, unit) = unsigned.split_at(at);
        let Ok(number) = number.parse::<f64>() else {
            return Err(format!("Error interpreting parted size output: '{text}'"));
        };
        let Some((unit, _)) = UNITS.iter().find(|(known, _)| *known == unit.trim_start()) else {
            return Err(format!(
                "The argument '{arg}' doesn't respect required format.The size unit is case sensitive."
            ));
        };
        let sign = if text.starts_with('-') { -1.0 } else { 1.0 };
        Ok(Self::Of(Amount { number: sign * number, unit }))
    }
}

impl Amount {
    /// The place in bytes from the beginning of a disk of so many.
    pub(super) fn in_bytes(self, disk: f64, block: u64) -> f64 {
        let place = match self.unit {
            "%" => disk * self.number / 100.0,
            "s" => self.number * block as f64,
            unit => self.number * UNITS.iter().find(|(known, _)| *known == unit).map_or(0.0, |(_, bytes)| *bytes),
        };
        if self.number.is_sign_negative() { disk + place } else { place }
    }
}
