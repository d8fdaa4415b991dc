//! Adapters of single sequences: a fixed number of slots, each with an adapter and a scale of its own or none.
//!
//! Shapes never depend on who sits where: every slot has the same padded rank, and an empty slot has scale 0. So no
//! sequence's numbers depend on its neighbours.

use tch::{Kind, Tensor};

use super::Adapter;
use crate::domain::finetune::Projection;
use crate::engine::device::Device;
use crate::engine::model::config::ModelConfig;
use crate::engine::model::projection::{Delta, Deltas, PerRow};
use crate::engine::{Error, Result};

/// The adapters of a batch of sequences.
pub struct Slots {
    modules: Vec<Module>,
    slots: i64,
    rank: i64,
}

struct Module {
    layer: usize,
    projection: Projection,
    /// [slots, R, in].
    a: Tensor,
    /// [slots, out, R].
    b: Tensor,
    /// [slots, 1, 1].
    scaling: Tensor,
}

impl Slots {
    /// Empty slots with room for pairs up to `rank` in the given modules.
    pub fn new(
        config: &ModelConfig,
        modules: impl IntoIterator<Item = (u32, Projection)>,
        slots: i64,
        rank: u32,
        device: Device,
    ) -> Result<Self> {
        let options = (Kind::Float, device.torch());
        let rank = i64::from(rank);
        let make = |(layer, projection): (u32, Projection)| {
            let (out, inner) = config.projection_shape(projection);
            Ok(Module {
                layer: layer as usize,
                projection,
                a: Tensor::f_zeros([slots, rank, inner], options)?,
                b: Tensor::f_zeros([slots, out, rank], options)?,
                scaling: Tensor::f_zeros([slots, 1, 1], options)?,
            })
        };
        Ok(Self {
            modules: modules.into_iter().map(make).collect::<Result<_>>()?,
            slots,
            rank,
        })
    }

    /// Slots with just the room that these adapters need.
    pub fn for_adapters<'a>(
        config: &ModelConfig,
        adapters: impl IntoIterator<Item = &'a Adapter>,
        slots: i64,
        device: Device,
    ) -> Result<Self> {
        let mut modules = std::collections::BTreeSet::new();
        let mut rank = 1;
        for pair in adapters.into_iter().flat_map(|adapter| &adapter.pairs) {
            modules.insert((pair.module.layer, pair.module.projection));
            rank = rank.max(pair.module.rank);
        }
        Self::new(config, modules, slots, rank, device)
    }

    /// Number of slots.
    pub fn len(&self) -> i64 {
        self.slots
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.slots == 0
    }

    /// Puts an adapter, `scale` times, or none on a slot.
    ///
    /// *Errors* an adapter with a module or a rank that there is no room for.
    pub fn set(&mut self, slot: i64, adapter: Option<(&Adapter, f64)>) -> Result<()> {
        let _guard = tch::no_grad_guard();
        for module in &self.modules {
            module.clear(slot)?;
        }
        let Some((adapter, scale)) = adapter else {
            return Ok(());
        };
        for pair in &adapter.pairs {
            let place = (pair.module.layer as usize, pair.module.projection);
            let found = self
                .modules
                .iter()
                .find(|m| (m.layer, m.projection) == place);
            let rank = i64::from(pair.module.rank);
            let Some(module) = found.filter(|_| rank <= self.rank) else {
                let detail = format!("no slot has room for {} of rank {rank}", pair.module.name);
                return Err(Error::adapter("slots", detail));
            };
            module.fill(slot, &pair.a, &pair.b, scale * pair.module.scaling)?;
        }
        Ok(())
    }

    /// What `count` slots from `first` on add, for a pass whose sequences are these slots in order.
    pub fn deltas(&self, first: i64, count: i64) -> Result<Deltas> {
        let part = |tensor: &Tensor| tensor.f_narrow(0, first, count);
        let rows = self.modules.iter().map(|module| {
            let rows = PerRow {
                a: part(&module.a)?,
                b: part(&module.b)?,
                scaling: part(&module.scaling)?,
            };
            Ok((module.layer, module.projection, Delta::PerRow(rows)))
        });
        Ok(Deltas::of(rows.collect::<Result<Vec<_>>>()?))
    }
}

impl Module {
    fn clear(&self, slot: i64) -> Result<()> {
        for tensor in [&self.a, &self.b, &self.scaling] {
            let _ = tensor.f_narrow(0, slot, 1)?.f_zero_()?;
        }
        Ok(())
    }

    fn fill(&self, slot: i64, a: &Tensor, b: &Tensor, scaling: f64) -> Result<()> {
        let rank = a.size()[0];
        let row = |tensor: &Tensor| tensor.f_select(0, slot);
        row(&self.a)?.f_narrow(0, 0, rank)?.f_copy_(a)?;
        row(&self.b)?.f_narrow(1, 0, rank)?.f_copy_(b)?;
        let _ = row(&self.scaling)?.f_fill_(scaling)?;
        Ok(())
    }
}
