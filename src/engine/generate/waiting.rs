//! Rows that have no slot yet: in the order in which they came, by variant, those that somebody waits for first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::row::{Row, VariantKey};

/// What a row's keys and values depend on before its first token.
pub(super) type Place = (VariantKey, Arc<[u32]>);

/// The place of a row.
pub(super) fn place_of(row: &Row) -> Place {
    (row.variant.key(), row.prompt.clone())
}

/// The queue.
#[derive(Default)]
pub(super) struct Waiting {
    groups: Vec<Group>,
    uses: HashMap<Place, usize>,
}

struct Group {
    urgent: bool,
    variant: VariantKey,
    rows: VecDeque<(u64, Row)>,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether somebody waits for one of the rows.
    pub(super) fn is_urgent(&self) -> bool {
        self.groups.first().is_some_and(|group| group.urgent)
    }

    /// How many rows wait that begin at `place`.
    pub(super) fn uses(&self, place: &Place) -> usize {
        self.uses.get(place).copied().unwrap_or(0)
    }

    /// The first row of each group.
    pub(super) fn heads(&self) -> impl Iterator<Item = (usize, &Row)> {
        let fronts = self.groups.iter().enumerate();
        fronts.filter_map(|(group, found)| Some((group, &found.rows.front()?.1)))
    }

    pub(super) fn push(&mut self, id: u64, row: Row) {
        *self.uses.entry(place_of(&row)).or_insert(0) += 1;
        let (urgent, variant) = (row.urgent, row.variant.key());
        let same = |group: &Group| (group.urgent, group.variant) == (urgent, variant);
        let place = self.groups.iter().position(same).unwrap_or_else(|| {
            let before = |group: &&Group| group.urgent || !urgent;
            let place = self.groups.iter().take_while(before).count();
            let rows = VecDeque::new();
            self.groups.insert(
                place,
                Group {
                    urgent,
                    variant,
                    rows,
                },
            );
            place
        });
        self.groups[place].rows.push_back((id, row));
    }

    /// Takes the first row of a group.
    pub(super) fn pop(&mut self, group: usize) -> Option<(u64, Row)> {
        let found = self.groups.get_mut(group)?.rows.pop_front()?;
        self.settle(&found.1, group);
        Some(found)
    }

    /// Takes a row out, wherever it waits.
    pub(super) fn withdraw(&mut self, id: u64) -> Option<Row> {
        let at = |group: &Group| group.rows.iter().position(|(own, _)| *own == id);
        let mut groups = self.groups.iter().enumerate();
        let (group, row) = groups.find_map(|(group, found)| Some((group, at(found)?)))?;
        let (_, row) = self.groups[group].rows.remove(row)?;
        self.settle(&row, group);
        Some(row)
    }

    fn settle(&mut self, row: &Row, group: usize) {
        if self.groups[group].rows.is_empty() {
            self.groups.remove(group);
        }
        let place = place_of(row);
        if let Some(uses) = self.uses.get_mut(&place) {
            *uses -= 1;
            if *uses == 0 {
                self.uses.remove(&place);
            }
        }
    }
}
