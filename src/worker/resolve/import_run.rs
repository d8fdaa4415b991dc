//! The files of a published run, and its base as far as it is known.

use std::path::Path;

use super::{Look, missing, refused};
use crate::domain::assets::BaseModelState;
use crate::domain::base_model::{self, HubSpec, Source};
use crate::domain::model_files::CONFIG;
use crate::domain::published_run::ImportSpec;
use crate::execution::fetch::Wanted;
use crate::execution::{Failure, ImportWork, ModelFiles, RunSource, Stop, folder};
use crate::storage::inputs;

impl Look<'_> {
    pub(super) fn import(&self, spec: ImportSpec) -> Result<ImportWork, Stop> {
        let source = base_model::source("/source", spec.source)
            .map_err(|error| refused("source", format!("source: {error}")))?;
        let source = match source {
            Source::Path(path) => {
                let roots = &self.shared.config.model_roots;
                let files = folder::run_files(Path::new(&path), roots);
                RunSource::Folder(files.map_err(Failure::from)?)
            }
            Source::Hub(HubSpec {
                hub,
                revision,
                commit: Some(commit),
            }) => RunSource::Hub(Wanted {
                model: hub,
                revision,
                commit,
            }),
            _ => {
                return Err(refused(
                    "source",
                    "source has neither path nor hub with commit",
                ));
            }
        };
        Ok(ImportWork {
            on_broken: spec.on_broken,
            source,
            base: self.config_of(&spec.base_model)?,
        })
    }

    /// The config of the base where it is ready; one that is not, or that failed, needs none.
    fn config_of(&self, reference: &str) -> Result<Option<ModelFiles>, Stop> {
        let found = self.ask(|storage| inputs::base_model(storage, reference))?;
        let found = found.ok_or_else(|| missing("base model", reference))?;
        if found.state != BaseModelState::Ready {
            return Ok(None);
        }
        let config: Vec<_> = found
            .files
            .into_iter()
            .filter(|file| file.name == CONFIG)
            .collect();
        self.model_files(found.name, &config).map(Some)
    }
}
