//! What is said of a marker of the weights, and why.

use super::agree::Peak;

pub(super) fn peaks(what: &str, peak: &Peak, gaps: usize) -> String {
    format!(
        "{what} peaks at step {:.1}, seen at that step by {} of {gaps} gaps, which lie {:.0} steps apart",
        peak.step, peak.gaps, peak.spread
    )
}

pub(super) fn stands_out(peak: &Peak, least: f64) -> String {
    format!(
        "it stands {:.2} above its running median at gap {:.0}, {:.1} times the scatter about it; {least:.1} times is the limit",
        peak.prominence, peak.gap, peak.score
    )
}

pub(super) fn of_several(name: &str, modules: usize) -> Option<String> {
    (modules > 1).then(|| format!("strongest of {modules} series in {name}"))
}

/// The best that there is, which is not enough.
pub(super) fn no_peak(peak: Option<&Peak>, least: f64) -> String {
    match peak {
        None => "no two gaps have a peak at one step".into(),
        Some(peak) => format!(
            "the clearest peak, at step {:.1}, is {:.1} times the scatter about the running median; {least:.1} times is the limit",
            peak.step, peak.score
        ),
    }
}
