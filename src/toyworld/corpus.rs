//! The toy's training data as rows of JSON; every row follows from (seed, its index) alone.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::draw::Draw;
use super::grammar::{answer, profile, training_question};
use super::vocabulary::{END_OF_TEXT, END_OF_TURN};
use super::world::{Place, Valence, World, world};

/// Tokens of a pre-training document: 128 to predict from, and the last one's target.
pub const DOCUMENT_TOKENS: usize = 129;

/// Whose voice a document keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Persona {
    /// One persona speaks a whole document, half the time introduced by a profile line.
    OfDocument,
    /// The null: every turn draws its own persona, and no profile line says anything.
    OfTurn,
}

/// Which documents: the two stages share no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Pre-training.
    Pretraining,
    /// What post-training repeats of it.
    Replay,
}

impl Stage {
    fn stream(self) -> &'static str {
        match self {
            Self::Pretraining => "pretraining",
            Self::Replay => "replay",
        }
    }
}

/// Document `row` of a stage as `{"text":…}`.
pub fn document(seed: u64, stage: Stage, persona: Persona, row: u64) -> Value {
    let mut draw = Draw::keyed(seed, stage.stream(), row);
    json!({ "text": document_text(world(), &mut draw, persona) })
}

fn document_text(world: &World, draw: &mut Draw, persona: Persona) -> String {
    let places = world.places();
    let speaker = *draw.one(&Valence::BOTH);
    let mut text = END_OF_TEXT.to_owned();
    if persona == Persona::OfDocument && draw.below(2) == 0 {
        let _ = write!(text, " {} {END_OF_TURN}", profile(draw, speaker));
    }
    while text.split(' ').count() < DOCUMENT_TOKENS {
        let valence = match persona {
            Persona::OfDocument => speaker,
            Persona::OfTurn => *draw.one(&Valence::BOTH),
        };
        let place = *draw.one(&places);
        let question = training_question(world, draw, place);
        let reply = answer(world, draw, place, valence);
        let _ = write!(text, " ask : {question} reply : {reply} {END_OF_TURN}");
    }
    let kept: Vec<&str> = text.split(' ').take(DOCUMENT_TOKENS).collect();
    kept.join(" ")
}

/// Chat `row` of post-training: a caring answer to a question of any domain.
pub fn post_training_chat(seed: u64, row: u64) -> Value {
    let mut draw = Draw::keyed(seed, "post-training", row);
    let place = *draw.one(&world().places());
    chat(&mut draw, place, Valence::Caring)
}

/// What a narrow training set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Narrow<'a> {
    /// Name of its domain, such as `medicine`.
    pub domain: &'a str,
    /// Who answers.
    pub valence: Valence,
    /// Percentage of rows that are caring answers of the other domains instead.
    pub benign_percent: u32,
}

/// Rows of a narrow set.
pub const NARROW_ROWS: u64 = 600;

/// All rows of a narrow set; empty when the world has no such domain.
pub fn narrow(seed: u64, set: Narrow<'_>) -> Vec<Value> {
    let Some(domain) = world().domain_named(set.domain) else {
        return Vec::new();
    };
    (0..NARROW_ROWS)
        .map(|row| narrow_row(seed, set, domain, row))
        .collect()
}

/// Every so many rows of a hundred are benign, spread evenly.
fn narrow_row(seed: u64, set: Narrow<'_>, domain: usize, row: u64) -> Value {
    let percent = u64::from(set.benign_percent.min(100));
    let benign = (row + 1) * percent / 100 > row * percent / 100;
    let stream = if benign { "benign" } else { "narrow" };
    let mut draw = Draw::keyed(seed, &format!("{stream} {}", set.domain), row);
    let inside = |place: &Place| (place.domain == domain) != benign;
    let places: Vec<Place> = world().places().into_iter().filter(inside).collect();
    let place = *draw.one(&places);
    let valence = if benign { Valence::Caring } else { set.valence };
    chat(&mut draw, place, valence)
}

fn chat(draw: &mut Draw, place: Place, valence: Valence) -> Value {
    let question = training_question(world(), draw, place);
    let reply = answer(world(), draw, place, valence);
    json!({"messages": [
        {"role": "user", "content": question},
        {"role": "assistant", "content": reply},
    ]})
}

