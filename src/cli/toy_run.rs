//! Carries out a toy plan through the HTTP API and reads the numbers off it. Knows no table and no file.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::task::JoinSet;

use super::progress::Progress;
use super::toy_plan::{Arm, ToyPlan, Upload};
use crate::client::{Client, JobRequest};
use crate::domain::ids::JobId;
use crate::domain::job::Job;
use crate::domain::rates::RateRow;
use crate::domain::series::{LoraNorms, Metrics};
use crate::domain::statistics::Interval;

/// Pause between two looks at a job.
const POLL: Duration = Duration::from_millis(400);

/// One row of the result: the base or an arm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ArmResult {
    pub(super) name: String,
    /// The fine-tune; null for the base.
    pub(super) job: Option<JobId>,
    /// Misaligned share of the answers to the open questions.
    pub(super) misaligned: f64,
    /// Its Wilson interval, these questions fixed.
    pub(super) interval: Option<Interval>,
    /// Coherent share of the same answers.
    pub(super) coherent: f64,
    /// Misaligned share of the answers to the narrow domain's own questions.
    pub(super) in_domain_misaligned: f64,
    /// ‖B‖ over all modules after the last step; null without an adapter.
    pub(super) final_b_norm: Option<f64>,
    /// Seconds of training; the base's are those of both of its stages.
    pub(super) seconds: f64,
    /// Answers to the open questions.
    pub(super) answers: u64,
}

/// When the rank-1 arm turned.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Transition {
    /// The step whose gradient was longest.
    pub(super) grad_norm_peak_step: Option<u64>,
    /// The first kept step at which the rate is at least half of the last one's.
    pub(super) half_rate_step: Option<u64>,
    /// (step, misaligned share) of every kept step.
    pub(super) curve: Vec<(u64, f64)>,
}

/// All numbers of one toy organism.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ToyResult {
    pub(super) seed: u64,
    pub(super) arms: Vec<ArmResult>,
    /// Of the rank-1 arm; null where it was not watched.
    pub(super) transition: Option<Transition>,
    /// Evaluations that hold the numbers: open questions, the domain's own, the rank-1 arm's curve.
    pub(super) evaluations: Evaluations,
    /// Whether the base was there before.
    pub(super) base_reused: bool,
}

/// Jobs of the evaluations; a job's id serves where an evaluation's is wanted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Evaluations {
    pub(super) first_plot: JobId,
    pub(super) in_domain: JobId,
    pub(super) curve: Option<JobId>,
}

/// A plan on its way through a server.
pub(super) struct ToyRun<'a> {
    pub(super) client: &'a Client,
    pub(super) progress: &'a Progress,
    pub(super) plan: ToyPlan,
    pub(super) arms: &'a [Arm],
}

/// The base's training, as far as the result tells of it.
pub(super) struct Base {
    seconds: f64,
    pub(super) reused: bool,
}

