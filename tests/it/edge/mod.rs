//! The server as a process and as a peer on the network: sockets, settings, its own PostgreSQL, its document.

mod cluster;
mod document;
mod http;
mod manners;
mod sockets;
