//! A table of values as colours, with a bar that says what each colour means.

use super::axis::{Axis, brief, ends};
use super::frame::{self, LINE, MARGIN, ROOM, SMALL};
use super::svg::{Anchor, Area, Stroke, Svg, Words};
use super::table::{Table, optional};
use super::text;
use super::theme::Ink;

/// Height of a row, and widest cell.
const ROW: f64 = 34.0;
const WIDEST: f64 = 70.0;
/// Room of the colour bar with its words.
const BAR: f64 = 130.0;
/// Widest names of rows.
const NAMES: f64 = 220.0;

/// Values by row and column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HeatMap {
    /// What the columns are.
    pub across: String,
    pub columns: Vec<String>,
    pub rows: Vec<String>,
    /// For each row a cell for each column: absent, or there without a value, or with one.
    pub cells: Vec<Vec<Option<Option<f64>>>>,
    /// What the colour says.
    pub quantity: String,
    /// Heads of the columns of the numbers: column, row, value.
    pub head: [&'static str; 3],
}

impl HeatMap {
    /// Draws the map and its colour bar; gives the place below.
    pub fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let area = self.area(top + 4.0);
        let range = self.range();
        for row in 0..self.rows.len() {
            for column in 0..self.columns.len() {
                self.draw_cell(svg, self.cell(area, row, column), row, column);
            }
        }
        if self.rows.is_empty() {
            frame::nothing(svg, area, "nothing recorded");
        }
        self.draw_names(svg, area);
        if let Some(range) = range {
            self.draw_bar(svg, area, range);
        }
        area.bottom().max(area.top + 150.0) + 46.0
    }

    fn area(&self, top: f64) -> Area {
        let names = self.rows.iter().map(|name| text::width(name, SMALL));
        let names = names.fold(20.0, f64::max).min(NAMES) + 10.0;
        let room = ROOM - names - BAR;
        let columns = self.columns.len().max(1) as f64;
        Area {
            left: MARGIN + names,
            top,
            width: if self.columns.is_empty() {
                room
            } else {
                (columns * WIDEST).min(room)
            },
            height: self.rows.len().max(1) as f64 * ROW,
        }
    }

    fn cell(&self, area: Area, row: usize, column: usize) -> Area {
        let width = area.width / self.columns.len() as f64;
        Area {
            left: area.left + column as f64 * width,
            top: area.top + row as f64 * ROW,
            width,
            height: ROW,
        }
    }

    fn range(&self) -> Option<(f64, f64)> {
        ends(self.cells.iter().flatten().filter_map(|cell| (*cell)?))
    }

    /// Where a value lies in the map; a map of equal values has one colour, in its middle.
    fn share(&self, value: f64) -> f64 {
        match self.range() {
            Some((low, high)) if high > low => (value - low) / (high - low),
            _ => 0.5,
        }
    }

    fn draw_cell(&self, svg: &mut Svg, area: Area, row: usize, column: usize) {
        let value = match self.cells[row][column] {
            None => return,
            Some(value) => value,
        };
        let space = if area.width > 8.0 { 1.0 } else { 0.3 };
        let inner = Area {
            left: area.left + space,
            top: area.top + 1.0,
            width: area.width - 2.0 * space,
            height: area.height - 2.0,
        };
        let place = format!(
            "{} {}, {}",
            self.head[0], self.columns[column], self.rows[row]
        );
        let Some(value) = value else {
            svg.rect(inner, Ink::Grid, &format!("{place}: no value"));
            let (from, to) = ((inner.left, inner.bottom()), (inner.right(), inner.top));
            return svg.line(from, to, Stroke::whole(Ink::Frame, 1.2));
        };
        let share = self.share(value);
        let words = brief(value);
        svg.rect(inner, Ink::Ramp(share), &format!("{place}: {words}"));
        if text::width(&words, SMALL) + 6.0 <= inner.width {
            let (x, y) = inner.centre();
            let words = Words::new(&words, (x, y + 5.0), SMALL);
            svg.words(words.anchor(Anchor::Middle).ink(Ink::OnRamp(share)));
        }
    }

    fn draw_names(&self, svg: &mut Svg, area: Area) {
        for (row, name) in self.rows.iter().enumerate() {
            let short = text::shortened(name, SMALL, NAMES);
            let y = area.top + row as f64 * ROW + ROW / 2.0 + 5.0;
            let words = Words::new(&short, (area.left - 8.0, y), SMALL);
            svg.words(words.anchor(Anchor::End).full(name));
        }
        let widest = self.columns.iter().map(|name| text::width(name, SMALL));
        let width = area.width / self.columns.len().max(1) as f64;
        let every = ((widest.fold(0.0, f64::max) + 8.0) / width).ceil().max(1.0) as usize;
        for (column, name) in self.columns.iter().enumerate().step_by(every) {
            let x = area.left + (column as f64 + 0.5) * width;
            let words = Words::new(name, (x, area.bottom() + 17.0), SMALL);
            svg.words(words.anchor(Anchor::Middle).ink(Ink::Soft));
        }
        let below = (area.centre().0.max(area.left + 20.0), area.bottom() + 38.0);
        svg.words(Words::new(&self.across, below, SMALL).anchor(Anchor::Middle));
    }

    fn draw_bar(&self, svg: &mut Svg, area: Area, (low, high): (f64, f64)) {
        let bar = Area {
            left: area.right() + 26.0,
            top: area.top + LINE + 4.0,
            width: 16.0,
            height: (area.height - LINE - 4.0).max(110.0),
        };
        let short = text::shortened(&self.quantity, SMALL, BAR - 20.0);
        let at = (bar.left, area.top + 11.0);
        svg.words(Words::new(&short, at, SMALL).full(&self.quantity));
        if high <= low {
            svg.rect(bar, Ink::Ramp(0.5), "");
            let at = (bar.right() + 7.0, bar.centre().1 + 5.0);
            return svg.words(Words::new(&brief(low), at, SMALL).ink(Ink::Soft));
        }
        draw_ramp(svg, bar);
        let axis = Axis::linear("", low, high, (bar.height / 36.0) as usize);
        for tick in &axis.ticks {
            let y = bar.bottom() - axis.share(tick.value) * bar.height;
            let right = bar.right();
            svg.line((right, y), (right + 4.0, y), Stroke::whole(Ink::Frame, 1.2));
            let words = Words::new(&tick.text, (right + 7.0, y + 5.0), SMALL);
            svg.words(words.ink(Ink::Soft));
        }
    }

    /// Every cell that is drawn.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&self.head);
        for (row, cells) in self.rows.iter().zip(&self.cells) {
            for (column, cell) in self.columns.iter().zip(cells) {
                if let Some(value) = cell {
                    table.push(vec![column.clone(), row.clone(), optional(*value)]);
                }
            }
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        let mut cells = self.cells.iter().flatten();
        cells.all(|cell| cell.flatten().is_none())
    }
}

fn draw_ramp(svg: &mut Svg, bar: Area) {
    let parts = 40;
    let height = bar.height / f64::from(parts);
    // From the top, each piece down to the end: no seam shows between neighbours.
    for part in (0..parts).rev() {
        let top = bar.bottom() - f64::from(part + 1) * height;
        let piece = Area {
            top,
            height: bar.bottom() - top,
            ..bar
        };
        svg.rect(
            piece,
            Ink::Ramp((f64::from(part) + 0.5) / f64::from(parts)),
            "",
        );
    }
}
