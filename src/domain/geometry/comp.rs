//! How alike two stacks of vectors are, as for the nine adapters of a run at one step and at the last.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stack of vectors, one a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comp<'a> {
    /// Rows of one width.
    pub rows: &'a [&'a [f64]],
}

/// What is multiplied with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// ‖XᵀY‖_F as printed: compares the rows' Gram matrices, so it is 1 for single rows and blind to a rotation of all.
    Literal,
    /// ‖XYᵀ‖_F: compares each row with each; |cos| for single rows.
    Crossed,
}

/// ‖·‖_F/(‖X‖_F ‖Y‖_F) of two stacks with as many rows and the same width; none where one is zero.
///
/// With `centred` the mean of each stack's rows is taken off first. Of a stack with itself it is below 1 unless its rank is 1.
///
/// *Source* Turner and others, arXiv 2506.11613, appendix on several adapters.
pub fn comp(x: Comp, y: Comp, reading: Reading, centred: bool) -> Option<f64> {
    let (x, y) = (plain(x, centred), plain(y, centred));
    let lengths = (gram_trace(&x) * gram_trace(&y)).sqrt();
    // ‖XᵀY‖² = tr(XXᵀ YYᵀ), so that no matrix of width × width is made.
    let squared: f64 = match reading {
        Reading::Literal => {
            let (left, right) = (products(&x, &x), products(&y, &y));
            left.iter()
                .zip(&right)
                .map(|(left, right)| left * right)
                .sum()
        }
        Reading::Crossed => products(&x, &y)
            .iter()
            .map(|product| product * product)
            .sum(),
    };
    (lengths > 0.0).then(|| squared.max(0.0).sqrt() / lengths)
}

fn plain(stack: Comp, centred: bool) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = stack.rows.iter().map(|row| row.to_vec()).collect();
    if centred && let Some(width) = rows.first().map(Vec::len) {
        let count = rows.len() as f64;
        for place in 0..width {
            let mean = rows.iter().map(|row| row[place]).sum::<f64>() / count;
            rows.iter_mut().for_each(|row| row[place] -= mean);
        }
    }
    rows
}

fn products(x: &[Vec<f64>], y: &[Vec<f64>]) -> Vec<f64> {
    let dot = |left: &[f64], right: &[f64]| left.iter().zip(right).map(|(l, r)| l * r).sum::<f64>();
    x.iter()
        .flat_map(|left| y.iter().map(move |right| dot(left, right)))
        .collect()
}

fn gram_trace(x: &[Vec<f64>]) -> f64 {
    x.iter().flatten().map(|value| value * value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(x: &[&[f64]], y: &[&[f64]], reading: Reading) -> f64 {
        comp(Comp { rows: x }, Comp { rows: y }, reading, false).unwrap()
    }

    #[test]
    fn single_rows_are_one_as_printed_and_their_cosine_when_crossed() {
        let (x, y): (&[f64], &[f64]) = (&[3.0, 4.0], &[0.0, -2.0]);
        assert!((of(&[x], &[y], Reading::Literal) - 1.0).abs() < 1e-12);
        assert!((of(&[x], &[y], Reading::Crossed) - 0.8).abs() < 1e-12);
    }

    #[test]
    fn a_stack_with_itself_is_below_one_when_its_rank_is_not_one() {
        let apart: [&[f64]; 2] = [&[1.0, 0.0], &[0.0, 1.0]];
        let along: [&[f64]; 2] = [&[1.0, 2.0], &[2.0, 4.0]];
        for reading in [Reading::Literal, Reading::Crossed] {
            assert!((of(&apart, &apart, reading) - 0.5f64.sqrt()).abs() < 1e-12);
            assert!((of(&along, &along, reading) - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn a_common_rotation_is_seen_only_when_crossed() {
        let x: [&[f64]; 2] = [&[1.0, 0.0], &[1.0, 0.0]];
        let turned: [&[f64]; 2] = [&[0.0, 1.0], &[0.0, 1.0]];
        assert!((of(&x, &turned, Reading::Literal) - 1.0).abs() < 1e-12);
        assert!(of(&x, &turned, Reading::Crossed).abs() < 1e-12);
    }

    #[test]
    fn equal_rows_are_nothing_once_their_mean_is_off() {
        let x: [&[f64]; 2] = [&[1.0, 2.0], &[1.0, 2.0]];
        let stack = Comp { rows: &x };
        assert_eq!(comp(stack, stack, Reading::Literal, true), None);
    }
}
