//! Vertical lines with words above a plot, arranged so that no line crosses words and no words overlap.

use super::frame::{LINE, SMALL};
use super::svg::{Anchor, Area, Stroke, Svg, Words};
use super::text;
use super::theme::Ink;

/// A step to point at.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    pub at: f64,
    pub words: String,
}

/// A mark with its place: x, and its words on a lane above the plot, counted from the plot.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    x: f64,
    words: String,
    full: String,
    leftward: bool,
    lane: usize,
}

/// Most words above a plot; further marks are lines alone.
const NAMED: usize = 8;
/// Widest words.
const WIDEST: f64 = 300.0;
/// Space between a line and its words.
const GAP: f64 = 5.0;

impl Placed {
    /// Where its words start and end.
    fn span(&self) -> (f64, f64) {
        let width = text::width(&self.words, SMALL) + 2.0 * GAP;
        if self.leftward {
            (self.x - width, self.x)
        } else {
            (self.x, self.x + width)
        }
    }
}

/// Gives each mark a lane between `left` and `right`.
///
/// Words stand to the right of their line, the rightmost mark lowest, so a line further left passes none of them. Where
/// there is no room to the right, words stand to the left, on lanes above all others, the leftmost lowest.
pub(super) fn placed(marks: &[(f64, &str)], left: f64, right: f64) -> Vec<Placed> {
    let mut sorted: Vec<Placed> = marks
        .iter()
        .take(NAMED)
        .map(|(x, words)| fresh(*x, words))
        .collect();
    sorted.sort_by(|one, other| other.x.total_cmp(&one.x));
    let mut wall = right;
    for mark in &mut sorted {
        mark.leftward = mark.span().1 > wall;
        if mark.leftward {
            wall = mark.x;
            mark.words = text::shortened(
                &mark.full,
                SMALL,
                (mark.x - left - 2.0 * GAP).clamp(40.0, WIDEST),
            );
        }
    }
    let (mut leftward, mut rightward): (Vec<_>, Vec<_>) =
        sorted.into_iter().partition(|mark| mark.leftward);
    let lanes = stack(&mut rightward, 0);
    leftward.reverse();
    stack(&mut leftward, lanes);
    rightward.extend(leftward);
    rightward
}

fn fresh(x: f64, words: &str) -> Placed {
    Placed {
        x,
        words: text::shortened(words, SMALL, WIDEST),
        full: words.to_owned(),
        leftward: false,
        lane: 0,
    }
}

/// Each mark on the lowest lane from `first` where it overlaps none before it; gives the lane above all.
fn stack(marks: &mut [Placed], first: usize) -> usize {
    let mut above = first;
    for place in 0..marks.len() {
        let (before, rest) = marks.split_at_mut(place);
        let (start, end) = rest[0].span();
        let hit = |other: &Placed| start < other.span().1 && other.span().0 < end;
        let taken = before
            .iter()
            .filter(|other| hit(other))
            .map(|other| other.lane + 1);
        rest[0].lane = taken.max().unwrap_or(first).max(first);
        above = above.max(rest[0].lane + 1);
    }
    above
}

/// Height of the lanes.
pub(super) fn height(marks: &[Placed]) -> f64 {
    let lanes = marks.iter().map(|mark| mark.lane + 1).max();
    lanes.map_or(0.0, |lanes| lanes as f64 * LINE + 2.0)
}

/// Draws lines down to the bottom of the plot and words above its top.
pub(super) fn draw(svg: &mut Svg, marks: &[Placed], area: Area) {
    let dashed = Stroke {
        ink: Ink::Text,
        width: 1.2,
        dash: "4 3",
    };
    for mark in marks {
        let top = area.top - (mark.lane + 1) as f64 * LINE + 2.0;
        svg.line((mark.x, top), (mark.x, area.bottom()), dashed);
        let (x, anchor) = match mark.leftward {
            true => (mark.x - GAP, Anchor::End),
            false => (mark.x + GAP, Anchor::Start),
        };
        let words = Words::new(&mark.words, (x, top + 13.0), SMALL);
        svg.words(words.anchor(anchor).full(&mark.full));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear(marks: &[Placed]) -> bool {
        let boxes = |mark: &Placed| Area {
            left: mark.span().0,
            top: -(mark.lane as f64),
            width: mark.span().1 - mark.span().0,
            height: 1.0,
        };
        marks.iter().enumerate().all(|(place, mark)| {
            marks.iter().enumerate().all(|(other, beside)| {
                let crossed = beside.lane >= mark.lane
                    && beside.x > mark.span().0 + 1e-9
                    && beside.x < mark.span().1 - 1e-9;
                place == other || (!boxes(mark).overlaps(&boxes(beside)) && !crossed)
            })
        })
    }

    #[test]
    fn words_overlap_neither_each_other_nor_a_line_wherever_the_marks_are() {
        let words = [
            "local cosine 190",
            "grad norm",
            "behaviour at scale 5: 231.5",
            "x",
        ];
        for seed in 0..500_u64 {
            let spot = |k: u64| 80.0 + ((seed * 7919 + k * 104_729) % 9000) as f64 / 10.0;
            let marks: Vec<(f64, &str)> =
                (0..6).map(|k| (spot(k), words[(k % 4) as usize])).collect();
            let found = placed(&marks, 80.0, 980.0);
            assert_eq!(found.len(), 6);
            assert!(clear(&found), "{found:#?}");
            assert!(
                found
                    .iter()
                    .all(|mark| mark.span().0 >= 20.0 && mark.span().1 <= 980.0)
            );
        }
    }

    #[test]
    fn marks_at_one_step_stand_above_each_other() {
        let found = placed(&[(500.0, "one"), (500.0, "two")], 80.0, 980.0);
        assert_ne!(found[0].lane, found[1].lane);
        assert_eq!(height(&found), 2.0 * LINE + 2.0);
    }
}
