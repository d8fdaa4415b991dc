//! Reading and writing safetensors files as named tensors. Knows no architecture: which names and shapes are right is
//! the caller's to say.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, View};
use tch::{Kind, Tensor};

use super::device::Device;
use super::{Error, Result};

/// Some open safetensors files, taken apart tensor by tensor.
pub struct Archive {
    files: Vec<(String, Mmap)>,
    places: BTreeMap<String, usize>,
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
            archive.add(name, path)?;
        }
        Ok(archive)
    }

    fn add(&mut self, name: &str, path: &Path) -> Result<()> {
        let map = map(path).map_err(|source| Error::io(name, source))?;
        let content = parse(name, &map)?;
        for tensor in content.names() {
            let before = self.places.insert(tensor.to_string(), self.files.len());
            if let Some(other) = before {
                return Err(Error::UnexpectedTensor {
                    name: tensor.to_string(),
                    detail: format!("it is in {} and in {name}", self.files[other].0),
                });
            }
        }
        self.files.push((name.to_string(), map));
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
            .map(|file| self.files[*file].0.as_str())
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
        let (file, map) = self.find(name)?;
        let content = parse(file, map)?;
        let (view, stored) = expect(file, &content, name, shape)?;
        let host = Tensor::f_from_data_size(view.data(), shape, stored)?;
        let kind = kind.unwrap_or(stored);
        if device == Device::Cpu && kind == stored {
            return Ok(host);
        }
        Ok(host.f_to_device_(device.torch(), kind, false, false)?)
    }

    /// Whether `name` could be read, judged by the file's header alone.
    ///
    /// *Errors* as [`Archive::read`].
    pub fn check(&self, name: &str, shape: &[i64]) -> Result<()> {
        let (file, map) = self.find(name)?;
        expect(file, &parse(file, map)?, name, shape).map(|_| ())
    }

    fn find(&self, name: &str) -> Result<&(String, Mmap)> {
        match self.places.get(name) {
            Some(file) => Ok(&self.files[*file]),
            None => Err(Error::MissingTensor { name: name.into() }),
        }
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

#[allow(unsafe_code)]
fn map(path: &Path) -> std::io::Result<Mmap> {
    let file = File::open(path)?;
    // SAFETY: artifacts are immutable once stored, and every tensor is copied out of the map before it is used; a file
    // that somebody cuts short meanwhile raises a signal, as reading any mapped file does.
    unsafe { Mmap::map(&file) }
}

fn parse<'a>(name: &str, map: &'a Mmap) -> Result<SafeTensors<'a>> {
    SafeTensors::deserialize(map)
        .map_err(|error| Error::bad_file(name, format!("not a sound safetensors file: {error}")))
}

/// The tensor `name` of `content`, which must have this shape and be a plain float.
fn expect<'a>(
    file: &str,
    content: &SafeTensors<'a>,
    name: &str,
    shape: &[i64],
) -> Result<(TensorView<'a>, Kind)> {
    let view = content
        .tensor(name)
        .map_err(|error| Error::bad_file(file, error))?;
    let found: Vec<i64> = view.shape().iter().map(|size| *size as i64).collect();
    if found != shape {
        return Err(Error::Misshaped {
            name: name.into(),
            expected: shape.to_vec(),
            found,
        });
    }
    let stored = stored_kind(name, view.dtype())?;
    Ok((view, stored))
}

fn stored_kind(name: &str, dtype: Dtype) -> Result<Kind> {
    match dtype {
        Dtype::F32 => Ok(Kind::Float),
        Dtype::BF16 => Ok(Kind::BFloat16),
        Dtype::F16 => Ok(Kind::Half),
        other => Err(Error::NumberType {
            name: name.into(),
            found: format!("{other:?}"),
        }),
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
    safetensors::serialize_to_file(views, Some(metadata), path)
        .map_err(|error| Error::bad_file(name, format!("could not be written: {error}")))
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
