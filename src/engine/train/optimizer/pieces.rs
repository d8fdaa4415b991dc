//! How the flat buffer is cut for an update: pieces of bounded size that blocks of 256 numbers fit into.
//!
//! A block never holds numbers of two tensors: each tensor's blocks begin with its first number and its last block may
//! be short. So what a number becomes depends on its own tensor alone, not on which tensors lie beside it, nor on the
//! size of a piece. Tensors below 4,096 numbers keep float32 moments.
//!
//! *Source* both rules are bitsandbytes' (`Optimizer2State.init_state`, `min_8bit_size`).

use tch::Tensor;

use crate::engine::Result;
use crate::engine::train::flat::Part;

/// Numbers that share a scale.
pub(super) const BLOCK: i64 = 256;
/// Tensors of fewer numbers keep float32 moments.
pub(super) const SMALLEST_CODED: i64 = 4096;

/// What the cut depends on besides the tensors.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    /// The first so many numbers decay.
    pub(super) decayed: i64,
    /// Whether moments are kept in 8 bits.
    pub(super) coded: bool,
    /// Most numbers of a piece, a multiple of [`BLOCK`] or no limit at all.
    pub(super) limit: i64,
}

/// Where a piece's moments lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In float32, behind so many numbers.
    Wide(i64),
    /// In 8 bits, behind so many blocks.
    Coded(i64),
}

/// Numbers that are updated together: `rows` × `length` of them, one behind the other; each row begins a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) start: i64,
    pub(super) rows: i64,
    pub(super) length: i64,
    pub(super) decays: bool,
    pub(super) place: Place,
}

impl Piece {
    /// Numbers in it.
    pub(super) fn len(&self) -> i64 {
        self.rows * self.length
    }

    /// Blocks of a row.
    pub(super) fn row_blocks(&self) -> i64 {
        (self.length + BLOCK - 1) / BLOCK
    }

    /// Its range of a buffer, sharing the storage.
    pub(super) fn of(&self, buffer: &Tensor) -> Result<Tensor> {
        Ok(buffer.f_narrow(0, self.start, self.len())?)
    }

    fn coded(&self) -> bool {
        matches!(self.place, Place::Coded(_))
    }

    fn ragged(&self) -> bool {
        self.coded() && self.length % BLOCK != 0
    }

    fn end(&self) -> i64 {
        self.start + self.len()
    }

    /// Takes `next` in where both together are one piece.
    fn joins(&mut self, next: &Piece, limit: i64) -> bool {
        let alike = self.end() == next.start
            && self.decays == next.decays
            && self.coded() == next.coded()
            && self.ragged() == next.ragged();
        if !alike {
            return false;
        }
        if !next.ragged() {
            self.length += next.length;
            return true;
        }
        let padded = (self.rows + 1) * self.row_blocks() * BLOCK;
        let fits = self.length == next.length && padded <= limit;
        self.rows += i64::from(fits);
        fits
    }
}

/// The pieces of a buffer of `parts`, in its order.
pub(super) fn cut(parts: &[Part], cut: Cut) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::new();
    for next in parts.iter().flat_map(|part| of_part(part, cut)) {
        let taken = joined
            .last_mut()
            .is_some_and(|last| last.joins(&next, cut.limit));
        if !taken {
            joined.push(next);
        }
    }
    let mut pieces: Vec<Piece> = joined
        .iter()
        .flat_map(|piece| bounded(piece, cut.limit))
        .collect();
    place(&mut pieces);
    pieces
}

/// One tensor as a piece; as two where its last, short block would make a long piece ragged.
fn of_part(part: &Part, cut: Cut) -> Vec<Piece> {
    let length = part.len();
    let coded = cut.coded && length >= SMALLEST_CODED;
    let piece = |start, length| Piece {
        start,
        rows: 1,
        length,
        decays: part.offset < cut.decayed,
        place: if coded {
            Place::Coded(0)
        } else {
            Place::Wide(0)
        },
    };
    let tail = if coded && length > cut.limit {
        length % BLOCK
    } else {
        0
    };
    let body = length - tail;
    [piece(part.offset, body), piece(part.offset + body, tail)]
        .into_iter()
        .filter(|piece| piece.length > 0)
        .collect()
}

