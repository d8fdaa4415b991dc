//! How config.json says rotary positions, in the newer and the older way. Knows no tensor.

use serde_json::Value;

use super::fields::{Fields, refuse};
use crate::engine::{Error, Result};

/// The frequencies of rotary positions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// Their base.
    pub theta: f64,
    /// What is done to them.
    pub scaling: RopeScaling,
}

/// How frequencies are stretched for longer texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low ones divided, high ones kept, those between blended: Llama 3.1 and later.
    Llama3 {
        /// The divisor of low ones.
        factor: f64,
        /// Below so many turns in the original context a frequency is low.
        low_freq_factor: f64,
        /// Above so many turns it is high.
        high_freq_factor: f64,
        /// The original context.
        original_max_position_embeddings: f64,
    },
}

const LLAMA3: [&str; 4] = [
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    "original_max_position_embeddings",
];
const KINDS: &str = "\"default\", \"linear\" and \"llama3\" are";

impl RopeConfig {
    /// Frequencies that nothing is done to.
    pub fn plain(theta: f64) -> Self {
        Self {
            theta,
            scaling: RopeScaling::None,
        }
    }

    /// One set of frequencies for all layers.
    ///
    /// Newer files keep all inside `rope_parameters`; older ones have `rope_theta` beside the other fields and the rest in
    /// `rope_scaling`.
    pub(super) fn read(fields: Fields, positions: i64) -> Result<Self> {
        fields.only("partial_rotary_factor", &Value::from(1.0), "only 1 is")?;
        let (newer, older) = (
            fields.object("rope_parameters")?,
            fields.object("rope_scaling")?,
        );
        if let (Some(_), Some(value)) = (newer, fields.get("rope_scaling")) {
            return refuse("rope_scaling", value, "rope_parameters is there as well");
        }
        let theta = fields.positive("rope_theta", Some(10_000.0))?;
        let read = match (newer, older) {
            (Some(inner), _) => Self::from_object("rope_parameters", inner, theta, positions)?,
            (None, Some(inner)) => Self::from_object("rope_scaling", inner, theta, positions)?,
            (None, None) => Self::plain(theta),
        };
        match fields.get("original_max_position_embeddings") {
            Some(value) if read.scaling != RopeScaling::None => refuse(
                "original_max_position_embeddings",
                value,
                "it belongs inside rope_scaling",
            ),
            _ => Ok(read),
        }
    }

    /// Gemma 3's two: those of full layers and those of sliding ones. `rope_scaling` is the full ones'.
    pub(super) fn read_both(fields: Fields, positions: i64) -> Result<(Self, Self)> {
        const NEWER: &str = "rope_parameters";
        let newer = fields.object(NEWER)?;
        let kinds = ["full_attention", "sliding_attention"];
        if let (Some(inner), Some(value)) = (newer, fields.get(NEWER))
            && inner.names().any(|name| !kinds.contains(&name))
        {
            return refuse(
                NEWER,
                value,
                "only full_attention and sliding_attention are in it",
            );
        }
        let of = |kind: &str| match newer {
            Some(inner) => inner.object(kind),
            None => Ok(None),
        };
        let one = |name: &str, inner: Option<Fields>, theta: f64| match inner {
            Some(inner) => Self::from_object(name, inner, theta, positions),
            None => Ok(Self::plain(theta)),
        };
        let global = fields.positive("rope_theta", Some(1_000_000.0))?;
        let local = fields.positive("rope_local_base_freq", Some(10_000.0))?;
        let full = match (of(kinds[0])?, fields.object("rope_scaling")?) {
            (Some(_), Some(_)) => Err(Error::config(
                "rope_scaling",
                "is given twice, rope_parameters has full_attention as well",
            )),
            (None, older @ Some(_)) => one("rope_scaling", older, global),
            (newer, None) => one(NEWER, newer, global),
        };
        Ok((full?, one(NEWER, of(kinds[1])?, local)?))
    }

    fn from_object(field: &str, inner: Fields, theta: f64, positions: i64) -> Result<Self> {
        let kind = inner.get("rope_type").or_else(|| inner.get("type"));
        let kind = kind.cloned().unwrap_or(Value::from("default"));
        let at = |name: &str| format!("{field}.{name}");
        let number = |name: &str, default| {
            let read = inner.positive(name, default);
            read.map_err(|error| within(field, error))
        };
        let whole = inner.only("partial_rotary_factor", &Value::from(1.0), "only 1 is");
        whole.map_err(|error| within(field, error))?;
        let (scaling, used): (_, &[&str]) = match kind.as_str() {
            Some("default") => (RopeScaling::None, &[]),
            Some("linear") => (
                RopeScaling::Linear {
                    factor: number("factor", None)?,
                },
                &["factor"],
            ),
            Some("llama3") => (llama3(number, positions)?, &LLAMA3),
            _ => return refuse(&at("rope_type"), &kind, KINDS),
        };
        let always = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
        let known = |name: &str| always.contains(&name) || used.contains(&name);
        if let Some(strange) = inner.names().find(|name| !known(name)) {
            let detail = format!("means nothing to rope_type {kind}; leave it out");
            return Err(Error::config(at(strange), detail));
        }
        Ok(Self {
            theta: number("rope_theta", Some(theta))?,
            scaling,
        })
    }
}

fn llama3(
    number: impl Fn(&str, Option<f64>) -> Result<f64>,
    positions: i64,
) -> Result<RopeScaling> {
    let [factor, low, high, original] = LLAMA3;
    let (low_freq_factor, high_freq_factor) = (number(low, None)?, number(high, None)?);
    if low_freq_factor >= high_freq_factor {
        let detail = format!("{low_freq_factor} is not below high_freq_factor {high_freq_factor}");
        return Err(Error::config(low, detail));
    }
    Ok(RopeScaling::Llama3 {
        factor: number(factor, None)?,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings: number(original, Some(positions as f64))?,
    })
}

/// The same error with the field said to be within `outer`.
fn within(outer: &str, error: Error) -> Error {
    match error {
        Error::Config { field, detail } => Error::config(format!("{outer}.{field}"), detail),
        other => other,
    }
}
