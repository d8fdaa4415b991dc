//! An adapter or a steering vector on its way in: its two files written and hashed as they come, the fields beside them read.

use axum::extract::Request;
use axum::extract::multipart::Field;

use crate::api::ApiState;
use crate::api::error::{self, Answer, Problem};
use crate::api::extract::{self, media_type};
use crate::api::files::disk;
use crate::api::form;
use crate::artifacts::{Full, UploadError};
use crate::domain::adapter::{CONFIG, MODEL, STEERING_CONFIG, STEERING_VECTOR};
use crate::domain::assets::check_name;
use crate::domain::decode::escape;
use crate::domain::invalid::{FieldError, Findings};

/// Longest file of settings, in bytes.
const CONFIG_BYTES: u64 = 1 << 20;

/// A file under the name that it has in the adapter.
pub(super) type Named = (&'static str, Full);

/// An adapter that is whole and on disk, but neither checked nor stored.
pub(super) struct Intake {
    pub config: Named,
    pub model: Named,
    pub base_model: String,
    pub name: Option<String>,
}

/// What has come so far.
#[derive(Default)]
struct Parts {
    config: Option<Named>,
    model: Option<Named>,
    base_model: Option<String>,
    name: Option<String>,
}

impl Intake {
    /// Reads the form to its end.
    ///
    /// *Errors*: 415 for another body, 413 over a limit, 422 for a field that is missing, unexpected or sent twice.
    pub async fn receive(state: &ApiState, request: Request, name: Option<String>) -> Answer<Self> {
        if media_type(request.headers()) != "multipart/form-data" {
            let detail = "an adapter comes as multipart/form-data";
            return Err(Problem::new(&error::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let limit = state.settings.upload_bytes;
        let mut form = form::open(request, limit.saturating_add(CONFIG_BYTES)).await?;
        let mut parts = Parts {
            name,
            ..Parts::default()
        };
        while let Some(field) = form.next_field().await? {
            parts.take(state, field).await?;
        }
        parts.whole()
    }
}

impl Parts {
    async fn take(&mut self, state: &ApiState, field: Field<'_>) -> Answer<()> {
        let called = called(&field);
        match called.as_str() {
            CONFIG | STEERING_CONFIG if self.config.is_none() => {
                let name = [CONFIG, STEERING_CONFIG][usize::from(called == STEERING_CONFIG)];
                self.config = Some((name, file(state, field, CONFIG_BYTES).await?));
            }
            MODEL | STEERING_VECTOR if self.model.is_none() => {
                let name = [MODEL, STEERING_VECTOR][usize::from(called == STEERING_VECTOR)];
                let limit = state.settings.upload_bytes;
                self.model = Some((name, file(state, field, limit).await?));
            }
            "base_model" if self.base_model.is_none() => {
                self.base_model = Some(form::short_text(field, "/base_model").await?);
            }
            "name" if self.name.is_none() => {
                let name = form::short_text(field, "/name").await?;
                check_name("/name", &name)?;
                self.name = Some(name);
            }
            other => return Err(unexpected(other)),
        }
        Ok(())
    }

    fn whole(self) -> Answer<Intake> {
        let mut findings = Findings::default();
        let is = |file: &Option<Named>, wanted: &str| {
            file.as_ref().is_some_and(|(name, _)| *name == wanted)
        };
        let steers = is(&self.config, STEERING_CONFIG) || is(&self.model, STEERING_VECTOR);
        let (config, model) = match steers {
            true => (STEERING_CONFIG, STEERING_VECTOR),
            false => (CONFIG, MODEL),
        };
        for (name, there) in [
            (config, is(&self.config, config)),
            (model, is(&self.model, model)),
            ("base_model", self.base_model.is_some()),
        ] {
            findings.require(there, || {
                let place = format!("/{}", escape(name));
                FieldError::at(place, format!("the form has no field \"{name}\"")).hint(FIELDS)
            });
        }
        findings.finish()?;
        match (self.config, self.model, self.base_model) {
            (Some(config), Some(model), Some(base_model)) => Ok(Intake {
                config,
                model,
                base_model,
                name: self.name,
            }),
            _ => Err(Problem::internal("a field of the form went missing")),
        }
    }
}

const FIELDS: &str = "there are adapter_config.json, adapter_model.safetensors, base_model (the id or name of a base model) and \
    perhaps name, each once; for a steering vector steering_config.json and steering_vector.safetensors in place of the first two";

/// A field's name; that of its file where the field is just called `file` or `files`.
fn called(field: &Field<'_>) -> String {
    let name = match field.name() {
        Some("file" | "files") => field.file_name(),
        name => name,
    };
    name.unwrap_or("").chars().take(80).collect()
}

async fn file(state: &ApiState, mut field: Field<'_>, limit: u64) -> Answer<Full> {
    let mut upload = state.files.upload(limit).await.map_err(disk)?;
    while let Some(piece) = field.chunk().await? {
        upload.write(&piece).await.map_err(|error| match error {
            UploadError::TooLarge { limit } => extract::too_large(limit),
            UploadError::Io(error) => disk(error),
        })?;
    }
    upload.finish().await.map_err(disk)
}

fn unexpected(name: &str) -> Problem {
    let place = format!("/{}", escape(name));
    let error = match name.ends_with(".bin") || name.ends_with(".pt") {
        true => FieldError::at(
            place,
            format!(
                "\"{}\" is a pickle, which can run code, and is refused",
                name.escape_debug()
            ),
        )
        .hint("convert it to adapter_model.safetensors or steering_vector.safetensors"),
        false => FieldError::at(
            place,
            format!("unexpected form field \"{}\"", name.escape_debug()),
        )
        .hint(FIELDS),
    };
    crate::domain::invalid::Invalid::from(error).into()
}
