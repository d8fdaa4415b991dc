//! The parameters of lists: where to go on, and how far.

use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiState;
use super::error::{Answer, Problem};
use crate::storage::registry::Stretch;

/// Items of a page where the client does not say.
const USUAL: u32 = 50;

/// A stretch of a list.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// Items at most; 50 where absent.
    pub limit: Option<u32>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl Paging {
    /// Items at most, within the configured bound.
    pub fn limit(&self, state: &ApiState) -> Answer<usize> {
        limit(self.limit, state)
    }

    /// What storage is asked for: one item more than a page, so that it is known whether there is more.
    pub fn stretch(&self, state: &ApiState) -> Answer<Stretch<'_>> {
        Ok(Stretch {
            before: self.cursor.as_deref(),
            limit: self.limit(state)? as i64 + 1,
        })
    }
}

/// `asked` or the usual length, within the configured bound.
pub fn limit(asked: Option<u32>, state: &ApiState) -> Answer<usize> {
    let most = state.settings.page_items;
    match asked.unwrap_or(USUAL.min(most)) {
        limit if (1..=most).contains(&limit) => Ok(limit as usize),
        limit => Err(Problem::parameter(
            "limit",
            format!("{limit} is not from 1 to {most}"),
        )),
    }
}
