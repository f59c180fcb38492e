//! What a request and a connection may cost, counted: allocations, system calls, instructions, bytes of memory.
//!
//! Nothing here measures time, so a busy machine counts the same as an idle one, and what is counted for one request more
//! than yesterday is a failure with a name. Bounds are what it costs today: whoever needs more says why in the change that
//! raises one, and whoever needs less lowers it. CONTRIBUTING.md says which tools are needed and how tables are renewed.
//!
//! A test binary of its own, because it counts every allocation of its process, and nothing else may run meanwhile.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a failed expectation is how a test reports"
)]

#[allow(
    dead_code,
    unused_imports,
    reason = "what the suite shares; this binary needs a part of it"
)]
#[path = "../suite/support/mod.rs"]
mod support;

mod allocations;
mod app;
mod instructions;
mod kind;
mod memory;
mod release;
mod syscalls;
mod trace;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts for all threads: a worker is a thread of the proxy, and what it hands to others is paid for as well.
#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Tests of this binary take turns: the allocations of one are not to be counted by another, nor is its load to disturb.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn has left nothing half done.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
