//! A path through a plane with words at some of its places.

use super::axis::Axis;
use super::frame::{self, BELOW, Frame, LINE, SMALL};
use super::grid::Grid;
use super::style;
use super::svg::{Area, Point, Stroke, Svg, Words};
use super::table::Table;
use super::text;
use super::theme::Ink;

/// Panels with a path each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Path {
    pub panels: Vec<Walk>,
    /// Heads of the columns: panel, what the order is, x, y.
    pub columns: [&'static str; 4],
}

/// One path.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Walk {
    pub name: String,
    pub x: Axis,
    pub y: Axis,
    pub stops: Vec<Stop>,
    pub flags: Vec<Flag>,
}

/// A place on the path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stop {
    pub step: u64,
    pub x: f64,
    pub y: f64,
}

/// Words at a place; the more weighty ones find room first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flag {
    pub x: f64,
    pub y: f64,
    pub words: String,
    pub kind: Kind,
}

/// What a flag is for, from the most to the least weighty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    End,
    Start,
    Mark,
    Step,
}

impl Path {
    /// Draws the panels; gives the place below.
    pub fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let grid = Grid::new(self.panels.len(), top, 2.0 * LINE + 5.0);
        for (number, panel) in self.panels.iter().enumerate() {
            let (left, top) = grid.corner(number);
            let heading = frame::heading(svg, &panel.name, &panel.y.label, (left, top), grid.width);
            let ticks = frame::room_for(&[&panel.y]);
            let area = Area {
                left: left + ticks,
                top: top + heading,
                width: grid.width - ticks - 12.0,
                height: grid.height - heading - BELOW,
            };
            panel.draw(svg, area);
        }
        grid.below(self.panels.len())
    }

    /// Every place that is drawn.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&self.columns);
        for panel in &self.panels {
            for stop in &panel.stops {
                let numbers = [
                    stop.step.to_string(),
                    stop.x.to_string(),
                    stop.y.to_string(),
                ];
                let [step, x, y] = numbers;
                table.push(vec![panel.name.clone(), step, x, y]);
            }
        }
        table
    }

    pub fn is_empty(&self) -> bool {
        self.panels.iter().all(|panel| panel.stops.is_empty())
    }
}

impl Walk {
    fn draw(&self, svg: &mut Svg, area: Area) {
        let (x, y) = (&self.x, &self.y);
        let frame = Frame { area, x, y };
        frame.draw(svg);
        if self.stops.is_empty() {
            return frame::nothing(svg, area, "no path: fewer than two places");
        }
        let places: Vec<Point> = self
            .stops
            .iter()
            .map(|stop| frame.at(stop.x, stop.y))
            .collect();
        svg.path(&places, Stroke::whole(Ink::Series(0), 2.0), "");
        let mut flags: Vec<&Flag> = self.flags.iter().collect();
        flags.sort_by_key(|flag| flag.kind);
        for flag in flags.iter().rev() {
            draw_pin(svg, flag.kind, frame.at(flag.x, flag.y));
        }
        self.draw_words(svg, &frame, &flags, &places);
    }

    fn draw_words(&self, svg: &mut Svg, frame: &Frame, flags: &[&Flag], places: &[Point]) {
        let pins = flags
            .iter()
            .map(|flag| around(frame.at(flag.x, flag.y), 5.0));
        let mut taken: Vec<Area> = pins.collect();
        for flag in flags {
            let words = text::shortened(&flag.words, SMALL, frame.area.width * 0.6);
            let at = frame.at(flag.x, flag.y);
            let far = if flag.kind == Kind::Step { 9.0 } else { 26.0 };
            let width = text::width(&words, SMALL);
            let Some(room) = room((at, far), width, frame.area, &taken, places) else {
                continue;
            };
            let place = (room.left, room.bottom() - 4.0);
            let ink = if flag.kind == Kind::Step {
                Ink::Soft
            } else {
                Ink::Text
            };
            svg.words(Words::new(&words, place, SMALL).ink(ink).full(&flag.words));
            taken.push(room);
        }
    }
}

fn draw_pin(svg: &mut Svg, kind: Kind, at: Point) {
    match kind {
        Kind::Start => svg.disc(at, 5.5, [Ink::Paper, Ink::Text], ""),
        Kind::End => svg.rect(around(at, 5.0), Ink::Text, ""),
        Kind::Mark => style::marker(svg, 3, at, 5.5, ""),
        Kind::Step => svg.disc(at, 3.5, [Ink::Series(0), Ink::Paper], ""),
    }
}

fn around(at: Point, radius: f64) -> Area {
    Area {
        left: at.0 - radius,
        top: at.1 - radius,
        width: 2.0 * radius,
        height: 2.0 * radius,
    }
}

/// A rectangle for words of a width near a place, at most `far` away: within the plot, clear of what is taken, over as little of the path as can be.
fn room(
    (at, far): (Point, f64),
    width: f64,
    plot: Area,
    taken: &[Area],
    path: &[Point],
) -> Option<Area> {
    let height = 18.0;
    let mut best: Option<(usize, Area)> = None;
    for distance in [9.0, far] {
        let across = [at.0 + distance, at.0 - distance - width, at.0 - width / 2.0];
        let up = [
            at.1 - height / 2.0,
            at.1 - distance - height,
            at.1 + distance,
        ];
        let places = [
            (0, 0),
            (1, 0),
            (2, 1),
            (2, 2),
            (0, 1),
            (0, 2),
            (1, 1),
            (1, 2),
        ];
        for (column, row) in places {
            let (left, top) = (across[column], up[row]);
            let room = Area {
                left,
                top,
                width,
                height,
            };
            let inside = left >= plot.left + 2.0
                && room.right() <= plot.right()
                && top >= plot.top
                && room.bottom() <= plot.bottom();
            if !inside || taken.iter().any(|other| room.overlaps(other)) {
                continue;
            }
            let hits = crossings(path, room);
            if best.is_none_or(|(least, _)| hits < least) {
                best = Some((hits, room));
            }
        }
    }
    best.map(|(_, room)| room)
}

/// Pieces of the path that come through a rectangle, by their places and middles.
fn crossings(path: &[Point], room: Area) -> usize {
    let within =
        |x: f64, y: f64| x >= room.left && x <= room.right() && y >= room.top && y <= room.bottom();
    let pieces = path.windows(2).flat_map(|pair| {
        let [(ax, ay), (bx, by)] = [pair[0], pair[1]];
        (0..8).map(move |part| {
            let share = f64::from(part) / 8.0;
            (ax + (bx - ax) * share, ay + (by - ay) * share)
        })
    });
    pieces.filter(|(x, y)| within(*x, *y)).count()
}
