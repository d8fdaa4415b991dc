//! A trained change that is put on shared weights, read from whichever files are there; it may be sent between threads.

use std::rc::Rc;

use super::row::Variant;
use crate::engine::Result;
use crate::engine::adapter::{Adapter, Pair};
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::model::config::ModelConfig;
use crate::engine::steering::{self, Steering};

/// Low-rank pairs or a steering vector.
pub enum Change {
    /// Pairs.
    Pairs(Adapter),
    /// A vector.
    Vector(Steering),
}

impl Change {
    /// Reads a steering vector where its settings are among the files, else an adapter.
    ///
    /// *Errors* as [`Steering::load`] and [`Adapter::load`].
    pub fn load(files: &Files, config: &ModelConfig, device: Device) -> Result<Self> {
        match files.get(steering::CONFIG) {
            Some(_) => Steering::load(files, config, device).map(Self::Vector),
            None => Adapter::load(files, config, device).map(Self::Pairs),
        }
    }

    /// The same tensors under other handles.
    pub fn again(&self) -> Result<Self> {
        let handles = |pair: &Pair| Ok((pair.a.shallow_clone(), pair.b.shallow_clone()));
        Ok(match self {
            Self::Pairs(adapter) => Self::Pairs(adapter.map(handles)?),
            Self::Vector(own) => Self::Vector(own.with(own.vector.shallow_clone())),
        })
    }

    /// As rows wear it, once.
    pub fn variant(self) -> Variant {
        match self {
            Self::Pairs(adapter) => Variant::Adapted(Rc::new(adapter), 1.0),
            Self::Vector(steering) => Variant::Steered(Rc::new(steering), 1.0),
        }
    }
}
