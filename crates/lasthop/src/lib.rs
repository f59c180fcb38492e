//! lasthop: the reverse proxy for the last hop, from a host's edge to the application on the same host.
//!
//! The library is the proxy; the binary only chooses a command. ARCHITECTURE.md is the map: which room
//! does what, and which may use which. To read the code along the life of a request, begin with
//! `http/forward.rs`.

pub mod admin;
pub mod cli;
pub mod commands;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod history;
pub mod http;
pub mod listener;
pub mod observe;
pub mod ports;
pub mod relay;
pub mod route;
pub mod sampler;
pub mod server;
pub mod top;
pub mod transport;
pub mod upstream;
