//! Where first and second moments are kept between updates: in float32, or in 8 bits with a scale for each block.

use tch::{Device, Kind, Tensor};

use crate::engine::Result;

use super::codes::{Blocks, Map};
use super::pieces::{BLOCK, Piece, Place};

const FIRST: &str = "first_moments";
const SECOND: &str = "second_moments";

/// The moments of every trained number.
#[derive(Debug)]
pub struct Moments {
    first: Side,
    second: Side,
}

/// First or second moments.
#[derive(Debug)]
struct Side {
    /// Of numbers that keep float32.
    wide: Tensor,
    coded: Blocks,
}

impl Side {
    fn new(wide: i64, blocks: i64, map: Map, device: Device) -> Result<Self> {
        Ok(Self {
            wide: Tensor::f_zeros([wide], (Kind::Float, device))?,
            coded: Blocks::zeros(blocks, &map, device)?,
        })
    }

    /// In place where they are wide, else a float32 copy.
    fn open(&self, piece: &Piece) -> Result<Tensor> {
        match piece.place {
            Place::Wide(offset) => Ok(self.wide.f_narrow(0, offset, piece.len())?),
            Place::Coded(block) => {
                let row = piece.row_blocks();
                let padded = self.coded.read(block, piece.rows * row)?;
                let padded = padded.f_view([piece.rows, row * BLOCK])?;
                Ok(padded.f_narrow(1, 0, piece.length)?.f_reshape([-1])?)
            }
        }
    }

    fn close(&self, piece: &Piece, moments: &Tensor) -> Result<()> {
        let Place::Coded(block) = piece.place else {
            return Ok(());
        };
        let missing = piece.row_blocks() * BLOCK - piece.length;
        let rows = moments.f_view([piece.rows, piece.length])?;
        let padded = rows.f_constant_pad_nd([0, missing])?;
        self.coded.write(block, &padded.f_view([-1, BLOCK])?)
    }
}

impl Moments {
    /// All zero, in the places that the pieces name.
    pub(super) fn new(pieces: &[Piece], device: Device) -> Result<Self> {
        let (mut wide, mut blocks) = (0, 0);
        for piece in pieces {
            match piece.place {
                Place::Wide(_) => wide += piece.len(),
                Place::Coded(_) => blocks += piece.rows * piece.row_blocks(),
            }
        }
        Ok(Self {
            first: Side::new(wide, blocks, Map::signed(), device)?,
            second: Side::new(wide, blocks, Map::unsigned(), device)?,
        })
    }

    /// First and second moments of a piece in float32, to be updated in place.
    pub(super) fn open(&self, piece: &Piece) -> Result<(Tensor, Tensor)> {
        Ok((self.first.open(piece)?, self.second.open(piece)?))
    }

    /// Keeps what an update made of moments that were opened.
    pub(super) fn close(&self, piece: &Piece, first: &Tensor, second: &Tensor) -> Result<()> {
        self.first.close(piece, first)?;
        self.second.close(piece, second)
    }

    /// Every tensor of the state by name, sharing its storage; none is empty.
    pub fn named(&self) -> Vec<(String, Tensor)> {
        let mut named = Vec::new();
        for (name, side) in [(FIRST, &self.first), (SECOND, &self.second)] {
            let tensors = [
                (name.to_string(), &side.wide),
                (format!("{name}_codes"), &side.coded.codes),
                (format!("{name}_scales"), &side.coded.scales),
            ];
            let held = tensors.into_iter().filter(|(_, tensor)| tensor.numel() > 0);
            named.extend(held.map(|(name, tensor)| (name, tensor.shallow_clone())));
        }
        named
    }

    /// Bytes of the state.
    pub fn bytes(&self) -> u64 {
        let bytes = |(_, tensor): &(String, Tensor)| {
            (tensor.numel() * tensor.kind().elt_size_in_bytes()) as u64
        };
        self.named().iter().map(bytes).sum()
    }
}
