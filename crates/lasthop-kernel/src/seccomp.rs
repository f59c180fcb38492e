//! Test support: a command that finds the kernel without something it has, as on an older one or in a sandbox.
//!
//! A filter on the command's system calls answers some of them with the error that such a kernel gives (seccomp(2)).
//! It is no protection: whoever wants to get around it can (by 32-bit calls, for one). Written by hand, because it is
//! half a dozen instructions.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` (linux/audit.h): the machine, with flags for 64 bits, little-endian.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_003e);
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: Option<u32> = Some(0xc000_00b7);
/// Elsewhere the command does not start: a test that would test nothing must not pass.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: Option<u32> = None;

/// Has `command` run as on a kernel before 6.3: setsockopt(2) of `IP_LOCAL_PORT_RANGE` says `ENOPROTOOPT`. The command
/// can gain no privileges by set-user-ID programs.
pub fn deny_port_range_option(command: &mut Command) -> &mut Command {
    let range = crate::option::IP_LOCAL_PORT_RANGE;
    let arguments = [(1, libc::IPPROTO_IP), (2, range)];
    deny(command, libc::SYS_setsockopt, arguments, libc::ENOPROTOOPT)
}

/// Has `command` run as in a sandbox that lists no sockets: socket(2) for `NETLINK_SOCK_DIAG` says `EPROTONOSUPPORT`.
/// Other netlink protocols are as they were. The command can gain no privileges by set-user-ID programs.
pub fn deny_sock_diag(command: &mut Command) -> &mut Command {
    let arguments = [(0, libc::AF_NETLINK), (2, libc::NETLINK_SOCK_DIAG)];
    deny(command, libc::SYS_socket, arguments, libc::EPROTONOSUPPORT)
}

/// Has `command` run as where splice(2) is not allowed, or not there: it says `ENOSYS`. The command can gain no privileges
/// by set-user-ID programs.
pub fn deny_splice(command: &mut Command) -> &mut Command {
    // Both offsets are null, as they have to be between pipes and sockets.
    deny(command, libc::SYS_splice, [(1, 0), (3, 0)], libc::ENOSYS)
}

/// Answers `errno` to a system call with these arguments, given as their place from 0 and their value.
fn deny(
    command: &mut Command,
    call: libc::c_long,
    arguments: [(u32, libc::c_int); 2],
    errno: libc::c_int,
) -> &mut Command {
    let program = ARCHITECTURE.map(|architecture| filter(architecture, call, arguments, errno));
    // SAFETY: between fork and exec two bare system calls are made, on a program that was built before; nothing is
    // allocated and no lock is taken.
    unsafe {
        command.pre_exec(move || match &program {
            Some(program) => install(program),
            None => Err(io::ErrorKind::Unsupported.into()),
        })
    }
}

fn install(program: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: libc::c_ushort::try_from(program.len()).unwrap_or(0),
        // The kernel copies the program and writes nothing to it.
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: plain numbers. Without this an unprivileged process may set no filter.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the structure and the instructions it points to live past the call; the kernel only reads them.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Compares the architecture, the number of the call and the lower halves of its arguments; the first that differs
/// lets the call through.
fn filter(
    architecture: u32,
    call: libc::c_long,
    arguments: [(u32, libc::c_int); 2],
    errno: libc::c_int,
) -> Vec<libc::sock_filter> {
    /// `struct seccomp_data` (linux/seccomp.h): number, architecture, instruction pointer, six arguments.
    const ARCHITECTURE_AT: u32 = 4;
    const ARGUMENTS_AT: u32 = 16;
    const ARGUMENT_BYTES: u32 = 8;
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

    let [first, second] = arguments
        .map(|(place, value)| (ARGUMENTS_AT + place * ARGUMENT_BYTES, value.cast_unsigned()));
    let comparisons = [
        (ARCHITECTURE_AT, architecture),
        // A call's number is small and positive; another would match nothing.
        (0, u32::try_from(call).unwrap_or(u32::MAX)),
        first,
        second,
    ];
    let mut program = Vec::with_capacity(comparisons.len() * 2 + 2);
    // How far it is from the first comparison over the others and the denial to the last instruction.
    for (index, (at, value)) in comparisons.into_iter().enumerate() {
        let later = comparisons.len() - 1 - index;
        let to_the_end = u8::try_from(later * 2 + 1).unwrap_or(u8::MAX);
        program.push(instruction(LOAD, 0, at));
        program.push(instruction(JUMP_IF_EQUAL, to_the_end, value));
    }
    let denial = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    program.push(instruction(RETURN, 0, denial));
    program.push(instruction(RETURN, 0, libc::SECCOMP_RET_ALLOW));
    program
}

/// `otherwise` is how many instructions a comparison that fails skips.
fn instruction(code: u32, otherwise: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: u16::try_from(code).unwrap_or_default(),
        jt: 0,
        jf: otherwise,
        k: operand,
    }
}
