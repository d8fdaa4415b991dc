//! How much memory a device has, what it is called, how much of it models may take. Knows no model.

use std::path::Path;

use super::device::Device;

/// Bytes of a device's memory; none where the machine does not tell.
///
/// *Source* for the host: the smaller of the machine's memory and the limit of the control group.
pub fn bytes(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => host(),
        Device::Cuda(_) => None,
    }
}

/// Bytes that base models may take where nobody configured a number: half of the host's memory.
///
/// A GPU without a configured number has no limit but its own memory.
pub fn model_limit(device: Device) -> Option<u64> {
    match device {
        Device::Cpu => host().map(|bytes| bytes / 2),
        Device::Cuda(_) => None,
    }
}

/// The name that the maker gave it.
pub fn name(device: Device) -> String {
    let found = match device {
        Device::Cpu => line(Path::new("/proc/cpuinfo"), "model name"),
        Device::Cuda(number) => graphics(number),
    };
    found.unwrap_or_else(|| device.to_string())
}

/// Threads that the host can run at once.
pub fn threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| count.get() as u32)
}

fn host() -> Option<u64> {
    let text = line(Path::new("/proc/meminfo"), "MemTotal")?;
    let kibibytes: u64 = text.strip_suffix("kB")?.trim().parse().ok()?;
    let machine = kibibytes * 1024;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |limit: u64| limit.min(machine)))
}

/// The `number`th in the order of the bus, which is CUDA's order where all cards are alike.
fn graphics(number: u32) -> Option<String> {
    let cards = std::fs::read_dir("/proc/driver/nvidia/gpus").ok()?;
    let mut cards: Vec<_> = cards.flatten().map(|card| card.path()).collect();
    cards.sort();
    line(&cards.get(number as usize)?.join("information"), "Model")
}

/// What stands behind the colon in the first line that begins with `key`.
fn line(path: &Path, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let found = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    });
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_tells_its_memory_and_models_may_take_half_of_it() {
        let memory = bytes(Device::Cpu).unwrap();
        assert!(memory > 100 << 20, "{memory}");
        assert_eq!(model_limit(Device::Cpu), Some(memory / 2));
        assert!(threads() >= 1);
        assert!(!name(Device::Cpu).is_empty());
    }
}
