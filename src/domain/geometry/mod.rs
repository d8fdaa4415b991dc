//! How an adapter's vector moves while it is trained: norms, turns, directions, principal components.
//!
//! Pure functions of plain numbers. A vector is a row of any width (a rank-1 adapter's A or B, or one stacked behind
//! another); sums are in double precision. What does not exist is none, never 0.

mod comp;
mod local_cosine;
mod pca;

pub use comp::{Comp, Reading, comp};
pub use local_cosine::{
    Movement, MovementRule, MovementThreshold, has_gap, has_neighbours, local_cosine,
};
pub use pca::{Components, principal_components};

/// A vector at several steps of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    steps: Vec<u64>,
    width: usize,
    values: Vec<f32>,
}

/// Numbers that are no trajectory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotATrajectory {
    /// The rows do not fill the numbers.
    #[error("{values} numbers are not {steps} rows of {width}")]
    Shape {
        /// Numbers given.
        values: usize,
        /// Rows wanted.
        steps: usize,
        /// Numbers of a row.
        width: usize,
    },
    /// A step does not come behind the one before it.
    #[error("step {0} does not come behind the step before it; give rising steps")]
    Order(u64),
    /// A number is not finite.
    #[error("the vector of step {0} has a number that is not finite")]
    NonFinite(u64),
}

impl Trajectory {
    /// The vectors of `steps`, one row of `width` numbers after another.
    ///
    /// *Errors* steps that do not rise, numbers that are not finite or not as many as the rows have.
    pub fn new(steps: Vec<u64>, width: usize, values: Vec<f32>) -> Result<Self, NotATrajectory> {
        if width == 0 || values.len() != steps.len() * width {
            let (values, steps) = (values.len(), steps.len());
            return Err(NotATrajectory::Shape {
                values,
                steps,
                width,
            });
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[1] <= pair[0]) {
            return Err(NotATrajectory::Order(pair[1]));
        }
        if let Some(place) = values.iter().position(|value| !value.is_finite()) {
            return Err(NotATrajectory::NonFinite(steps[place / width]));
        }
        Ok(Self {
            steps,
            width,
            values,
        })
    }

    /// The steps, rising.
    pub fn steps(&self) -> &[u64] {
        &self.steps
    }

    /// The vector at the place of a step.
    pub fn row(&self, place: usize) -> &[f32] {
        &self.values[place * self.width..][..self.width]
    }

    /// Numbers of a vector.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Vectors in the order of their steps.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &[f32]> + ExactSizeIterator {
        self.values.chunks_exact(self.width)
    }

    /// The same path at fewer steps, named by their rising places.
    pub fn only(&self, places: &[usize]) -> Self {
        let row = |place: &usize| self.row(*place).iter().copied();
        Self {
            steps: places.iter().map(|place| self.steps[*place]).collect(),
            width: self.width,
            values: places.iter().flat_map(row).collect(),
        }
    }

    /// Mean of the vectors over the steps.
    pub fn mean(&self) -> Vec<f64> {
        let count = self.steps.len() as f64;
        let mut mean = vec![0.0; self.width];
        for row in self.rows() {
            for (sum, value) in mean.iter_mut().zip(row) {
                *sum += f64::from(*value) / count;
            }
        }
        mean
    }

    /// The vector of a step; none where it was not kept.
    pub fn at(&self, step: u64) -> Option<&[f32]> {
        let place = self.steps.binary_search(&step).ok()?;
        Some(self.row(place))
    }
}

/// Euclidean norm at every step.
pub fn norms(trajectory: &Trajectory) -> Vec<f64> {
    trajectory.rows().map(norm).collect()
}

/// Cosine to the last vector, at every step; none beside a vector of length zero.
pub fn cosine_to_final(trajectory: &Trajectory) -> Vec<Option<f64>> {
    let Some(last) = trajectory.rows().next_back() else {
        return Vec::new();
    };
    trajectory.rows().map(|row| cosine(row, last)).collect()
}

/// Cosine to the vector of the kept step before, at every step; none at the first and beside a vector of length zero.
pub fn cosine_to_previous(trajectory: &Trajectory) -> Vec<Option<f64>> {
    let rows: Vec<&[f32]> = trajectory.rows().collect();
    let behind = rows.windows(2).map(|pair| cosine(pair[0], pair[1]));
    rows.first()
        .map(|_| None)
        .into_iter()
        .chain(behind)
        .collect()
}

/// Cosine of the angle between every two vectors, row by row; none beside a vector of length zero.
///
/// *Shapes* `vectors` of one width; the answer is square.
pub fn angles(vectors: &[&[f32]]) -> Vec<Vec<Option<f64>>> {
    let one = |left: &&[f32]| vectors.iter().map(|right| cosine(left, right)).collect();
    vectors.iter().map(one).collect()
}

/// Cosine of the angle between two vectors; none where one has length zero.
pub fn cosine(left: &[f32], right: &[f32]) -> Option<f64> {
    let lengths = norm(left) * norm(right);
    (lengths > 0.0).then(|| (dot(left, right) / lengths).clamp(-1.0, 1.0))
}

fn norm(vector: &[f32]) -> f64 {
    dot(vector, vector).sqrt()
}

fn dot(left: &[f32], right: &[f32]) -> f64 {
    let products = left.iter().zip(right);
    products
        .map(|(left, right)| f64::from(*left) * f64::from(*right))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn path(steps: &[u64], rows: &[[f32; 2]]) -> Trajectory {
        let values = rows.iter().flatten().copied().collect();
        Trajectory::new(steps.to_vec(), 2, values).unwrap()
    }

    #[test]
    fn norms_and_cosines_are_those_of_plain_vectors() {
        let path = path(&[0, 5, 10], &[[0.0, 0.0], [3.0, 4.0], [0.0, 2.0]]);
        assert_eq!(norms(&path), [0.0, 5.0, 2.0]);
        assert_eq!(cosine_to_final(&path), [None, Some(0.8), Some(1.0)]);
        assert_eq!(cosine_to_previous(&path), [None, None, Some(0.8)]);
        let table = angles(&[path.row(1), path.row(2), path.row(0)]);
        assert_eq!(table[0], [Some(1.0), Some(0.8), None]);
        assert_eq!(table[2], [None, None, None]);
    }

    #[test]
    fn what_is_no_trajectory_is_refused() {
        let new = |steps: &[u64], values: &[f32]| {
            Trajectory::new(steps.to_vec(), 2, values.to_vec())
                .unwrap_err()
                .to_string()
        };
        assert!(new(&[1, 2], &[0.0; 3]).starts_with("3 numbers are not 2 rows of 2"));
        assert!(new(&[2, 2], &[0.0; 4]).starts_with("step 2 does not"));
        assert!(new(&[1, 2], &[0.0, 0.0, 0.0, f32::NAN]).contains("step 2"));
    }
}
