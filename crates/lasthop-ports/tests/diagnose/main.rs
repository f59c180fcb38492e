//! Every rule: the snapshots in which it must speak, with its headline word for word, and those in which it must not.

mod remedies;
mod shortage;
mod support;
