//! Any bytes as files of /proc/PID: what is read is bounded and holds no more than the text does.

#![no_main]

use lasthop_kernel::wire::proc_pid::{
    ARGUMENTS_MAX, GROUPS_MAX, arguments, cgroup, open_files, status,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let _ = open_files(&text);
    if let Some(status) = status(&text) {
        assert!(status.groups.len() <= GROUPS_MAX);
        assert!(!status.name.contains('\n'));
    }
    assert!(cgroup(&text).is_none_or(|path| !path.contains('\n')));
    let arguments = arguments(bytes);
    assert!(arguments.len() <= ARGUMENTS_MAX);
    assert!(arguments.iter().all(|argument| !argument.contains('\0')));
});
