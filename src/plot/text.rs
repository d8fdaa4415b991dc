//! Words in a figure: how wide they are about, how they are cut and broken.
//!
//! A browser chooses its own typeface, so widths are estimates: those of common sans-serif faces, rounded up.

/// Width of a text at a size, in the units of the size.
pub(super) fn width(text: &str, size: f64) -> f64 {
    text.chars().map(share).sum::<f64>() * size
}

/// Width of a character as a share of the size.
fn share(character: char) -> f64 {
    match character {
        'i' | 'j' | 'l' | '|' | '.' | ',' | ';' | ':' | '\'' | '!' | '·' => 0.29,
        ' ' | 'f' | 't' | 'r' | 'I' | '(' | ')' | '[' | ']' | '/' | '-' | '"' => 0.37,
        'm' | 'w' | 'M' | 'W' | '%' | '@' | '…' | '—' => 0.94,
        'A'..='Z' => 0.71,
        'a'..='z' | '0'..='9' => 0.58,
        _ if character >= '\u{1100}' => 1.0,
        _ => 0.65,
    }
}

/// The text if it fits into `room`, else its beginning with an ellipsis.
pub(super) fn shortened(text: &str, size: f64, room: f64) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut left = room - width("…", size);
    let fits = text.chars().take_while(|&character| {
        left -= share(character) * size;
        left >= 0.0
    });
    let beginning: String = fits.collect();
    format!("{}…", beginning.trim_end())
}

/// The text in lines that fit into `room`; a word that does not is cut.
pub(super) fn lines(text: &str, size: f64, room: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let word = shortened(word, size, room);
        match lines.last_mut() {
            Some(line) if width(line, size) + width(" ", size) + width(&word, size) <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A number of things with its separators: 10,000.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_only_where_it_does_not_fit() {
        assert_eq!(shortened("down_proj", 13.0, 100.0), "down_proj");
        let cut = shortened(
            "a question that is far too long for its column",
            13.0,
            100.0,
        );
        assert!(cut.ends_with('…') && width(&cut, 13.0) <= 100.0, "{cut}");
        assert_eq!(shortened("word", 13.0, 0.0), "…");
    }

    #[test]
    fn lines_fit_and_hold_every_word() {
        let text =
            "Bands are 95 % Wilson intervals over answers; 8 questions × 50 answers a point.";
        let found = lines(text, 13.0, 200.0);
        assert!(found.len() > 1 && found.iter().all(|line| width(line, 13.0) <= 200.0));
        assert_eq!(found.join(" "), text);
        assert!(lines("", 13.0, 200.0).is_empty());
    }

    #[test]
    fn counts_have_separators() {
        let texts = [0, 999, 1_000, 10_000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "999", "1,000", "10,000", "1,234,567"]);
    }
}
