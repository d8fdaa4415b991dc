//! Tensors, model files, adapters, training, generation. Never hears of jobs, HTTP, SQL, tokio or clocks.

pub mod train;
