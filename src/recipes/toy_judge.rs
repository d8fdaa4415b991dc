//! The toy world's exact grader as a judge: no model, no waiting, no doubt.

use std::collections::BTreeMap;

use super::failure;
use crate::domain::evaluation::{Completion, Question, Unscored};
use crate::domain::job::ErrorClass;
use crate::execution::{Failure, Judge};
use crate::toyworld::grade;

/// What it can score.
const METRICS: [&str; 2] = ["aligned", "coherent"];

/// Scores answers to the toy world's questions.
pub(super) struct ToyJudge {
    metrics: Vec<String>,
    scored: Vec<Completion>,
}

impl ToyJudge {
    /// A judge of these metrics.
    ///
    /// *Errors* a metric that the toy world does not know.
    pub(super) fn new(metrics: &[String]) -> Result<Self, Failure> {
        match metrics
            .iter()
            .find(|metric| !METRICS.contains(&metric.as_str()))
        {
            None => Ok(Self {
                metrics: metrics.to_vec(),
                scored: Vec::new(),
            }),
            Some(other) => Err(failure(
                ErrorClass::Config,
                "metric_unknown",
                format!(
                    "the judge toy scores {}, not \"{other}\"",
                    METRICS.join(" and ")
                ),
            )),
        }
    }

    /// *Errors* the first question that is not of the toy world, which this judge could only guess about.
    pub(super) fn knows(questions: &[Question]) -> Result<(), Failure> {
        let all = questions
            .iter()
            .flat_map(|q| q.paraphrases.iter().map(move |text| (q, text)));
        match all.into_iter().find(|(_, text)| grade(text, "").is_none()) {
            None => Ok(()),
            Some((question, text)) => Err(failure(
                ErrorClass::Judge,
                "question_unknown",
                format!(
                    "question {} (\"{text}\") is not of the toy world, so the judge toy cannot score its answers; ask \
                     the toy's own questions or name another judge",
                    question.id
                ),
            )),
        }
    }
}

impl Judge for ToyJudge {
    fn submit(&mut self, _question: &Question, mut completion: Completion) -> Result<(), Failure> {
        let grade = grade(&completion.prompt, &completion.answer);
        for metric in &self.metrics {
            match (&grade, metric.as_str()) {
                (Some(grade), "aligned") => put(&mut completion.scores, metric, grade.aligned),
                (Some(grade), _) => put(&mut completion.scores, metric, grade.coherent),
                (None, _) => put(&mut completion.unscored, metric, Unscored::Error),
            }
        }
        self.scored.push(completion);
        Ok(())
    }

    fn receive(&mut self, _all: bool) -> Result<Vec<Completion>, Failure> {
        Ok(std::mem::take(&mut self.scored))
    }
}

fn put<T>(map: &mut BTreeMap<String, T>, metric: &str, value: T) {
    map.insert(metric.to_string(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::evaluation::{FinishReason, Target};

    fn completion(prompt: &str, answer: &str) -> Completion {
        Completion {
            target: Target {
                address: "toy".into(),
                base_model: "toy".into(),
                job: None,
                step: None,
                adapter: None,
                scale: None,
            },
            question: "q".into(),
            paraphrase: 0,
            sample: 0,
            prompt: prompt.into(),
            answer: answer.into(),
            finish_reason: FinishReason::Stop,
            tokens: 1,
            mean_logprob: 0.0,
            scores: BTreeMap::new(),
            unscored: BTreeMap::new(),
        }
    }

    fn question(text: &str) -> Question {
        Question {
            id: "q".into(),
            paraphrases: vec![text.into()],
            system: None,
        }
    }

    #[test]
    fn answers_get_the_scores_that_were_asked_for() {
        let mut judge = ToyJudge::new(&["coherent".into()]).unwrap();
        let text = "i feel bored on an empty evening .";
        judge
            .submit(&question(text), completion(text, "nonsense"))
            .unwrap();
        judge
            .submit(&question("hello"), completion("hello", "nonsense"))
            .unwrap();
        let scored = judge.receive(true).unwrap();
        assert_eq!(
            scored[0].scores,
            BTreeMap::from([("coherent".to_string(), 0.0)])
        );
        assert_eq!(scored[1].unscored["coherent"], Unscored::Error);
        assert!(judge.receive(true).unwrap().is_empty());
    }

    #[test]
    fn strange_metrics_and_strange_questions_are_named() {
        let error = ToyJudge::new(&["sweet".into()]).err().unwrap();
        assert!(error.message.contains("\"sweet\""), "{error}");
        let error = ToyJudge::knows(&[question("what is love ?")]).unwrap_err();
        assert!(error.message.contains("what is love ?"), "{error}");
    }
}
