//! Answers on their way to the database and through the judge: recorded as they are drawn, judged while others are.
//!
//! Whatever ends an attempt, what was drawn and what was said by then is recorded, unless another attempt holds the lease.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use serde_json::json;

use super::super::failure;
use crate::domain::evaluation::{Completion, Unscored};
use crate::domain::job::ErrorClass;
use crate::domain::judging::{JudgedBy, Judgement, Rubric};
use crate::domain::question_set::placeholders;
use crate::execution::judge::{JUDGE_ERRORS, Judge, JudgeAsk, Judged};
use crate::execution::{Commit, Context, Failure, Interrupted, JudgingWork, Report, Stop};

/// Answers, and judgements, that are recorded together.
pub(super) const COMMIT_EVERY: usize = 64;
/// Seconds after which fewer are recorded, so that a crash costs little where answers or verdicts are slow.
const COMMIT_AFTER: f64 = 1.0;
/// Answers that may wait for the judge before drawing waits for it, too.
pub(super) const MOST_WAITING: usize = 1024;
/// How long to wait for the judge before looking at what else was asked of the job.
const PATIENCE: Duration = Duration::from_millis(200);
/// Seconds in which a judge may finish what it was asked before the attempt ended.
const GRACE: f64 = 5.0;
/// Looks in vain during that time, should no clock tell its end.
const LOOKS: u32 = 25;

/// Answers between generator, judge and database.
pub(super) struct Scoring<'a> {
    context: &'a dyn Context,
    judging: &'a JudgingWork,
    judge: Box<dyn Judge>,
    /// Drawn, but not recorded.
    drawn: Vec<Completion>,
    /// Recorded, but not handed to the judge.
    backlog: VecDeque<JudgeAsk>,
    /// With the judge or in the backlog, by ticket.
    open: BTreeMap<u64, Judgement>,
    /// Judged, but not recorded.
    judged: Vec<Judgement>,
    /// Asks that the judge has not answered.
    handed: usize,
    /// Whether the judge ended the evaluation.
    gone: bool,
    /// The models that answered.
    judges: BTreeSet<JudgedBy>,
    next: u64,
    errors: u64,
    done: u64,
    total: u64,
    drawn_at: f64,
    /// When verdicts were last recorded. An attempt's first ones are recorded at once: they may be what earlier attempts paid for and died
    /// before recording, and a job whose server keeps dying is given up unless every life leaves something behind.
    judged_at: f64,
}

impl<'a> Scoring<'a> {
    /// Of `total` answers, `done` of which are judged already.
    pub(super) fn new(
        judging: &'a JudgingWork,
        judge: Box<dyn Judge>,
        context: &'a dyn Context,
        (done, total): (u64, u64),
    ) -> Self {
        Self {
            context,
            judging,
            judge,
            drawn: Vec::new(),
            backlog: VecDeque::new(),
            open: BTreeMap::new(),
            judged: Vec::new(),
            handed: 0,
            gone: false,
            judges: BTreeSet::new(),
            next: 0,
            errors: 0,
            done,
            total,
            drawn_at: context.seconds(),
            judged_at: f64::NEG_INFINITY,
        }
    }