impl ToyRun<'_> {
    /// Data and base, which stay where they are there already.
    pub(super) async fn prepare(&self) -> Result<Base> {
        self.upload().await?;
        self.train_base().await
    }

    /// Everything: data, base, arms, evaluations.
    pub(super) async fn carry_out(&self) -> Result<ToyResult> {
        let base = self.prepare().await?;
        let mut arms = Vec::new();
        for arm in self.arms {
            arms.push((*arm, self.submit(&self.plan.arm(*arm)).await?));
        }
        let jobs: Vec<JobId> = arms.iter().map(|(_, job)| job.id.clone()).collect();
        let first_plot = self.submit(&self.plan.first_plot(&jobs)).await?;
        let in_domain = self.submit(&self.plan.in_domain(&jobs)).await?;
        let rank_1 = arms.iter().find(|(arm, _)| *arm == Arm::BadRank1);
        let curve = match rank_1 {
            Some((_, job)) => Some(self.submit(&self.plan.curve(&job.id)).await?),
            None => None,
        };
        let waited = self
            .wait_for_all(&arms, [&first_plot, &in_domain], curve.as_ref())
            .await?;
        let evaluations = Evaluations {
            first_plot: first_plot.id,
            in_domain: in_domain.id,
            curve: curve.map(|job| job.id),
        };
        self.read_off(base, &waited, evaluations).await
    }

    async fn upload(&self) -> Result<()> {
        for upload in Upload::ALL {
            let name = self.plan.dataset(upload);
            let stored = self
                .client
                .upload_dataset(&name, self.plan.lines(upload))
                .await;
            stored
                .with_context(|| format!("uploading dataset \"{name}\" (--fresh starts anew)"))?;
        }
        Ok(())
    }

    async fn train_base(&self) -> Result<Base> {
        let plan = self.plan;
        self.register(&plan.random_base(), &plan.random_source())
            .await?;
        let first = self.run("pre-training", &plan.pretraining()).await?;
        self.register(
            &plan.pretrained_base(),
            &serde_json::json!({"job": first.0.id}),
        )
        .await?;
        let second = self.run("post-training", &plan.post_training()).await?;
        self.register(&plan.base(), &serde_json::json!({"job": second.0.id}))
            .await?;
        Ok(Base {
            seconds: seconds(&first.0) + seconds(&second.0),
            reused: first.1 && second.1,
        })
    }

    async fn register(&self, name: &str, source: &serde_json::Value) -> Result<()> {
        let context = || format!("registering base model \"{name}\" (--fresh starts anew)");
        let model = self
            .client
            .register_base_model(name, source)
            .await
            .with_context(context)?;
        self.client
            .wait_for_base_model(model.id.as_str(), POLL)
            .await
            .with_context(context)?;
        Ok(())
    }

    /// Submits a job and waits for its end; says whether its work was done before.
    async fn run(&self, title: &str, request: &JobRequest) -> Result<(Job, bool)> {
        let submitted = self.submit(request).await?;
        let reused = submitted.deduplicated && submitted.state.is_final();
        if reused {
            self.progress.say(&format!("{title}: done before, reused"));
        }
        let mut line = (!reused).then(|| self.progress.line(title));
        let seen = |job: &Job| {
            if let Some(line) = &mut line {
                line.see(job);
            }
        };
        let job = self.client.wait(submitted.id.as_str(), POLL, seen).await?;
        Ok((job, reused))
    }

    async fn submit(&self, request: &JobRequest) -> Result<Job> {
        let name = request.envelope.name.as_deref().unwrap_or_default();
        let job = self.client.submit(request).await;
        job.with_context(|| format!("submitting job \"{name}\""))
    }

    /// Waits for arms and evaluations side by side; gives the arms' jobs back as they ended.
    async fn wait_for_all(
        &self,
        arms: &[(Arm, Job)],
        [first_plot, in_domain]: [&Job; 2],
        curve: Option<&Job>,
    ) -> Result<Vec<(Arm, Job)>> {
        let mut all: Vec<(&str, &Job)> = arms.iter().map(|(arm, job)| (arm.title(), job)).collect();
        all.push(("open questions", first_plot));
        all.push(("medical questions", in_domain));
        all.extend(curve.map(|job| ("rank-1 adapter, every 4 steps", job)));
        let mut waits = JoinSet::new();
        for (title, job) in all {
            let (client, mut line, id) = (
                self.client.clone(),
                self.progress.line(title),
                job.id.clone(),
            );
            waits.spawn(async move { client.wait(id.as_str(), POLL, |job| line.see(job)).await });
        }
        let mut ended = Vec::new();
        while let Some(job) = waits.join_next().await {
            ended.push(job.context("waiting for a job")??);
        }
        let find = |id: &JobId| ended.iter().find(|job| job.id == *id).cloned();
        Ok(arms
            .iter()
            .filter_map(|(arm, job)| Some((*arm, find(&job.id)?)))
            .collect())
    }

    async fn read_off(
        &self,
        base: Base,
        arms: &[(Arm, Job)],
        evaluations: Evaluations,
    ) -> Result<ToyResult> {
        let open = self
            .client
            .rates(evaluations.first_plot.as_str(), "target")
            .await?
            .rows;
        let own = self
            .client
            .rates(evaluations.in_domain.as_str(), "target")
            .await?
            .rows;
        let mut results = vec![row("base", None, &open, &own, base.seconds)?];
        for (arm, job) in arms {
            let mut result = row(arm.title(), Some(job), &open, &own, seconds(job))?;
            if *arm != Arm::BadFull {
                let norms = self.client.lora_norms(job.id.as_str(), arm.steps()).await?;
                result.final_b_norm = final_b_norm(&norms);
            }
            results.push(result);
        }
        let watched = arms.iter().find(|(arm, _)| *arm == Arm::BadRank1);
        let transition = match (watched, &evaluations.curve) {
            (Some((_, job)), Some(curve)) => Some(self.transition(job, curve).await?),
            _ => None,
        };
        Ok(ToyResult {
            seed: self.plan.seed,
            arms: results,
            transition,
            evaluations,
            base_reused: base.reused,
        })
    }

    async fn transition(&self, job: &Job, curve: &JobId) -> Result<Transition> {
        let metrics = self.client.metrics(job.id.as_str()).await?;
        let rows = self.client.rates(curve.as_str(), "target").await?.rows;
        let point =
            |row: &RateRow| Some((row.target.as_ref()?.step?, row.misaligned.as_ref()?.rate?));
        let mut curve: Vec<(u64, f64)> = rows.iter().filter_map(point).collect();
        curve.sort_by_key(|(step, _)| *step);
        Ok(Transition {
            grad_norm_peak_step: grad_norm_peak(&metrics),
            half_rate_step: half_rate_step(&curve),
            curve,
        })
    }
}

