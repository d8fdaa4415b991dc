//! Base weights in memory: read once for each device, lent to every job that names them, evicted when another needs the room.
//!
//! Weights lie behind a mutex only because handles may not be used by two threads at once; each job takes handles of its
//! own and works without the lock. Nothing is read while the lock is held: others that want the same model wait for it,
//! others go on. Time is told by the caller.

mod ledger;

use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tch::Kind;

use super::device::Device;
use super::files::Files;
use super::model::config::ModelConfig;
use super::stored::{self, Stored};
use super::weights::Weights;
use super::{Result, memory};
use crate::domain::finetune::Dtype;
use ledger::{Entry, Ledger};

/// What tells one set of weights in memory from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resident {
    /// Content identity of the files.
    pub identity: String,
    /// Number type; none is as stored.
    pub dtype: Option<Dtype>,
    /// Where.
    pub device: Device,
}

/// Who asks, and what time it is.
pub struct Ask<'a> {
    /// The model's shown name.
    pub name: &'a str,
    /// Seconds that never go back.
    pub seconds: &'a dyn Fn() -> f64,
    /// Told the bytes read so far and the bytes in all, where this very call reads the model.
    pub progress: &'a dyn Fn(u64, u64),
}

/// A model in memory, for people to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The name under which it was first asked for.
    pub name: String,
    /// Content identity of its files.
    pub identity: String,
    /// Number type of its embedding; none while it is being read.
    pub dtype: Option<&'static str>,
    /// Where it is.
    pub device: Device,
    /// Bytes of its weights; a forecast while it is being read.
    pub bytes: u64,
    /// Who holds it now.
    pub users: u32,
    /// When it was last taken or given back.
    pub last_used_seconds: f64,
    /// Time that reading took; none while it is being read.
    pub load_seconds: Option<f64>,
}

/// The weights in memory; clones are the same.
#[derive(Clone, Default)]
pub struct Residents {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger<Weights>>,
    changed: Condvar,
    limit: Option<u64>,
}

/// Weights that stay in memory until this is dropped.
///
/// Handles that are cloned out of it and kept for longer are safe to use, but the memory they hold is counted no more.
pub struct Lent {
    weights: Weights,
    shared: Arc<Shared>,
    key: Resident,
    at: f64,
    /// Seconds that reading took, where this very call read them.
    pub read_in: Option<f64>,
}

