//! Lines over a common horizontal axis, panels below each other: bands, gaps, markers, marked steps.

use super::axis::Axis;
use super::frame::{self, BELOW, Frame, MARGIN};
use super::legend::{self, Sample};
use super::marks::{self, Mark};
use super::style;
use super::svg::{Area, Point, Stroke, Svg, WIDTH};
use super::table::{Table, optional};
use super::theme::Ink;

/// Panels of lines that share the horizontal axis and the legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lines {
    pub x: Axis,
    /// Names of the series; a line's look is its name's place here.
    pub names: Vec<String>,
    pub panels: Vec<Panel>,
    pub columns: Columns,
}

/// How the columns of the numbers are called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Columns {
    pub panel: &'static str,
    pub series: &'static str,
    pub x: &'static str,
    pub y: &'static str,
    /// Whether intervals and sample sizes are among them.
    pub intervals: bool,
}

/// One plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Panel {
    pub name: String,
    pub y: Axis,
    pub lines: Vec<Line>,
    pub marks: Vec<Mark>,
    /// A horizontal line with its words.
    pub level: Option<(f64, String)>,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    pub look: usize,
    pub points: Vec<Spot>,
}

/// A point of a series; without `y` it is a gap.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Spot {
    pub x: f64,
    pub y: Option<f64>,
    pub band: Option<[f64; 2]>,
    pub of: Option<u64>,
}

impl Lines {
    /// Draws the panels and the legend; gives the place below.
    pub fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let axes: Vec<&Axis> = self.panels.iter().map(|panel| &panel.y).collect();
        let left = MARGIN + frame::room_for(&axes);
        let height = match self.panels.len() {
            0 | 1 => 380.0,
            2 => 270.0,
            _ => 210.0,
        };
        let mut top = top;
        for panel in &self.panels {
            let area = Area {
                left,
                top,
                width: WIDTH - left - MARGIN - 12.0,
                height,
            };
            top = panel.draw(svg, &self.x, area);
        }
        legend::draw(svg, &self.names, Sample::Line, top + 6.0)
    }

    /// Every point that is drawn.
    pub fn table(&self) -> Table {
        let columns = &self.columns;
        let mut head = vec![columns.panel, columns.series, columns.x, columns.y];
        if columns.intervals {
            head.extend(["lower", "upper", "answers"]);
        }
        let mut table = Table::new(&head);
        for panel in &self.panels {
            for line in &panel.lines {
                let name = self.names.get(line.look).map_or("", String::as_str);
                for spot in &line.points {
                    let mut row = vec![
                        panel.name.clone(),
                        name.into(),
                        spot.x.to_string(),
                        optional(spot.y),
                    ];
                    if columns.intervals {
                        row.extend([
                            optional(spot.band.map(|band| band[0])),
                            optional(spot.band.map(|band| band[1])),
                        ]);
                        row.push(spot.of.map_or(String::new(), |of| of.to_string()));
                    }
                    table.push(row);
                }
            }
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(Panel::is_empty)
    }
}

impl Panel {
    fn is_empty(&self) -> bool {
        let mut spots = self.lines.iter().flat_map(|line| &line.points);
        spots.all(|spot| spot.y.is_none())
    }

    /// Draws into an area whose height is the plot's alone; gives the place below it.
    fn draw(&self, svg: &mut Svg, x: &Axis, area: Area) -> f64 {
        let room = WIDTH - 2.0 * MARGIN;
        let heading = frame::heading(svg, &self.name, &self.y.label, (MARGIN, area.top), room);
        let bare = Frame {
            area,
            x,
            y: &self.y,
        };
        let (low, high) = x.range();
        let within = self
            .marks
            .iter()
            .filter(|mark| mark.at >= low && mark.at <= high && !self.is_empty());
        let marks: Vec<(f64, &str)> = within
            .map(|mark| (bare.across(mark.at), mark.words.as_str()))
            .collect();
        let placed = marks::placed(&marks, area.left, area.right());
        let top = area.top + heading + marks::height(&placed);
        let frame = Frame {
            area: Area { top, ..area },
            x,
            y: &self.y,
        };
        frame.draw(svg);
        self.draw_level(svg, &frame);
        marks::draw(svg, &placed, frame.area);
        self.draw_lines(svg, &frame);
        frame.area.bottom() + BELOW
    }

