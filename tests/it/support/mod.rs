//! What tests share: a database of their own, a server of their own.

#![allow(dead_code)] // each test uses a part

mod postgres;

#[allow(unused_imports)] // named by those who keep one in a struct
pub use postgres::{TestDatabase, database};
