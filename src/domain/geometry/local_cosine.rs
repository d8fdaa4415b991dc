//! Where a path turns: the angle at one step between the ways back and ahead.

use super::{Trajectory, dot, norm};

/// Which of the two movements at a step must be long enough to have a direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MovementRule {
    /// The longer one must pass the threshold, as the paper says.
    Max,
    /// The shorter one must.
    #[default]
    Min,
    /// A step is left out when both lie below the threshold, as the published code does; one exactly at it stays.
    BothVectorsBelow,
}

/// How long a movement must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Threshold {
    /// So long.
    Absolute(f64),
    /// So many times the vector's own length at the step.
    Relative(f64),
}

impl Default for Threshold {
    fn default() -> Self {
        Self::Relative(0.05)
    }
}

/// Which movements count.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Movement {
    /// How long they must be.
    pub threshold: Threshold,
    /// Which of the two.
    pub rule: MovementRule,
}

impl Movement {
    fn counts(self, back: f64, ahead: f64, length: f64) -> bool {
        let least = match self.threshold {
            Threshold::Absolute(least) => least,
            Threshold::Relative(share) => share * length,
        };
        match self.rule {
            MovementRule::Max => back.max(ahead) > least,
            MovementRule::Min => back.min(ahead) > least,
            MovementRule::BothVectorsBelow => back >= least || ahead >= least,
        }
    }
}

/// cos(v_{t−k} − v_t, v_{t+k} − v_t) at every step t, k being `gap` steps: −1 where the path is straight, 0 at a right angle, +1 where
/// it turns back.
///
/// None where step t − k or t + k was not kept, where a movement is zero and where `movement` leaves the step out.
///
/// *Units* `gap` in training steps, not in kept ones.
/// *Source* Turner and others, arXiv 2506.11613, section 4.
pub fn local_cosine(trajectory: &Trajectory, gap: u64, movement: Movement) -> Vec<Option<f64>> {
    let one = |(step, here): (&u64, &[f32])| {
        let back = away(trajectory.at(step.checked_sub(gap)?)?, here);
        let ahead = away(trajectory.at(step.checked_add(gap)?)?, here);
        let lengths = [norm(&back), norm(&ahead)];
        let counts = movement.counts(lengths[0], lengths[1], norm(here));
        let product = lengths[0] * lengths[1];
        (counts && product > 0.0 && gap > 0)
            .then(|| (dot(&back, &ahead) / product).clamp(-1.0, 1.0))
    };
    trajectory
        .steps()
        .iter()
        .zip(trajectory.rows())
        .map(one)
        .collect()
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
        threshold: Threshold::Absolute(0.0),
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
            let found = local_cosine(&path(&steps, &rows), 5, ANY);
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
            local_cosine(&path, gap, ANY)
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
        let turn = local_cosine(&path, 5, ANY)[2].unwrap();
        assert!(turn.abs() < 1e-12, "the corner lies at step 10: {turn}");
    }

    #[test]
    fn a_movement_that_is_zero_or_too_short_has_no_direction() {
        let still = path(&[0, 1, 2], &[[1.0, 0.0], [1.0, 0.0], [2.0, 0.0]]);
        assert_eq!(local_cosine(&still, 1, ANY)[1], None, "zero, never 0");
        // back 1, ahead 3, length 10
        let uneven = path(&[0, 1, 2], &[[9.0, 0.0], [10.0, 0.0], [10.0, 3.0]]);
        let at =
            |threshold, rule| local_cosine(&uneven, 1, Movement { threshold, rule })[1].is_some();
        use MovementRule::{BothVectorsBelow, Max, Min};
        use Threshold::{Absolute, Relative};
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
}
