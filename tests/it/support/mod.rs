//! What tests share: a database of their own, a server of their own.

#![allow(dead_code, unused_imports)] // each test uses a part

mod postgres;
mod server;

pub use postgres::{TestDatabase, database};
pub use server::{TestServer, server, server_on, server_with};
