//! What can be asked of `million`.

use std::path::PathBuf;

use clap::Args;

use super::{Outputs, connections};

/// How many it is about.
const CONNECTIONS: usize = 1_000_000;
/// Seconds between the two rounds of echoes.
const SILENCE: u64 = 60;

#[derive(Debug, Args)]
pub(crate) struct Million {
    /// Connections to be held; where this host has no room for so many, as many as fit
    #[arg(long, value_name = "N", default_value_t = CONNECTIONS, value_parser = connections)]
    pub(crate) connections: usize,
    /// Seconds in which nothing is sent, before every connection has to echo once more
    #[arg(long, value_name = "SECONDS", default_value_t = SILENCE, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) silence: u64,
    /// Seconds that opening them may take
    #[arg(long, value_name = "SECONDS", default_value_t = 1800, value_parser = clap::value_parser!(u64).range(1..=7200))]
    pub(crate) deadline: u64,
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    pub(crate) lasthop: Option<PathBuf>,
    /// Write everything to a file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the section into a Markdown file, in the place of an older one
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

impl Million {
    /// What repeats it, after the name of the program.
    pub(crate) fn arguments(&self) -> String {
        let mut words = "million".to_owned();
        if self.connections != CONNECTIONS {
            words.push_str(&format!(" --connections {}", self.connections));
        }
        if self.silence != SILENCE {
            words.push_str(&format!(" --silence {}", self.silence));
        }
        words
    }

    /// What is written besides the report on the terminal.
    pub(crate) fn outputs(&self) -> Outputs {
        Outputs {
            json: self.json.clone(),
            svg: None,
            markdown: self.markdown.clone(),
        }
    }
}
