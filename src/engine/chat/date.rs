//! The one date that a template may print. Knows no clock.

use std::str::FromStr;

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date(time::Date);

impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = time::macros::format_description!("[year]-[month]-[day]");
        time::Date::parse(text, form).map(Self).map_err(|_| {
            format!(
                "\"{}\" is not a date; write YYYY-MM-DD",
                text.escape_debug()
            )
        })
    }
}

impl Date {
    /// As C's `strftime` prints midnight of this day in the C locale.
    ///
    /// *Errors* name the first directive that is not known here.
    pub fn format(self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let directive = match letters.next() {
                Some('-') => self.part(letters.next()).map(|text| bare(&text)),
                other => self.part(other),
            };
            out.push_str(&directive?);
        }
        Ok(out)
    }

    fn part(self, directive: Option<char>) -> Result<String, String> {
        let day = self.0;
        let (year, number) = (day.year(), u8::from(day.month()));
        let (month, weekday) = (day.month().to_string(), day.weekday().to_string());
        Ok(match directive {
            Some('Y') => format!("{year:04}"),
            Some('y') => format!("{:02}", year.rem_euclid(100)),
            Some('m') => format!("{number:02}"),
            Some('d') => format!("{:02}", day.day()),
            Some('e') => format!("{:2}", day.day()),
            Some('j') => format!("{:03}", day.ordinal()),
            Some('B') => month,
            Some('b' | 'h') => month.chars().take(3).collect(),
            Some('A') => weekday,
            Some('a') => weekday.chars().take(3).collect(),
            Some('F') => format!("{year:04}-{number:02}-{:02}", day.day()),
            Some('H' | 'M' | 'S') => "00".into(),
            Some('I') => "12".into(),
            Some('p') => "AM".into(),
            Some('T' | 'X') => "00:00:00".into(),
            Some('%') => "%".into(),
            other => {
                let shown = other.map(String::from).unwrap_or_default();
                return Err(format!(
                    "asks for the date as %{shown}, which is not supported"
                ));
            }
        })
    }
}

/// A number without the zeros or blanks before it.
fn bare(text: &str) -> String {
    match text.trim_start_matches(['0', ' ']) {
        "" => "0".into(),
        rest => rest.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_printed_as_c_prints_it() {
        // Source: date -d 2025-06-03 +FORMAT of GNU coreutils, LC_ALL=C.
        let date: Date = "2025-06-03".parse().unwrap();
        for (format, text) in [
            ("%d %b %Y", "03 Jun 2025"),
            ("%A, %-d %B %y", "Tuesday, 3 June 25"),
            ("%Y-%m-%d %j %%", "2025-06-03 154 %"),
        ] {
            assert_eq!(date.format(format).unwrap(), text);
        }
        assert!(date.format("%Q").unwrap_err().contains("%Q"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["2025-02-30", "today", "2025-6-3"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
