//! What can be asked of `churn`.

use std::path::PathBuf;

use clap::Args;

use super::Outputs;

#[derive(Debug, Args)]
pub(crate) struct Churn {
    /// For how long clients come and go
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub(crate) minutes: u64,
    /// Clients that begin each second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=400))]
    pub(crate) per_second: u64,
    /// Our binary; without it, the one beside this harness
    #[arg(long, value_name = "PATH")]
    pub(crate) lasthop: Option<PathBuf>,
    /// Write everything to a file as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write the section into a Markdown file, in the place of an older one
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,
}

impl Churn {
    /// What is written besides the report on the terminal.
    pub(crate) fn outputs(&self) -> Outputs {
        Outputs {
            json: self.json.clone(),
            svg: None,
            markdown: self.markdown.clone(),
        }
    }
}
