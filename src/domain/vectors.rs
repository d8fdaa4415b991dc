//! The file of rank-1 vectors over the steps: which number lies where, in whole files and in what is picked from them.
//!
//! It is a safetensors file. `steps` `[S]` int64 comes first; then for each module `<name>.a` `[S, inputs]` and `<name>.b`
//! `[S, outputs]`, float32, row i belonging to `steps[i]`. Running attempts leave several such files, each of some
//! consecutive steps; a download is the file that they make together. Does no IO and knows no tensor.
//!
//! *Source* of the outer format: the safetensors README, a little-endian u64 with the header's length, the header as JSON
//! padded with blanks, the numbers without holes.

use serde_json::{Map, Value, json};

/// Bytes in front of the header.
pub const LENGTH: usize = 8;
const STEPS: &str = "steps";

/// A pair of rank 1 whose vectors are in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VectorModule {
    /// Such as `layers.21.mlp.down_proj`.
    pub name: String,
    /// Numbers of A.
    pub inputs: u64,
    /// Numbers of B.
    pub outputs: u64,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// In the order of the file.
    pub modules: Vec<VectorModule>,
    /// Ascending.
    pub steps: Vec<u64>,
}

/// Steps that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The first.
    pub from: u64,
    /// The last.
    pub to: u64,
    /// Only multiples of it.
    pub every: u64,
}

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// Which file, by its place.
    pub file: usize,
    /// Bytes before it.
    pub offset: u64,
    /// Bytes of it.
    pub length: u64,
}

/// A file made of stretches of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// How it begins: length, header, steps.
    pub head: Vec<u8>,
    /// What follows.
    pub pieces: Vec<Piece>,
}

impl Joined {
    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        let pieces = self.pieces.iter().map(|piece| piece.length);
        self.head.len() as u64 + pieces.sum::<u64>()
    }
}

/// Numbers of one step.
pub fn width(modules: &[VectorModule]) -> u64 {
    let numbers = |module: &VectorModule| module.inputs + module.outputs;
    modules.iter().map(numbers).sum()
}

/// The whole file of `rows`, which hold for each step every module's A and then its B.
///
/// *Shapes* rows: steps × [`width`], in one piece.
pub fn file(contents: &Contents, rows: &[f32]) -> Vec<u8> {
    let mut bytes = contents.head();
    bytes.reserve(4 * rows.len());
    let mut start = 0;
    for (_, length) in contents.tensors() {
        let part = start..start + length as usize;
        for row in rows.chunks(width(&contents.modules).max(1) as usize) {
            let numbers = row[part.clone()].iter();
            bytes.extend(numbers.flat_map(|number| number.to_le_bytes()));
        }
        start = part.end;
    }
    bytes
}

impl Contents {
    /// What stands in front of the first vector: length, header, steps.
    pub fn head(&self) -> Vec<u8> {
        let mut header = self.header().to_string().into_bytes();
        header.resize(header.len().next_multiple_of(LENGTH), b' ');
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        let steps = self.steps.iter();
        bytes.extend(steps.flat_map(|step| step.to_le_bytes()));
        bytes
    }

    fn header(&self) -> Value {
        let rows = self.steps.len() as u64;
        let mut end = 8 * rows;
        let steps = json!({"dtype": "I64", "shape": [rows], "data_offsets": [0, end]});
        let mut header = Map::from_iter([(STEPS.to_owned(), steps)]);
        for (name, width) in self.tensors() {
            let begin = end;
            end += 4 * rows * width;
            let tensor =
                json!({"dtype": "F32", "shape": [rows, width], "data_offsets": [begin, end]});
            header.insert(name, tensor);
        }
        Value::Object(header)
    }

    /// Name and numbers a step of every tensor behind the steps.
    fn tensors(&self) -> impl Iterator<Item = (String, u64)> {
        self.modules.iter().flat_map(|module| {
            let name = &module.name;
            [
                (format!("{name}.a"), module.inputs),
                (format!("{name}.b"), module.outputs),
            ]
        })
    }

