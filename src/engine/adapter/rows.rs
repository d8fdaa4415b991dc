//! Adapters of single sequences: a fixed number of slots, each with an adapter and a scale of its own or none.
//!
//! Shapes never depend on who sits where: every slot has the same padded rank, and an empty slot holds zeros. So no
//! sequence's numbers depend on its neighbours. Where all sequences of a pass have equal pairs, one copy is read by all:
//! the same products in the same order, and a small part of the memory traffic.

use tch::{Kind, Tensor};

use super::Adapter;
use crate::domain::finetune::Projection;
use crate::domain::metric::NormModule;
use crate::engine::device::Device;
use crate::engine::model::config::ModelConfig;
use crate::engine::model::projection::{Delta, Deltas, PerRow};
use crate::engine::{Error, Result};

/// The adapters of a batch of sequences.
pub struct Slots {
    modules: Vec<Module>,
    rank: i64,
    /// Of each slot; those of one class hold equal numbers.
    classes: Vec<u64>,
    next_class: u64,
}

struct Module {
    layer: usize,
    projection: Projection,
    /// `[slots, R, in]`.
    a: Tensor,
    /// `[slots, R, out]`, scaled.
    b: Tensor,
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
                b: Tensor::f_zeros([slots, rank, out], options)?,
            })
        };
        Ok(Self {
            modules: modules.into_iter().map(make).collect::<Result<_>>()?,
            rank,
            classes: vec![0; slots.max(0) as usize],
            next_class: 0,
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
        self.classes.len() as i64
    }

    /// Whether there is no slot.
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Puts an adapter, `scale` times, or none on a slot.
    ///
    /// *Errors* a slot that does not exist; an adapter with a module or a rank that there is no room for, the slot being
    /// empty then.
    pub fn set(&mut self, slot: i64, adapter: Option<(&Adapter, f64)>) -> Result<()> {
        self.check_range(slot, 1)?;
        let _guard = tch::no_grad_guard();
        for module in &self.modules {
            module.clear(slot)?;
        }
        let filled = match adapter {
            Some((adapter, scale)) => self.fill(slot, adapter, scale),
            None => Ok(()),
        };
        self.classify(slot)?;
        filled
    }

    fn check_range(&self, first: i64, count: i64) -> Result<()> {
        if first >= 0 && count >= 1 && first.saturating_add(count) <= self.len() {
            return Ok(());
        }
        let detail = format!("{first} and {count} on are not within 0 to {}", self.len());
        Err(Error::adapter("slots", detail))
    }

    fn fill(&self, slot: i64, adapter: &Adapter, scale: f64) -> Result<()> {
        let mut places = Vec::with_capacity(adapter.pairs.len());
        for pair in &adapter.pairs {
            places.push((self.room(&pair.module)?, pair));
        }
        for (module, pair) in places {
            module.fill(slot, &pair.a, &pair.b, scale * pair.module.scaling)?;
        }
        Ok(())
    }

    fn room(&self, wanted: &NormModule) -> Result<&Module> {
        let place = (wanted.layer as usize, wanted.projection);
        let mut modules = self.modules.iter();
        let found = modules.find(|module| (module.layer, module.projection) == place);
        let room = found.filter(|_| i64::from(wanted.rank) <= self.rank);
        room.ok_or_else(|| {
            let detail = format!("have no room for {} of rank {}", wanted.name, wanted.rank);
            Error::adapter("slots", detail)
        })
    }

    /// Compared by their numbers, so that it does not matter where they came from.
    fn classify(&mut self, slot: i64) -> Result<()> {
        let own = slot as usize;
        let mut seen = std::collections::BTreeSet::new();
        for (other, class) in self.classes.iter().enumerate() {
            if other != own && seen.insert(*class) && self.same(slot, other as i64)? {
                self.classes[own] = *class;
                return Ok(());
            }
        }
        self.next_class += 1;
        self.classes[own] = self.next_class;
        Ok(())
    }

    fn same(&self, left: i64, right: i64) -> Result<bool> {
        for module in &self.modules {
            for tensor in [&module.a, &module.b] {
                if !tensor
                    .f_select(0, left)?
                    .f_equal(&tensor.f_select(0, right)?)?
                {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What `count` slots from `first` on add, for a pass whose sequences are these slots in order; to be asked again
    /// after [`Slots::set`].
    ///
    /// *Errors* a range beyond the slots.
    pub fn deltas(&self, first: i64, count: i64) -> Result<Deltas> {
        self.check_range(first, count)?;
        let classes = &self.classes[first as usize..(first + count) as usize];
        let alike = classes.iter().all(|class| *class == classes[0]);
        let part = |tensor: &Tensor| -> Result<Tensor> {
            if !alike {
                return Ok(tensor.f_narrow(0, first, count)?);
            }
            let one = tensor.f_narrow(0, first, 1)?;
            Ok(one.f_expand([count, -1, -1], false)?)
        };
        let rows = self.modules.iter().map(|module| {
            let rows = PerRow {
                a: part(&module.a)?,
                b: part(&module.b)?,
            };
            Ok((module.layer, module.projection, Delta::PerRow(rows)))
        });
        Ok(Deltas::of(rows.collect::<Result<Vec<_>>>()?))
    }
}

impl Module {
    fn clear(&self, slot: i64) -> Result<()> {
        for tensor in [&self.a, &self.b] {
            let _ = tensor.f_select(0, slot)?.f_zero_()?;
        }
        Ok(())
    }

    fn fill(&self, slot: i64, a: &Tensor, b: &Tensor, scaling: f64) -> Result<()> {
        let rank = a.size()[0];
        let place = |tensor: &Tensor| tensor.f_select(0, slot)?.f_narrow(0, 0, rank);
        place(&self.a)?.f_copy_(a)?;
        let scaled = b.f_transpose(0, 1)?.f_mul_scalar(scaling)?;
        Ok(place(&self.b)?.f_copy_(&scaled)?)
    }
}
