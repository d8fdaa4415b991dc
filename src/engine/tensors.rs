//! Reading and writing safetensors files as named tensors. Knows no architecture: which names and shapes are right is
//! the caller's to say.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::{Metadata, TensorInfo};
use safetensors::{Dtype, SafeTensorError, SafeTensors, View};
use tch::{Kind, Tensor};

use super::device::Device;
use super::{Error, Result};

/// Some open safetensors files, taken apart tensor by tensor.
pub struct Archive {
    files: Vec<Opened>,
    places: BTreeMap<String, usize>,
}

/// A file in memory by its map, with its header read.
struct Opened {
    name: String,
    map: Mmap,
    /// Where the header ends and the numbers begin.
    begin: usize,
    header: Metadata,
}

/// A tensor as it lies in its file.
struct Found<'a> {
    bytes: &'a [u8],
    kind: Kind,
}

impl Archive {
    /// Opens `(name, path)` files; the name is for messages.
    ///
    /// *Errors* `BadFile` for what is not safetensors, `UnexpectedTensor` for a name that two files hold.
    pub fn open<'a>(files: impl IntoIterator<Item = (&'a str, &'a Path)>) -> Result<Self> {
        let mut archive = Self {
            files: Vec::new(),
            places: BTreeMap::new(),
        };
        for (name, path) in files {
            archive.add(Opened::at(name, path)?)?;
        }
        Ok(archive)
    }

    fn add(&mut self, file: Opened) -> Result<()> {
        for tensor in file.header.offset_keys() {
            let before = self.places.insert(tensor.clone(), self.files.len());
            if let Some(other) = before {
                let detail = format!("it is in {} and in {}", self.files[other].name, file.name);
                return Err(Error::UnexpectedTensor {
                    name: tensor,
                    detail,
                });
            }
        }
        self.files.push(file);
        Ok(())
    }

    /// All tensor names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The file that holds a tensor.
    pub fn file_of(&self, name: &str) -> Option<&str> {
        self.places
            .get(name)
            .map(|file| self.files[*file].name.as_str())
    }

    /// Bytes that a tensor takes in its file; 0 where it is in none.
    pub fn bytes_of(&self, name: &str) -> u64 {
        let file = self.places.get(name).map(|file| &self.files[*file]);
        let info = file.and_then(|file| file.header.info(name));
        info.map_or(0, |info| (info.data_offsets.1 - info.data_offsets.0) as u64)
    }

    /// The shape of a tensor by its file's header; none where it is in no file.
    pub fn shape_of(&self, name: &str) -> Option<Vec<i64>> {
        let file = self.places.get(name).map(|file| &self.files[*file])?;
        let shape = &file.header.info(name)?.shape;
        Some(shape.iter().map(|size| *size as i64).collect())
    }

    /// A copy of the tensor `name` on `device`, as `kind` or as stored.
    ///
    /// *Errors* `MissingTensor`, `Misshaped` when it has not `shape`, `NumberType` when it is not a plain float.
    pub fn read(
        &self,
        name: &str,
        shape: &[i64],
        kind: Option<Kind>,
        device: Device,
    ) -> Result<Tensor> {
        let found = self.find(name, shape)?;
        copied(&found, shape, kind.unwrap_or(found.kind), device)
    }

    /// A copy on the host of the tensor `name`, which must be stored as `kind`; bytes are read as well.
    ///
    /// *Errors* as [`Archive::read`].
    pub fn read_as(&self, name: &str, shape: &[i64], kind: Kind) -> Result<Tensor> {
        let (file, info) = self.place(name, shape)?;
        match plain_kind(info.dtype) {
            Some(stored) if stored == kind => {
                copied(&file.found(info, kind), shape, kind, Device::Cpu)
            }
            _ => Err(Error::NumberType {
                name: name.into(),
                found: format!("{:?}", info.dtype),
            }),
        }
    }

    /// Whether `name` could be read, judged by the file's header alone.
    ///
    /// *Errors* as [`Archive::read`].
    pub fn check(&self, name: &str, shape: &[i64]) -> Result<()> {
        self.find(name, shape).map(|_| ())
    }

    /// The tensor `name`, which must have this shape and be a plain float.
    fn find(&self, name: &str, shape: &[i64]) -> Result<Found<'_>> {
        let (file, info) = self.place(name, shape)?;
        let kind = stored_kind(name, info.dtype)?;
        Ok(file.found(info, kind))
    }

    /// The file and the line in its header of the tensor `name`, which must have this shape.
    fn place(&self, name: &str, shape: &[i64]) -> Result<(&Opened, &TensorInfo)> {
        let file = self.places.get(name).map(|file| &self.files[*file]);
        let info = file.and_then(|file| file.header.info(name));
        let (Some(file), Some(info)) = (file, info) else {
            return Err(Error::MissingTensor { name: name.into() });
        };
        let found: Vec<i64> = info.shape.iter().map(|size| *size as i64).collect();
        if found != shape {
            return Err(Error::Misshaped {
                name: name.into(),
                expected: shape.to_vec(),
                found,
            });
        }
        Ok((file, info))
    }

    /// *Errors* `UnexpectedTensor` for the first tensor that `wanted` refuses.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Result<()> {
        match self.names().find(|name| !wanted(name)) {
            None => Ok(()),
            Some(name) => Err(Error::UnexpectedTensor {
                name: name.into(),
                detail: "the config has no place for it".into(),
            }),
        }
    }
}

