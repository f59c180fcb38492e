//! `lasthop check CONFIG`: is the file right, and what would it do on this host?
//!
//! Never opens a port, never connects. The outcome is that of `run`: a file that is wrong is refused, and so is one that
//! gives a socket to a user or group which this host does not have. What fails only as things are now (a permission
//! towards the application, a directory that a service manager makes) is said first in the report and is no failure,
//! because it may well be otherwise later. An application's socket that is not there yet is no remark at all.

mod failing;
mod permission;
mod report;
mod socket_file;

use std::io::Write;
use std::path::Path;

use lasthop_kernel::identity::{IdentityError, resolve_group, resolve_user};

use super::ReportError;
use super::warnings::{warnings, way_of_this_host};
use crate::config::{Config, ListenAddress};

use report::{Host, Report};

/// Reads and checks the file and writes what it would do.
///
/// # Errors
/// [`ReportError::Config`] where the file is refused, [`ReportError::Output`] where `out` is.
pub fn run(path: &Path, out: &mut impl Write) -> Result<(), ReportError> {
    let config = Config::from_file_for(path, knows_owner_and_group).map_err(ReportError::Config)?;
    let report = Report {
        label: path.display(),
        config: &config,
        host: &Host::this(),
        warnings: &warnings(&config, &way_of_this_host),
    };
    write!(out, "{report}")
        .and_then(|()| out.flush())
        .map_err(ReportError::Output)
}

/// `run` asks the same when it opens the listener.
fn knows_owner_and_group(address: &ListenAddress) -> Result<(), String> {
    let ListenAddress::Unix { owner, group, .. } = address else {
        return Ok(());
    };
    let told = |error: IdentityError| match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    owner
        .as_deref()
        .map(resolve_user)
        .transpose()
        .map_err(told)?;
    group
        .as_deref()
        .map(resolve_group)
        .transpose()
        .map_err(told)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_socket_for_a_user_or_group_that_is_not_there_is_refused_at_its_place() {
        let app = "[[upstream]]\nname = \"app\"\ntargets = [\"unix:@app\"]\n";
        let tcp = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
        for (section, more) in [("[[listener]]", ""), ("[admin]", tcp)] {
            for (option, what) in [("owner", "user"), ("group", "group")] {
                let path = std::env::temp_dir().join(format!(
                    "lasthop-check-{}-{option}.toml",
                    std::process::id()
                ));
                let address = format!("address = \"unix:/web.sock?{option}=no-such-one\"");
                std::fs::write(&path, format!("{section}\n{address}\n{more}{app}")).unwrap();
                let mut out = Vec::new();
                let error = run(&path, &mut out).unwrap_err();
                std::fs::remove_file(&path).unwrap();
                assert_eq!(error.exit(), Exit::Usage);
                let expected = format!(
                    "{}:2:11: `address` in {section}: there is no {what} `no-such-one` on this host\n",
                    path.display()
                );
                assert!(error.to_string().starts_with(&expected), "{error}");
                assert!(out.is_empty());
            }
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_wrong_usage() {
        let mut out = Vec::new();
        let error = run(Path::new("/nonexistent/lasthop.toml"), &mut out).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(
            error
                .to_string()
                .starts_with("/nonexistent/lasthop.toml: cannot be read"),
            "{error}"
        );
        assert!(out.is_empty());
    }
}
