//! A failed connect in words, with the fix: what the log says once where a thousand errnos would say nothing.
//!
//! Looks at the host as it is now (files, users, settings), which may be a moment after the failure, and decides
//! nothing. The calls block on the file system and on the user database: ask at most once per log period and off the
//! workers, never per failed request.

mod tcp;
mod unix;

pub use tcp::tcp;
pub use unix::unix;

use crate::connect::ConnectFault;
use crate::sysctl;

/// What holds for every kind of target, or `None` where the kind matters.
fn common(fault: ConnectFault) -> Option<String> {
    let text = match fault {
        ConnectFault::Descriptors => format!(
            "lasthop or the whole host is out of file descriptors{}: raise the hard limit (systemd: LimitNOFILE=) or \
             fs.file-max",
            open_files_limit()
        ),
        ConnectFault::Memory => {
            "the kernel has no memory left for another socket (net.ipv4.tcp_mem, or the memory \
                                 limit of the control group)"
                .to_owned()
        }
        _ => return None,
    };
    Some(text)
}

fn open_files_limit() -> String {
    crate::limits::nofile().map_or_else(
        |_| String::new(),
        |limit| format!(" (the limit of this process is {} open files)", limit.soft),
    )
}

/// ` (at most 4096 here, by net.core.somaxconn)`, or nothing where that cannot be read.
fn backlog_limit() -> String {
    sysctl::somaxconn().map_or_else(
        |_| String::new(),
        |limit| format!(" (at most {limit} here, by net.core.somaxconn)"),
    )
}
