//! The plane in which a path moves most.

use nalgebra::{DMatrix, SymmetricEigen};

use super::Trajectory;

/// Principal components of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// Of each component, the coordinate of every step.
    pub scores: Vec<Vec<f64>>,
    /// Of each component, its share of the variance; they sum to at most 1.
    pub explained: Vec<f64>,
}

/// The first `count` principal components of the vectors, their mean taken off; fewer where the path has fewer dimensions.
///
/// A component's sign is the one in which the largest of its loadings is positive, as scikit-learn has it.
///
/// *Shapes* `count` × steps.
pub fn principal_components(trajectory: &Trajectory, count: usize) -> Components {
    let rows = centred(trajectory);
    let size = rows.len();
    // There are fewer steps than numbers in a vector as a rule, so the smaller matrix of products is taken apart.
    let products = DMatrix::from_fn(size, size, |i, j| match i <= j {
        true => product(&rows[i], &rows[j]),
        false => 0.0,
    });
    let products = DMatrix::from_fn(size, size, |i, j| products[(i.min(j), i.max(j))]);
    let total = products.trace();
    let eigen = SymmetricEigen::new(products);
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    let real = |place: &usize| eigen.eigenvalues[*place] > total * 1e-12;
    let mut found = Components {
        scores: Vec::new(),
        explained: Vec::new(),
    };
    for place in order.into_iter().filter(real).take(count) {
        let value = eigen.eigenvalues[place];
        let axis: Vec<f64> = eigen.eigenvectors.column(place).iter().copied().collect();
        let length = value.sqrt() * sign(&rows, &axis);
        found
            .scores
            .push(axis.iter().map(|share| share * length).collect());
        found.explained.push(value / total);
    }
    found
}

fn centred(trajectory: &Trajectory) -> Vec<Vec<f64>> {
    let mean = trajectory.mean();
    let off = |row: &[f32]| {
        row.iter()
            .zip(&mean)
            .map(|(value, mean)| f64::from(*value) - mean)
            .collect()
    };
    trajectory.rows().map(off).collect()
}

fn product(left: &[f64], right: &[f64]) -> f64 {
    left.iter()
        .zip(right)
        .map(|(left, right)| left * right)
        .sum()
}

/// −1 where the loading that is largest in size is negative.
fn sign(rows: &[Vec<f64>], axis: &[f64]) -> f64 {
    let width = rows.first().map_or(0, Vec::len);
    let loading = |place: usize| {
        rows.iter()
            .zip(axis)
            .map(|(row, share)| row[place] * share)
            .sum::<f64>()
    };
    let largest = (0..width).map(loading).fold(0.0f64, |largest, next| {
        if next.abs() > largest.abs() {
            next
        } else {
            largest
        }
    });
    if largest < 0.0 { -1.0 } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    #[test]
    fn a_bent_line_has_two_components_that_explain_it_whole() {
        // centred: (-2, -1), (0, -1), (2, 2) … products 8 and 6, 6; eigenvalues (14 ± √148)/2 = 13.0828 and 0.9172
        let rows = [[-2.0, 0.0], [0.0, 0.0], [2.0, 3.0]];
        let found = principal_components(&path(&[0, 5, 10], &rows), 5);
        assert_eq!(found.scores.len(), 2);
        let total: f64 = found.explained.iter().sum();
        assert!((total - 1.0).abs() < 1e-12);
        let expected = (14.0 + 148.0f64.sqrt()) / 28.0;
        assert!(
            (found.explained[0] - expected).abs() < 1e-12,
            "{:?}",
            found.explained
        );
        assert!(found.scores[0][2] > 0.0, "the largest loading is positive");
        let squares: f64 = found.scores[0].iter().map(|score| score * score).sum();
        assert!((squares / 14.0 - expected).abs() < 1e-12);
    }

    #[test]
    fn a_straight_line_has_one_component_and_a_point_none() {
        let line = path(&[0, 1, 2], &[[0.0, 0.0], [-1.0, -1.0], [-2.0, -2.0]]);
        let found = principal_components(&line, 2);
        assert_eq!(found.explained.len(), 1);
        assert!(
            found.scores[0][0] > found.scores[0][2],
            "positive is away from the path"
        );
        let point = path(&[0, 1], &[[1.0, 2.0], [1.0, 2.0]]);
        assert!(principal_components(&point, 2).scores.is_empty());
    }
}
