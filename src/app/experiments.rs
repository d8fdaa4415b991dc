//! When experiments are looked at: their analyses are asked for soon after everything else has ended.

use std::time::Duration;

use tokio::task::JoinHandle;

use crate::api::ApiState;
use crate::api::experiments::ask_due_analyses;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(2);

/// Asks for what is due until the server ends; several servers may.
pub(super) fn watch(state: &ApiState) -> JoinHandle<()> {
    let state = state.clone();
    tokio::spawn(async move {
        let works = async {
            loop {
                if let Err(error) = ask_due_analyses(&state).await {
                    tracing::warn!(error, "analyses of experiments could not be asked for");
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = works => {}
            () = state.closing.cancelled() => {}
        }
    })
}
