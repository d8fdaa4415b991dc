//! One of several passes that run side by side, each on a thread of its own with one intra-op thread.
//!
//! Small matrix products gain little from a second thread inside them and nearly twice from a second pass beside them.
//! Lanes share every weight and have gradients of their own, which are added up in a fixed order.

use tch::{Kind, Tensor};

use crate::engine::model::Model;
use crate::engine::model::projection::Deltas;
use crate::engine::{Error, Result, device};

use super::batch::Pass;
use super::dropout::{Now, Purpose};
use super::head;
use super::kl::{Compared, Share};
use super::loss::{self, Way};

/// A model whose trained tensors are leaves, with where their gradients go.
pub(super) struct Lane {
    pub(super) model: Model,
    pub(super) deltas: Deltas,
    /// What the dropout of its modules is told.
    pub(super) now: Now,
    /// What the KL term compares with; none where there is no such term.
    pub(super) reference: Option<Model>,
    /// Flat; backward passes add into it.
    pub(super) grad: Tensor,
    /// Sum of the passes' losses since the last `reset`.
    pub(super) loss: Tensor,
    /// The same of the KL term.
    pub(super) kl: Tensor,
    pub(super) way: Way,
}

impl Lane {
    pub(super) fn new(
        model: Model,
        deltas: Deltas,
        now: Now,
        grad: Tensor,
        recompute: bool,
    ) -> Result<Self> {
        let zero = || Tensor::f_zeros([] as [i64; 0], (Kind::Double, grad.device()));
        Ok(Self {
            loss: zero()?,
            kl: zero()?,
            way: Way {
                recompute,
                rows_at_once: head::rows_at_once(&model),
            },
            model,
            deltas,
            now,
            reference: None,
            grad,
        })
    }

    fn learn(&mut self, pass: &Pass, denominator: f64, step: u64) -> Result<()> {
        self.now.say(step, Purpose::Learn, pass);
        let loss = loss::learn(&self.model, &self.deltas, pass, denominator, self.way)?;
        let _ = self.loss.f_add_(&loss)?;
        Ok(())
    }

    fn measure(&mut self, pass: &Pass, denominator: f64) -> Result<()> {
        self.now.silent();
        let loss = loss::measure(&self.model, &self.deltas, pass, denominator, self.way)?;
        let _ = self.loss.f_add_(&loss)?;
        Ok(())
    }

    fn compare(&mut self, pass: &Pass, share: Share, step: u64) -> Result<()> {
        self.now.say(step, Purpose::Compare, pass);
        let missing = || Error::Torch("there is no model to compare with".into());
        let compared = Compared {
            model: &self.model,
            deltas: &self.deltas,
            reference: self.reference.as_ref().ok_or_else(missing)?,
            way: self.way,
        };
        let kl = compared.learn(pass, share)?;
        let _ = self.kl.f_add_(&kl)?;
        Ok(())
    }

    /// Forgets gradients and loss.
    pub(super) fn reset(&mut self) -> Result<()> {
        let _ = self.grad.f_zero_()?;
        let _ = self.loss.f_zero_()?;
        let _ = self.kl.f_zero_()?;
        Ok(())
    }
}

#[cfg(test)]
thread_local! {
    /// Input tokens of a pass above which this thread's lane says that memory has run out, as a small GPU would.
    pub(crate) static ROOM: std::cell::Cell<usize> = const { std::cell::Cell::new(usize::MAX) };
}

/// A device that runs out says so by itself.
fn room_for(_pass: &Pass) -> Result<()> {
    #[cfg(test)]
    if _pass.tokens.len() > ROOM.get() {
        let text = format!("a pass of {} tokens is too large", _pass.tokens.len());
        return Err(Error::OutOfMemory(text));
    }
    Ok(())
}

/// What a round does with its passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Task {
    /// Adds up losses and gradients of this step, counted from 0.
    Learn { step: u64 },
    /// Adds up losses.
    Measure,
    /// Adds up the KL term and this many times its gradients.
    Compare { weight: f64, step: u64 },
}

/// Runs one pass on each lane, side by side where there are several lanes.
pub(super) fn run(lanes: &mut [Lane], round: &[Pass], denominator: f64, task: Task) -> Result<()> {
    let one = |lane: &mut Lane, pass: &Pass| {
        match task {
            Task::Learn { step } => lane.learn(pass, denominator, step)?,
            Task::Measure => lane.measure(pass, denominator)?,
            Task::Compare { weight, step } => {
                let share = Share {
                    denominator,
                    weight,
                };
                lane.compare(pass, share, step)?;
            }
        }
        room_for(pass)
    };
    if lanes.len() == 1 {
        return round.iter().try_for_each(|pass| one(&mut lanes[0], pass));
    }
    std::thread::scope(|scope| {
        let start = |(lane, pass)| {
            scope.spawn(move || {
                device::set_threads(1);
                one(lane, pass)
            })
        };
        let running: Vec<_> = lanes.iter_mut().zip(round).map(start).collect();
        running.into_iter().try_for_each(joined)
    })
}

fn joined(running: std::thread::ScopedJoinHandle<'_, Result<()>>) -> Result<()> {
    let panicked = |_| Err(Error::Torch("a training thread panicked".into()));
    running.join().unwrap_or_else(panicked)
}
