//! Which steps of a fine-tune are kept for users. Values and their meaning only.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which steps are kept; the last one always is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointSpec {
    /// Every so many steps; null is never.
    pub every: Option<u64>,
    /// And these.
    pub at: Vec<u64>,
}

impl CheckpointSpec {
    /// Whether `step` of `total` is kept.
    pub fn keeps(&self, step: u64, total: u64) -> bool {
        step == total
            || self.at.contains(&step)
            || self
                .every
                .is_some_and(|every| every > 0 && step.is_multiple_of(every))
    }

    /// The last kept step of `total` that is not behind `step`.
    pub fn last_kept(&self, step: u64, total: u64) -> Option<u64> {
        let listed = self.at.iter().copied().filter(|&at| at > 0 && at <= step);
        let regular = self.every.filter(|every| *every > 0);
        let regular = regular.map(|every| step - step % every);
        let last = (step >= total).then_some(total);
        let kept = listed.chain(regular).chain(last);
        kept.filter(|&at| at > 0).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_kept_step_is_the_newest_that_is_kept() {
        let kept = CheckpointSpec {
            every: Some(5),
            at: vec![1, 2, 13],
        };
        for total in [20, 22] {
            for step in 0..=total {
                let newest = (1..=step).rev().find(|step| kept.keeps(*step, total));
                assert_eq!(kept.last_kept(step, total), newest, "{step} of {total}");
            }
        }
    }
}
