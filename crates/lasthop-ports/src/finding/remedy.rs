//! What can be done about a finding: lines to paste, and how to take them back.

use serde::Serialize;

/// One way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remedy {
    /// What it does, in one line that begins with a verb.
    pub title: String,
    /// What to write or run.
    pub steps: Vec<Step>,
    /// How to take it back: commands, or words.
    pub undo: Vec<String>,
    /// What it costs or breaks; none where it is without risk.
    pub risk: Option<String>,
}

/// A thing to do, to be printed as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Step {
    /// Commands for a shell, one a line.
    Shell {
        /// The lines.
        lines: Vec<String>,
    },
    /// Lines for a file.
    Lines {
        /// Which file, or which part of a configuration: `nginx.conf, in upstream {}`.
        place: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// Something that no line can do.
    Words {
        /// What to do.
        text: String,
    },
}