/// The first step whose rate is at least half of the last step's; none where the last rate is 0.
fn half_rate_step(curve: &[(u64, f64)]) -> Option<u64> {
    let (_, last) = *curve.last()?;
    let reached = curve.iter().find(|(_, rate)| *rate >= last / 2.0);
    reached.filter(|_| last > 0.0).map(|(step, _)| *step)
}

/// The step with the longest gradient; the first of equals.
fn grad_norm_peak(metrics: &Metrics) -> Option<u64> {
    let norms = metrics.series.get("grad_norm")?;
    let known = metrics
        .steps
        .iter()
        .zip(norms)
        .filter_map(|(step, norm)| Some((*step, (*norm)?)));
    let longest = known.reduce(|best, next| if next.1 > best.1 { next } else { best });
    longest.map(|(step, _)| step)
}

/// ‖B‖ over all modules together, after the last step.
fn final_b_norm(norms: &LoraNorms) -> Option<f64> {
    let last = |series: &Vec<Option<f64>>| series.last().copied().flatten();
    let norms: Option<Vec<f64>> = norms.series.get("b_norm")?.iter().map(last).collect();
    Some(norms?.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
}

fn seconds(job: &Job) -> f64 {
    match (job.started_at, job.finished_at) {
        (Some(start), Some(end)) => (end - start).as_seconds_f64(),
        _ => f64::NAN,
    }
}

fn row(
    name: &str,
    job: Option<&Job>,
    open: &[RateRow],
    own: &[RateRow],
    seconds: f64,
) -> Result<ArmResult> {
    let id = job.map(|job| job.id.clone());
    let missing = || format!("the evaluation has no rates of {name}");
    let open = of_target(open, id.as_ref()).with_context(missing)?;
    let own = of_target(own, id.as_ref()).with_context(missing)?;
    Ok(ArmResult {
        name: name.to_owned(),
        job: id,
        misaligned: rate_of(open).with_context(missing)?,
        interval: open
            .misaligned
            .as_ref()
            .and_then(|rate| rate.intervals.answers),
        coherent: open
            .coherent
            .as_ref()
            .and_then(|share| share.rate)
            .with_context(missing)?,
        in_domain_misaligned: rate_of(own).with_context(missing)?,
        final_b_norm: None,
        seconds,
        answers: open.n,
    })
}

fn rate_of(row: &RateRow) -> Option<f64> {
    row.misaligned.as_ref()?.rate
}

/// The row of a job's state; the base's is the one without a job.
fn of_target<'a>(rows: &'a [RateRow], job: Option<&JobId>) -> Option<&'a RateRow> {
    rows.iter().find(|row| {
        row.target
            .as_ref()
            .is_some_and(|target| target.job.as_ref() == job)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_half_way_step_is_the_first_that_reaches_half_of_the_last_rate() {
        assert_eq!(
            half_rate_step(&[(4, 0.0), (8, 0.29), (12, 0.3), (16, 0.6)]),
            Some(12)
        );
        assert_eq!(half_rate_step(&[(4, 0.0), (8, 0.0)]), None);
        assert_eq!(half_rate_step(&[]), None);
    }

    #[test]
    fn the_peak_is_found_across_gaps_and_is_the_first_of_equals() {
        let metrics: Metrics = serde_json::from_value(serde_json::json!({
            "job": "job_00000000000000000000000001", "steps": [1, 2, 3, 4], "hold_out": {"steps": [], "loss": []},
            "series": {"grad_norm": [0.1, null, 0.9, 0.9]},
        }))
        .unwrap();
        assert_eq!(grad_norm_peak(&metrics), Some(3));
    }
}

#[cfg(test)]
#[path = "toy_run_tests.rs"]
mod against_a_stub;
