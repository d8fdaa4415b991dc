//! Which steps of a fine-tune are kept, and for how long: pure functions of the spec, so that a resumed run keeps the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Resumable states that are kept where a spec does not say.
const STATES: u32 = 2;

/// Which steps are kept; the last one always is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSpec {
    /// Every so many steps; null is never. Of a full fine-tune only with `keep`.
    pub every: Option<u64>,
    /// And these.
    pub at: Vec<u64>,
    /// Which of those made by `every` stay; null is all. Listed steps and the last one always do.
    pub keep: Option<Keep>,
    /// Newest resumable states that are kept beside the checkpoints, 1 to 16.
    pub states: u32,
}

impl Default for CheckpointSpec {
    fn default() -> Self {
        Self {
            every: None,
            at: Vec::new(),
            keep: None,
            states: STATES,
        }
    }
}

/// Which checkpoints stay when a newer one is there; what no rule keeps is retired: its files go, its row stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Keep {
    /// The newest so many.
    pub last: Option<u32>,
    /// Those whose step is a multiple of this.
    pub every: Option<u64>,
}

impl CheckpointSpec {
    /// Whether a checkpoint is made at `step` of `total`.
    pub fn keeps(&self, step: u64, total: u64) -> bool {
        step == total || self.at.contains(&step) || is_multiple(step, self.every)
    }

    /// Those of `made`, steps in any order, that no rule keeps once all of them are there.
    pub fn retired(&self, made: &[u64]) -> Vec<u64> {
        let Some(keep) = &self.keep else {
            return Vec::new();
        };
        let mut newest = made.to_vec();
        newest.sort_unstable_by(|one, other| other.cmp(one));
        let kept = keep.last.unwrap_or(1).max(1) as usize;
        newest
            .into_iter()
            .skip(kept)
            .filter(|step| !self.at.contains(step) && !is_multiple(*step, keep.every))
            .collect()
    }

    /// Whether the checkpoint of `step` is still there when a run of `total` steps has ended.
    pub fn stays(&self, step: u64, total: u64) -> bool {
        let Some(keep) = &self.keep else {
            return self.keeps(step, total);
        };
        let newer = self.made_behind(step, total);
        self.keeps(step, total)
            && (newer < u64::from(keep.last.unwrap_or(1).max(1))
                || self.at.contains(&step)
                || is_multiple(step, keep.every))
    }

    /// Checkpoints that are made behind `step`.
    fn made_behind(&self, step: u64, total: u64) -> u64 {
        let multiples = |up_to: u64| self.every.map_or(0, |every| up_to / every.max(1));
        let mut others: Vec<u64> = self.at.iter().copied().chain([total]).collect();
        others.sort_unstable();
        others.dedup();
        let others = others
            .into_iter()
            .filter(|other| *other > step && *other <= total && !is_multiple(*other, self.every));
        multiples(total).saturating_sub(multiples(step)) + others.count() as u64
    }

    /// Checkpoints of a run of `total` steps that are there at once, the one under way among them.
    pub fn most_at_once(&self, total: u64) -> u64 {
        let made = self.made_behind(0, total);
        let Some(keep) = &self.keep else {
            return made;
        };
        let listed = self.at.iter().filter(|step| **step <= total).count() as u64;
        let multiples = keep.every.map_or(0, |every| total / every.max(1));
        let newest = u64::from(keep.last.unwrap_or(1).max(1)) + 1;
        made.min(newest.saturating_add(listed).saturating_add(multiples))
    }
}

fn is_multiple(step: u64, of: Option<u64>) -> bool {
    of.is_some_and(|of| of > 0 && step.is_multiple_of(of))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> CheckpointSpec {
        serde_json::from_value(value).unwrap()
    }

    /// What is left at the end when each checkpoint retires what no rule keeps, and the most at once.
    fn played(spec: &CheckpointSpec, total: u64) -> (Vec<u64>, u64) {
        let (mut there, mut most): (Vec<u64>, usize) = (Vec::new(), 0);
        for step in (1..=total).filter(|step| spec.keeps(*step, total)) {
            there.push(step);
            most = most.max(there.len());
            let retired = spec.retired(&there);
            there.retain(|step| !retired.contains(step));
        }
        (there, most as u64)
    }

    #[test]
    fn rules_keep_the_newest_the_multiples_the_listed_and_the_last() {
        for (value, expected) in [
            (json!({"every": 10}), vec![10, 20, 30, 40, 45]),
            (json!({"every": 10, "keep": {"last": 2}}), vec![40, 45]),
            (json!({"every": 10, "keep": {}}), vec![45]),
            (json!({"every": 5, "keep": {"every": 20}}), vec![20, 40, 45]),
            (
                json!({"every": 5, "at": [7, 10], "keep": {"last": 2, "every": 15}}),
                vec![7, 10, 15, 30, 40, 45],
            ),
            (json!({"at": [3, 9], "keep": {"last": 1}}), vec![3, 9, 45]),
        ] {
            let spec = spec(value.clone());
            let (left, most) = played(&spec, 45);
            assert_eq!(left, expected, "{value}");
            let stay: Vec<u64> = (1..=45).filter(|step| spec.stays(*step, 45)).collect();
            assert_eq!(stay, expected, "{value}");
            assert!(spec.most_at_once(45) >= most, "{value}");
        }
    }

    #[test]
    fn a_run_that_makes_some_steps_again_retires_the_same() {
        let spec = spec(json!({"every": 5, "keep": {"last": 2}}));
        let (there, _) = played(&spec, 30);
        // steps 20 and on are made again behind a state of step 15: only what is up to the step just made is looked at
        let mut again: Vec<u64> = there.iter().copied().filter(|step| *step <= 15).collect();
        for step in [20, 25, 30] {
            again.push(step);
            let retired = spec.retired(&again);
            again.retain(|step| !retired.contains(step));
        }
        assert_eq!(again, there);
    }

    #[test]
    fn the_most_at_once_is_told_without_counting_every_step() {
        assert_eq!(spec(json!({"every": 1})).most_at_once(1 << 60), 1 << 60);
        assert_eq!(
            spec(json!({"every": 1, "keep": {"last": 3}})).most_at_once(1 << 60),
            4
        );
        assert_eq!(spec(json!({})).most_at_once(100), 1);
    }
}
