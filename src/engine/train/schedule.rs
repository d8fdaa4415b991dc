//! The learning rate of an update as a closed formula of its number; nothing accumulates, so nothing is resumed.

use std::f64::consts::PI;

use crate::domain::finetune::{ScheduleName, ScheduleSpec, WarmupFrom};

/// The rate of the update with 0-based number `step` of `total`, as a share of the peak.
///
/// *Source* API.md: s/warmup or (s + 1)/warmup while s < warmup; behind it, with p = (s − warmup)/(total − warmup),
/// f + (1 − f)(1 − p), f + (1 − f)(1 + cos πp)/2, or 1.
pub fn share(schedule: &ScheduleSpec, step: u64, total: u64) -> f64 {
    let warmup = schedule.warmup_steps;
    if step < warmup {
        let first = match schedule.warmup_from {
            WarmupFrom::Zero => 0,
            WarmupFrom::First => 1,
        };
        return (step + first) as f64 / warmup as f64;
    }
    let last = schedule.final_ratio;
    // a warm-up as long as the run leaves no way to go
    let way = total.saturating_sub(warmup).max(1);
    let progress = ((step - warmup) as f64 / way as f64).min(1.0);
    match schedule.name {
        ScheduleName::Linear => last + (1.0 - last) * (1.0 - progress),
        ScheduleName::Cosine => last + (1.0 - last) * (1.0 + (PI * progress).cos()) / 2.0,
        ScheduleName::Constant => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(name: ScheduleName, warmup_from: WarmupFrom, final_ratio: f64) -> ScheduleSpec {
        ScheduleSpec {
            name,
            warmup_steps: 4,
            warmup_from,
            final_ratio,
        }
    }

    /// Expected values by hand from the formula, 12 steps with 4 of warm-up.
    #[test]
    fn rates_are_those_of_the_formula() {
        use ScheduleName::{Constant, Cosine, Linear};
        use WarmupFrom::{First, Zero};
        for (name, from, ratio, step, expected) in [
            (Linear, Zero, 0.0, 0, 0.0),
            (Linear, Zero, 0.0, 1, 0.25),
            (Linear, First, 0.0, 0, 0.25),
            (Linear, First, 0.0, 3, 1.0),
            (Linear, Zero, 0.0, 4, 1.0),
            (Linear, Zero, 0.0, 8, 0.5),
            (Linear, Zero, 0.0, 11, 0.125),
            (Linear, Zero, 0.4, 8, 0.7),
            (Linear, Zero, 0.4, 12, 0.4),
            (Cosine, Zero, 0.0, 4, 1.0),
            (Cosine, Zero, 0.0, 8, 0.5),
            (Cosine, Zero, 0.4, 8, 0.7),
            (Cosine, Zero, 0.4, 12, 0.4),
            (Cosine, Zero, 0.0, 6, 0.853_553_390_593_273_8),
            (Constant, Zero, 0.4, 2, 0.5),
            (Constant, Zero, 0.4, 11, 1.0),
        ] {
            let found = share(&schedule(name, from, ratio), step, 12);
            assert!(
                (found - expected).abs() < 1e-15,
                "{name:?} {step}: {found} {expected}"
            );
        }
    }

    /// 396 steps as in the paper: printed by transformers 5.23's `get_linear_schedule_with_warmup` with 5 steps of warm-up and
    /// `get_cosine_schedule_with_warmup` with 20.
    #[test]
    fn the_papers_schedules_rise_from_0_to_the_peak_behind_the_warm_up_and_fall_to_0() {
        let linear = [
            (0, 0.0),
            (1, 0.2),
            (4, 0.8),
            (5, 1.0),
            (6, 0.997_442_455_242_966_7),
            (200, 0.501_278_772_378_516_6),
            (394, 0.005_115_089_514_066_497),
            (395, 0.002_557_544_757_033_248_3),
            (396, 0.0),
        ];
        let cosine = [
            (0, 0.0),
            (1, 0.05),
            (19, 0.95),
            (20, 1.0),
            (21, 0.999_982_547_343_636_9),
            (200, 0.533_396_316_872_560_8),
            (394, 6.980_940_707_146_388e-5),
            (395, 1.745_265_636_310_389e-5),
            (396, 0.0),
        ];
        for (name, warmup_steps, table) in [
            (ScheduleName::Linear, 5, linear),
            (ScheduleName::Cosine, 20, cosine),
        ] {
            let schedule = ScheduleSpec {
                name,
                warmup_steps,
                ..ScheduleSpec::default()
            };
            for (step, expected) in table {
                let found = share(&schedule, step, 396);
                assert!((found - expected).abs() < 1e-12, "{name:?} {step}: {found}");
            }
        }
    }

    #[test]
    fn no_warm_up_begins_at_the_peak_and_no_step_is_above_it_or_below_the_final_ratio() {
        for name in [
            ScheduleName::Linear,
            ScheduleName::Cosine,
            ScheduleName::Constant,
        ] {
            let schedule = ScheduleSpec {
                warmup_steps: 0,
                ..schedule(name, WarmupFrom::Zero, 0.1)
            };
            assert_eq!(share(&schedule, 0, 12), 1.0);
            let shares: Vec<f64> = (0..=12).map(|step| share(&schedule, step, 12)).collect();
            assert!(shares.windows(2).all(|pair| pair[0] >= pair[1]));
            assert!(shares[12] >= 0.1 - 1e-15);
        }
    }

    #[test]
    fn a_run_no_longer_than_its_warm_up_has_finite_rates() {
        let schedule = schedule(ScheduleName::Linear, WarmupFrom::First, 0.0);
        let shares: Vec<f64> = (0..4).map(|step| share(&schedule, step, 2)).collect();
        assert_eq!(shares, [0.25, 0.5, 0.75, 1.0]);
    }
}
