//! The vectors of pairs of rank 1 after every update, gathered on the device until somebody takes them.

use tch::{Kind, Tensor};

use crate::domain::vectors::{Contents, VectorModule, width};
use crate::engine::Result;

use super::Trainer;
use super::norms::VectorPlace;
use super::trained::Trained;

/// Numbers gathered at most before they must be taken: 16 MiB.
const MOST: i64 = 1 << 22;

/// Steps whose vectors were copied and not yet taken. A copy on the device is all that a step costs; the host waits for none.
pub struct Recorder {
    modules: Vec<VectorModule>,
    places: Vec<VectorPlace>,
    /// *Shapes* rows × numbers of a step, float32.
    rows: Tensor,
    steps: Vec<u64>,
}

impl Recorder {
    /// Room for vectors of `trainer`; none where it trains no pair of rank 1.
    pub fn of(trainer: &Trainer) -> Result<Option<Self>> {
        let Trained::Pairs { adapter, layout } = &trainer.trained else {
            return Ok(None);
        };
        let places = layout.vectors();
        if places.is_empty() {
            return Ok(None);
        }
        let module = |place: &VectorPlace| VectorModule {
            name: adapter.pairs[place.module].module.name.clone(),
            inputs: place.inputs as u64,
            outputs: place.outputs as u64,
        };
        let modules: Vec<VectorModule> = places.iter().map(module).collect();
        let numbers = width(&modules) as i64;
        let rows = (MOST / numbers).max(1);
        let device = trainer.flat.weights.device();
        Ok(Some(Self {
            modules,
            places,
            rows: Tensor::f_empty([rows, numbers], (Kind::Float, device))?,
            steps: Vec::new(),
        }))
    }

    /// Bytes of one step.
    pub fn bytes(&self) -> u64 {
        4 * width(&self.modules)
    }

    /// Whether there is no room for another step.
    pub fn is_full(&self) -> bool {
        self.steps.len() as i64 >= self.rows.size()[0]
    }

    /// Copies the vectors as they are now. [`Recorder::take`] makes room where there is none.
    pub fn add(&mut self, trainer: &Trainer) -> Result<()> {
        let _guard = tch::no_grad_guard();
        let row = self.rows.f_select(0, self.steps.len() as i64)?;
        let parts = self.places.iter().flat_map(|place| {
            [
                (place.a_offset, place.inputs),
                (place.b_offset, place.outputs),
            ]
        });
        let parts = parts.map(|(offset, length)| trainer.flat.weights.f_narrow(0, offset, length));
        let parts = parts.collect::<std::result::Result<Vec<_>, _>>()?;
        let _ = Tensor::f_cat_out(&row, &parts, 0)?;
        self.steps.push(trainer.updates());
        Ok(())
    }

    /// What was gathered since the last call, with the rows that [`crate::domain::vectors::file`] asks for; none where there is nothing.
    pub fn take(&mut self) -> Result<Option<(Contents, Vec<f32>)>> {
        if self.steps.is_empty() {
            return Ok(None);
        }
        let rows = self.rows.f_narrow(0, 0, self.steps.len() as i64)?;
        let rows = Vec::<f32>::try_from(rows.f_reshape([-1])?)?;
        let contents = Contents {
            modules: self.modules.clone(),
            steps: std::mem::take(&mut self.steps),
        };
        Ok(Some((contents, rows)))
    }
}
