//! The life of the process: read the command line, run one command, say how it ended.

use std::error::Error;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use lasthop::cli::{self, Command, DemoOptions, DoctorOptions, RunFrom, TopOptions};
use lasthop::commands;
use lasthop::config::Config;
use lasthop::exit::Exit;
use lasthop::server::Ended;

/// Each worker allocates and frees on its own thread only, at every request: mimalloc's per-thread
/// pages make that a few instructions, and give memory back after a crowd has left.
///
/// Its feature `no_thp` keeps it from asking for huge pages: with them an idle client took 1.2 kB instead of 0.9 and the
/// program 10 MiB more before its first connection, in steps of 2 MiB, and no request was faster.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Hosts that give huge pages to everybody do so unasked. Where it cannot be refused, it is only memory.
    let _ = lasthop_kernel::memory::refuse_huge_pages();
    // What a crowd held is the host's again when it has gone. Costs nothing that shows: what a request needs is kept.
    let _ = lasthop_kernel::allocator::give_back_at_once();
    match cli::parse(std::env::args_os()) {
        Ok(command) => run(command),
        Err(said) if said.exit == Exit::Done => print(&said.text, said.exit),
        Err(said) => complain(said.text.trim_end(), said.exit),
    }
    .into()
}

fn run(command: Command) -> Exit {
    match command {
        Command::Run(from) => serve(from),
        Command::Check { config } => {
            report(commands::check::run(&config, &mut std::io::stdout().lock()))
        }
        Command::Plan { config } => {
            report(commands::plan::run(&config, &mut std::io::stdout().lock()))
        }
        Command::Doctor(options) => doctor(&options),
        Command::Top(options) => top(&options),
        Command::Demo(options) => demo(options),
        Command::DemoInside { directory } => ended(&commands::demo::inside(&directory)),
    }
}

fn serve(from: RunFrom) -> Exit {
    let config = match from {
        RunFrom::File(path) => Config::from_file(&path),
        RunFrom::Flags(flags) => Config::from_flags(&flags),
    };
    match config {
        Ok(config) => match commands::run::run(config) {
            Ok(Ended::Drained | Ended::CutShort) => Exit::Done,
            Ok(Ended::WorkerFailed) => Exit::Failed,
            Err(error) => complain(&chain(&error), Exit::Failed),
        },
        Err(error) => complain(&error.to_string(), Exit::Usage),
    }
}

/// An error with its causes, one after the other on a line. Errors never repeat their source.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// Standard output may be closed, by a `head` behind us for one; there is nobody to tell then.
fn print(text: &str, exit: Exit) -> Exit {
    let _ = std::io::stdout().write_all(text.as_bytes());
    exit
}

fn complain(text: &str, exit: Exit) -> Exit {
    let _ = writeln!(std::io::stderr(), "lasthop: {text}");
    exit
}

fn report(outcome: Result<(), commands::ReportError>) -> Exit {
    match outcome {
        Ok(()) => Exit::Done,
        // Whoever reads has had enough, as `head` has.
        Err(commands::ReportError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => {
            Exit::Failed
        }
        Err(error) => complain(&error.to_string(), error.exit()),
    }
}

fn doctor(options: &DoctorOptions) -> Exit {
    match commands::doctor::run(options, &mut std::io::stdout()) {
        Ok(exit) => exit,
        Err(error) => complain(&chain(&error), error.exit()),
    }
}

fn demo(options: DemoOptions) -> Exit {
    ended(&commands::demo::run(options.seconds))
}

fn top(options: &TopOptions) -> Exit {
    match commands::top::run(options, &mut std::io::stdout()) {
        Ok(()) => Exit::Done,
        Err(error) => complain(&chain(&error), error.exit()),
    }
}

fn ended(result: &Result<(), impl Error>) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => complain(&chain(error), Exit::Failed),
    }
}