    /// Reads a header, without its padding or with it, and the steps behind it.
    ///
    /// *Errors* say what is not as [`file()`] writes it.
    pub fn read(header: &[u8], steps: &[u8]) -> Result<Self, String> {
        let header: Map<String, Value> =
            serde_json::from_slice(header).map_err(|error| error.to_string())?;
        let mut tensors = Vec::with_capacity(header.len());
        for (name, tensor) in header.iter().filter(|(name, _)| *name != STEPS) {
            let number = |field: &str, place: usize| tensor[field][place].as_u64();
            let (Some(width), Some(begin)) = (number("shape", 1), number("data_offsets", 0)) else {
                return Err(format!("{name} has no shape or no place"));
            };
            tensors.push((begin, name, width));
        }
        tensors.sort_unstable();
        let (steps, _) = steps.as_chunks::<8>();
        let read = Self {
            modules: tensors.chunks(2).map(module_of).collect::<Result<_, _>>()?,
            steps: steps.iter().map(|step| u64::from_le_bytes(*step)).collect(),
        };
        match read.header() == Value::Object(header) {
            true => Ok(read),
            false => Err("the tensors do not lie as they should".into()),
        }
    }
}

/// Number of steps that a header tells of; none where it tells of none.
pub fn steps_of(header: &[u8]) -> Option<u64> {
    let header: Value = serde_json::from_slice(header).ok()?;
    header[STEPS]["shape"][0].as_u64()
}

/// From (offset, name, width) of an A and a B.
fn module_of(pair: &[(u64, &String, u64)]) -> Result<VectorModule, String> {
    let [(_, a, inputs), (_, b, outputs)] = pair else {
        return Err("a vector has no partner".into());
    };
    match (a.strip_suffix(".a"), b.strip_suffix(".b")) {
        (Some(name), Some(other)) if name == other => Ok(VectorModule {
            name: name.to_owned(),
            inputs: *inputs,
            outputs: *outputs,
        }),
        _ => Err(format!("{a} and {b} are no pair")),
    }
}

/// The file of the wanted steps of the modules at `places`, made of files with the same modules, ascending in steps.
pub fn joined(files: &[Contents], places: &[usize], wanted: Wanted) -> Joined {
    let picked: Vec<Vec<(usize, usize)>> = files.iter().map(|file| runs(file, wanted)).collect();
    let steps = files.iter().zip(&picked).flat_map(|(file, runs)| {
        let rows = runs
            .iter()
            .flat_map(|(first, end)| &file.steps[*first..*end]);
        rows.copied()
    });
    let modules = files.first().map_or(&[][..], |file| &file.modules);
    let contents = Contents {
        modules: places.iter().map(|&place| modules[place].clone()).collect(),
        steps: steps.collect(),
    };
    let mut pieces: Vec<Piece> = Vec::new();
    for tensor in places.iter().flat_map(|place| [2 * place, 2 * place + 1]) {
        for (place, (file, runs)) in files.iter().zip(&picked).enumerate() {
            pieces.extend(of_tensor(place, file, tensor, runs));
        }
    }
    Joined {
        head: contents.head(),
        pieces,
    }
}

/// Stretches `[first, end)` of rows that are wanted.
fn runs(file: &Contents, wanted: Wanted) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (row, step) in file.steps.iter().enumerate() {
        let inside = (wanted.from..=wanted.to).contains(step);
        if !inside || !step.is_multiple_of(wanted.every.max(1)) {
            continue;
        }
        match runs.last_mut() {
            Some((_, end)) if *end == row => *end += 1,
            _ => runs.push((row, row + 1)),
        }
    }
    runs
}

