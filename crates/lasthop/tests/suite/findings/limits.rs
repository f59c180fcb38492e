//! Processes that are short of descriptors.

use std::fs::File;

use lasthop_ports::finding::Code;

use crate::support::app::listen;
use crate::support::doctor::{visit, visit_naming};
use crate::support::process::{descriptors, limit_descriptors};
use crate::support::{Address, namespace};

/// A server, this process, with a hundred descriptors open of as many as `limit`.
fn server_with_a_hundred_descriptors<T>(limit: u32, look: impl FnOnce() -> T) -> T {
    let this = std::process::id();
    let _listener = listen(&Address::parse("127.0.0.1:3000"), 128);
    let mut open = Vec::new();
    while descriptors(this).len() < 100 {
        open.push(File::open("/dev/null").expect("a descriptor"));
    }
    limit_descriptors(this, limit);
    look()
}

#[test]
fn descriptors_tight_is_told_of_a_server_with_a_fifth_left() {
    namespace::with_ports("40000 40099", || {
        let visit = server_with_a_hundred_descriptors(118, || visit_naming(Code::DescriptorsTight));
        let finding = visit.tells(Code::DescriptorsTight, "warning");
        assert_eq!(finding["subject"]["pid"], std::process::id());
        assert_eq!(finding["usage"]["limit"], 118);
        assert_eq!(visit.exit, Some(3));
    });
}

#[test]
fn descriptors_tight_is_silent_about_a_server_with_a_third_left() {
    namespace::with_ports("40000 40099", || {
        let visit = server_with_a_hundred_descriptors(150, visit);
        visit.is_silent_about(Code::DescriptorsTight);
    });
}
