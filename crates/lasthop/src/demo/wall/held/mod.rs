//! Connections that stay: upgraded ones, as WebSockets are, asked for at once and held, over each way to the app.
//!
//! They are why TIME_WAIT and its settings are not the whole story: no connection is closed, and the ports are used up
//! all the same.

mod clients;
mod report;
mod row;

pub(super) use report::{headings, intro, row, sentences};
pub(super) use row::{Row, Way};

use std::net::SocketAddrV4;

use super::inside::{self, Stage};
use super::{DemoError, config};
use crate::demo::app::App;
use crate::demo::ports;
use clients::Clients;

/// How long a request waits for a source port: a tenth of the default, so that nobody waits long for the refusals.
const QUEUE_MILLISECONDS: u32 = 500;

/// One way, with an app at `app` and a proxy of its own; `asked` connections.
pub(super) async fn measure(
    stage: &Stage<'_>,
    way: Way,
    app: SocketAddrV4,
    asked: u64,
) -> Result<Row, DemoError> {
    let app = App::start_at(app, 0, stage.directory).map_err(inside::host("start its app"))?;
    let target = match way {
        Way::Kernel => config::Target::TcpKernel,
        Way::Default => config::Target::Tcp,
        Way::Unix => config::Target::Unix,
    };
    let keeping = config::Keeping::Default;
    let proxy = stage.proxy(way.word(), |front| {
        config::config(front, &app, target, keeping, QUEUE_MILLISECONDS)
    })?;
    let mut clients = Clients::ask(inside::front(&proxy)?, asked).await;
    let echoed = clients.echo().await;
    let counting = "read /proc/net/tcp";
    let ports = ports::towards(app.tcp_address()).map_err(inside::host(counting))?;
    let sources = ports::peers(app.tcp_address()).map_err(inside::host(counting))?;
    Ok(Row {
        way,
        asked,
        held: clients.held(),
        echoed,
        ports: ports.held,
        sources: sources.into_iter().collect(),
        refusal: clients.refusal.take(),
    })
}
