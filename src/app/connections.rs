//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

type Counts = Mutex<HashMap<IpAddr, usize>>;

/// Gives out places for connections.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    all: Arc<Semaphore>,
    each: usize,
    counts: Arc<Counts>,
}

/// A place for one connection; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    counts: Arc<Counts>,
    _permit: OwnedSemaphorePermit,
}

impl Connections {
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each,
            counts: Arc::default(),
        }
    }

    /// Waits until there is room for one more of any address.
    pub(super) async fn room(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    /// A place for a connection from `address`; none where it has its share.
    pub(super) fn admit(&self, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut counts = lock(&self.counts);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place {
            address,
            counts: self.counts.clone(),
            _permit: permit,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

fn lock(counts: &Counts) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_its_share_and_gets_it_back() {
        let connections = Connections::new(8, 2);
        let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [10, 0, 0, 1].into());
        let one = connections
            .admit(here, connections.room().await.unwrap())
            .unwrap();
        let _two = connections
            .admit(here, connections.room().await.unwrap())
            .unwrap();
        assert!(
            connections
                .admit(here, connections.room().await.unwrap())
                .is_none()
        );
        assert!(
            connections
                .admit(there, connections.room().await.unwrap())
                .is_some()
        );
        drop(one);
        assert!(
            connections
                .admit(here, connections.room().await.unwrap())
                .is_some()
        );
    }
}
