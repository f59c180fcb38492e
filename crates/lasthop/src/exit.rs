//! How the process ends, as a number for scripts. All exit codes are here.

use std::process::ExitCode;

/// The outcome of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, or healthy.
    Done,
    /// 1: failed at run time, or could not tell.
    Failed,
    /// 2: wrong usage or configuration; nothing was started.
    Usage,
    /// 3: `doctor` found something that will hurt soon.
    HurtsSoon,
    /// 4: `doctor` found something that hurts now.
    HurtsNow,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::HurtsSoon => 3,
            Self::HurtsNow => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