    pub(super) fn context(&self) -> &'a dyn Context {
        self.context
    }

    /// Asks about recorded answers on which the judge still owes something: those of an earlier attempt, or of another evaluation.
    pub(super) fn catch_up(&mut self) -> Result<(), Stop> {
        self.progress()?;
        let mut after = 0;
        loop {
            let page = self.context.unjudged(after, COMMIT_EVERY as u32)?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            after = *last;
            for (_, completion) in &page {
                self.ask(completion);
            }
            self.make_room()?;
        }
    }

    /// Takes an answer that was just drawn.
    pub(super) fn take(&mut self, completion: Completion) -> Result<(), Stop> {
        self.drawn.push(completion);
        if self.drawn.len() >= COMMIT_EVERY {
            self.record_drawn()?;
        }
        self.make_room()
    }

    /// Sees to the judge while nothing is drawn.
    pub(super) fn tend(&mut self) -> Result<(), Stop> {
        self.pump(Duration::ZERO)
    }

    /// Drawing waits only for a judge that is far behind.
    fn make_room(&mut self) -> Result<(), Stop> {
        self.pump(Duration::ZERO)?;
        while self.open.len() >= MOST_WAITING {
            self.context.turn()?;
            self.pump(PATIENCE)?;
        }
        Ok(())
    }

    /// Waits for the judge and records the rest.
    ///
    /// *Errors* `judge_errors` when the judge failed on an answer; everything else is recorded by then.
    pub(super) fn finish(&mut self) -> Result<(), Stop> {
        self.record_drawn()?;
        while !self.open.is_empty() {
            self.context.turn()?;
            self.pump(PATIENCE)?;
        }
        self.record_judged()?;
        match self.errors {
            0 => Ok(()),
            errors => Err(self.errors_left(errors).into()),
        }
    }

    fn errors_left(&self, errors: u64) -> Failure {
        let message = format!(
            "the judge {} failed on {errors} answers; POST /v1/jobs/{{id}}/retry asks it again about these alone, \
             POST /v1/evaluations/{{id}}/accept-errors takes them as they are",
            self.judging.name
        );
        Failure {
            retryable: true,
            ..failure(ErrorClass::Judge, JUDGE_ERRORS, message)
        }
    }

    /// Records what is there before the attempt ends for `stop`; why it ends then.
    pub(super) fn leave(&mut self, stop: Stop) -> Stop {
        let hears = match stop {
            Stop::Interrupted(Interrupted::LeaseLost) => return stop,
            Stop::Interrupted(Interrupted::Cancelled) => false,
            _ => !self.gone,
        };
        match self.keep(hears) {
            Ok(()) => stop,
            Err(other) => other,
        }
    }

    fn keep(&mut self, hears: bool) -> Result<(), Stop> {
        self.record_drawn()?;
        if hears {
            self.hear_out();
        }
        self.record_judged()
    }

    /// Waits a little for answers that the judge owes: they cost the same whether somebody hears them or not.
    fn hear_out(&mut self) {
        let end = self.context.seconds() + GRACE;
        let mut looks = 0;
        while self.handed > 0 && looks < LOOKS && self.context.seconds() < end {
            match self.listen(PATIENCE) {
                Ok(0) => looks += 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn record_drawn(&mut self) -> Result<(), Stop> {
        if self.drawn.is_empty() {
            return Ok(());
        }
        let drawn = std::mem::take(&mut self.drawn);
        self.drawn_at = self.context.seconds();
        self.context.commit(Commit::Answers(drawn.clone()))?;
        for completion in &drawn {
            self.ask(completion);
        }
        Ok(())
    }

    fn record_judged(&mut self) -> Result<(), Stop> {
        if self.judged.is_empty() {
            return Ok(());
        }
        let judged = std::mem::take(&mut self.judged);
        self.judged_at = self.context.seconds();
        self.done += judged.len() as u64;
        self.context.commit(Commit::Judgements(judged))?;
        self.progress()
    }

    /// Queues an ask for every metric on which the judge has not said anything, or failed.
    fn ask(&mut self, completion: &Completion) {
        let ticket = self.next;
        self.next += 1;
        let said = said(completion);
        let rubrics = self.judging.rubrics.get(&completion.question);
        for (place, metric) in self.judging.metrics.iter().enumerate() {
            if !said.has(metric) {
                let rubric = rubrics.and_then(|rubrics| rubrics.get(place));
                self.backlog
                    .push_back(ask_of(ticket, metric, rubric, completion));
            }
        }
        self.open.insert(ticket, said);
    }

    /// Hands the judge what it has room for, notes what it said, and records it in due time.
    fn pump(&mut self, wait: Duration) -> Result<(), Stop> {
        while self.with_judge(|judge| Ok(judge.room()))? > 0
            && let Some(ask) = self.backlog.pop_front()
        {
            self.with_judge(|judge| judge.submit(ask))?;
            self.handed += 1;
        }
        self.listen(wait)?;
        let now = self.context.seconds();
        if now - self.drawn_at > COMMIT_AFTER {
            self.record_drawn()?;
        }
        if self.judged.len() >= COMMIT_EVERY || now - self.judged_at > COMMIT_AFTER {
            self.record_judged()?;
        }
        Ok(())
    }

    /// The number of verdicts that came.
    fn listen(&mut self, wait: Duration) -> Result<usize, Stop> {
        let said = self.with_judge(|judge| judge.receive(wait))?;
        let count = said.len();
        self.handed = self.handed.saturating_sub(count);
        for judged in said {
            self.note(judged)?;
        }
        Ok(count)
    }

    /// A judge that panics ends the evaluation like one that fails.
    fn with_judge<T>(
        &mut self,
        call: impl FnOnce(&mut dyn Judge) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        let judge = self.judge.as_mut();
        let said = catch_unwind(AssertUnwindSafe(|| call(judge)));
        let said = said.unwrap_or_else(|_| {
            let text =
                "the judge ended by a fault of the server; its log says more under this job's id";
            Err(failure(ErrorClass::Internal, "judge_panicked", text).into())
        });
        self.gone |= said.is_err();
        said
    }

    fn note(&mut self, judged: Judged) -> Result<(), Stop> {
        self.watch(judged.by.as_ref())?;
        let Some(judgement) = self.open.get_mut(&judged.ticket) else {
            return Ok(());
        };
        judgement.note(&judged.metric, judged.verdict, judged.by);
        if judgement.said() == self.judging.metrics.len()
            && let Some(judgement) = self.open.remove(&judged.ticket)
        {
            self.errors += u64::from(judgement.failed());
            self.judged.push(judgement);
        }
        Ok(())
    }

    /// An endpoint may put another model behind a name at any time; scores of two models are told to be so.
    fn watch(&mut self, by: Option<&JudgedBy>) -> Result<(), Stop> {
        let Some(by) = by.filter(|by| !self.judges.contains(*by)) else {
            return Ok(());
        };
        if !self.judges.is_empty() {
            let r#type = "judge_changed";
            let data = json!({"judge": self.judging.name, "before": self.judges, "now": by});
            self.context.report(Report::Event { r#type, data })?;
        }
        self.judges.insert(by.clone());
        Ok(())
    }

    fn progress(&self) -> Result<(), Stop> {
        self.context.report(Report::Progress {
            done: self.done,
            total: self.total,
            unit: "answer",
        })
    }
}

/// What the judge said of an answer earlier, its failures left out.
fn said(completion: &Completion) -> Judgement {
    let causes = completion.unscored.iter();
    let causes = causes.filter(|(_, cause)| **cause != Unscored::Error);
    Judgement {
        scores: completion.scores.clone(),
        labels: completion.labels.clone(),
        unscored: causes
            .map(|(metric, cause)| (metric.clone(), *cause))
            .collect(),
        ..Judgement::of(completion.key())
    }
}

fn ask_of(ticket: u64, metric: &str, rubric: Option<&Rubric>, completion: &Completion) -> JudgeAsk {
    let (question, answer) = (&completion.prompt, &completion.answer);
    let fill = |rubric: &Rubric| placeholders::fill(&rubric.template, question, answer);
    JudgeAsk {
        ticket,
        metric: metric.into(),
        kind: rubric.map_or_else(Default::default, |rubric| rubric.kind),
        question: question.clone(),
        answer: answer.clone(),
        prompt: rubric.map_or_else(String::new, fill),
    }
}
