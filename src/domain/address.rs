//! How an answering model is called: `base`, `base@job_…`, `base@job_…:step400`, `base@ad_…`, each trained one with `*scale`.
//!
//! One grammar for chat, evaluations and answers. Whether the parts exist is asked elsewhere.

use std::fmt;
use std::str::FromStr;

use super::assets::check_name;
use super::ids::{AdapterId, BaseModelId, JobId};

/// A model's address.
#[derive(Debug, Clone, PartialEq)]
pub struct Address {
    /// Name or id of the base model.
    pub base: String,
    /// What is put on it; none for the base itself.
    pub change: Option<AddressedChange>,
}

/// A trained change and how much of it.
#[derive(Debug, Clone, PartialEq)]
pub struct AddressedChange {
    /// Which.
    pub trained: Trained,
    /// Factor on it; 1 is as trained, 0 the base. Finite.
    pub scale: f64,
}

/// A trained change of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trained {
    /// A fine-tune's checkpoint.
    Job {
        /// The fine-tune.
        job: JobId,
        /// Updates made; none for its newest checkpoint.
        step: Option<u64>,
    },
    /// An imported adapter, by id or name.
    Adapter(String),
}

/// Text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{}\" is not a model address: {detail}; write base, base@job_…, base@job_…:step400 or base@ad_…, the last three with *0.5 for a scale", .text.escape_debug())]
pub struct NotAnAddress {
    /// What was given.
    pub text: String,
    /// Which part cannot be read.
    pub detail: String,
}

impl Address {
    /// The address of a base itself.
    pub fn of_base(base: impl Into<String>) -> Self {
        Self {
            base: base.into(),
            change: None,
        }
    }

    /// The address of a checkpoint at a scale.
    pub fn of_checkpoint(base: impl Into<String>, job: &JobId, step: u64, scale: f64) -> Self {
        let trained = Trained::Job {
            job: job.clone(),
            step: Some(step),
        };
        Self {
            base: base.into(),
            change: Some(AddressedChange { trained, scale }),
        }
    }

    /// The address of a handed-in adapter at a scale.
    pub fn of_adapter(base: impl Into<String>, adapter: &AdapterId, scale: f64) -> Self {
        let trained = Trained::Adapter(adapter.to_string());
        Self {
            base: base.into(),
            change: Some(AddressedChange { trained, scale }),
        }
    }
}

impl FromStr for Trained {
    type Err = NotAnAddress;

    /// What stands behind the `@` of an address, without its scale.
    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        read_trained(text).map_err(|detail| NotAnAddress {
            text: text.chars().take(200).collect(),
            detail,
        })
    }
}

impl fmt::Display for Address {
    /// The scale stands only where it is not 1.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)?;
        let Some(change) = &self.change else {
            return Ok(());
        };
        match &change.trained {
            Trained::Job { job, step: None } => write!(f, "@{job}")?,
            Trained::Job {
                job,
                step: Some(step),
            } => write!(f, "@{job}:step{step}")?,
            Trained::Adapter(adapter) => write!(f, "@{adapter}")?,
        }
        match change.scale {
            1.0 => Ok(()),
            scale => write!(f, "*{scale}"),
        }
    }
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        read(text).map_err(|detail| NotAnAddress {
            text: text.chars().take(200).collect(),
            detail,
        })
    }
}

fn read(text: &str) -> Result<Address, String> {
    let (model, scale) = match text.split_once('*') {
        Some((model, scale)) => (model, Some(scale)),
        None => (text, None),
    };
    let (base, trained) = match model.split_once('@') {
        Some((base, trained)) => (base, Some(trained)),
        None => (model, None),
    };
    check_base(base)?;
    let Some(trained) = trained else {
        return match scale {
            None => Ok(Address::of_base(base)),
            Some(_) => Err("a scale needs a trained change, and there is no @ before it".into()),
        };
    };
    let change = AddressedChange {
        trained: read_trained(trained)?,
        scale: scale.map(read_scale).transpose()?.unwrap_or(1.0),
    };
    Ok(Address {
        base: base.into(),
        change: Some(change),
    })
}

fn check_base(base: &str) -> Result<(), String> {
    let is_base = base.parse::<BaseModelId>().is_ok() || check_name("", base).is_ok();
    match (base, is_base) {
        ("", _) => Err("the base model's name is missing".into()),
        (_, true) => Ok(()),
        (other, false) => Err(format!(
            "\"{}\" is neither the name nor the id of a base model",
            other.escape_debug()
        )),
    }
}

