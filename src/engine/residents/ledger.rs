//! Which models are in memory, who uses them, which must go for another. Plain bookkeeping: knows no tensor and no lock.

use super::Resident;
use crate::engine::device::Device;
use crate::engine::{Error, Result};

/// A model's line.
#[derive(Debug)]
pub(super) struct Entry<W> {
    pub(super) key: Resident,
    pub(super) name: String,
    /// None while it is being read.
    pub(super) weights: Option<W>,
    /// As forecast while it is being read, then as counted.
    pub(super) bytes: u64,
    pub(super) users: u32,
    pub(super) last_used: f64,
    pub(super) load_seconds: Option<f64>,
}

/// All lines.
#[derive(Debug)]
pub(super) struct Ledger<W> {
    pub(super) entries: Vec<Entry<W>>,
}

impl<W> Default for Ledger<W> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<W> Ledger<W> {
    pub(super) fn find(&mut self, key: &Resident) -> Option<&mut Entry<W>> {
        self.entries.iter_mut().find(|entry| entry.key == *key)
    }

    /// Room for a model of `bytes` under `limit`: takes out idle models of its device, the one unused for longest first.
    ///
    /// Nothing is taken out where that would not make room enough.
    ///
    /// *Errors* `TooLarge` for what no eviction could make room for, `OutOfMemory` where models in use are in the way.
    pub(super) fn make_room(
        &mut self,
        name: &str,
        device: Device,
        bytes: u64,
        limit: u64,
    ) -> Result<Vec<Entry<W>>> {
        if bytes > limit {
            return Err(Error::TooLarge {
                name: name.into(),
                device: device.to_string(),
                bytes,
                limit,
            });
        }
        let (used, fixed) = self.used(device);
        if fixed + bytes > limit {
            return Err(Error::OutOfMemory(format!(
                "{name} takes {bytes} bytes on {device}; models in use hold {fixed} of the {limit} that models.memory_bytes allows"
            )));
        }
        let mut excess = (used + bytes).saturating_sub(limit);
        let mut gone = Vec::new();
        while excess > 0 {
            let Some(place) = self.longest_unused(device) else {
                break;
            };
            let entry = self.entries.remove(place);
            excess = excess.saturating_sub(entry.bytes);
            gone.push(entry);
        }
        Ok(gone)
    }

    /// Bytes of all models on `device`, and of those in use or being read.
    fn used(&self, device: Device) -> (u64, u64) {
        let here = self.entries.iter().filter(|it| it.key.device == device);
        here.fold((0, 0), |(all, fixed), entry| {
            let in_use = if entry.is_idle() { 0 } else { entry.bytes };
            (all + entry.bytes, fixed + in_use)
        })
    }

    fn longest_unused(&self, device: Device) -> Option<usize> {
        let idle = self.entries.iter().enumerate();
        let idle = idle.filter(|(_, it)| it.key.device == device && it.is_idle());
        idle.min_by(|(_, one), (_, other)| one.last_used.total_cmp(&other.last_used))
            .map(|(place, _)| place)
    }
}

impl<W> Entry<W> {
    /// Whether nobody would miss it.
    fn is_idle(&self) -> bool {
        self.users == 0 && self.weights.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(identity: &str, device: Device) -> Resident {
        Resident {
            identity: identity.into(),
            dtype: None,
            device,
        }
    }

    /// Models of 10 bytes on the host: (name, users, last use).
    fn ledger(models: &[(&str, u32, f64)]) -> Ledger<()> {
        let entries = models.iter().map(|(name, users, last_used)| Entry {
            key: key(name, Device::Cpu),
            name: (*name).into(),
            weights: Some(()),
            bytes: 10,
            users: *users,
            last_used: *last_used,
            load_seconds: None,
        });
        Ledger {
            entries: entries.collect(),
        }
    }

    fn names(entries: &[Entry<()>]) -> Vec<&str> {
        entries.iter().map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn the_models_that_were_used_least_lately_make_room_and_no_more_than_needed() {
        let mut ledger = ledger(&[("a", 0, 3.0), ("b", 0, 1.0), ("c", 0, 2.0)]);
        let gone = ledger.make_room("d", Device::Cpu, 10, 40).unwrap();
        assert_eq!(names(&gone), [""; 0]);
        let gone = ledger.make_room("d", Device::Cpu, 15, 30).unwrap();
        assert_eq!(names(&gone), ["b", "c"]);
        assert_eq!(names(&ledger.entries), ["a"]);
    }

    #[test]
    fn a_model_in_use_stays_and_is_named_as_the_hindrance() {
        let mut ledger = ledger(&[("a", 1, 1.0), ("b", 0, 2.0)]);
        let gone = ledger.make_room("c", Device::Cpu, 10, 20).unwrap();
        assert_eq!(names(&gone), ["b"]);
        let error = ledger.make_room("c", Device::Cpu, 15, 20).unwrap_err();
        assert!(
            matches!(&error, Error::OutOfMemory(text) if text.contains("in use hold 10 of the 20")),
            "{error}"
        );
        assert_eq!(names(&ledger.entries), ["a"]);
    }

    #[test]
    fn a_model_that_is_being_read_is_in_use() {
        let mut ledger = ledger(&[("a", 0, 1.0)]);
        ledger.entries[0].weights = None;
        assert!(ledger.make_room("b", Device::Cpu, 15, 20).is_err());
    }

    #[test]
    fn what_fits_nowhere_is_refused_and_costs_nobody_the_place() {
        let mut ledger = ledger(&[("a", 0, 1.0)]);
        let error = ledger.make_room("b", Device::Cpu, 21, 20).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::TooLarge { .. }));
        assert!(
            text.contains("21 bytes") && text.contains("models.memory_bytes"),
            "{text}"
        );
        assert_eq!(names(&ledger.entries), ["a"]);
    }

    #[test]
    fn each_device_has_a_limit_of_its_own() {
        let mut ledger = ledger(&[("a", 1, 1.0)]);
        let gone = ledger.make_room("b", Device::Cuda(0), 20, 20).unwrap();
        assert!(gone.is_empty());
    }
}
