//! A stretch of a long list and where it goes on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub data: Vec<T>,
    /// What `cursor` must be to go on; null on the last page.
    pub next_cursor: Option<String>,
    /// Whether there is more.
    pub has_more: bool,
}

impl<T> Page<T> {
    /// A page of at most `limit` items out of `rows`, of which one more than `limit` was asked for.
    pub fn cut(mut rows: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> String) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next_cursor = rows.last().filter(|_| has_more).map(cursor);
        Self {
            data: rows,
            next_cursor,
            has_more,
        }
    }

    /// A list that is never long.
    pub fn whole(data: Vec<T>) -> Self {
        Self {
            data,
            next_cursor: None,
            has_more: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_page_before_others_has_a_cursor() {
        let page = |rows: Vec<u32>| Page::cut(rows, 2, u32::to_string);
        assert_eq!(page(vec![]), Page::whole(vec![]));
        assert_eq!(page(vec![1, 2]), Page::whole(vec![1, 2]));
        let more = page(vec![1, 2, 3]);
        assert_eq!(
            (more.data, more.next_cursor, more.has_more),
            (vec![1, 2], Some("2".into()), true)
        );
    }
}
