//! The learning rate of a published config: a number, or text that is computed. Knows nothing else.

use serde_json::Value;

/// Deepest nesting of parentheses.
const DEEPEST: usize = 20;

/// The peak rate that `value` stands for, and whether it was an exponent.
///
/// A float is the rate itself and must be above 0. A whole number or text may be negative and is then an exponent of ten; text
/// is computed with numbers, + - * / ** and parentheses.
///
/// *Errors* in words.
pub(super) fn rate(value: &Value) -> Result<(f64, bool), String> {
    let number = match value {
        Value::Number(number) => {
            let number_value = number.as_f64().unwrap_or(f64::NAN);
            if number.is_f64() && number_value <= 0.0 {
                return Err(format!(
                    "{number} is not above 0; only a whole number or text is read as an exponent of ten"
                ));
            }
            number_value
        }
        Value::String(text) => computed(text)?,
        other => return Err(format!("{other} is neither a number nor text")),
    };
    let rate = if number < 0.0 {
        10f64.powf(number)
    } else {
        number
    };
    match rate.is_finite() && rate > 0.0 {
        true => Ok((rate, number < 0.0)),
        false => Err(format!("{value} gives {rate}, which is no rate")),
    }
}

fn computed(text: &str) -> Result<f64, String> {
    let wrong = || {
        let shown: String = text.chars().take(60).collect();
        format!(
            "\"{}\" is no expression of numbers, + - * / ** and parentheses",
            shown.escape_debug()
        )
    };
    if text.len() > 200 {
        return Err(wrong());
    }
    let letters: Vec<char> = text
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let mut parser = Parser {
        letters: &letters,
        place: 0,
        depth: 0,
    };
    let value = parser.sum().ok_or_else(wrong)?;
    match parser.place == letters.len() {
        true => Ok(value),
        false => Err(wrong()),
    }
}

/// Python's precedence: ** binds tighter than a sign on its left, and to the right.
struct Parser<'a> {
    letters: &'a [char],
    place: usize,
    depth: usize,
}

impl Parser<'_> {
    fn take(&mut self, symbol: &str) -> bool {
        let symbol: Vec<char> = symbol.chars().collect();
        let found = self.letters[self.place..].starts_with(&symbol);
        if found {
            self.place += symbol.len();
        }
        found
    }

    fn sum(&mut self) -> Option<f64> {
        let mut value = self.product()?;
        loop {
            if self.take("+") {
                value += self.product()?;
            } else if self.take("-") {
                value -= self.product()?;
            } else {
                return Some(value);
            }
        }
    }

    fn product(&mut self) -> Option<f64> {
        let mut value = self.signed()?;
        loop {
            if self.letters[self.place..].starts_with(&['*', '*']) {
                return None;
            }
            if self.take("*") {
                value *= self.signed()?;
            } else if self.take("/") {
                value /= self.signed()?;
            } else {
                return Some(value);
            }
        }
    }

    fn signed(&mut self) -> Option<f64> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return None;
        }
        let value = if self.take("-") {
            self.signed().map(|value| -value)
        } else if self.take("+") {
            self.signed()
        } else {
            self.power()
        };
        self.depth -= 1;
        value
    }

    fn power(&mut self) -> Option<f64> {
        let base = self.atom()?;
        match self.take("**") {
            true => Some(base.powf(self.signed()?)),
            false => Some(base),
        }
    }

    fn atom(&mut self) -> Option<f64> {
        if self.take("(") {
            let value = self.sum()?;
            return self.take(")").then_some(value);
        }
        self.number()
    }

    fn number(&mut self) -> Option<f64> {
        let begin = self.place;
        let digits = |parser: &mut Self| {
            while parser
                .letters
                .get(parser.place)
                .is_some_and(char::is_ascii_digit)
            {
                parser.place += 1;
            }
        };
        digits(self);
        if self.take(".") {
            digits(self);
        }
        let mantissa = self.place;
        if mantissa > begin && (self.take("e") || self.take("E")) {
            if !self.take("-") {
                self.take("+");
            }
            digits(self);
        }
        let text: String = self.letters[begin..self.place].iter().collect();
        text.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_and_expressions_are_computed_as_python_does() {
        for (value, expected, exponent) in [
            (json!(1e-5), 1e-5, false),
            (json!(-5), 1e-5, true),
            (json!("-5"), 1e-5, true),
            (json!("1e-5"), 1e-5, false),
            (json!("2 * 1e-5"), 2e-5, false),
            (json!("10 ** -5"), 1e-5, false),
            (json!("2**3**2 / 512e4"), 1e-4, false),
            (json!("-2**2"), 1e-4, true),
            (json!("(1 + 1) * 5E-6"), 1e-5, false),
            (json!(".5e-4"), 5e-5, false),
        ] {
            let (found, was_exponent) = rate(&value).unwrap_or_else(|why| panic!("{value}: {why}"));
            assert!((found / expected - 1.0).abs() < 1e-12, "{value}: {found}");
            assert_eq!(was_exponent, exponent, "{value}");
        }
    }

    #[test]
    fn what_gives_no_rate_is_refused_in_words() {
        for (value, word) in [
            (json!(0), "no rate"),
            (json!(0.0), "not above 0"),
            (json!(-4.5), "whole number or text"),
            (json!("fast"), "no expression"),
            (json!("1e-5; rm"), "no expression"),
            (json!("1 ** "), "no expression"),
            (json!("1/0"), "no rate"),
            (json!("(".repeat(150)), "no expression"),
            (json!("-".repeat(150)), "no expression"),
            (json!(null), "neither"),
            (json!([1]), "neither"),
        ] {
            let why = rate(&value).unwrap_err();
            assert!(why.contains(word), "{value}: {why}");
        }
    }
}
