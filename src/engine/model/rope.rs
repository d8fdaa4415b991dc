//! Rotary positions: tables of cosines and sines, and turning queries and keys by them.

use std::f64::consts::PI;

use tch::{Device, Kind, Tensor};

use super::config::{ModelConfig, RopeConfig, RopeScaling};
use crate::engine::{Error, Result};

/// Cosines and sines of every position up to a bound, for full layers and, where they differ, for sliding ones.
pub struct Rope {
    full: Table,
    sliding: Option<Table>,
}

/// *Shapes* both `[P, E]`; the first half of each row of sines is negated, so that turning needs no negation.
struct Table {
    cos: Tensor,
    sin: Tensor,
}

/// The rows of the tables for the tokens of one pass.
///
/// *Shapes* all broadcast against `[B, T, heads, E]`
pub struct Angles {
    full: Table,
    sliding: Option<Table>,
}

impl Rope {
    /// Tables for positions 0 .. `positions`.
    ///
    /// *Source* computed in float32 step by step as transformers does, for the rounding of large positions is seen in logits.
    pub fn new(config: &ModelConfig, positions: i64, kind: Kind, device: Device) -> Result<Self> {
        if !(1..=config.max_position_embeddings).contains(&positions) {
            let most = config.max_position_embeddings;
            let detail = format!("{most} is less than the {positions} positions asked for");
            return Err(Error::config("max_position_embeddings", detail));
        }
        let table = |rope: &RopeConfig| {
            Table::new(rope, config.head_dim, positions, kind)?
                .each(|half| Ok(half.f_to_device_(device, kind, false, false)?))
        };
        Ok(Self {
            full: table(&config.rope)?,
            sliding: config.rope_local.as_ref().map(table).transpose()?,
        })
    }

    /// How many positions there are.
    pub fn positions(&self) -> i64 {
        self.full.cos.size()[0]
    }

    /// The angles of `length` tokens from position `start` on, the same for every row.
    pub fn span(&self, start: i64, length: i64) -> Result<Angles> {
        self.angles(|table| Ok(table.f_narrow(0, start, length)?.f_unsqueeze(1)?))
    }

    /// The angles of tokens at positions of their own.
    ///
    /// *Shapes* positions `[B, T]` int64
    pub fn at(&self, positions: &Tensor) -> Result<Angles> {
        let (batch, length) = positions.size2()?;
        let flat = positions.f_reshape([-1])?;
        self.angles(|table| {
            let rows = table.f_index_select(0, &flat)?;
            Ok(rows.f_view([batch, length, 1, table.size()[1]])?)
        })
    }

    fn angles(&self, part: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Angles> {
        let sliding = self.sliding.as_ref().map(|table| table.each(&part));
        Ok(Angles {
            full: self.full.each(&part)?,
            sliding: sliding.transpose()?,
        })
    }
}

impl Table {
    fn new(rope: &RopeConfig, width: i64, positions: i64, kind: Kind) -> Result<Self> {
        let angles = Tensor::f_arange(positions, (Kind::Float, Device::Cpu))?;
        let angles = angles.f_outer(&rates(rope, width)?)?;
        let (cos, sin) = (angles.f_cos()?, angles.f_sin()?);
        let halves = |left: Tensor, right: Tensor| -> Result<Tensor> {
            Ok(Tensor::f_cat(&[left, right], -1)?.f_to_kind(kind)?)
        };
        Ok(Self {
            cos: halves(cos.shallow_clone(), cos)?,
            sin: halves(sin.f_neg()?, sin)?,
        })
    }

    fn each(&self, part: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            cos: part(&self.cos)?,
            sin: part(&self.sin)?,
        })
    }

    /// The plain form rounds after each of its steps as transformers does; in float32 that is not worth a pass more.
    fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let half = x.size().last().copied().unwrap_or_default() / 2;
        let swapped = x.f_roll([half], [-1])?;
        let straight = x.f_mul(&self.cos)?;
        if x.f_kind()? == Kind::Float {
            return Ok(straight.f_addcmul(&swapped, &self.sin)?);
        }
        Ok(straight.f_add(&swapped.f_mul(&self.sin)?)?)
    }
}

/// Turns per token, times 2π, of each pair of channels: `[E/2]`, float32.
fn rates(rope: &RopeConfig, width: i64) -> Result<Tensor> {
    let exponents = Tensor::f_arange_start_step(0, width, 2, (Kind::Float, Device::Cpu))?;
    let exponents = exponents.f_div_scalar(width as f64)?;
    let plain = Tensor::f_pow_scalar(rope.theta, &exponents)?.f_reciprocal()?;
    match rope.scaling {
        RopeScaling::None => Ok(plain),
        RopeScaling::Linear { factor } => Ok(plain.f_div_scalar(factor)?),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original,
        } => blended(&plain, factor, (low, high), original),
    }
}

/// Rates divided by `factor` where fewer than `low` turns fit into `original` tokens, kept where more than `high` do.
fn blended(plain: &Tensor, factor: f64, (low, high): (f64, f64), original: f64) -> Result<Tensor> {
    let lengths = plain.f_reciprocal()?.f_mul_scalar(2.0 * PI)?;
    let divided = plain.f_div_scalar(factor)?;
    let turns = lengths.f_reciprocal()?.f_mul_scalar(original)?;
    let share = turns.f_sub_scalar(low)?.f_div_scalar(high - low)?;
    let rest = share.f_neg()?.f_add_scalar(1.0)?;
    let between = rest.f_mul(plain)?.f_div_scalar(factor)?;
    let between = between.f_add(&share.f_mul(plain)?)?;
    let (is_low, is_high) = (
        lengths.f_gt(original / low)?,
        lengths.f_lt(original / high)?,
    );
    let kept = plain.f_where_self(&is_high, &between)?;
    Ok(divided.f_where_self(&is_low, &kept)?)
}

impl Angles {
    /// Turns the heads of `x` by their positions: the pair (i, i + E/2) by the angle of frequency i.
    ///
    /// *Shapes* x `[B, T, heads, E]` → the same
    pub fn turn(&self, x: &Tensor, slides: bool) -> Result<Tensor> {
        match &self.sliding {
            Some(table) if slides => table.turn(x),
            _ => self.full.turn(x),
        }
    }
}
