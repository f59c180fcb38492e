//! The findings of the doctor as promises: each code is provoked on a real kernel, in a network namespace of its own,
//! and told by the real binary; and beside it the same host, a little better off, where the doctor has to be silent.
//!
//! A test is named after the code that it is about, in snake case, and `is_told…` or `is_silent…`. What a namespace cannot
//! give, because it is the whole host's, is judged from [`recordings`](recorded).

mod limits;
mod plateau;
mod ports;
mod proxies;
mod queues;
mod range;
mod recorded;
mod time_wait;
mod unix;

use std::process::{Command, Stdio};

use lasthop_ports::finding;

#[test]
fn every_code_has_a_test_that_provokes_it_and_one_where_it_is_silent() {
    let this = std::env::current_exe().expect("our own path");
    let output = Command::new(this)
        .args(["--list", "--format", "terse"])
        .stdin(Stdio::null())
        .output();
    let output = output.expect("ourselves");
    let list = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = list
        .lines()
        .filter_map(|line| line.strip_suffix(": test")?.strip_prefix("findings::"))
        .filter_map(|name| Some(name.split_once("::")?.1))
        .collect();
    assert!(!names.is_empty(), "{list}");
    let mut missing = Vec::new();
    for code in finding::ALL {
        for what in ["is_told", "is_silent"] {
            let begin = format!("{}_{what}", code.as_str().replace('-', "_"));
            if !names.iter().any(|name| name.starts_with(&begin)) {
                missing.push(begin);
            }
        }
    }
    assert!(missing.is_empty(), "there is no test {missing:#?}");
}
