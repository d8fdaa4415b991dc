//! Norms of a run's modules: lines over steps, and a heat map of one step.

use super::{NormsHeatMap, NormsLines};
use crate::plot::Figure;

/// ‖A‖, ‖B‖ and ‖BA‖ of each module over steps, a panel for each norm.
pub fn norms_lines(input: &NormsLines) -> Figure {
    Figure::new("norms_lines", format!("Norms by module · {}", input.of))
}

/// One norm at one step, layer × projection.
pub fn norms_heat_map(input: &NormsHeatMap) -> Figure {
    Figure::new("norms_heat_map", format!("Norms by module · {}", input.of))
}
