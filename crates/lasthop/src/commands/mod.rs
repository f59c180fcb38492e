//! What the binary can do, one file a command.

pub mod check;
pub mod demo;
pub mod run;
