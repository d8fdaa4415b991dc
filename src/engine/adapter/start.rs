//! Whether trained pairs are the ones that a method begins with. Knows no tensor.

use crate::domain::metric::NormModule;

/// The first thing in which `found` is not what `wanted` says; none where they agree.
pub(super) fn difference(wanted: &[NormModule], found: &[&NormModule]) -> Option<String> {
    let has = |name: &str| found.iter().find(|module| module.name == name);
    for module in wanted {
        let name = &module.name;
        let Some(other) = has(name) else {
            return Some(format!("has no pair for {name}, which the method adapts"));
        };
        if other.rank != module.rank {
            let (own, wanted) = (other.rank, module.rank);
            return Some(format!(
                "has rank {own} at {name}, the method rank {wanted}"
            ));
        }
        if other.scaling != module.scaling {
            let (own, wanted) = (other.scaling, module.scaling);
            return Some(format!(
                "is scaled by {own} at {name}, the method by {wanted}; give the alpha and rslora of its adapter_config.json"
            ));
        }
    }
    let extra = found
        .iter()
        .find(|module| wanted.iter().all(|one| one.name != module.name));
    extra.map(|module| {
        format!(
            "has a pair for {}, which the method does not adapt",
            module.name
        )
    })
}