fn read_trained(text: &str) -> Result<Trained, String> {
    let (name, step) = match text.split_once(':') {
        Some((name, step)) => (name, Some(step)),
        None => (text, None),
    };
    if let Some(job) = name
        .starts_with(JobId::PREFIX)
        .then(|| name.parse::<JobId>())
    {
        let job = job.map_err(|error| error.to_string())?;
        let step = step.map(read_step).transpose()?;
        return Ok(Trained::Job { job, step });
    }
    match (step, is_adapter(name)) {
        (_, false) => Err(format!(
            "\"{}\" behind @ is neither a fine-tune (job_…) nor an adapter (ad_…)",
            name.escape_debug()
        )),
        (Some(step), true) => Err(format!(
            "an adapter has no steps, so \":{}\" has no meaning",
            step.escape_debug()
        )),
        (None, true) => Ok(Trained::Adapter(name.into())),
    }
}

/// An adapter's id, or a name that an adapter could have.
fn is_adapter(name: &str) -> bool {
    name.strip_prefix("ad_").map_or_else(
        || check_name("", name).is_ok(),
        |body| body.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !body.is_empty(),
    )
}

fn read_step(text: &str) -> Result<u64, String> {
    let digits = text
        .strip_prefix("step")
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    let step = digits.and_then(|digits| digits.parse().ok());
    step.ok_or_else(|| {
        format!(
            "\":{}\" is not a step such as :step400",
            text.escape_debug()
        )
    })
}

fn read_scale(text: &str) -> Result<f64, String> {
    let is_number = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E'));
    let scale = is_number.then(|| text.parse::<f64>().ok()).flatten();
    scale.filter(|scale| scale.is_finite()).ok_or_else(|| {
        format!(
            "the scale \"{}\" is not a finite number",
            text.escape_debug()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobId {
        JobId::from_uuid(uuid::Uuid::from_u128(7))
    }

    fn refused(text: &str) -> String {
        text.parse::<Address>().unwrap_err().to_string()
    }

    #[test]
    fn every_form_reads_back_as_it_is_written() {
        let job = job();
        for text in [
            "toy".to_owned(),
            "Qwen2.5-0.5B".into(),
            format!("toy@{job}"),
            format!("toy@{job}:step400"),
            format!("toy@{job}:step400*0.5"),
            format!("toy@{job}*-3"),
            format!("toy@{job}*0"),
            "toy@ad_00000000000000000000000007*2.25".into(),
            "toy@my-adapter".into(),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_address_names_the_scale_only_where_it_is_not_one() {
        let job = job();
        let shown = |scale| Address::of_checkpoint("toy", &job, 120, scale).to_string();
        assert_eq!(shown(1.0), format!("toy@{job}:step120"));
        assert_eq!(shown(0.5), format!("toy@{job}:step120*0.5"));
        assert_eq!(shown(20.0), format!("toy@{job}:step120*20"));
        let read: Address = format!("toy@{job}*1.0").parse().unwrap();
        assert_eq!(read.to_string(), format!("toy@{job}"));
        let read: Address = format!("toy@{job}*-1.5e-1").parse().unwrap();
        assert_eq!(read.change.unwrap().scale, -0.15);
    }

    #[test]
    fn every_part_that_cannot_be_read_is_named() {
        let job = job();
        assert!(refused("").contains("name is missing"));
        assert!(refused("@x").contains("name is missing"));
        assert!(refused("a/b").contains("\"a/b\" is neither"));
        assert!(refused("toy*2").contains("needs a trained change"));
        assert!(refused("toy@").contains("behind @"));
        assert!(refused("toy@job_7").contains("job_"));
        assert!(refused("toy@cp_00000000000000000000000007").contains("behind @"));
        assert!(refused("toy@mine:step4").contains("no steps"));
        for step in [
            "",
            "step",
            "4",
            "step-4",
            "step4x",
            "step99999999999999999999",
        ] {
            let text = format!("toy@{job}:{step}");
            assert!(refused(&text).contains("is not a step"), "{text}");
        }
        for scale in ["", "nan", "inf", "-inf", "1e999", "2x", "2*3", " 2"] {
            let text = format!("toy@{job}*{scale}");
            assert!(refused(&text).contains("not a finite number"), "{text}");
        }
    }
}
