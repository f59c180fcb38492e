//! `cargo xtask`: the checks of the house rules that no compiler makes.
//!
//! It builds nothing, formats nothing and changes no file: `cargo`, `rustfmt` and `clippy` do that. It depends on the
//! standard library alone, so that it starts in a second on a fresh machine and never needs an upgrade of its own.

mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask tidy [ROOT]

  tidy   checks layers, dependencies, lengths, headers, forbidden words and the links of the documents.
         Prints one `path:line: message` a finding; exit status 0 clean, 1 findings, 2 wrong usage.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["tidy"] => tidy(&workspace_root()),
        ["tidy", root] => tidy(Path::new(root)),
        ["--help" | "-h" | "help"] => say(io::stdout(), USAGE, ExitCode::SUCCESS),
        _ => say(io::stderr(), USAGE, ExitCode::from(2)),
    }
}

fn tidy(root: &Path) -> ExitCode {
    let tree = match tidy::Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => return say(io::stderr(), &format!("tidy: {error}\n"), ExitCode::from(1)),
    };
    let findings = tidy::check(&tree);
    if findings.is_empty() {
        let text = format!("tidy: {} files, nothing to say\n", tree.len());
        return say(io::stdout(), &text, ExitCode::SUCCESS);
    }
    let mut text: String = findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect();
    text.push_str(&format!(
        "tidy: {} findings in {} files\n",
        findings.len(),
        tree.len()
    ));
    say(io::stdout(), &text, ExitCode::from(1))
}

/// The directory above this package. Known when the binary was built, which `cargo run` does for every call.
fn workspace_root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}

/// A reader that went away (`cargo xtask tidy | head`) is no failure of the check, so the error is dropped here.
fn say(mut stream: impl Write, text: &str, status: ExitCode) -> ExitCode {
    let _gone = stream.write_all(text.as_bytes());
    status
}
