//! The devices and the models on them, as the engine has them.

use super::Recipes;
use crate::engine::device::Device as Place;
use crate::engine::memory;
use crate::engine::residents::{Loaded, Residents};
use crate::execution::devices::{Device, Devices, LoadedModel};

impl Devices for Recipes {
    fn devices(&self) -> Vec<Device> {
        let loaded = self.residents.loaded();
        let configured = self.device.parse::<Place>().ok();
        let others = configured.filter(|place| *place != Place::Cpu);
        let places = [Place::Cpu].into_iter().chain(others);
        places
            .map(|place| device(place, &self.residents, &loaded))
            .collect()
    }
}

fn device(place: Place, residents: &Residents, loaded: &[Loaded]) -> Device {
    Device {
        id: place.to_string(),
        kind: match place {
            Place::Cpu => "cpu",
            Place::Cuda(_) => "cuda",
        },
        name: memory::name(place),
        threads: memory::threads(),
        memory_bytes: memory::bytes(place),
        model_limit_bytes: residents.limit(place),
        models: loaded
            .iter()
            .filter(|model| model.device == place)
            .map(model)
            .collect(),
    }
}

fn model(loaded: &Loaded) -> LoadedModel {
    LoadedModel {
        name: loaded.name.clone(),
        identity: loaded.identity.clone(),
        dtype: loaded.dtype,
        bytes: loaded.bytes,
        users: loaded.users,
        last_used_seconds: loaded.last_used_seconds,
        load_seconds: loaded.load_seconds,
    }
}
