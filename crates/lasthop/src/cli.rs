//! The command line: what was asked for, as a [`Command`], or what to say instead.
//!
//! The only room that knows clap. It reads words and numbers; addresses and targets stay text until the configuration's
//! rules read them, so that a flag and a file are refused in the same words. It prints nothing and ends nothing.

mod top;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::{DEFAULT_PATH, RunFlags};
use crate::exit::Exit;

pub use top::TopOptions;

/// What the process was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Serve.
    Run(RunFrom),
    /// Show on this host what the last hop costs.
    Demo(DemoOptions),
    /// The part of the demo that it starts itself, in a network namespace of its own.
    DemoInside {
        /// For its files.
        directory: PathBuf,
    },
    /// Check a configuration and say what it would do.
    Check {
        /// The file.
        config: PathBuf,
    },
    /// Say how many connections a configuration can hold on this host.
    Plan {
        /// The file; [`DEFAULT_PATH`] where none was named.
        config: PathBuf,
    },
    /// Say what runs out on this host, or will.
    Doctor(DoctorOptions),
    /// Show a host in the terminal.
    Top(TopOptions),
}

/// Where `run` takes its configuration from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunFrom {
    /// A file; [`DEFAULT_PATH`] where none was named.
    File(PathBuf),
    /// The flags alone.
    Flags(RunFlags),
}

/// What `doctor` may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorOptions {
    /// What it judges.
    pub on: DoctorOn,
    /// JSON instead of text.
    pub json: bool,
    /// Colour in the text.
    pub colour: ColourWhen,
}

/// What `doctor` judges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DoctorOn {
    /// This host, as it is.
    Host(DoctorVisit),
    /// What was recorded in a file.
    Recording(PathBuf),
    /// Nothing: it prints the page of a finding.
    Page(String),
}

/// How `doctor` looks at a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorVisit {
    /// Again and again, until it is interrupted.
    pub watch: bool,
    /// Where snapshots are written as well.
    pub record: Option<PathBuf>,
    /// Which network namespaces.
    pub namespaces: DoctorNamespaces,
    /// A configuration whose Unix targets are looked at; [`DEFAULT_PATH`], if it can be read, where none was named.
    pub config: Option<PathBuf>,
}

/// Which network namespaces `doctor` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoctorNamespaces {
    /// Its own.
    Own,
    /// That of a process.
    OfProcess(u32),
    /// Those of all processes.
    All,
}

/// When text is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColourWhen {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Wherever it goes.
    Always,
    /// Nowhere.
    Never,
}

/// What `demo` may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoOptions {
    /// Load per scene, 1 to 60 seconds.
    pub seconds: u16,
}

/// A text instead of a command: help, the version, or why the words make no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Ends with a newline. A refusal says in its first line what is wrong.
    pub text: String,
    /// [`Exit::Done`] belongs on standard output, [`Exit::Usage`] on standard error.
    pub exit: Exit,
}

/// Commands of a version to come: refused by name, so that nobody takes them for a slip of the hand.
const PLANNED: [&str; 5] = ["reload", "upgrade", "drain", "status", "import"];

const EXAMPLES: &str = "\
Examples:
  lasthop demo
  lasthop doctor
  lasthop run --listen 127.0.0.1:8080 --to 127.0.0.1:3000
  lasthop run --listen 0.0.0.0:8080 --to unix:/run/app.sock
  lasthop check /etc/lasthop/lasthop.toml
  lasthop plan /etc/lasthop/lasthop.toml
  lasthop run /etc/lasthop/lasthop.toml

Exit status: 0 done, 1 failed at run time, 2 wrong usage or configuration; doctor alone: 3 something will hurt soon,
4 something hurts now.";

const RUN_EXAMPLES: &str = "\
An ADDR is IP:PORT, [IP6]:PORT or unix:/path (options ?mode=0660&owner=user&group=group).
A TARGET is IP:PORT, [IP6]:PORT, CIDR:PORT, unix:/path or unix:@name (abstract).

Examples:
  lasthop run
  lasthop run lasthop.toml
  lasthop run --listen 127.0.0.1:8080 --to 127.0.0.1:3000 --to 127.0.0.1:3001
  lasthop run --listen 'unix:/run/lasthop/web.sock?mode=0660&group=www-data' --to unix:/run/app.sock

Signals: SIGTERM and SIGINT drain with a deadline, a second one stops at once; SIGUSR1 opens the access log anew.";

const DOCTOR_EXAMPLES: &str = "\
It changes nothing, works for any proxy, and needs no privileges; run it as root to see who owns what.

Examples:
  lasthop doctor
  sudo lasthop doctor --netns all
  lasthop doctor --json
  lasthop doctor --watch --record wall.jsonl
  lasthop doctor --from wall.jsonl
  lasthop doctor --explain ports-exhausted

