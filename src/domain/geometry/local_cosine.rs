//! Where a path turns: the angle at one step between the ways back and ahead.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Trajectory, dot, norm};

/// Which movements at a step must be long enough for the step to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementRule {
    /// The longer of the ways back and ahead must pass the threshold, as the paper says.
    Max,
    /// The shorter one must.
    #[default]
    Min,
    /// A step is left out when the longer way lies below the threshold for A and for B alike, as the published code has it.
    BothVectorsBelow,
}

/// How long a movement must be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MovementThreshold {
    /// So long.
    Absolute(f64),
    /// So many times the vector's own length at the step.
    Relative(f64),
}

impl Default for MovementThreshold {
    fn default() -> Self {
        Self::Relative(0.05)
    }
}

/// Which movements count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Movement {
    /// How long they must be.
    pub threshold: MovementThreshold,
    /// Which of them.
    pub rule: MovementRule,
}

/// The ways from a step to the steps `gap` before and behind it.
struct Ways {
    back: Vec<f32>,
    ahead: Vec<f32>,
    lengths: [f64; 2],
    least: f64,
}

impl Ways {
    fn at(path: &Trajectory, step: u64, gap: u64, threshold: MovementThreshold) -> Option<Self> {
        let here = path.at(step)?;
        let back = away(path.at(step.checked_sub(gap)?)?, here);
        let ahead = away(path.at(step.checked_add(gap)?)?, here);
        Some(Self {
            lengths: [norm(&back), norm(&ahead)],
            least: match threshold {
                MovementThreshold::Absolute(least) => least,
                MovementThreshold::Relative(share) => share * norm(here),
            },
            back,
            ahead,
        })
    }

    fn longer(&self) -> f64 {
        self.lengths[0].max(self.lengths[1])
    }

    fn counts(&self, rule: MovementRule, other: Option<&Self>) -> bool {
        let reaches = |ways: &Self| ways.longer() >= ways.least;
        match rule {
            MovementRule::Max => self.longer() > self.least,
            MovementRule::Min => self.lengths[0].min(self.lengths[1]) > self.least,
            MovementRule::BothVectorsBelow => reaches(self) || other.is_some_and(reaches),
        }
    }

    fn cosine(&self) -> Option<f64> {
        let product = self.lengths[0] * self.lengths[1];
        (product > 0.0).then(|| (dot(&self.back, &self.ahead) / product).clamp(-1.0, 1.0))
    }
}

/// cos(v_{t−k} − v_t, v_{t+k} − v_t) at every step t, k being `gap` steps: −1 where the path is straight, 0 at a right angle, +1 where
/// it turns back.
///
/// None where step t − k or t + k was not kept, where a movement is zero and where `movement` leaves the step out. `other` is the
/// path of the pair's other vector, which [`MovementRule::BothVectorsBelow`] asks for; without it the rule looks at this path alone.
///
/// *Units* `gap` in training steps, not in kept ones.
/// *Source* Turner and others, arXiv 2506.11613, section 4.
pub fn local_cosine(
    path: &Trajectory,
    other: Option<&Trajectory>,
    gap: u64,
    movement: Movement,
) -> Vec<Option<f64>> {
    let one = |step: &u64| {
        let ways = |path| Ways::at(path, *step, gap, movement.threshold);
        let own = ways(path)?;
        let beside = match movement.rule {
            MovementRule::BothVectorsBelow => other.and_then(ways),
            _ => None,
        };
        let counts = own.counts(movement.rule, beside.as_ref());
        own.cosine().filter(|_| counts)
    };
    path.steps().iter().map(one).collect()
}

/// Whether any step has kept steps `gap` before and behind it.
pub fn has_gap(steps: &[u64], gap: u64) -> bool {
    steps.iter().any(|step| has_neighbours(steps, *step, gap))
}

/// Whether the rising `steps` hold those `gap` before and behind `step`.
pub fn has_neighbours(steps: &[u64], step: u64, gap: u64) -> bool {
    let kept = |step: Option<u64>| step.is_some_and(|step| steps.binary_search(&step).is_ok());
    gap > 0 && kept(step.checked_sub(gap)) && kept(step.checked_add(gap))
}

