//! Pairs of values as marks whose area is their number, with cut lines and the region that they cut out.

use super::axis::Axis;
use super::frame::{self, BELOW, Frame, LINE, SMALL};
use super::grid::Grid;
use super::legend::{self, Sample};
use super::style;
use super::svg::{Anchor, Area, Stroke, Svg, Words};
use super::table::Table;
use super::theme::Ink;

/// Largest radius of a mark; the axes leave room for it at their ends.
const LARGEST: f64 = 12.0;

/// Panels of pairs on common axes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scatter {
    pub x: Axis,
    pub y: Axis,
    /// The region left of the first and above the second value.
    pub cuts: [f64; 2],
    /// What stands at the two cut lines.
    pub cut_words: [String; 2],
    /// Names of what lies outside and inside the region.
    pub names: [String; 2],
    pub panels: Vec<Cloud>,
    /// Heads of the columns: panel, x, y, number, whether inside.
    pub columns: [&'static str; 5],
}

/// One plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cloud {
    pub name: String,
    pub dots: Vec<Dot>,
}

/// A pair that occurs `count` times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Dot {
    pub x: f64,
    pub y: f64,
    pub count: u64,
    pub inside: bool,
}

impl Scatter {
    /// Draws the panels and the legend; gives the place below.
    pub fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let grid = Grid::new(self.panels.len(), top, 2.0 * LINE + 5.0 + LINE);
        for (number, panel) in self.panels.iter().enumerate() {
            let (left, top) = grid.corner(number);
            let room = grid.width;
            let heading = frame::heading(svg, &panel.name, &self.y.label, (left, top), room) + LINE;
            let ticks = frame::room_for(&[&self.y]);
            let area = Area {
                left: left + ticks,
                top: top + heading,
                width: grid.width - ticks - 40.0,
                height: grid.height - heading - BELOW,
            };
            self.draw_panel(svg, panel, area);
        }
        let below = grid.below(self.panels.len()) + 6.0;
        legend::draw(svg, &self.names, Sample::Dot, below)
    }

    fn draw_panel(&self, svg: &mut Svg, panel: &Cloud, area: Area) {
        let (x, y) = (&self.x, &self.y);
        let frame = Frame { area, x, y };
        let (right, bottom) = frame.at(self.cuts[0], self.cuts[1]);
        let region = Area {
            width: right - area.left,
            height: bottom - area.top,
            ..area
        };
        svg.rect(region, Ink::Shade, "");
        frame.draw(svg);
        self.draw_cuts(svg, area, (right, bottom));
        if panel.dots.is_empty() {
            frame::nothing(svg, area, "no scored answers");
        }
        let mut dots: Vec<&Dot> = panel.dots.iter().collect();
        dots.sort_by_key(|dot| std::cmp::Reverse(dot.count));
        let most = dots.first().map_or(1, |dot| dot.count);
        let unit = (LARGEST / (most as f64).sqrt()).min(2.6);
        for dot in dots {
            let radius = (unit * (dot.count as f64).sqrt()).max(2.6);
            let look = usize::from(dot.inside);
            style::marker(svg, look, frame.at(dot.x, dot.y), radius, "");
        }
    }

    fn draw_cuts(&self, svg: &mut Svg, area: Area, cut: (f64, f64)) {
        let dashed = Stroke {
            ink: Ink::Text,
            width: 1.4,
            dash: "6 4",
        };
        svg.line((cut.0, area.top - 6.0), (cut.0, area.bottom()), dashed);
        svg.line((area.left, cut.1), (area.right() + 4.0, cut.1), dashed);
        let above = Words::new(&self.cut_words[0], (cut.0, area.top - 10.0), SMALL);
        svg.words(above.anchor(Anchor::Middle));
        let beside = (area.right() + 8.0, cut.1 + 5.0);
        svg.words(Words::new(&self.cut_words[1], beside, SMALL));
    }

    /// Every mark that is drawn.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&self.columns);
        for panel in &self.panels {
            for dot in &panel.dots {
                table.push(vec![
                    panel.name.clone(),
                    dot.x.to_string(),
                    dot.y.to_string(),
                    dot.count.to_string(),
                    dot.inside.to_string(),
                ]);
            }
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(|panel| panel.dots.is_empty())
    }
}
