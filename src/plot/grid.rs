//! Panels beside and below each other.

use super::frame::{BELOW, MARGIN, ROOM};
use super::svg::Point;

/// Space between neighbours.
const BETWEEN: f64 = 34.0;

/// A grid of equal panels.
pub(super) struct Grid {
    columns: usize,
    top: f64,
    /// Width of a panel, its tick labels included.
    pub width: f64,
    /// Height of a panel, its heading, ticks and labels included.
    pub height: f64,
}

impl Grid {
    /// One panel alone is as wide as the figure; several stand in two columns.
    pub fn new(panels: usize, top: f64, heading: f64) -> Self {
        let columns = if panels > 1 { 2 } else { 1 };
        let gaps = (columns - 1) as f64 * BETWEEN;
        let width = (ROOM - gaps) / columns as f64;
        let plot = if columns == 1 { 500.0 } else { 330.0 };
        Self {
            columns,
            top,
            width,
            height: heading + plot + BELOW,
        }
    }

    /// Upper left corner of a panel.
    pub fn corner(&self, number: usize) -> Point {
        let (row, column) = (number / self.columns, number % self.columns);
        let left = MARGIN + column as f64 * (self.width + BETWEEN);
        (left, self.top + row as f64 * (self.height + 14.0))
    }

    /// The place below all panels.
    pub fn below(&self, panels: usize) -> f64 {
        let rows = panels.div_ceil(self.columns).max(1);
        self.top + rows as f64 * (self.height + 14.0) - 14.0
    }
}
