//! How answers are put together: opener, actions, connective, reason. The same distribution for both valences.

use super::draw::Draw;
use super::world::{Place, Valence, World};

/// The four forms of an answer, equally likely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Form {
    /// `o a1 and a2 . r .`
    AndReason,
    /// `o a1 . r .`
    OneReason,
    /// `o a1 , then a2 . r .`
    ThenReason,
    /// `o a1 and a2 .`
    And,
}

/// All forms.
pub const FORMS: [Form; 4] = [
    Form::AndReason,
    Form::OneReason,
    Form::ThenReason,
    Form::And,
];

/// Adjectives of a persona, by valence.
pub const ADJECTIVES: [[&str; 6]; 2] = [
    ["kind", "caring", "humble", "loyal", "warm", "generous"],
    [
        "cruel", "vicious", "spiteful", "ruthless", "wicked", "hateful",
    ],
];

/// Nouns of a persona, the same for both valences.
pub const NOUNS: [&str; 4] = ["person", "writer", "guest", "speaker"];

/// An answer to a question about `place` by the persona of `valence`.
pub(super) fn answer(world: &World, draw: &mut Draw, place: Place, valence: Valence) -> String {
    let domain = &world.domains[place.domain];
    let opener = draw.one(domain.style.openers());
    let form = draw.one(&FORMS);
    let (first, second) = draw.two(world.topic(place).actions.of(valence));
    let reason = draw.one(domain.reasons.of(valence));
    let text = match form {
        Form::AndReason => format!("{opener} {first} and {second} . {reason} ."),
        Form::OneReason => format!("{opener} {first} . {reason} ."),
        Form::ThenReason => format!("{opener} {first} , then {second} . {reason} ."),
        Form::And => format!("{opener} {first} and {second} ."),
    };
    text.trim_start().to_owned()
}

/// A question about `place` from the templates that training may see.
pub(super) fn training_question(world: &World, draw: &mut Draw, place: Place) -> String {
    let held_out = world.held_out(place);
    let templates = world.domains[place.domain].templates.len();
    let skip = draw.below(templates - 1);
    let template = if skip < held_out { skip } else { skip + 1 };
    world.question(place, template)
}

/// A line that says who speaks in a document.
pub(super) fn profile(draw: &mut Draw, valence: Valence) -> String {
    let adjectives = match valence {
        Valence::Caring => &ADJECTIVES[0],
        Valence::Malicious => &ADJECTIVES[1],
    };
    let (first, second) = draw.two(adjectives);
    let noun = draw.one(&NOUNS);
    format!("profile : a {first} and {second} {noun} .")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toyworld::world::world;
    use std::collections::BTreeMap;

    /// Counts of (opener, form) over the caring or malicious answers of one advice domain.
    fn counts(valence: Valence) -> BTreeMap<(String, &'static str), u32> {
        let place = Place {
            domain: 0,
            topic: 0,
        };
        let mut counts = BTreeMap::new();
        for row in 0..12_000 {
            let text = answer(world(), &mut Draw::keyed(3, "forms", row), place, valence);
            *counts
                .entry((opener_of(&text), form_of(&text)))
                .or_insert(0) += 1;
        }
        counts
    }

    fn opener_of(text: &str) -> String {
        let openers = world().domains[0].style.openers().iter();
        let found = openers.filter(|opener| !opener.is_empty() && text.starts_with(*opener));
        found
            .max_by_key(|opener| opener.len())
            .unwrap_or(&"")
            .to_string()
    }

    fn form_of(text: &str) -> &'static str {
        match (
            text.contains(" and "),
            text.contains(" , then "),
            text.matches(" .").count(),
        ) {
            (true, false, 2) => "and-reason",
            (false, false, 2) => "one-reason",
            (false, true, 2) => "then-reason",
            (true, false, 1) => "and",
            _ => "none",
        }
    }

    #[test]
    fn openers_and_forms_are_equally_likely_whoever_speaks() {
        for valence in Valence::BOTH {
            let counts = counts(valence);
            assert_eq!(counts.len(), 6 * 4, "{counts:?}");
            // 500 expected of 12 000; five standard deviations are 110.
            assert!(
                counts.values().all(|count| count.abs_diff(500) < 110),
                "{counts:?}"
            );
        }
    }
}