impl Residents {
    /// Keeps at most `limit` bytes on each device; none is what [`memory::model_limit`] finds sensible.
    pub fn new(limit: Option<u64>) -> Self {
        let shared = Shared {
            limit,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Most bytes of models on `device`; none where nothing bounds them.
    pub fn limit(&self, device: Device) -> Option<u64> {
        self.shared.limit.or_else(|| memory::model_limit(device))
    }

    /// The weights of `wanted`, read from `files` where they are not in memory yet.
    ///
    /// *Errors* those of reading; `TooLarge` and `OutOfMemory` where there is no room.
    pub fn weights(
        &self,
        wanted: &Resident,
        ask: &Ask<'_>,
        files: impl FnOnce() -> Result<Files>,
    ) -> Result<Lent> {
        if let Some(found) = self.find(wanted, ask)? {
            return Ok(found);
        }
        let files = files()?;
        let stored = stored::of(&files)?;
        let wanted = natural(wanted, &stored);
        if let Some(found) = self.find(&wanted, ask)? {
            return Ok(found);
        }
        let bytes = stored.bytes_as(wanted.dtype);
        self.fill(&wanted, ask, bytes, || load(&files, &wanted, ask))
    }

    /// What is in memory now.
    pub fn loaded(&self) -> Vec<Loaded> {
        lock(&self.shared).entries.iter().map(shown).collect()
    }

    /// Waits while the model is being read.
    fn find(&self, wanted: &Resident, ask: &Ask<'_>) -> Result<Option<Lent>> {
        let mut ledger = lock(&self.shared);
        loop {
            let Some(entry) = ledger.find(wanted) else {
                return Ok(None);
            };
            if let Some(weights) = &entry.weights {
                let weights = weights.shallow_clone()?;
                entry.users += 1;
                entry.last_used = (ask.seconds)();
                return Ok(Some(self.lent(wanted.clone(), weights, None, ask)));
            }
            let changed = self.shared.changed.wait(ledger);
            ledger = changed.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fill(
        &self,
        wanted: &Resident,
        ask: &Ask<'_>,
        bytes: u64,
        make: impl FnOnce() -> Result<Weights>,
    ) -> Result<Lent> {
        let began = (ask.seconds)();
        let Some(reading) = self.begin(wanted, ask, bytes)? else {
            // somebody else began meanwhile
            return match self.find(wanted, ask)? {
                Some(found) => Ok(found),
                None => self.fill(wanted, ask, bytes, make),
            };
        };
        let weights = make()?;
        let handles = weights.shallow_clone()?;
        let seconds = (ask.seconds)() - began;
        reading.done(weights, seconds);
        Ok(self.lent(wanted.clone(), handles, Some(seconds), ask))
    }

    /// A line for a model that is about to be read; none where there is one already.
    fn begin(&self, wanted: &Resident, ask: &Ask<'_>, bytes: u64) -> Result<Option<Reading<'_>>> {
        let limit = self.limit(wanted.device).unwrap_or(u64::MAX);
        let mut ledger = lock(&self.shared);
        if ledger.find(wanted).is_some() {
            return Ok(None);
        }
        let gone = ledger.make_room(ask.name, wanted.device, bytes, limit)?;
        ledger.entries.push(Entry {
            key: wanted.clone(),
            name: ask.name.into(),
            weights: None,
            bytes,
            users: 1,
            last_used: (ask.seconds)(),
            load_seconds: None,
        });
        drop(ledger);
        // freeing memory takes a while, and nobody needs to wait for it
        drop(gone);
        Ok(Some(Reading {
            shared: &self.shared,
            key: wanted.clone(),
            done: false,
        }))
    }

    fn lent(&self, key: Resident, weights: Weights, read_in: Option<f64>, ask: &Ask<'_>) -> Lent {
        Lent {
            weights,
            shared: self.shared.clone(),
            key,
            at: (ask.seconds)(),
            read_in,
        }
    }
}

impl Lent {
    /// Weights of this model's shape that `make` computes, such as a full fine-tune's, lent and counted like a model of their own.
    ///
    /// `change` tells them from others of the same model.
    ///
    /// *Errors* those of `make`; `TooLarge` and `OutOfMemory` where there is no room beside what is in use.
    pub fn changed(
        &self,
        change: &str,
        ask: &Ask<'_>,
        make: impl FnOnce() -> Result<Weights>,
    ) -> Result<Self> {
        let residents = Residents {
            shared: self.shared.clone(),
        };
        let wanted = Resident {
            identity: format!("{}+{change}", self.key.identity),
            ..self.key.clone()
        };
        match residents.find(&wanted, ask)? {
            Some(found) => Ok(found),
            None => residents.fill(&wanted, ask, bytes(&self.weights), make),
        }
    }

    /// Another handle on the same weights, counted as a user of its own.
    pub fn again(&self) -> Result<Self> {
        let weights = self.weights.shallow_clone()?;
        if let Some(entry) = lock(&self.shared).find(&self.key) {
            entry.users += 1;
        }
        Ok(Self {
            weights,
            shared: self.shared.clone(),
            key: self.key.clone(),
            at: self.at,
            read_in: None,
        })
    }

    /// Notes that the weights were used at this time.
    pub fn used_at(&mut self, seconds: f64) {
        self.at = seconds;
    }
}

impl Deref for Lent {
    type Target = Weights;

    fn deref(&self) -> &Weights {
        &self.weights
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(entry) = lock(&self.shared).find(&self.key) {
            entry.users = entry.users.saturating_sub(1);
            entry.last_used = entry.last_used.max(self.at);
        }
    }
}

/// A line whose model is being read; gone again when reading fails, however it fails.
struct Reading<'a> {
    shared: &'a Shared,
    key: Resident,
    done: bool,
}

impl Reading<'_> {
    fn done(mut self, weights: Weights, seconds: f64) {
        self.done = true;
        if let Some(entry) = lock(self.shared).find(&self.key) {
            entry.bytes = bytes(&weights);
            entry.weights = Some(weights);
            entry.load_seconds = Some(seconds);
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.done {
            lock(self.shared).entries.retain(|it| it.key != self.key);
        }
        self.shared.changed.notify_all();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Ledger<Weights>> {
    shared.ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A number type that is the stored one is no conversion, so that both ways of asking share one copy.
fn natural(wanted: &Resident, stored: &Stored) -> Resident {
    let same = wanted.dtype.is_some() && wanted.dtype == stored.dtype();
    Resident {
        dtype: wanted.dtype.filter(|_| !same),
        ..wanted.clone()
    }
}

fn shown(entry: &Entry<Weights>) -> Loaded {
    let kind = entry.weights.as_ref().map(|weights| weights.kind());
    Loaded {
        name: entry.name.clone(),
        identity: entry.key.identity.clone(),
        dtype: kind.and_then(|kind| kind.ok()).map(kind_name),
        device: entry.key.device,
        bytes: entry.bytes,
        users: entry.users,
        last_used_seconds: entry.last_used,
        load_seconds: entry.load_seconds,
    }
}

fn bytes(weights: &Weights) -> u64 {
    let sizes = weights.named().into_iter();
    sizes
        .map(|(_, tensor)| (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64)
        .sum()
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Float => "float32",
        Kind::BFloat16 => "bfloat16",
        Kind::Half => "float16",
        _ => "other",
    }
}

/// Reads a model's config and weights.
fn load(files: &Files, wanted: &Resident, ask: &Ask<'_>) -> Result<Weights> {
    let config = ModelConfig::from_json(&files.json("config.json")?)?;
    let (kind, device) = (wanted.dtype.map(kind), wanted.device);
    let mut progress = |done, total| (ask.progress)(done, total);
    Weights::load_telling(files, &config, kind, device, &mut progress)
}

fn kind(dtype: Dtype) -> Kind {
    match dtype {
        Dtype::Float32 => Kind::Float,
        Dtype::Bfloat16 => Kind::BFloat16,
    }
}

#[cfg(test)]
mod tests;
