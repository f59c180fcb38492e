//! HTTP/1.1 between a client and an app. Begin with `forward`: the life of one request, top to bottom.
//!
//! `serve` is a client's connection from its first byte to its close; `forward` one request on it, at a `desk` that the worker lends;
//! `upload` and `download` the two directions of that request, each with its body; `fault` all that
//! can go wrong, with whose fault it is and what the client is told; `answer` the proxy's own words; `refuse` those for clients that
//! there is no room for.

mod account;
mod advice;
mod answer;
mod body;
mod client;
mod date;
mod desk;
mod download;
mod exchange;
mod fault;
mod forward;
mod refuse;
mod report;
mod request;
mod serve;
#[cfg(test)]
mod simulation;
mod site;
mod upload;

pub use date::DateText;
pub use desk::Desks;
pub use refuse::{GOODBYES_MAX, Goodbyes, refuse};
pub use report::again as report_again;
pub use serve::serve;
pub use site::{ListenerSite, Site};
