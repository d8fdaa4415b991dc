//! The rows of one generator with those who listen to them, and the adapters in memory. Lives on the generator's thread.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::inbox::Command;
use super::{GeneratorSettings, Loaded, broken};
use crate::domain::job::ErrorClass;
use crate::engine::generate::{self, Change, Live, Need, Row, Spoken, Told, Variant};
use crate::engine::model::config::ModelConfig;
use crate::engine::residents::Lent;
use crate::engine::sample::Chance;
use crate::engine::weights::Weights;
use crate::execution::Failure;

/// What a sink hears of its row or reading.
pub(in crate::recipes) enum Heard<'a> {
    /// A token.
    Said(Spoken),
    /// A prompt's own probabilities, from its second token on.
    Read(Vec<Chance>),
    /// It failed; nothing follows.
    Lost(&'a Failure),
}

/// What a sink wants after it heard something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::recipes) enum Verdict {
    /// More.
    On,
    /// No more of this row.
    Enough,
    /// No more of any row of its party: nobody listens.
    Gone,
}

/// Hears of one row.
pub(in crate::recipes) trait Sink {
    /// Takes what came, without waiting.
    fn hear(&mut self, heard: Heard) -> Verdict;
}

/// The rows in work.
pub(in crate::recipes) struct Hall {
    live: Live,
    weights: Weights,
    _lent: Option<Lent>,
    slots: usize,
    sinks: HashMap<u64, (u64, Box<dyn Sink>)>,
    next: u64,
    /// Adapters and steering vectors at scale 1 by content identity, last used last.
    adapters: Vec<(String, Variant)>,
    most_adapters: usize,
}

impl Hall {
    pub(super) fn new(loaded: Loaded, settings: &GeneratorSettings) -> crate::engine::Result<Self> {
        let slots = generate::slots(settings.slots);
        Ok(Self {
            live: Live::new(loaded.weights.shallow_clone()?, slots)?,
            weights: loaded.weights,
            _lent: loaded.lent,
            slots,
            sinks: HashMap::new(),
            next: 0,
            adapters: Vec::new(),
            most_adapters: settings.adapters.max(1) as usize,
        })
    }

    /// The shape of the model.
    pub(in crate::recipes) fn config(&self) -> &ModelConfig {
        self.live.config()
    }

    /// A change of the weights by its content identity, from memory where it is there, so many times.
    pub(in crate::recipes) fn variant<E>(
        &mut self,
        identity: &str,
        scale: f64,
        load: impl FnOnce(&ModelConfig) -> Result<Change, E>,
    ) -> Result<Variant, E> {
        let known = self.adapters.iter().position(|(own, _)| own == identity);
        let entry = match known {
            Some(place) => self.adapters.remove(place),
            None => {
                let change = load(self.live.config())?;
                (identity.to_string(), change.variant())
            }
        };
        if self.adapters.len() >= self.most_adapters {
            self.adapters.remove(0);
        }
        let variant = entry.1.at(scale);
        self.adapters.push(entry);
        Ok(variant)
    }

    /// Lets a row of a party wait for a slot; its sink is told when that cannot be.
    pub(in crate::recipes) fn submit(&mut self, party: u64, row: Row, sink: Box<dyn Sink>) {
        self.next += 1;
        let taken = self.live.submit(self.next, row);
        self.listen(party, taken, sink);
    }

    /// Asks for a prompt's own probabilities.
    pub(in crate::recipes) fn read(
        &mut self,
        party: u64,
        (prompt, variant, alternatives): (Arc<[u32]>, Variant, u32),
        sink: Box<dyn Sink>,
    ) {
        self.next += 1;
        let taken = self.live.read(self.next, prompt, variant, alternatives);
        self.listen(party, taken, sink);
    }

    fn listen(&mut self, party: u64, taken: crate::engine::Result<()>, mut sink: Box<dyn Sink>) {
        match taken {
            Ok(()) => drop(self.sinks.insert(self.next, (party, sink))),
            Err(error) => {
                sink.hear(Heard::Lost(&error.into()));
            }
        }
    }

    /// Takes all rows of a party out.
    pub(in crate::recipes) fn withdraw(&mut self, party: u64) {
        let own = self.sinks.iter().filter(|(_, (own, _))| *own == party);
        for id in own.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.live.withdraw(id);
            self.sinks.remove(&id);
        }
    }

    pub(super) fn need(&self) -> Option<Need> {
        self.live.need()
    }

    /// Runs a command; one that panics harms nobody else.
    pub(super) fn run(&mut self, command: Command) {
        let ran = catch_unwind(AssertUnwindSafe(|| command(Ok(&mut *self))));
        if ran.is_err() {
            tracing::error!("a command of a generator panicked");
        }
    }

    /// Does one piece of work and tells what came of it; a panic loses the rows in work and no others.
    pub(super) fn work(&mut self) {
        let worked = catch_unwind(AssertUnwindSafe(|| {
            for told in self.live.advance() {
                self.tell(told);
            }
        }));
        if worked.is_err() {
            tracing::error!("a generator's rows were lost by a panic");
            self.lose_all(&broken());
            match self
                .weights
                .shallow_clone()
                .and_then(|weights| Live::new(weights, self.slots))
            {
                Ok(live) => self.live = live,
                // Without rows the old one is as good as new.
                Err(error) => tracing::error!(%error, "a generator could not begin again"),
            }
        }
    }

    fn tell(&mut self, told: Told) {
        match told {
            Told::Said(spoken) => {
                let (id, ended) = (spoken.row, spoken.finish.is_some());
                self.pass(id, Heard::Said(spoken), ended);
            }
            Told::Read(id, chances) => self.pass(id, Heard::Read(chances), true),
            Told::Lost(ids, error) => {
                let mut failure = Failure::from(error);
                if failure.class == ErrorClass::NonFinite {
                    failure.code = "not_finite";
                }
                tracing::warn!(rows = ids.len(), error = %failure, "rows were lost");
                for id in ids {
                    self.pass(id, Heard::Lost(&failure), true);
                }
            }
        }
    }

    fn pass(&mut self, id: u64, heard: Heard, last: bool) {
        // Taken out first: a sink that panics is gone with its row.
        let Some((party, mut sink)) = self.sinks.remove(&id) else {
            return self.live.withdraw(id);
        };
        match sink.hear(heard) {
            Verdict::On if !last => drop(self.sinks.insert(id, (party, sink))),
            Verdict::On | Verdict::Enough => self.live.withdraw(id),
            Verdict::Gone => {
                self.live.withdraw(id);
                self.withdraw(party);
            }
        }
    }

    /// Tells everybody that nothing will come any more.
    pub(super) fn lose_all(&mut self, failure: &Failure) {
        for (id, (_, mut sink)) in std::mem::take(&mut self.sinks) {
            self.live.withdraw(id);
            sink.hear(Heard::Lost(failure));
        }
    }
}