Exit status: 0 healthy, 1 could not tell, 2 wrong usage or no recording, 3 something will hurt soon, 4 something hurts
now.";

/// The reverse proxy for the last hop: from a host's edge to the application on the same host, without ever running out
/// of connections
#[derive(Parser)]
#[command(name = "lasthop", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Words,
}

#[derive(Subcommand)]
enum Words {
    /// Serve, from a configuration file or from flags alone
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArguments),
    /// Show on this host where connections over TCP end, how that is passed, and what a Unix socket saves; needs nothing
    Demo {
        /// Seconds of load for each scene
        #[arg(long, value_name = "N", default_value_t = 3,
              value_parser = clap::value_parser!(u16).range(1..=60))]
        seconds: u16,
        /// Be the part that plays in a namespace; for the demo itself, which starts it there
        #[arg(long = "inside-the-wall", value_name = "DIRECTORY", hide = true)]
        inside: Option<PathBuf>,
    },
    /// Check a configuration and say what it would do; never opens a port
    Check {
        /// The configuration file
        #[arg(value_name = "CONFIG")]
        config: PathBuf,
    },
    /// Say how many connections each upstream can hold on this host, as a sum; never opens a port
    Plan {
        /// The configuration file
        #[arg(value_name = "CONFIG", default_value = DEFAULT_PATH)]
        config: PathBuf,
    },
    /// Say what runs out on this host or will, for any proxy, with the lines that mend it; changes nothing
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArguments),
    /// Show sockets, ports against the wall, findings and an instance, live in the terminal; changes nothing
    #[command(after_help = top::EXAMPLES)]
    Top(top::TopArguments),
}

#[derive(Args)]
struct DoctorArguments {
    /// Write one JSON object instead of text; with --watch one on each line
    #[arg(long)]
    json: bool,
    /// Look again every few seconds, until interrupted
    #[arg(long)]
    watch: bool,
    /// Write what was seen to FILE as well, to be judged later; names of processes and paths are in it
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Judge what was recorded in FILE, of this host or of another
    #[arg(long, value_name = "FILE", conflicts_with_all = ["watch", "record", "netns", "config"])]
    from: Option<PathBuf>,
    /// Look into the network namespace of a process, or into all of them
    #[arg(long, value_name = "PID|all", value_parser = namespaces)]
    netns: Option<DoctorNamespaces>,
    /// Look at the Unix sockets that this configuration names [default: /etc/lasthop/lasthop.toml, if it can be read]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Colour the text
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    color: ColourWhen,
    /// Print the page of a finding, such as ports-exhausted
    #[arg(long, value_name = "CODE", conflicts_with_all = ["json", "watch", "record", "from", "netns", "config"])]
    explain: Option<String>,
}

fn namespaces(word: &str) -> Result<DoctorNamespaces, &'static str> {
    match (word, word.parse::<u32>()) {
        ("all", _) => Ok(DoctorNamespaces::All),
        (_, Ok(pid)) if pid > 0 => Ok(DoctorNamespaces::OfProcess(pid)),
        _ => Err("neither the number of a process nor `all`"),
    }
}

#[derive(Args)]
struct RunArguments {
    /// The configuration file [default: /etc/lasthop/lasthop.toml]
    #[arg(value_name = "CONFIG", conflicts_with_all = ["listen", "to", "admin", "access_log", "workers", "share"])]
    config: Option<PathBuf>,
    /// Listen here, without a file; may be repeated
    #[arg(long, value_name = "ADDR", requires = "to")]
    listen: Vec<String>,
    /// Pass requests to this target; may be repeated, targets are taken in turn
    #[arg(long, value_name = "TARGET", requires = "listen")]
    to: Vec<String>,
    /// Serve metrics and health to operators here: a loopback or unix address
    #[arg(long, value_name = "ADDR", requires = "listen")]
    admin: Option<String>,
    /// Write the access log there: off, stdout or the path of a file [default: stdout]
    #[arg(long, value_name = "WHERE", requires = "listen")]
    access_log: Option<String>,
    /// Worker threads; 0: one per core [default: 0]
    #[arg(long, value_name = "N", requires = "listen")]
    workers: Option<usize>,
    /// Let other instances serve the same addresses
    #[arg(long, requires = "listen")]
    share: bool,
}

