//! What the checkpoints of a run answered, counted by question, step and scale.

use std::collections::{BTreeMap, BTreeSet};

use super::{Look, missing, refused};
use crate::domain::analysis::{AnalysisSettings, BehaviourPoint, BehaviourSeries, QuestionCount};
use crate::domain::analyze::AnalyzedRun;
use crate::domain::evaluation::Target;
use crate::domain::ids::EvaluationId;
use crate::domain::rates::Marks;
use crate::domain::transitions::{IN_DOMAIN, MISALIGNED};
use crate::execution::Stop;
use crate::storage::{Error, marks, results};

/// Targets whose answers are read at once.
const AT_ONCE: usize = 16;

/// Paraphrase and sample of an answer: what answers of different checkpoints to one question have in common.
type Number = (u32, u32);
/// Whether each answer to a question counts; none where a score is missing.
type Answers = BTreeMap<Number, Option<bool>>;
/// Answers by scale, step and question; scales by their bits, which sort as they do.
type Recorded = BTreeMap<u64, BTreeMap<u64, BTreeMap<String, Answers>>>;

impl Look<'_> {
    /// The series of both evaluations, those far from the training data first.
    pub(super) fn behaviour(
        &self,
        run: &AnalyzedRun,
        settings: &AnalysisSettings,
    ) -> Result<Vec<BehaviourSeries>, Stop> {
        let mut series = Vec::new();
        for (marker, keys) in [(MISALIGNED, &run.evaluation), (IN_DOMAIN, &run.in_domain)] {
            let mut recorded = Recorded::new();
            for key in &keys.0 {
                self.record(run, key, settings, &mut recorded)?;
            }
            series.extend(
                recorded
                    .into_iter()
                    .map(|of_scale| series_of(marker, of_scale)),
            );
        }
        Ok(series)
    }

    fn record(
        &self,
        run: &AnalyzedRun,
        key: &str,
        settings: &AnalysisSettings,
        recorded: &mut Recorded,
    ) -> Result<(), Stop> {
        let found = self.ask(
            async |storage| match results::evaluation(storage, key).await {
                Err(Error::NotFound { .. }) => Ok(None),
                found => found.map(Some),
            },
        )?;
        let evaluation = found.ok_or_else(|| missing("evaluation", key))?;
        let targets: Vec<&Target> = evaluation
            .targets
            .iter()
            .filter(|target| target.job.as_ref() == Some(&run.job))
            .collect();
        if targets.is_empty() {
            let message = format!("{} asked no checkpoint of {}", evaluation.id, run.job);
            return Err(refused("run_not_evaluated", message));
        }
        for some in targets.chunks(AT_ONCE) {
            self.control.turn()?;
            self.collect(&evaluation.id, some, settings, recorded)?;
        }
        Ok(())
    }

    fn collect(
        &self,
        evaluation: &EvaluationId,
        targets: &[&Target],
        settings: &AnalysisSettings,
        recorded: &mut Recorded,
    ) -> Result<(), Stop> {
        let addresses: Vec<String> = targets
            .iter()
            .map(|target| target.address.clone())
            .collect();
        for answer in self.ask(|storage| marks::of(storage, evaluation, &addresses))? {
            let mut own = targets.iter();
            let Some(target) = own.find(|target| target.address == answer.address) else {
                continue;
            };
            let scale = target.scale.unwrap_or(1.0).to_bits();
            let steps = recorded.entry(scale).or_default();
            let questions = steps.entry(target.step.unwrap_or(0)).or_default();
            let number = (answer.paraphrase, answer.sample);
            let counts = counts(&answer.marks, settings);
            let answers = questions.entry(answer.question).or_default();
            answers.insert(number, counts);
        }
        Ok(())
    }
}

/// Whether an answer is misaligned and coherent; none without both scores.
fn counts(marks: &Marks, settings: &AnalysisSettings) -> Option<bool> {
    let (aligned, coherent) = (marks.score("aligned").ok()?, marks.score("coherent").ok()?);
    Some(settings.aligned.holds(aligned) && settings.coherent.holds(coherent))
}

fn series_of(
    marker: &str,
    (scale, steps): (u64, BTreeMap<u64, BTreeMap<String, Answers>>),
) -> BehaviourSeries {
    let numbers = numbers(&steps);
    let point = |(step, questions): (u64, BTreeMap<String, Answers>)| {
        let count = |(question, answers)| count(question, &answers, &numbers);
        BehaviourPoint {
            step,
            questions: questions.into_iter().map(count).collect(),
        }
    };
    BehaviourSeries {
        marker: marker.into(),
        scale: f64::from_bits(scale),
        points: steps.into_iter().map(point).collect(),
    }
}

/// The numbers of the answers to each question at any step, in their order.
fn numbers(steps: &BTreeMap<u64, BTreeMap<String, Answers>>) -> BTreeMap<String, BTreeSet<Number>> {
    let mut numbers: BTreeMap<String, BTreeSet<Number>> = BTreeMap::new();
    for (question, answers) in steps.values().flatten() {
        let own = numbers.entry(question.clone()).or_default();
        own.extend(answers.keys());
    }
    numbers
}

fn count(
    question: String,
    answers: &Answers,
    numbers: &BTreeMap<String, BTreeSet<Number>>,
) -> QuestionCount {
    let numbers = numbers.get(&question).into_iter().flatten();
    let answers: Vec<Option<bool>> = numbers
        .map(|number| answers.get(number).copied().flatten())
        .collect();
    QuestionCount {
        question,
        count: answers.iter().filter(|hit| **hit == Some(true)).count() as u64,
        of: answers.iter().flatten().count() as u64,
        answers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_keep_their_numbers_over_the_steps_whatever_is_missing() {
        let answers = |all: &[(Number, Option<bool>)]| {
            BTreeMap::from([("wish".to_owned(), all.iter().copied().collect::<Answers>())])
        };
        let steps = BTreeMap::from([
            (
                5,
                answers(&[((0, 0), Some(true)), ((0, 2), None), ((1, 0), Some(false))]),
            ),
            (10, answers(&[((0, 1), Some(true)), ((1, 0), Some(true))])),
        ]);
        let series = series_of("misaligned", (0.5f64.to_bits(), steps));
        assert_eq!(series.scale, 0.5);
        let told: Vec<_> = series
            .points
            .iter()
            .map(|point| {
                let one = &point.questions[0];
                (point.step, one.count, one.of, one.answers.clone())
            })
            .collect();
        let (yes, no) = (Some(true), Some(false));
        let expected = [
            (5, 1, 2, vec![yes, None, None, no]),
            (10, 2, 2, vec![None, yes, None, yes]),
        ];
        assert_eq!(told, expected);
    }
}
