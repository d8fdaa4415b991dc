//! Which modules a method trains, and how two lists of modules differ. Knows neither tensors nor patterns.

use super::assets::WeightsKind;
use super::finetune::{LoraMethod, Method, Projection};
use super::metric::NormModule;

/// The modules of a method on a model with so many layers, by layer and then in the order of a layer.
///
/// None where all weights are trained, and where patterns decide, which are not read here.
pub fn of_method(method: &Method, layers: u32) -> Option<Vec<NormModule>> {
    match method {
        Method::Full(_) => None,
        Method::Lora(lora) => of_lora(lora, layers),
        Method::SteeringVector(steering) => Some(vec![of_vector(steering.layer, steering.alpha)]),
    }
}

fn of_lora(lora: &LoraMethod, layers: u32) -> Option<Vec<NormModule>> {
    if !lora.rank_pattern.is_empty() || !lora.alpha_pattern.is_empty() {
        return None;
    }
    let wanted = |layer: &u32| lora.layers.as_ref().is_none_or(|own| own.contains(layer));
    let width = f64::from(lora.rank);
    let scaling = lora.alpha / if lora.rslora { width.sqrt() } else { width };
    let of_layer = |layer: u32| {
        let targets = Projection::ALL.into_iter();
        let targets = targets.filter(|projection| lora.target_modules.contains(projection));
        targets.map(move |projection| NormModule {
            name: format!(
                "layers.{layer}.{}.{}",
                projection.parent(),
                projection.name()
            ),
            layer,
            projection,
            rank: lora.rank,
            scaling,
        })
    };
    Some((0..layers).filter(wanted).flat_map(of_layer).collect())
}

/// A steering vector as norms list it: a module of rank 1 whose B is the vector and which has no A.
pub fn of_vector(layer: u32, alpha: f64) -> NormModule {
    NormModule {
        name: format!("layers.{layer}.steering_vector"),
        layer,
        projection: Projection::DownProj,
        rank: 1,
        scaling: alpha,
    }
}

/// What weights with these modules are.
pub fn kind(modules: &[NormModule]) -> WeightsKind {
    let steers = |module: &NormModule| module.name.ends_with(".steering_vector");
    match modules.iter().any(steers) {
        true => WeightsKind::SteeringVector,
        false => WeightsKind::Lora,
    }
}

/// The first thing in which `found` is not what `wanted` says; none where they agree.
pub fn difference(wanted: &[NormModule], found: &[&NormModule]) -> Option<String> {
    let has = |name: &str| found.iter().find(|module| module.name == name);
    for module in wanted {
        let name = &module.name;
        let Some(other) = has(name) else {
            return Some(format!("has nothing for {name}, which the method trains"));
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
                "is scaled by {own} at {name}, the method by {wanted}; give the alpha and rslora that it was trained with"
            ));
        }
    }
    let extra = found
        .iter()
        .find(|module| wanted.iter().all(|one| one.name != module.name));
    extra.map(|module| format!("has {}, which the method does not train", module.name))
}