fn away(there: &[f32], here: &[f32]) -> Vec<f32> {
    there
        .iter()
        .zip(here)
        .map(|(there, here)| there - here)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::path;
    use super::*;

    const ANY: Movement = Movement {
        threshold: MovementThreshold::Absolute(0.0),
        rule: MovementRule::Min,
    };

    #[test]
    fn a_straight_line_is_minus_one_a_corner_zero_and_a_reversal_one() {
        let steps = [0, 5, 10];
        for (rows, expected) in [
            ([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], -1.0),
            ([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]], 0.0),
            ([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]], 1.0),
        ] {
            let found = local_cosine(&path(&steps, &rows), None, 5, ANY);
            assert_eq!(found[0], None);
            assert!((found[1].unwrap() - expected).abs() < 1e-12, "{rows:?}");
            assert_eq!(found[2], None);
        }
    }

    #[test]
    fn gaps_are_true_steps_and_need_both_neighbours() {
        let rows = [[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [2.0, 1.0], [2.0, 2.0]];
        let path = path(&[0, 5, 10, 12, 15], &rows);
        let shown = |gap| -> Vec<bool> {
            local_cosine(&path, None, gap, ANY)
                .iter()
                .map(Option::is_some)
                .collect()
        };
        assert_eq!(shown(5), [false, true, true, false, false]);
        assert_eq!(
            shown(2),
            [false; 5],
            "no step has kept ones 2 before and 2 behind"
        );
        assert_eq!(shown(0), [false; 5]);
        let turn = local_cosine(&path, None, 5, ANY)[2].unwrap();
        assert!(turn.abs() < 1e-12, "the corner lies at step 10: {turn}");
    }

    #[test]
    fn a_movement_that_is_zero_or_too_short_has_no_direction() {
        let still = path(&[0, 1, 2], &[[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]);
        assert_eq!(local_cosine(&still, None, 1, ANY)[1], None, "zero, never 0");
        // back 1, ahead 3, length 10
        let uneven = path(&[0, 1, 2], &[[9.0, 0.0], [10.0, 0.0], [10.0, 3.0]]);
        let at = |threshold, rule| {
            local_cosine(&uneven, None, 1, Movement { threshold, rule })[1].is_some()
        };
        use MovementRule::{BothVectorsBelow, Max, Min};
        use MovementThreshold::{Absolute, Relative};
        for (threshold, rule, expected) in [
            (Absolute(1.0), Min, false),
            (Absolute(0.9), Min, true),
            (Absolute(2.9), Max, true),
            (Absolute(3.0), Max, false),
            (Absolute(3.0), BothVectorsBelow, true),
            (Absolute(3.1), BothVectorsBelow, false),
            (Relative(0.05), Min, true),
            (Relative(0.1), Min, false),
            (Relative(0.25), Max, true),
        ] {
            assert_eq!(at(threshold, rule), expected, "{threshold:?} {rule:?}");
        }
        let usual = Movement::default();
        assert_eq!((usual.threshold, usual.rule), (Relative(0.05), Min));
    }

    #[test]
    fn a_still_vector_counts_as_published_while_the_other_one_of_its_pair_moves() {
        let short = path(&[0, 1, 2], &[[1.0, 0.0], [1.1, 0.0], [1.2, 0.0]]);
        let long = path(&[0, 1, 2], &[[0.0, 0.0], [2.0, 0.0], [4.0, 0.0]]);
        let movement = Movement {
            threshold: MovementThreshold::Absolute(1.0),
            rule: MovementRule::BothVectorsBelow,
        };
        let at_one = |path, other| local_cosine(path, other, 1, movement)[1];
        assert_eq!(at_one(&short, None), None);
        assert_eq!(at_one(&short, Some(&short)), None);
        assert!((at_one(&short, Some(&long)).unwrap() + 1.0).abs() < 1e-12);
        assert!(at_one(&long, Some(&short)).is_some());
    }

    #[test]
    fn a_gap_is_on_the_grid_when_some_step_has_both_neighbours() {
        let steps = [1, 2, 3, 5, 10, 15];
        let on: Vec<u64> = (0..8).filter(|gap| has_gap(&steps, *gap)).collect();
        assert_eq!(on, [1, 2, 5]);
    }
}
