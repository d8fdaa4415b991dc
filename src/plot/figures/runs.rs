//! A run from within: gradient norm, local cosine, the path of a vector.

use super::{GradNorm, LocalCosine, PcaPath};
use crate::plot::Figure;

/// Gradient norm before clipping, a line for each run.
pub fn grad_norm(input: &GradNorm) -> Figure {
    Figure::new("grad_norm", input.of.clone())
}

/// Local cosine over steps, a line for each gap.
pub fn local_cosine(input: &LocalCosine) -> Figure {
    Figure::new("local_cosine", input.of.clone())
}

/// The path of a vector on its first two principal components.
pub fn pca_path(input: &PcaPath) -> Figure {
    Figure::new("pca_path", input.of.clone())
}
