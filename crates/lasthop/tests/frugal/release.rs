//! The programs of a release build, where there is one. How many instructions something takes depends on the
//! optimisation, and so may memory, so what cargo has built for the tests is no measure of what is shipped.

use std::path::PathBuf;

/// Names the directory of a release build, such as `target/release`.
pub(crate) const VARIABLE: &str = "LASTHOP_RELEASE_DIR";

/// How it is made.
pub(crate) const HOW: &str = "cargo build --release --locked -p lasthop -p lasthop-http1 -p lasthop-ports \
    --bin lasthop --example cost --example ledger_cost";

fn directory() -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).filter(|path| !path.is_empty())?;
    let path = PathBuf::from(named);
    let Ok(path) = path.canonicalize() else {
        panic!(
            "{VARIABLE}: there is no {}; absolute, please",
            path.display()
        );
    };
    Some(path)
}

/// Whether [`binary`] is optimised.
pub(crate) fn is_released() -> bool {
    directory().is_some() || !cfg!(debug_assertions)
}

/// The binary of the release build if there is one, else the one that cargo has built with the tests.
pub(crate) fn binary() -> String {
    match directory() {
        Some(directory) => text(directory.join("lasthop")),
        None => crate::support::lasthop::binary().to_owned(),
    }
}

/// A program of the release build: `lasthop`, or `examples/` and a name. `Err` says why it cannot be had.
pub(crate) fn program(name: &str) -> Result<String, String> {
    let Some(directory) = directory() else {
        return Err(format!(
            "no release build: `{HOW}`, and {VARIABLE} names its directory"
        ));
    };
    let path = directory.join(name);
    if path.is_file() {
        Ok(text(path))
    } else {
        Err(format!("no {}: `{HOW}`", path.display()))
    }
}

fn text(path: PathBuf) -> String {
    path.into_os_string()
        .into_string()
        .expect("a path in UTF-8")
}
