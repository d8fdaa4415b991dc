//! Attention over sequences that lie behind one another without padding: only here are they padded, among neighbours of
//! nearly one length. Knows no projection and no position.

use tch::{Device, Tensor};

use super::attention::{Attend, Rules, causal};
use crate::engine::Result;

/// A sequence joins its neighbours' group while it is at least so long beside the group's first one. More groups pad
/// less and need more calls; a GPU minds calls more than padding.
const NEARLY: (f64, f64) = (0.8, 0.5);

/// Causal attention within each of some sequences, best given longest first.
///
/// *Shapes* it is attended as one batch row: q `[1, N, H, E]`, with N the tokens of all sequences.
pub struct Packed {
    groups: Vec<Group>,
}

/// Adjacent sequences that are padded to one length.
struct Group {
    rows: i64,
    length: i64,
    tokens: i64,
    /// None where all are of one length.
    padding: Option<Padding>,
}

/// Both are indices of rows, of the group's own tokens and of its padded tokens.
struct Padding {
    /// `[rows · length]`: a sequence's last token stands in behind its end, where no token of its own looks.
    spread: Tensor,
    /// `[tokens]`
    gather: Tensor,
}

impl Packed {
    /// For sequences of these lengths, each at least 1.
    pub fn new(lengths: &[i64], device: Device) -> Result<Self> {
        let nearly = match device {
            Device::Cpu => NEARLY.0,
            _ => NEARLY.1,
        };
        let near =
            |first: &i64, next: &i64| *next <= *first && *next as f64 >= nearly * *first as f64;
        let mut groups = Vec::new();
        let mut rest = lengths;
        while let Some(first) = rest.first() {
            let count = rest.iter().take_while(|next| near(first, next)).count();
            let (taken, left) = rest.split_at(count.max(1));
            groups.push(Group::new(taken, *first, device)?);
            rest = left;
        }
        Ok(Self { groups })
    }

    fn split(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        let sizes: Vec<i64> = self.groups.iter().map(|group| group.tokens).collect();
        Ok(x.f_split_with_sizes(sizes, 1)?)
    }
}

impl Attend for &Packed {
    fn attend(
        &mut self,
        _layer: usize,
        rules: Rules,
        q: Tensor,
        k: Tensor,
        v: Tensor,
    ) -> Result<Tensor> {
        if let [only] = &self.groups[..] {
            return only.attend(rules, &q, &k, &v);
        }
        let (q, k, v) = (self.split(&q)?, self.split(&k)?, self.split(&v)?);
        let parts = self.groups.iter().zip(q.iter().zip(&k).zip(&v));
        let contexts = parts.map(|(group, ((q, k), v))| group.attend(rules, q, k, v));
        Ok(Tensor::f_cat(&contexts.collect::<Result<Vec<_>>>()?, 1)?)
    }
}

impl Group {
    fn new(lengths: &[i64], length: i64, device: Device) -> Result<Self> {
        let alike = lengths.iter().all(|&other| other == length);
        Ok(Self {
            rows: lengths.len() as i64,
            length,
            tokens: lengths.iter().sum(),
            padding: (!alike)
                .then(|| Padding::new(lengths, length, device))
                .transpose()?,
        })
    }

    /// *Shapes* q `[1, tokens, H, E]` → the same
    fn attend(&self, rules: Rules, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let context = causal(rules, &self.padded(q)?, &self.padded(k)?, &self.padded(v)?)?;
        let (heads, width) = (q.size()[2], q.size()[3]);
        let flat = context.f_reshape([self.rows * self.length, heads, width])?;
        let own = match &self.padding {
            Some(padding) => flat.f_index_select(0, &padding.gather)?,
            None => flat,
        };
        Ok(own.f_unsqueeze(0)?)
    }

    /// *Shapes* `[1, tokens, heads, E]` → `[rows, length, heads, E]`
    fn padded(&self, x: &Tensor) -> Result<Tensor> {
        let shape = [self.rows, self.length, x.size()[2], x.size()[3]];
        let flat = x.f_squeeze_dim(0)?;
        match &self.padding {
            Some(padding) => Ok(flat.f_index_select(0, &padding.spread)?.f_view(shape)?),
            None => Ok(flat.f_view(shape)?),
        }
    }
}

impl Padding {
    fn new(lengths: &[i64], length: i64, device: Device) -> Result<Self> {
        let (mut spread, mut gather, mut start) = (Vec::new(), Vec::new(), 0);
        for (row, &own) in (0..).zip(lengths) {
            spread.extend((0..length).map(|place| start + place.min(own - 1)));
            gather.extend((0..own).map(|place| row * length + place));
            start += own;
        }
        let index = |numbers: Vec<i64>| -> Result<Tensor> {
            Ok(Tensor::f_from_slice(&numbers)?.f_to_device(device)?)
        };
        Ok(Self {
            spread: index(spread)?,
            gather: index(gather)?,
        })
    }
}