/// Reads the words of the command line; the first is the program's own name.
///
/// # Errors
/// [`Said`] where there is a text to print instead of a command to run.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Command, Said> {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(command) = words.get(1).and_then(|word| word.to_str())
        && PLANNED.contains(&command)
    {
        return Err(Said {
            text: format!("`lasthop {command}` is planned, but not in this version\n"),
            exit: Exit::Usage,
        });
    }
    let cli = Cli::try_parse_from(words).map_err(said)?;
    Ok(match cli.command {
        Words::Run(arguments) => Command::Run(run(arguments)),
        Words::Demo {
            inside: Some(directory),
            ..
        } => Command::DemoInside { directory },
        Words::Demo {
            seconds,
            inside: None,
        } => Command::Demo(DemoOptions { seconds }),
        Words::Check { config } => Command::Check { config },
        Words::Plan { config } => Command::Plan { config },
        Words::Doctor(arguments) => Command::Doctor(doctor(arguments)),
        Words::Top(arguments) => Command::Top(arguments.into()),
    })
}

fn doctor(arguments: DoctorArguments) -> DoctorOptions {
    let on = match (arguments.explain, arguments.from) {
        (Some(code), _) => DoctorOn::Page(code),
        (None, Some(file)) => DoctorOn::Recording(file),
        (None, None) => DoctorOn::Host(DoctorVisit {
            watch: arguments.watch,
            record: arguments.record,
            namespaces: arguments.netns.unwrap_or(DoctorNamespaces::Own),
            config: arguments.config,
        }),
    };
    DoctorOptions {
        on,
        json: arguments.json,
        colour: arguments.color,
    }
}

fn run(arguments: RunArguments) -> RunFrom {
    if arguments.listen.is_empty() {
        let config = arguments
            .config
            .unwrap_or_else(|| PathBuf::from(DEFAULT_PATH));
        return RunFrom::File(config);
    }
    RunFrom::Flags(RunFlags {
        listen: arguments.listen,
        to: arguments.to,
        admin: arguments.admin,
        access_log: arguments.access_log,
        workers: arguments.workers,
        share: arguments.share,
    })
}

