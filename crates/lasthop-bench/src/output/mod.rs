//! A report as text for the terminal, as JSON for programs, as a chart, as Markdown for `docs/benchmarks.md`.
//!
//! Pure, but for [`files`]: a report in, text out.

pub(crate) mod churn;
pub(crate) mod comparison;
pub(crate) mod conditions;
pub(crate) mod document;
pub(crate) mod files;
pub(crate) mod fill;
pub(crate) mod hold;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod million;
pub(crate) mod plot;
pub(crate) mod sockets;
pub(crate) mod summary;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod text;

#[cfg(test)]
pub(crate) mod sample;
