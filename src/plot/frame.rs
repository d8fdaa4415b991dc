//! A plot's two axes around its area: grid, ticks and labels.

use super::axis::{Axis, Tick};
use super::svg::{Anchor, Area, Point, Stroke, Svg, WIDTH, Words};
use super::text;
use super::theme::Ink;

/// Size of tick labels, legends and captions.
pub(super) const SMALL: f64 = 14.0;
/// Size of the names of panels.
pub(super) const MEDIUM: f64 = 15.0;
/// Free space at the left and the right edge of a figure.
pub(super) const MARGIN: f64 = 20.0;
/// Width between the margins.
pub(super) const ROOM: f64 = WIDTH - 2.0 * MARGIN;
/// Height of a line of small words.
pub(super) const LINE: f64 = 20.0;
/// Height that ticks and the label of a horizontal axis take below the area.
pub(super) const BELOW: f64 = 46.0;

/// Two axes and where they stand.
pub(super) struct Frame<'a> {
    pub area: Area,
    pub x: &'a Axis,
    pub y: &'a Axis,
}

impl Frame<'_> {
    /// Where a pair of values lies.
    pub fn at(&self, x: f64, y: f64) -> Point {
        (self.across(x), self.up(y))
    }

    pub fn across(&self, x: f64) -> f64 {
        self.area.left + self.x.share(x) * self.area.width
    }

    pub fn up(&self, y: f64) -> f64 {
        self.area.bottom() - self.y.share(y) * self.area.height
    }

    /// Grid, ticks and the label of the horizontal axis.
    pub fn draw(&self, svg: &mut Svg) {
        self.draw_rows(svg);
        self.draw_columns(svg);
        let (left, bottom) = (self.area.left, self.area.bottom());
        let corner = [
            (left, self.area.top),
            (left, bottom),
            (self.area.right(), bottom),
        ];
        svg.path(&corner, Stroke::whole(Ink::Frame, 1.2), "");
    }

    fn draw_rows(&self, svg: &mut Svg) {
        for tick in &self.y.ticks {
            let y = self.up(tick.value);
            let grid = Stroke::whole(Ink::Grid, 1.0);
            svg.line((self.area.left, y), (self.area.right(), y), grid);
            let words = Words::new(&tick.text, (self.area.left - 7.0, y + 5.0), SMALL);
            svg.words(words.anchor(Anchor::End).ink(Ink::Soft));
        }
    }

    fn draw_columns(&self, svg: &mut Svg) {
        let bottom = self.area.bottom();
        for tick in &self.x.ticks {
            let x = self.across(tick.value);
            svg.line(
                (x, self.area.top),
                (x, bottom),
                Stroke::whole(Ink::Grid, 1.0),
            );
        }
        for tick in self.apart() {
            let x = self.across(tick.value);
            svg.line(
                (x, bottom),
                (x, bottom + 5.0),
                Stroke::whole(Ink::Frame, 1.2),
            );
            let words = Words::new(&tick.text, (x, bottom + 19.0), SMALL);
            svg.words(words.anchor(Anchor::Middle).ink(Ink::Soft));
        }
        let label = text::shortened(&self.x.label, SMALL, self.area.width);
        let place = (self.area.centre().0, bottom + 39.0);
        let words = Words::new(&label, place, SMALL).full(&self.x.label);
        svg.words(words.anchor(Anchor::Middle));
    }

    /// Ticks of the horizontal axis whose words stand clear of the one before.
    fn apart(&self) -> Vec<&Tick> {
        let mut end = f64::NEG_INFINITY;
        let mut kept = Vec::new();
        for tick in &self.x.ticks {
            let (x, half) = (
                self.across(tick.value),
                text::width(&tick.text, SMALL) / 2.0,
            );
            if x - half > end + 8.0 {
                end = x + half;
                kept.push(tick);
            }
        }
        kept
    }
}

/// Room that the tick labels of vertical axes need at the left.
pub(super) fn room_for(axes: &[&Axis]) -> f64 {
    let ticks = axes.iter().flat_map(|axis| &axis.ticks);
    let widest = ticks
        .map(|tick| text::width(&tick.text, SMALL))
        .fold(14.0, f64::max);
    widest + 10.0
}

/// Writes a panel's name and, below it, what its vertical axis measures; gives the height that this takes.
pub(super) fn heading(svg: &mut Svg, name: &str, label: &str, at: Point, room: f64) -> f64 {
    let mut below = 0.0;
    for (words, size, ink) in [(name, MEDIUM, Ink::Text), (label, SMALL, Ink::Soft)] {
        if !words.is_empty() {
            below += LINE;
            let short = text::shortened(words, size, room);
            let place = (at.0, at.1 + below - 5.0);
            svg.words(Words::new(&short, place, size).ink(ink).full(words));
        }
    }
    below + 5.0
}

/// Says in the middle of an area that it is empty.
pub(super) fn nothing(svg: &mut Svg, area: Area, why: &str) {
    let (x, y) = area.centre();
    let words = Words::new(why, (x, y + 5.0), MEDIUM);
    svg.words(words.anchor(Anchor::Middle).ink(Ink::Soft));
}