/// A piece of one row in pieces of at most `limit` numbers.
fn bounded(piece: &Piece, limit: i64) -> Vec<Piece> {
    if piece.rows > 1 || piece.length <= limit {
        return vec![*piece];
    }
    let starts = (0..piece.length).step_by(limit as usize);
    starts
        .map(|start| Piece {
            start: piece.start + start,
            length: limit.min(piece.length - start),
            ..*piece
        })
        .collect()
}

fn place(pieces: &mut [Piece]) {
    let (mut wide, mut blocks) = (0, 0);
    for piece in pieces {
        match &mut piece.place {
            Place::Wide(offset) => {
                *offset = wide;
                wide += piece.rows * piece.length;
            }
            Place::Coded(offset) => {
                *offset = blocks;
                blocks += piece.rows * ((piece.length + BLOCK - 1) / BLOCK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(lengths: &[i64]) -> Vec<Part> {
        let mut offset = 0;
        let part = |length: &i64| {
            let part = Part {
                name: offset.to_string(),
                shape: vec![*length],
                offset,
            };
            offset += length;
            part
        };
        lengths.iter().map(part).collect()
    }

    fn shown(pieces: &[Piece]) -> Vec<(i64, i64, i64, bool, Place)> {
        let shown = |p: &Piece| (p.start, p.rows, p.length, p.decays, p.place);
        pieces.iter().map(shown).collect()
    }

    #[test]
    fn without_codes_and_limit_a_buffer_is_one_piece_or_one_of_each_decay() {
        let parts = parts(&[300, 5000, 7]);
        let whole = Cut {
            decayed: 5307,
            coded: false,
            limit: i64::MAX,
        };
        assert_eq!(
            shown(&cut(&parts, whole)),
            [(0, 1, 5307, true, Place::Wide(0))]
        );
        let two = cut(
            &parts,
            Cut {
                decayed: 5300,
                ..whole
            },
        );
        assert_eq!(
            shown(&two),
            [
                (0, 1, 5300, true, Place::Wide(0)),
                (5300, 1, 7, false, Place::Wide(5300))
            ]
        );
    }

    #[test]
    fn whole_blocks_are_joined_short_ones_are_rows_and_small_tensors_stay_wide() {
        let cut = cut(
            &parts(&[4096, 8192, 5000, 5000, 6000, 100, 200, 4096]),
            Cut {
                decayed: i64::MAX,
                coded: true,
                limit: 1 << 20,
            },
        );
        assert_eq!(
            shown(&cut),
            [
                (0, 1, 12288, true, Place::Coded(0)),
                (12288, 2, 5000, true, Place::Coded(48)),
                (22288, 1, 6000, true, Place::Coded(88)),
                (28288, 1, 300, true, Place::Wide(0)),
                (28588, 1, 4096, true, Place::Coded(112)),
            ]
        );
    }

    #[test]
    fn no_piece_is_longer_than_the_limit_and_every_number_is_in_one() {
        for lengths in [
            vec![100_000, 3, 5000, 5000, 5000, 5001, 4096, 40_960],
            vec![4097; 9],
            vec![1; 5],
        ] {
            for limit in [4096, 8192, 1 << 20] {
                for coded in [false, true] {
                    let parts = parts(&lengths);
                    let pieces = cut(
                        &parts,
                        Cut {
                            decayed: lengths[0],
                            coded,
                            limit,
                        },
                    );
                    let mut next = 0;
                    for piece in &pieces {
                        assert_eq!(piece.start, next);
                        // a row with a short last block is padded to whole ones
                        assert!(piece.len() <= limit.max(5001), "{piece:?}");
                        next = piece.end();
                    }
                    assert_eq!(next, lengths.iter().sum::<i64>());
                }
            }
        }
    }
}
