//! The words of `lasthop top`.

use std::path::PathBuf;

use clap::Args;

use super::ColourWhen;

pub(super) const EXAMPLES: &str = "\
Works with or without an instance, needs no privileges; run it as root to see who owns what. Press ? for the keys.

Examples:
  lasthop top
  lasthop top --admin unix:/run/lasthop/admin.sock
  lasthop top --once
  sudo lasthop top --netns 4711";

/// What `top` may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopOptions {
    /// The admin address of an instance; none: found out.
    pub admin: Option<String>,
    /// A file with its token.
    pub token_file: Option<PathBuf>,
    /// A process whose network namespace is looked at; none: its own.
    pub netns: Option<u32>,
    /// One frame as plain text.
    pub once: bool,
    /// Colour on the screen.
    pub colour: ColourWhen,
}

#[derive(Args)]
pub(super) struct TopArguments {
    /// The admin address of an instance: IP:PORT or unix:/path [default: that of /etc/lasthop/lasthop.toml, or else
    /// 127.0.0.1:9180; none has to be there]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Read the token of the admin address from FILE [default: LASTHOP_ADMIN_TOKEN, or that of the configuration]
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Look into the network namespace of a process
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    netns: Option<u32>,
    /// Print one frame as plain text, 80 columns wide or COLUMNS, and end
    #[arg(long)]
    once: bool,
    /// Colour the screen
    #[arg(
        long,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        conflicts_with = "once"
    )]
    color: ColourWhen,
}

impl From<TopArguments> for TopOptions {
    fn from(arguments: TopArguments) -> Self {
        Self {
            admin: arguments.admin,
            token_file: arguments.token_file,
            netns: arguments.netns,
            once: arguments.once,
            colour: arguments.color,
        }
    }
}