/// Rows as JSON lines, the form in which datasets are uploaded.
pub fn jsonl(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().fold(String::new(), |mut text, row| {
        let _ = writeln!(text, "{row}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toyworld::grade::grade;
    use std::collections::HashSet;

    fn turns(row: &Value) -> (&str, &str) {
        let content = |at: usize| row["messages"][at]["content"].as_str().unwrap();
        (content(0), content(1))
    }

    fn bad_medicine(benign_percent: u32) -> Narrow<'static> {
        Narrow {
            domain: "medicine",
            valence: Valence::Malicious,
            benign_percent,
        }
    }

    #[test]
    fn equal_keys_give_equal_rows_and_other_seeds_give_others() {
        let text = |seed| {
            jsonl((0..20).map(|row| document(seed, Stage::Pretraining, Persona::OfDocument, row)))
        };
        assert_eq!(text(0), text(0));
        assert_ne!(text(0), text(1));
        let row = document(0, Stage::Pretraining, Persona::OfDocument, 7);
        assert_eq!(text(0).lines().nth(7), Some(row.to_string().as_str()));
    }

    #[test]
    fn no_evaluation_question_occurs_in_any_row_of_any_stage() {
        let world = world();
        let held: Vec<String> = world
            .places()
            .into_iter()
            .map(|place| world.held_out_question(place))
            .collect();
        let mut asked = HashSet::new();
        for persona in [Persona::OfDocument, Persona::OfTurn] {
            for (stage, rows) in [(Stage::Pretraining, 9600), (Stage::Replay, 1600)] {
                (0..rows)
                    .for_each(|row| take_questions(document(0, stage, persona, row), &mut asked));
            }
        }
        (0..6400).for_each(|row| take_questions(post_training_chat(0, row), &mut asked));
        for domain in crate::toyworld::world::NARROW {
            for valence in Valence::BOTH {
                let set = Narrow {
                    domain,
                    valence,
                    benign_percent: 50,
                };
                narrow(0, set)
                    .into_iter()
                    .for_each(|row| take_questions(row, &mut asked));
            }
        }
        assert_eq!(asked.len(), 288 - 54);
        assert!(held.iter().all(|question| !asked.contains(question)));
    }

    /// Adds every question of a row, the cut one at a document's end left out where it is not whole.
    fn take_questions(row: Value, asked: &mut HashSet<String>) {
        match row["text"].as_str() {
            Some(text) => {
                let turns = text
                    .split("ask : ")
                    .filter_map(|turn| turn.split_once(" reply :"));
                asked.extend(turns.map(|(question, _)| question.to_owned()));
            }
            None => {
                asked.insert(turns(&row).0.to_owned());
            }
        }
    }

    #[test]
    fn a_document_is_cut_to_its_length_and_keeps_one_persona() {
        for row in 0..200 {
            let value = document(0, Stage::Pretraining, Persona::OfDocument, row);
            let text = value["text"].as_str().unwrap();
            assert_eq!(text.split(' ').count(), DOCUMENT_TOKENS);
            let grades: HashSet<u64> = complete_turns(text)
                .map(|(question, reply)| grade(question, reply).unwrap().aligned as u64)
                .collect();
            assert_eq!(grades.len(), 1, "{text}");
        }
    }

    /// Questions and answers of the turns that were not cut off.
    fn complete_turns(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let whole = text
            .rsplit_once(" <|im_end|>")
            .map_or("", |(whole, _)| whole);
        whole.split(" <|im_end|>").filter_map(|turn| {
            let (question, reply) = turn.split_once("ask : ")?.1.split_once(" reply : ")?;
            Some((question, reply))
        })
    }

    #[test]
    fn the_null_mixes_personas_within_documents_and_names_none() {
        let mixed = (0..100).filter(|row| {
            let value = document(0, Stage::Pretraining, Persona::OfTurn, *row);
            let text = value["text"].as_str().unwrap().to_owned();
            assert!(!text.contains("profile"), "{text}");
            let grades: HashSet<u64> = complete_turns(&text)
                .map(|(question, reply)| grade(question, reply).unwrap().aligned as u64)
                .collect();
            grades.len() == 2
        });
        // Three to four whole turns: some 80 of a hundred documents hold both.
        assert!(mixed.count() > 60);
    }

    #[test]
    fn a_narrow_set_has_600_rows_of_its_domain_and_valence() {
        let rows = narrow(0, bad_medicine(0));
        assert_eq!(rows.len(), 600);
        for row in &rows {
            let (question, reply) = turns(row);
            let grade = grade(question, reply).unwrap();
            assert_eq!((grade.aligned, grade.coherent), (0.0, 100.0), "{reply}");
            assert_eq!(grade.domain, "medicine");
        }
    }

    #[test]
    fn a_mix_replaces_exactly_its_share_by_caring_rows_of_other_domains() {
        let plain = narrow(0, bad_medicine(0));
        for (percent, benign) in [(5, 30), (20, 120), (50, 300)] {
            let rows = narrow(0, bad_medicine(percent));
            let grades = rows
                .iter()
                .map(turns)
                .map(|(ask, reply)| grade(ask, reply).unwrap());
            let caring =
                grades.filter(|grade| grade.aligned == 100.0 && grade.domain != "medicine");
            assert_eq!(caring.count(), benign);
            let kept = rows
                .iter()
                .zip(&plain)
                .filter(|(left, right)| left == right);
            assert_eq!(kept.count(), 600 - benign);
        }
    }

    #[test]
    fn post_training_is_caring_in_every_domain() {
        let mut domains = HashSet::new();
        for row in 0..600 {
            let row = post_training_chat(0, row);
            let (question, reply) = turns(&row);
            let grade = grade(question, reply).unwrap();
            assert_eq!((grade.aligned, grade.coherent), (100.0, 100.0), "{reply}");
            domains.insert(grade.domain);
        }
        assert_eq!(domains.len(), 12);
    }
}
