//! Every rule: the snapshots in which it must speak, with its headline word for word, and those in which it must not.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

mod plain;
mod plateau;
mod quiet;
mod range;
mod remedies;
mod shortage;
mod slope;
mod support;
mod time_wait;