fn said(mut error: clap::Error) -> Said {
    // clap's "to pass '--x' as a value, use '-- --x'" is never what was meant: no address, target or file begins so.
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        tips.retain(|tip| !tip.to_string().starts_with("to pass "));
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Said {
            text,
            exit: Exit::Done,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Said {
            text: format!("no command was given\n\n{text}"),
            exit: Exit::Usage,
        },
        // That it is an error is known from where it is printed.
        _ => Said {
            text: text.trim_start_matches("error: ").to_owned(),
            exit: Exit::Usage,
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn read(line: &str) -> Result<Command, Said> {
        parse(
            std::iter::once("lasthop")
                .chain(line.split_whitespace())
                .map(OsString::from),
        )
    }

    fn refused(line: &str) -> String {
        let said = read(line).unwrap_err();
        assert_eq!(said.exit, Exit::Usage, "{line}: {}", said.text);
        said.text
    }

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_without_words_reads_the_file_of_the_system() {
        let expected = RunFrom::File(PathBuf::from("/etc/lasthop/lasthop.toml"));
        assert_eq!(read("run"), Ok(Command::Run(expected)));
        assert!(RUN_EXAMPLES.contains("lasthop run\n"));
        let help = read("run --help").unwrap_err().text;
        assert!(help.contains(DEFAULT_PATH), "{help}");
    }

    #[test]
    fn run_takes_a_file_or_flags() {
        let file = RunFrom::File(PathBuf::from("a.toml"));
        assert_eq!(read("run a.toml"), Ok(Command::Run(file)));
        let flags = RunFlags {
            listen: vec!["127.0.0.1:0".to_owned(), "unix:/l".to_owned()],
            to: vec!["127.0.0.1:3000".to_owned(), "unix:/a".to_owned()],
            admin: Some("127.0.0.1:0".to_owned()),
            access_log: Some("off".to_owned()),
            workers: Some(2),
            share: true,
        };
        let line = "run --listen 127.0.0.1:0 --listen unix:/l --to 127.0.0.1:3000 --to unix:/a --admin 127.0.0.1:0 \
                    --access-log off --workers 2 --share";
        assert_eq!(read(line), Ok(Command::Run(RunFrom::Flags(flags))));
    }

    #[test]
    fn a_file_and_flags_together_are_refused() {
        for flag in [
            "--listen a --to b",
            "--listen a --to b --workers 1",
            "--listen a --to b --admin c",
            "--share",
        ] {
            refused(&format!("run a.toml {flag}"));
        }
    }

    #[test]
    fn half_of_the_flags_is_not_enough() {
        assert!(refused("run --listen 127.0.0.1:8080").contains("--to"));
        assert!(refused("run --to 127.0.0.1:3000").contains("--listen"));
        assert!(refused("run --admin 127.0.0.1:9180").contains("--listen"));
        assert!(refused("run --access-log off").contains("--listen"));
        assert!(refused("run --workers 2").contains("--listen"));
        assert!(refused("run --share").contains("--listen"));
    }

    #[test]
    fn what_is_planned_is_refused_as_planned() {
        for line in ["reload", "upgrade", "drain", "status", "import x.conf"] {
            assert!(
                refused(line).contains("planned, but not in this version"),
                "{line}"
            );
        }
    }

    #[test]
    fn top_shows_this_host_or_another_namespace_live_or_once() {
        let plain = TopOptions {
            admin: None,
            token_file: None,
            netns: None,
            once: false,
            colour: ColourWhen::Auto,
        };
        assert_eq!(read("top"), Ok(Command::Top(plain.clone())));
        let all = TopOptions {
            admin: Some("unix:/a".to_owned()),
            token_file: Some("t".into()),
            netns: Some(7),
            once: true,
            ..plain.clone()
        };
        let line = "top --admin unix:/a --token-file t --netns 7 --once";
        assert_eq!(read(line), Ok(Command::Top(all)));
        let colour = ColourWhen::Never;
        assert_eq!(
            read("top --color never"),
            Ok(Command::Top(TopOptions { colour, ..plain }))
        );
        for line in [
            "top --netns 0",
            "top --netns all",
            "top --once --color always",
            "top x",
        ] {
            refused(line);
        }
    }

    #[test]
    fn help_and_version_are_no_failure() {
        for (line, part) in [
            ("--help", "Examples:"),
            ("--version", env!("CARGO_PKG_VERSION")),
            ("run --help", "--listen <ADDR>"),
            ("check --help", "CONFIG"),
        ] {
            let said = read(line).unwrap_err();
            assert_eq!(said.exit, Exit::Done, "{line}");
            assert!(said.text.contains(part), "{line}: {}", said.text);
        }
    }

    #[test]
    fn unknown_words_are_refused_with_the_nearest_known_one() {
        assert!(refused("chek x").contains("check"));
        assert!(refused("").starts_with("no command was given\n"));
        assert!(refused("fly").starts_with("unrecognized subcommand 'fly'\n"));
        assert!(refused("run --worker 2").contains("--workers"));
        let text = refused("run --fly");
        assert!(
            !text.contains("as a value") && !text.contains("\n\n\n"),
            "{text}"
        );
        refused("check");
        refused("check a b");
        refused("demo --seconds 0");
        refused("demo --seconds 61");
        refused("run --workers -1 --listen a --to b");
    }

    #[test]
    fn plan_reads_the_file_of_the_system_or_another() {
        for (line, config) in [("plan", DEFAULT_PATH), ("plan a.toml", "a.toml")] {
            let config = PathBuf::from(config);
            assert_eq!(read(line), Ok(Command::Plan { config }));
        }
        refused("plan a b");
    }

    #[test]
    fn the_doctor_looks_at_a_host_at_a_recording_or_up_a_page() {
        let on = |line: &str| match read(line) {
            Ok(Command::Doctor(options)) => options.on,
            other => panic!("{line}: {other:?}"),
        };
        let visit = DoctorVisit {
            watch: false,
            record: None,
            namespaces: DoctorNamespaces::Own,
            config: None,
        };
        assert_eq!(on("doctor --json"), DoctorOn::Host(visit.clone()));
        let namespaces = DoctorNamespaces::OfProcess(4711);
        let of_process = DoctorVisit {
            namespaces,
            ..visit.clone()
        };
        assert_eq!(on("doctor --netns 4711"), DoctorOn::Host(of_process));
        let watched = DoctorVisit {
            watch: true,
            record: Some(PathBuf::from("a")),
            namespaces: DoctorNamespaces::All,
            ..visit
        };
        assert_eq!(
            on("doctor --watch --record a --netns all"),
            DoctorOn::Host(watched)
        );
        assert_eq!(on("doctor --from a"), DoctorOn::Recording("a".into()));
        assert_eq!(
            on("doctor --explain ports-tight"),
            DoctorOn::Page("ports-tight".to_owned())
        );
        for line in [
            "doctor --netns 0",
            "doctor --netns none",
            "doctor --from a --watch",
            "doctor --from a --record b",
            "doctor --explain x --json",
            "doctor --color green",
            "doctor x",
        ] {
            refused(line);
        }
    }

    #[test]
    fn the_demo_has_a_length() {
        assert_eq!(read("demo"), Ok(Command::Demo(DemoOptions { seconds: 3 })));
        assert_eq!(
            read("demo --seconds 1"),
            Ok(Command::Demo(DemoOptions { seconds: 1 }))
        );
    }

    #[test]
    fn the_part_of_the_demo_that_it_starts_itself_is_not_in_the_help() {
        let directory = PathBuf::from("/d");
        let read_as = read("demo --inside-the-wall /d");
        assert_eq!(read_as, Ok(Command::DemoInside { directory }));
        let help = read("demo --help").unwrap_err().text;
        assert!(!help.contains("inside"), "{help}");
    }
}
