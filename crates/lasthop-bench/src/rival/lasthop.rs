//! lasthop itself, with its flags and its defaults; only the number of workers is set.

use std::ffi::OsString;
use std::path::Path;

use ::lasthop::demo::proxy::Proxy;

use super::Running;
use crate::error::BenchError;
use crate::upstream::Upstream;

/// Starts it in front of `upstream`.
pub(super) fn start(binary: &Path, upstream: &Upstream) -> Result<Running, BenchError> {
    let target = OsString::from(upstream.colon_form());
    Ok(Running::Lasthop(Proxy::start(binary, &target)?))
}
