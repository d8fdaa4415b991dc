//! A drawing as SVG text: lines, shapes and words. Knows how they are written and escaped; what they mean it does not.

use super::theme::{Ink, Theme};
use std::fmt::Write;

/// Width of every figure, in units that are pixels where it is shown full size.
pub(super) const WIDTH: f64 = 1000.0;

/// Typefaces asked for; a raster falls to the last, which stands for its embedded face.
const FACES: &str = "system-ui, Helvetica, Arial, sans-serif";

/// A place: to the right and down.
pub(super) type Point = (f64, f64);

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Area {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub fn centre(&self) -> Point {
        (self.left + self.width / 2.0, self.top + self.height / 2.0)
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let beside = self.right() <= other.left || other.right() <= self.left;
        let above = self.bottom() <= other.top || other.bottom() <= self.top;
        !beside && !above
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stroke {
    pub ink: Ink,
    pub width: f64,
    /// Lengths of strokes and spaces; empty for a whole line.
    pub dash: &'static str,
}

impl Stroke {
    pub fn whole(ink: Ink, width: f64) -> Self {
        let dash = "";
        Self { ink, width, dash }
    }
}

/// Which end of a text stands at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A text and where it stands: on the line at `at`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words<'a> {
    pub text: &'a str,
    pub at: Point,
    pub size: f64,
    pub anchor: Anchor,
    pub ink: Ink,
    /// The whole text where `text` is a part of it.
    pub full: &'a str,
}

impl<'a> Words<'a> {
    pub fn new(text: &'a str, at: Point, size: f64) -> Self {
        let (anchor, ink) = (Anchor::Start, Ink::Text);
        Self {
            text,
            at,
            size,
            anchor,
            ink,
            full: text,
        }
    }

    pub fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn ink(self, ink: Ink) -> Self {
        Self { ink, ..self }
    }

    pub fn full(self, full: &'a str) -> Self {
        Self { full, ..self }
    }
}

/// A drawing that grows.
pub(super) struct Svg {
    theme: Theme,
    body: String,
}

/// What a whole drawing says of itself.
pub(super) struct Head<'a> {
    pub name: &'a str,
    pub title: &'a str,
    pub description: &'a str,
    pub height: f64,
}

impl Svg {
    pub fn new(theme: Theme) -> Self {
        let body = String::new();
        Self { theme, body }
    }

    /// A line through several places, with what the pointer learns of it.
    pub fn path(&mut self, points: &[Point], stroke: Stroke, hint: &str) {
        let colour = self.theme.colour(stroke.ink);
        let places = places(points);
        let width = number(stroke.width);
        let _ = write!(
            self.body,
            "<polyline points=\"{places}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-linejoin=\"round\""
        );
        if !stroke.dash.is_empty() {
            let _ = write!(self.body, " stroke-dasharray=\"{}\"", stroke.dash);
        }
        self.close("polyline", hint);
    }

    /// A line between two places.
    pub fn line(&mut self, from: Point, to: Point, stroke: Stroke) {
        self.path(&[from, to], stroke, "");
    }

    /// A filled outline.
    pub fn filled(&mut self, points: &[Point], ink: Ink, opacity: f64, hint: &str) {
        let (colour, places) = (self.theme.colour(ink), places(points));
        let opacity = number(opacity);
        let _ = write!(
            self.body,
            "<polygon points=\"{places}\" fill=\"{colour}\" fill-opacity=\"{opacity}\""
        );
        self.close("polygon", hint);
    }

    /// A filled rectangle.
    pub fn rect(&mut self, area: Area, ink: Ink, hint: &str) {
        let colour = self.theme.colour(ink);
        let [x, y, width, height] = [area.left, area.top, area.width, area.height].map(number);
        let _ = write!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{colour}\""
        );
        self.close("rect", hint);
    }

    /// A filled disc with an edge of another ink.
    pub fn disc(&mut self, at: Point, radius: f64, inks: [Ink; 2], hint: &str) {
        let [fill, edge] = inks.map(|ink| self.theme.colour(ink));
        let [x, y, radius] = [at.0, at.1, radius].map(number);
        let _ = write!(
            self.body,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{edge}\""
        );
        self.close("circle", hint);
    }

    /// A text.
    pub fn words(&mut self, words: Words) {
        if words.text.is_empty() {
            return;
        }
        let anchor = match words.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let (colour, text) = (self.theme.colour(words.ink), escaped(words.text));
        let [x, y, size] = [words.at.0, words.at.1, words.size].map(number);
        let _ = write!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}"
        );
        if words.full != words.text {
            let _ = write!(self.body, "<title>{}</title>", escaped(words.full));
        }
        self.body.push_str("</text>\n");
    }

    fn close(&mut self, element: &str, hint: &str) {
        if hint.is_empty() {
            self.body.push_str("/>\n");
        } else {
            let _ = writeln!(self.body, "><title>{}</title></{element}>", escaped(hint));
        }
    }

    /// The whole drawing with its title and description.
    pub fn finish(self, head: &Head) -> String {
        let height = number(head.height.ceil());
        let (id, title) = (identifier(head.name), escaped(head.title));
        let description = escaped(head.description);
        let (size, paper) = match self.theme {
            Theme::Page => ("width=\"100%\"".to_owned(), String::new()),
            theme => {
                let paper = theme.colour(Ink::Paper);
                let paper =
                    format!("<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"{paper}\"/>\n");
                (format!("width=\"{WIDTH}\" height=\"{height}\""), paper)
            }
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" {size} role=\"img\" \
             aria-labelledby=\"{id}-title {id}-description\" font-family=\"{FACES}\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-description\">{description}</desc>\n\
             {paper}{}</svg>\n",
            self.body
        )
    }
}

fn places(points: &[Point]) -> String {
    let mut text = String::with_capacity(points.len() * 12);
    for (place, point) in points.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        let _ = write!(text, "{space}{},{}", number(point.0), number(point.1));
    }
    text
}

/// A number to a tenth, without needless zeros; opacities keep two places.
fn number(value: f64) -> String {
    let text = if value.abs() < 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.1}")
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text.is_empty() || text == "-" || text == "-0" {
        return "0".to_owned();
    }
    text.to_owned()
}

/// An id that XML and style sheets take.
fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = name.chars().map(plain).collect();
    format!("figure-{name}")
}

/// Text without what XML would read as its own; characters that XML cannot hold become spaces.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => safe.push(' '),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_never_a_bare_sign() {
        let texts = [0.0, -0.0, -0.001, 0.15, 12.0, 12.34, -7.26, 100.0].map(number);
        assert_eq!(texts, ["0", "0", "0", "0.15", "12", "12.3", "-7.3", "100"]);
    }

    #[test]
    fn a_name_cannot_break_out_of_the_drawing() {
        let mut svg = Svg::new(Theme::Light);
        svg.words(Words::new(
            "</text><script>&\"\u{0}\u{1b}",
            (0.0, 0.0),
            13.0,
        ));
        let head = Head {
            name: "a b\"<",
            title: "<&>",
            description: "",
            height: 10.0,
        };
        let text = svg.finish(&head);
        assert!(
            text.contains("&lt;/text&gt;&lt;script&gt;&amp;&quot;  </text>"),
            "{text}"
        );
        assert!(
            text.contains("id=\"figure-a-b---title\">&lt;&amp;&gt;</title>"),
            "{text}"
        );
    }
}
