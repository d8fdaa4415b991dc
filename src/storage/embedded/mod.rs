//! The managed cluster.