fn of_tensor(place: usize, file: &Contents, tensor: usize, runs: &[(usize, usize)]) -> Vec<Piece> {
    let rows = file.steps.len() as u64;
    let widths: Vec<u64> = file.tensors().map(|(_, width)| width).collect();
    let before = widths[..tensor].iter().sum::<u64>() * rows;
    let begin = file.head().len() as u64 + 4 * before;
    let bytes = 4 * widths[tensor];
    let piece = |(first, end): &(usize, usize)| Piece {
        file: place,
        offset: begin + bytes * *first as u64,
        length: bytes * (end - first) as u64,
    };
    runs.iter().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules() -> Vec<VectorModule> {
        let module = |name: &str, inputs, outputs| VectorModule {
            name: name.into(),
            inputs,
            outputs,
        };
        vec![module("layers.9.x", 3, 2), module("layers.10.x", 1, 2)]
    }

    fn contents(steps: impl IntoIterator<Item = u64>) -> Contents {
        Contents {
            modules: modules(),
            steps: steps.into_iter().collect(),
        }
    }

    /// Every number tells its step and its place.
    fn rows(contents: &Contents) -> Vec<f32> {
        let row = |step: u64| (0..8).map(move |place| (10 * step + place) as f32);
        contents.steps.iter().copied().flat_map(row).collect()
    }

    fn whole(contents: &Contents) -> Vec<u8> {
        file(contents, &rows(contents))
    }

    fn put_together(joined: &Joined, files: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = joined.head.clone();
        for piece in &joined.pieces {
            let begin = piece.offset as usize;
            bytes.extend(&files[piece.file][begin..begin + piece.length as usize]);
        }
        assert_eq!(bytes.len() as u64, joined.bytes());
        bytes
    }

    /// Shape and bytes of a tensor, by the header alone.
    fn tensor(bytes: &[u8], name: &str) -> (Vec<u64>, Vec<u8>) {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        let numbers = |field: &str| -> Vec<u64> {
            serde_json::from_value(header[name][field].clone()).unwrap()
        };
        let place = numbers("data_offsets");
        let data = &bytes[8 + length..][place[0] as usize..place[1] as usize];
        (numbers("shape"), data.to_vec())
    }

    fn floats(numbers: &[f32]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    fn wholes(numbers: &[u64]) -> Vec<u8> {
        numbers
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect()
    }

    #[test]
    fn every_vector_lies_under_its_name_row_by_row() {
        let bytes = whole(&contents([0, 1, 5]));
        let expected = floats(&[6.0, 7.0, 16.0, 17.0, 56.0, 57.0]);
        assert_eq!(tensor(&bytes, "layers.10.x.b"), (vec![3, 2], expected));
        assert_eq!(tensor(&bytes, "steps"), (vec![3], wholes(&[0, 1, 5])));
    }

    #[test]
    fn what_is_read_of_a_file_is_what_was_written() {
        let written = contents([3, 4, 9]);
        let bytes = whole(&written);
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let (header, rest) = bytes[8..].split_at(length);
        assert_eq!(steps_of(header), Some(3));
        assert_eq!(Contents::read(header, &rest[..24]), Ok(written));
        let moved = String::from_utf8(header.to_vec()).unwrap();
        let moved = moved.replace("[3,3]", "[3,4]");
        assert!(Contents::read(moved.as_bytes(), &rest[..24]).is_err());
    }

    #[test]
    fn files_of_some_steps_each_make_the_file_of_all_steps_wherever_they_are_cut() {
        let all = Wanted {
            from: 0,
            to: u64::MAX,
            every: 1,
        };
        let expected = whole(&contents(0..=12));
        for cuts in [vec![0..=12], vec![0..=4, 5..=5, 6..=12]] {
            let files: Vec<Contents> = cuts.into_iter().map(contents).collect();
            let bytes: Vec<Vec<u8>> = files.iter().map(whole).collect();
            assert!(put_together(&joined(&files, &[0, 1], all), &bytes) == expected);
        }
    }

    #[test]
    fn a_slice_holds_the_wanted_steps_and_modules_alone() {
        let files = [contents(0..=4), contents(5..=12)];
        let bytes: Vec<Vec<u8>> = files.iter().map(whole).collect();
        let wanted = Wanted {
            from: 3,
            to: 10,
            every: 2,
        };
        let found = put_together(&joined(&files, &[1], wanted), &bytes);
        assert_eq!(tensor(&found, "steps").1, wholes(&[4, 6, 8, 10]));
        let expected = floats(&[45.0, 65.0, 85.0, 105.0]);
        assert_eq!(tensor(&found, "layers.10.x.a"), (vec![4, 1], expected));
        assert!(!String::from_utf8_lossy(&found).contains("layers.9.x"));
    }

    #[test]
    fn without_files_there_are_no_steps() {
        let wanted = Wanted {
            from: 0,
            to: 9,
            every: 1,
        };
        let none = joined(&[], &[], wanted);
        assert_eq!(tensor(&none.head, "steps"), (vec![0], Vec::new()));
    }
}
