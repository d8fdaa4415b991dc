//! Judges that are slow, fail, panic or run out of money: what is recorded then, and what is asked again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::scoring::{COMMIT_EVERY, MOST_WAITING, Scoring};
use super::*;
use crate::domain::evaluation::{FinishReason, Unscored};
use crate::domain::judging::{MetricKind, Rubric, Verdict};
use crate::execution::Hold;
use crate::execution::RejudgeWork;
use crate::execution::judge::{JudgeAsk, Judged};

/// What a fake judge does with an ask.
type Answer = Arc<dyn Fn(&JudgeAsk) -> Result<Verdict, Stop> + Send + Sync>;

/// What is known of all judges that one fake opened.
#[derive(Default)]
struct Seen {
    asked: Vec<JudgeAsk>,
    /// Times that somebody waited for the judge.
    waits: usize,
}

/// Opens judges that answer like `answer`, `room` asks at once; a slow one only answers those who wait.
#[derive(Clone)]
struct Fake {
    answer: Answer,
    room: usize,
    slow: bool,
    seen: Arc<Mutex<Seen>>,
}

impl Fake {
    fn new(answer: impl Fn(&JudgeAsk) -> Result<Verdict, Stop> + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            room: 8,
            slow: false,
            seen: Arc::default(),
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Judges for Fake {
    fn open(&self, _opening: &JudgeOpening) -> Result<Box<dyn Judge>, Stop> {
        Ok(Box::new(FakeJudge {
            fake: self.clone(),
            open: Vec::new(),
        }))
    }
}

struct FakeJudge {
    fake: Fake,
    open: Vec<JudgeAsk>,
}

impl Judge for FakeJudge {
    fn room(&self) -> usize {
        self.fake.room - self.open.len()
    }

    fn submit(&mut self, ask: JudgeAsk) -> Result<(), Stop> {
        assert!(self.room() > 0, "more than there is room for");
        self.fake.seen().asked.push(ask.clone());
        self.open.push(ask);
        Ok(())
    }

    fn receive(&mut self, wait: Duration) -> Result<Vec<Judged>, Stop> {
        self.fake.seen().waits += usize::from(!wait.is_zero());
        if self.fake.slow && wait.is_zero() {
            return Ok(Vec::new());
        }
        let asks = std::mem::take(&mut self.open).into_iter();
        let judged = asks.map(|ask| {
            Ok(Judged {
                ticket: ask.ticket,
                verdict: (self.fake.answer)(&ask)?,
                metric: ask.metric,
                by: None,
                reused: false,
            })
        });
        judged.collect()
    }
}

fn score(score: f64) -> Result<Verdict, Stop> {
    Ok(Verdict::Score { score, mass: 1.0 })
}

fn failed() -> Result<Verdict, Stop> {
    Ok(Verdict::Unscored {
        cause: Unscored::Error,
        detail: "no answer".into(),
    })
}

fn judging(rubrics: &[(&str, MetricKind, &str)]) -> JudgingWork {
    let rubric = |(metric, kind, template): &(&str, MetricKind, &str)| Rubric {
        metric: (*metric).into(),
        kind: *kind,
        template: (*template).into(),
    };
    let all: Vec<Rubric> = rubrics.iter().map(rubric).collect();
    let questions = ["q"].into_iter().map(str::to_owned);
    let toy = questions::question_sets()[0].questions.clone();
    let questions = questions.chain(toy.into_iter().map(|question| question.id));
    JudgingWork {
        judge: JudgeWork::Endpoint {
            name: "fake".into(),
        },
        name: "fake".into(),
        metrics: all.iter().map(|rubric| rubric.metric.clone()).collect(),
        rubrics: questions.map(|id| (id, all.clone())).collect(),
    }
}

fn two() -> JudgingWork {
    judging(&[
        ("aligned", MetricKind::Score, "A {question} | {answer}"),
        ("tone", MetricKind::Label, "T {answer}"),
    ])
}

fn answer(sample: u32) -> Completion {
    Completion {
        target: target("toy", None),
        question: "q".into(),
        paraphrase: 0,
        sample,
        prompt: "why {answer} ?".into(),
        answer: format!("because {{question}} {sample}"),
        finish_reason: Some(FinishReason::Stop),
        tokens: Some(3),
        mean_logprob: Some(-0.5),
        scores: BTreeMap::new(),
        unscored: BTreeMap::new(),
        labels: BTreeMap::new(),
    }
}

fn opening() -> JudgeOpening {
    JudgeOpening {
        judge: "fake".into(),
        job: JobId::from_uuid(uuid::Uuid::from_u128(9)),
    }
}

fn scoring<'a>(fake: &Fake, judging: &'a JudgingWork, stage: &'a Stage) -> Scoring<'a> {
    Scoring::new(judging, fake.open(&opening()).unwrap(), stage, (0, 100))
}

/// Numbers of answers and of judgements in the commits, in their order.
fn commits(stage: &Stage) -> Vec<(&'static str, usize)> {
    let commits = stage.commits.borrow();
    let sizes = commits.iter().filter_map(|commit| match commit {
        Commit::Answers(answers) => Some(("answers", answers.len())),
        Commit::Judgements(judged) => Some(("judgements", judged.len())),
        _ => None,
    });
    sizes.collect()
}

fn judged(stage: &Stage) -> usize {
    let sizes = commits(stage).into_iter();
    sizes
        .filter(|(what, _)| *what == "judgements")
        .map(|(_, size)| size)
        .sum()
}

#[test]
fn a_prompt_is_filled_with_the_question_and_the_answer_and_neither_is_expanded() {
    let (stage, judging, fake) = (Stage::new(), two(), Fake::new(|_| score(1.0)));
    let mut scoring = scoring(&fake, &judging, &stage);
    scoring.take(answer(4)).unwrap();
    scoring.finish().unwrap();
    let seen = fake.seen();
    let asked: Vec<_> = seen
        .asked
        .iter()
        .map(|ask| (ask.metric.as_str(), ask.kind, ask.prompt.as_str()))
        .collect();
    assert_eq!(
        asked,
        [
            (
                "aligned",
                MetricKind::Score,
                "A why {answer} ? | because {question} 4"
            ),
            ("tone", MetricKind::Label, "T because {question} 4"),
        ]
    );
}

#[test]
fn answers_are_judged_while_others_are_drawn_and_drawing_does_not_wait_for_a_slow_judge() {
    let stage = Stage::new();
    let mut work = work(&stage);
    work.judging = two();
    let prompt = Fake::new(|_| score(50.0));
    evaluate_under(&work, &stage, &prompt).unwrap();
    let quick = commits(&stage);
    let first_verdict = quick.iter().position(|(what, _)| *what == "judgements");
    let last_answer = quick.iter().rposition(|(what, _)| *what == "answers");
    assert!(first_verdict < last_answer, "{quick:?}");
    stage.commits.borrow_mut().clear();
    let slow = Fake {
        slow: true,
        ..Fake::new(|_| score(50.0))
    };
    evaluate_under(&work, &stage, &slow).unwrap();
    // all 72 answers are recorded before the first verdict comes
    assert_eq!(
        commits(&stage)[..2],
        [("answers", COMMIT_EVERY), ("answers", 72 - COMMIT_EVERY)]
    );
    assert_eq!(judged(&stage), 72);
    assert_eq!(slow.seen().asked.len(), 2 * 72);
}

#[test]
fn drawing_waits_for_a_judge_that_is_far_behind_and_hears_of_a_pause_meanwhile() {
    let (stage, judging) = (Stage::new(), two());
    let slow = Fake {
        slow: true,
        ..Fake::new(|_| score(50.0))
    };
    let mut scoring = scoring(&slow, &judging, &stage);
    // answers that are not recorded are not asked about yet
    let most = (MOST_WAITING.div_ceil(COMMIT_EVERY) * COMMIT_EVERY) as u32;
    for sample in 0..most - 1 {
        scoring.take(answer(sample)).unwrap();
    }
    assert_eq!(slow.seen().waits, 0);
    scoring.take(answer(most - 1)).unwrap();
    let waits = slow.seen().waits;
    assert!(waits > 0, "somebody waited for the judge");
    stage.turns.set(Some((0, Interrupted::Paused)));
    let stop = (most..2 * most).find_map(|sample| scoring.take(answer(sample)).err());
    let stop = stop.unwrap();
    assert_eq!(stop, Stop::Interrupted(Interrupted::Paused));
    assert_eq!(scoring.leave(stop.clone()), stop);
    // what the judge had in hand is heard out, what it did not have is left for later
    let seen = slow.seen();
    assert_eq!(seen.asked.len() / 2, judged(&stage));
    let answers = stage.answers().len();
    assert!(judged(&stage) < answers, "{answers}");
}

#[test]
fn a_judge_that_fails_on_some_answers_scores_the_rest_and_is_asked_again_about_these_alone() {
    let (stage, judging) = (Stage::new(), two());
    let bad = |ask: &JudgeAsk| ask.answer.ends_with('3') && ask.metric == "tone";
    let fake = Fake::new(move |ask| if bad(ask) { failed() } else { score(70.0) });
    let mut first = scoring(&fake, &judging, &stage);
    for sample in 0..20 {
        first.take(answer(sample)).unwrap();
    }
    let stop = first.finish().unwrap_err();
    let Stop::Failed(failure) = &stop else {
        panic!("{stop:?}");
    };
    assert_eq!(
        (failure.class, failure.code, failure.retryable),
        (ErrorClass::Judge, "judge_errors", true)
    );
    assert!(failure.message.contains("on 2 answers"), "{failure}");
    assert_eq!(judged(&stage), 20, "every verdict is recorded");
    let left = stage.answers().into_iter();
    let left = left.filter(|answer| answer.unscored.contains_key("tone"));
    *stage.unjudged.borrow_mut() = (1..).zip(left).collect();
    assert_eq!(stage.unjudged.borrow().len(), 2);
    let mended = Fake::new(|_| score(10.0));
    let mut again = scoring(&mended, &judging, &stage);
    again.catch_up().unwrap();
    again.finish().unwrap();
    let asked: Vec<(String, String)> = mended
        .seen()
        .asked
        .iter()
        .map(|ask| (ask.metric.clone(), ask.answer.clone()))
        .collect();
    let expected = [3, 13].map(|sample| ("tone".to_owned(), answer(sample).answer));
    assert_eq!(asked, expected, "what was said is not asked again");
    let scores: Vec<_> = stage.answers()[3].scores.clone().into_iter().collect();
    assert_eq!(
        scores,
        [("aligned".to_owned(), 70.0), ("tone".to_owned(), 10.0)]
    );
}

#[test]
fn a_panic_an_error_or_an_empty_purse_of_the_judge_loses_nothing() {
    let hold = Hold {
        reason: "budget",
        detail: "nothing is left".into(),
    };
    type End = fn() -> Result<Verdict, Stop>;
    let ends: [(&str, End); 3] = [
        ("panic", || panic!("a fault of the judge")),
        ("failure", || {
            Err(failure(ErrorClass::Judge, "judge_unauthorized", "no key").into())
        }),
        ("hold", || {
            Err(Hold {
                reason: "budget",
                detail: "nothing is left".into(),
            }
            .into())
        }),
    ];
    for (name, end) in ends {
        let stage = Stage::new();
        let mut work = work(&stage);
        work.judging = judging(&[("aligned", MetricKind::Score, "{answer}")]);
        let calls = Arc::new(Mutex::new(0));
        let counted = calls.clone();
        let fake = Fake {
            room: 5,
            ..Fake::new(move |_| {
                let mut calls = counted.lock().unwrap_or_else(PoisonError::into_inner);
                *calls += 1;
                let turn = *calls;
                drop(calls);
                if turn <= 50 { score(9.0) } else { end() }
            })
        };
        let stop = evaluate_under(&work, &stage, &fake).unwrap_err();
        match (name, &stop) {
            ("hold", Stop::Held(held)) => assert_eq!(*held, hold),
            ("panic", Stop::Failed(it)) => assert_eq!(it.code, "judge_panicked"),
            ("failure", Stop::Failed(it)) => assert_eq!(it.code, "judge_unauthorized"),
            other => panic!("{other:?}"),
        }
        assert!(stage.answers().len() >= COMMIT_EVERY, "{name}");
        assert_eq!(judged(&stage), 50, "{name}");
        // the next attempt draws what was not drawn and asks what was not said
        let before = stage.answers();
        stage.resume.borrow_mut().answered = before.iter().map(key).collect();
        let unjudged = before.into_iter().filter(|one| one.scores.is_empty());
        *stage.unjudged.borrow_mut() = (1..).zip(unjudged).collect();
        let rest = Fake::new(|_| score(9.0));
        evaluate_under(&work, &stage, &rest).unwrap();
        let all = stage.answers();
        let distinct: HashSet<AnswerKey> = all.iter().map(key).collect();
        assert_eq!((all.len(), distinct.len()), (72, 72), "{name}");
        assert_eq!(rest.seen().asked.len(), 22, "{name}");
        assert_eq!(judged(&stage), 72, "{name}");
    }
}

#[test]
fn recorded_answers_are_judged_again_without_a_model() {
    let stage = Stage::new();
    let answers: Vec<Completion> = (0..150).map(answer).collect();
    *stage.unjudged.borrow_mut() = (1..).zip(answers.clone()).collect();
    let work = RejudgeWork {
        evaluation: EvaluationId::from_uuid(uuid::Uuid::from_u128(4)),
        questions: Vec::new(),
        answers: 150,
        judging: two(),
    };
    let fake = Fake::new(|_| score(33.0));
    let job = JobId::from_uuid(uuid::Uuid::from_u128(9));
    let outside = Outside {
        residents: &Residents::default(),
        generators: &generators(&stage),
        judges: &fake,
    };
    let result = super::super::rejudge::run(&work, &job, &stage, &outside).unwrap();
    assert_eq!(result.evaluation, Some(work.evaluation));
    // the first verdicts at once, the others by COMMIT_EVERY, the rest at the end
    assert_eq!(
        commits(&stage),
        [4, 64, 64, 18].map(|count| ("judgements", count))
    );
    assert_eq!(fake.seen().asked.len(), 300);
    let last = stage.reports.borrow().iter().rev().find_map(|it| match it {
        Report::Progress { done, total, .. } => Some((*done, *total)),
        _ => None,
    });
    assert_eq!(last, Some((150, 150)));
}
