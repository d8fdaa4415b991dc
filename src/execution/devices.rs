//! What the devices of this process hold, for people to look at: the seam through which handlers ask. Knows no tensor.

/// Answers at once.
pub trait Devices: Send + Sync {
    /// Every device that jobs may run on.
    fn devices(&self) -> Vec<Device>;
}

/// A place for tensors.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Such as `cpu` or `cuda:0`.
    pub id: String,
    /// `cpu` or `cuda`.
    pub kind: &'static str,
    /// As its maker calls it.
    pub name: String,
    /// Threads that it runs at once; of the host also for a GPU.
    pub threads: u32,
    /// Bytes of its memory; none where the machine does not tell.
    pub memory_bytes: Option<u64>,
    /// Bytes that base models may take of it; none where nothing but the memory bounds them.
    pub model_limit_bytes: Option<u64>,
    /// The base models on it.
    pub models: Vec<LoadedModel>,
}

/// A base model in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedModel {
    /// Name under which it was first asked for.
    pub name: String,
    /// Content identity of its files.
    pub identity: String,
    /// Number type; none while it is being read.
    pub dtype: Option<&'static str>,
    /// Bytes of its weights; a forecast while it is being read.
    pub bytes: u64,
    /// Jobs and conversations that hold it now.
    pub users: u32,
    /// When it was last taken or given back, in seconds of the clock that contexts tell.
    pub last_used_seconds: f64,
    /// Time that reading took; none while it is being read.
    pub load_seconds: Option<f64>,
}
