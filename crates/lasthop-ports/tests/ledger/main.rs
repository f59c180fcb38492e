//! The ledger from outside: which pair comes next, what comes back and when, what a reading puts right, and the same
//! against a naive model that writes every tuple down.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by its panic"
)]

mod model;
mod readings;
mod refusals;
mod support;
mod walk;