impl Opened {
    fn found(&self, info: &TensorInfo, kind: Kind) -> Found<'_> {
        let (begin, end) = info.data_offsets;
        let bytes = &self.map[self.begin + begin..self.begin + end];
        Found { bytes, kind }
    }

    fn at(name: &str, path: &Path) -> Result<Self> {
        let map = map(path).map_err(|source| Error::io(name, source))?;
        let (length, header) = SafeTensors::read_metadata(&map).map_err(|error| {
            Error::bad_file(name, format!("not a sound safetensors file: {error}"))
        })?;
        Ok(Self {
            name: name.into(),
            map,
            begin: length + size_of::<u64>(),
            header,
        })
    }
}

#[allow(unsafe_code)]
fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: artifacts are immutable once stored, and every tensor is copied out of the map before it is used; a file
    // that somebody cuts short meanwhile raises a signal, as reading any mapped file does.
    unsafe { Mmap::map(&file) }
}

/// One copy from the map to where the tensor is wanted, converted on the way.
#[allow(unsafe_code)]
fn copied(found: &Found, shape: &[i64], kind: Kind, device: Device) -> Result<Tensor> {
    let width = found.kind.elt_size_in_bytes();
    if !found.bytes.as_ptr().addr().is_multiple_of(width) {
        let host = Tensor::f_from_data_size(found.bytes, shape, found.kind)?;
        return Ok(host.f_to_device_(device.torch(), kind, false, false)?);
    }
    let host = tch::Device::Cpu;
    // SAFETY: the header's check made sure that the bytes are as many as shape and number type say, they are aligned for
    // that type, only read, and outlive the view, which is dropped here; the copy is forced.
    let view = unsafe { Tensor::f_from_blob(found.bytes.as_ptr(), shape, &[], found.kind, host)? };
    Ok(view.f_to_device_(device.torch(), kind, false, true)?)
}

/// *Errors* `NumberType` for what is not a float.
fn stored_kind(name: &str, dtype: Dtype) -> Result<Kind> {
    match plain_kind(dtype) {
        Some(kind) if kind != Kind::Uint8 => Ok(kind),
        _ => Err(Error::NumberType {
            name: name.into(),
            found: format!("{dtype:?}"),
        }),
    }
}

fn plain_kind(dtype: Dtype) -> Option<Kind> {
    match dtype {
        Dtype::F32 => Some(Kind::Float),
        Dtype::BF16 => Some(Kind::BFloat16),
        Dtype::F16 => Some(Kind::Half),
        Dtype::U8 => Some(Kind::Uint8),
        _ => None,
    }
}

/// Writes named tensors with the metadata that Hugging Face loaders ask for; equal tensors give equal bytes.
///
/// The file appears under its name only when it is complete.
pub fn write(path: &Path, named: &[(String, Tensor)]) -> Result<()> {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let views = named
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), Bytes::of(name, tensor)?)))
        .collect::<Result<Vec<_>>>()?;
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| match error {
        SafeTensorError::IoError(source) => Error::Io { what: name, source },
        error => Error::bad_file(name, format!("could not be written: {error}")),
    })
}

/// A tensor on the host as the bytes that a file holds.
struct Bytes {
    dtype: Dtype,
    shape: Vec<usize>,
    data: Vec<u8>,
}

impl Bytes {
    fn of(name: &str, tensor: &Tensor) -> Result<Self> {
        let dtype = match tensor.f_kind()? {
            Kind::Float => Dtype::F32,
            Kind::BFloat16 => Dtype::BF16,
            Kind::Half => Dtype::F16,
            Kind::Int64 => Dtype::I64,
            Kind::Uint8 => Dtype::U8,
            other => {
                return Err(Error::NumberType {
                    name: name.into(),
                    found: format!("{other:?}"),
                });
            }
        };
        let host = tensor
            .f_detach()?
            .f_to_device(tch::Device::Cpu)?
            .f_contiguous()?;
        let mut data = vec![0; host.numel() * dtype.bitsize() / 8];
        host.f_copy_data_u8(&mut data, host.numel())?;
        Ok(Self {
            dtype,
            shape: host.size().iter().map(|size| *size as usize).collect(),
            data,
        })
    }
}

impl View for Bytes {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.data)
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}
