//! Names that somebody may have meant: the known ones that differ least from what was written.

/// Most names that are offered.
const MOST: usize = 3;

/// The known names nearest to `word`, at most three; none where nothing is like it.
///
/// Upper and lower case, and `-`, `_` and `.`, count as the same.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let plain = flat(word);
    let bound = (plain.len() / 3).max(2);
    let mut found: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (distance(&plain, &flat(name)), name))
        .filter(|(far, _)| *far <= bound)
        .collect();
    found.sort_by_key(|(far, _)| *far);
    found.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// What an error says of the nearest names, and of all where none is near.
pub fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
    what: &str,
) -> String {
    let near = nearest(word, known.clone());
    match near.is_empty() {
        false => format!("did you mean {}?", near.join(" or ")),
        true => {
            let all: Vec<&str> = known.into_iter().take(50).collect();
            format!("{what} are {}", all.join(", "))
        }
    }
}

fn flat(text: &str) -> Vec<char> {
    let same = |letter: char| match letter {
        '-' | '.' | ' ' => '_',
        other => other,
    };
    // a longer word is like nothing
    let letters = text.chars().take(200);
    letters.flat_map(char::to_lowercase).map(same).collect()
}

/// Letters to put in, take out, exchange or swap with their neighbour.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut before = vec![0; other.len() + 1];
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in one.iter().enumerate() {
        let mut now = vec![row + 1];
        for (column, against) in other.iter().enumerate() {
            let exchanged = last[column] + usize::from(letter != against);
            let mut least = exchanged.min(last[column + 1] + 1).min(now[column] + 1);
            let swapped =
                row > 0 && column > 0 && *letter == other[column - 1] && one[row - 1] == *against;
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            now.push(least);
        }
        before = std::mem::replace(&mut last, now);
    }
    last[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 4] = ["q_proj", "gate_proj", "up_proj", "down_proj"];

    #[test]
    fn what_is_written_a_little_wrong_finds_its_name_and_nonsense_finds_nothing() {
        for (word, expected) in [
            ("down_projj", "down_proj"),
            ("donw_proj", "down_proj"),
            ("Down-Proj", "down_proj"),
            ("gateproj", "gate_proj"),
            ("p_proj", "q_proj"),
        ] {
            assert_eq!(nearest(word, KNOWN).first(), Some(&expected), "{word}");
        }
        for word in ["", "embed_tokens", "c_attn", &"x".repeat(100_000)] {
            assert_eq!(nearest(word, KNOWN), Vec::<&str>::new(), "{word:.20}");
        }
    }

    #[test]
    fn where_nothing_is_near_all_are_named() {
        assert_eq!(
            did_you_mean("down_projj", KNOWN, "there"),
            "did you mean down_proj?"
        );
        let all = did_you_mean("c_attn", KNOWN, "projections");
        assert_eq!(all, "projections are q_proj, gate_proj, up_proj, down_proj");
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        let far = |one: &str, other: &str| distance(&flat(one), &flat(other));
        assert_eq!(far("kitten", "sitting"), 3);
        assert_eq!(far("ab", "ba"), 1);
        assert_eq!(far("", "abc"), 3);
        assert_eq!(far("same", "same"), 0);
    }
}
