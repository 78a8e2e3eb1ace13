//! Numbers and times as people read and write them.

use std::fmt;
use std::time::Duration;

/// A number in groups of three digits: `1,234,567`.
pub struct Count(pub u64);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() * 4 / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// `count` of `noun`: `1 seed`, `2,000 seeds`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", Count(count), if count == 1 { "" } else { "s" })
}

/// The words of `text` in lines of at most `width` characters, where words are not longer than that.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A span of time, in the two largest units that matter: `42 ms`, `12.3 s`, `4 min 5 s`, `17 h 21 min`, `3 d 4 h`.
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) if seconds == 0 => write!(f, "{} ms", self.0.subsec_millis()),
            (0, 0, 0) => write!(f, "{seconds}.{} s", self.0.subsec_millis() / 100),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// Reads a span of wall time: `90s`, `10m`, `1h30m`, `2d`.
///
/// # Errors
///
/// A sentence that says what is wrong.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is no span of time; write `90s`, `10m` or `1h30m`");
    let (mut total, mut rest) = (0_u64, text);
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
        let number: u64 = rest[..unit].parse().map_err(|_| refuse())?;
        let after = rest[unit..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |next| unit + next);
        let seconds = match &rest[unit..after] {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(refuse()),
        };
        let span = number.checked_mul(seconds).and_then(|span| total.checked_add(span));
        total = span.ok_or_else(|| format!("`{text}` is too long"))?;
        rest = &rest[after..];
    }
    match total {
        0 => Err(refuse()),
        total => Ok(Duration::from_secs(total)),
    }
}

/// `word` as a shell reads it back as one word.
pub fn shell_quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:=@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let cases = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in cases {
            assert_eq!(Count(number).to_string(), text);
        }
        assert_eq!((counted(1, "seed"), counted(2, "seed")), ("1 seed".to_owned(), "2 seeds".to_owned()));
    }

    #[test]
    fn spans_are_shown_in_their_two_largest_units() {
        let cases = [(42, "42 ms"), (12_340, "12.3 s"), (245_000, "4 min 5 s"), (62_460_000, "17 h 21 min")];
        for (millis, text) in cases {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Span(Duration::from_secs(86_400 * 3 + 3_600 * 4)).to_string(), "3 d 4 h");
    }

    #[test]
    fn spans_are_read_with_their_units() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5_400), ("2d", 172_800), ("10min", 600)]
        {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)));
        }
        for bad in ["", "10", "m", "0s", "-1s", "1.5h", "10 m", "5x", "99999999999999999999s", "ñ", "1ñ2"] {
            assert!(parse_span(bad).is_err(), "`{bad}` was read as a span");
        }
    }

    #[test]
    fn a_word_with_spaces_is_quoted_for_the_shell() {
        assert_eq!(shell_quoted("seeds/7.toml"), "seeds/7.toml");
        assert_eq!(shell_quoted("my seeds/it's.toml"), r"'my seeds/it'\''s.toml'");
    }
}