    fn draw_lines(&self, svg: &mut Svg, frame: &Frame) {
        if self.is_empty() {
            let gaps = self.lines.iter().any(|line| !line.points.is_empty());
            let why = if gaps {
                "no values: every point is a gap"
            } else {
                "nothing recorded"
            };
            return frame::nothing(svg, frame.area, why);
        }
        for line in &self.lines {
            line.draw_band(svg, frame);
        }
        for line in &self.lines {
            line.draw(svg, frame, self.lines.len());
        }
    }

    fn draw_level(&self, svg: &mut Svg, frame: &Frame) {
        let Some((level, words)) = &self.level else {
            return;
        };
        let y = frame.up(*level);
        let dotted = Stroke {
            ink: Ink::Soft,
            width: 1.4,
            dash: "1 4",
        };
        svg.path(
            &[(frame.area.left, y), (frame.area.right(), y)],
            dotted,
            words,
        );
    }
}

impl Line {
    /// Stretches of points that have values.
    fn stretches(&self) -> impl Iterator<Item = &[Spot]> {
        self.points
            .split(|spot| spot.y.is_none())
            .filter(|stretch| !stretch.is_empty())
    }

    fn draw_band(&self, svg: &mut Svg, frame: &Frame) {
        for stretch in self.stretches() {
            let banded = stretch.split(|spot| spot.band.is_none());
            for part in banded.filter(|part| !part.is_empty()) {
                if let [alone] = part {
                    self.draw_whisker(svg, frame, alone);
                    continue;
                }
                let edge =
                    |spot: &Spot, end: usize| frame.at(spot.x, spot.band.unwrap_or_default()[end]);
                let there = part.iter().map(|spot| edge(spot, 0));
                let outline: Vec<Point> = there
                    .chain(part.iter().rev().map(|spot| edge(spot, 1)))
                    .collect();
                svg.filled(&outline, Ink::Series(self.look), 0.16, "");
            }
        }
    }

    fn draw_whisker(&self, svg: &mut Svg, frame: &Frame, spot: &Spot) {
        let Some([low, high]) = spot.band else {
            return;
        };
        let stroke = Stroke::whole(Ink::Series(self.look), 1.5);
        let (x, bottom) = frame.at(spot.x, low);
        let top = frame.up(high);
        svg.line((x, bottom), (x, top), stroke);
        for y in [bottom, top] {
            svg.line((x - 4.0, y), (x + 4.0, y), stroke);
        }
    }

    fn draw(&self, svg: &mut Svg, frame: &Frame, lines: usize) {
        for stretch in self.stretches() {
            let places: Vec<Point> = stretch
                .iter()
                .filter_map(|spot| Some(frame.at(spot.x, spot.y?)))
                .collect();
            match places.as_slice() {
                [alone] => style::marker(svg, self.look, *alone, 3.2, ""),
                many => {
                    let fine = if self.points.len() > 250 { 1.4 } else { 2.0 };
                    let stroke = style::stroke(self.look);
                    svg.path(
                        many,
                        Stroke {
                            width: fine,
                            ..stroke
                        },
                        "",
                    );
                }
            }
        }
        for place in self.marked(frame, lines) {
            style::marker(svg, self.look, place, 4.5, "");
        }
    }

    /// Where markers go: on every point of a short series, on about eight of a long one, elsewhere than its neighbours'.
    fn marked(&self, frame: &Frame, lines: usize) -> Vec<Point> {
        let valued: Vec<Point> = self
            .points
            .iter()
            .filter_map(|spot| Some(frame.at(spot.x, spot.y?)))
            .collect();
        if valued.len() <= 30 {
            return valued;
        }
        let apart = frame.area.width / 8.0;
        let mut next = frame.area.left
            + apart * ((self.look % lines.max(1)) as f64 + 0.5) / lines.max(1) as f64;
        let mut found = Vec::new();
        for place in valued {
            if place.0 >= next {
                found.push(place);
                next = place.0 + apart;
            }
        }
        found
    }
}
