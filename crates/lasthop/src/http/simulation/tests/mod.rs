//! What holds under every schedule.

mod allocations;
mod flaws;
mod grammar;
mod properties;
mod tables;

use super::script::{Ending, Step, Until};
use super::*;

/// The proxy's defaults, on a worker with plenty.
const PLENTY: Settings = Settings {
    request_buffer: 64 * 1024,
    response_buffer: 256 * 1024,
    worker_buffers: 1 << 24,
};

/// Nothing is buffered.
const STREAMING: Settings = Settings {
    request_buffer: 0,
    response_buffer: 0,
    worker_buffers: 0,
};

fn send(text: impl AsRef<[u8]>) -> Step {
    Step::Send(text.as_ref().to_vec())
}

/// The app waits for the whole request and says this.
fn answers(text: impl AsRef<[u8]>) -> Vec<Step> {
    vec![Step::Wait(Until::Whole), send(text)]
}

/// The app waits for the whole request, says this and is gone.
fn answers_and_leaves(text: impl AsRef<[u8]>, ending: Ending) -> Vec<Step> {
    let mut steps = answers(text);
    steps.push(Step::Finish(ending));
    steps
}

/// Bytes that the scripts of a side say in all, each once.
fn bytes_said<'s>(scripts: impl IntoIterator<Item = &'s Vec<Step>>) -> usize {
    let steps = scripts.into_iter().flatten();
    steps
        .map(|step| match step {
            Step::Send(bytes) => bytes.len(),
            Step::Wait(_) | Step::Finish(_) => 0,
        })
        .sum()
}
