//! Storage on a real database.

mod pool;
