//! The rules for `[[upstream]]`.

use toml::Spanned;

use super::defaults::{
    BUFFER_CEILING, CONNECTIONS_CEILING, HEADER_SIZE_CEILING, HEADER_SIZE_MIN,
    KEEPALIVE_IDLE_CEILING, QUEUE_SIZE_CEILING, RETRIES_CEILING, TARGETS_MAX, UPSTREAMS_MAX,
};
use super::error::Fault;
use super::rules::{
    at_most, count, duplicate_name, name, or, parsed, size, span_or, time, time_or_zero, word,
};
use super::rules_source::{close, source};
use super::spelling::{BufferTable, KeepaliveTable, List, QueueTable, Set, UpstreamTable};
use super::{BufferSizes, Keepalive, Queue, Target, Upstream};

/// All upstreams; at least one, no two of the same name.
pub(super) fn upstreams(tables: &[Spanned<UpstreamTable>]) -> Result<Vec<Upstream>, Fault> {
    if tables.is_empty() {
        return Err(
            Fault::missing("no [[upstream]]: there is no application to pass requests to")
                .advise("[[upstream]]\nname = \"app\"\ntargets = [\"127.0.0.1:3000\"]"),
        );
    }
    at_most(tables, UPSTREAMS_MAX, "upstreams")?;
    let mut upstreams: Vec<Upstream> = Vec::with_capacity(tables.len());
    for table in tables {
        let new = upstream(table)?;
        if let Some(earlier) = upstreams.iter().position(|u| u.name == new.name) {
            let span = span_or(&table.get_ref().name, table);
            let other = span_or(&tables[earlier].get_ref().name, &tables[earlier]);
            return Err(duplicate_name("upstreams", &new.name, span).other(other));
        }
        upstreams.push(new);
    }
    Ok(upstreams)
}

fn upstream(table: &Spanned<UpstreamTable>) -> Result<Upstream, Fault> {
    let span = table.span();
    let table = table.get_ref();
    let Some(name) = name(&table.name)? else {
        return Err(Fault::at(span, "[[upstream]] without a `name`").advise("name = \"app\""));
    };
    let Some(targets) = &table.targets else {
        return Err(
            Fault::at(span, format_args!("the upstream `{name}` has no `targets`"))
                .advise("targets = [\"127.0.0.1:3000\"] or [\"unix:/run/app.sock\"]"),
        );
    };
    if let Some(balance) = &table.balance {
        word(balance, ("upstream", "balance"), &[("round_robin", ())])?;
    }
    let d = Upstream::new(name, self::targets(targets)?);
    let header_size = HEADER_SIZE_MIN..=HEADER_SIZE_CEILING;
    let retries = count(
        &table.retries,
        d.retries as usize,
        0..=RETRIES_CEILING as usize,
    )?;
    Ok(Upstream {
        source: source(&table.source, &d.targets)?,
        close: close(&table.close, &d.targets)?,
        max_connections: count(
            &table.max_connections,
            d.max_connections,
            0..=CONNECTIONS_CEILING,
        )?,
        queue: queue(&table.queue, d.queue)?,
        keepalive: keepalive(&table.keepalive, d.keepalive)?,
        buffer: buffer(&table.buffer, d.buffer)?,
        restart_grace: time_or_zero(&table.restart_grace, d.restart_grace)?,
        connect_timeout: time(&table.connect_timeout, d.connect_timeout)?,
        response_timeout: time(&table.response_timeout, d.response_timeout)?,
        body_timeout: time(&table.body_timeout, d.body_timeout)?,
        tunnel_timeout: time(&table.tunnel_timeout, d.tunnel_timeout)?,
        // Within the ceiling, so always in range.
        retries: u32::try_from(retries).unwrap_or(RETRIES_CEILING),
        via: or(&table.via, d.via),
        forwarded: or(&table.forwarded, d.forwarded),
        request_id: or(&table.request_id, d.request_id),
        header_size_max: size(&table.header_size_max, d.header_size_max, header_size)?,
        name: d.name,
        targets: d.targets,
    })
}

fn targets(list: &Spanned<List>) -> Result<Vec<Target>, Fault> {
    let List(texts) = list.get_ref();
    if texts.is_empty() {
        return Err(Fault::value(
            list.span(),
            "the list is empty; an upstream needs a target",
        ));
    }
    at_most(texts, TARGETS_MAX, "targets")?;
    let mut targets: Vec<Target> = Vec::with_capacity(texts.len());
    for text in texts {
        let target: Target = parsed(text)?;
        if let Some(at) = targets.iter().position(|earlier| earlier.overlaps(&target)) {
            let earlier = &targets[at];
            let why = if *earlier == target {
                format!("{target} is listed twice")
            } else {
                format!("{target} and {earlier} overlap")
            };
            return Err(Fault::value(text.span(), why).other(texts[at].span()));
        }
        targets.push(target);
    }
    Ok(targets)
}

fn queue(set: &Set<QueueTable>, d: Queue) -> Result<Queue, Fault> {
    let Some(table) = set.as_ref().map(Spanned::get_ref) else {
        return Ok(d);
    };
    let size = count(&table.size, d.size, 0..=QUEUE_SIZE_CEILING)?;
    let timeout = time_or_zero(&table.timeout, d.timeout)?;
    if let (Some(written), true, true) = (&table.timeout, timeout.is_zero(), size > 0) {
        return Err(Fault::value(written.span(), "zero leaves no time to wait")
            .advise("where no request should wait, write queue = { size = 0 }"));
    }
    Ok(Queue { size, timeout })
}

fn keepalive(set: &Set<KeepaliveTable>, d: Keepalive) -> Result<Keepalive, Fault> {
    let Some(table) = set.as_ref().map(Spanned::get_ref) else {
        return Ok(d);
    };
    let idle = count(&table.idle, d.idle, 0..=KEEPALIVE_IDLE_CEILING)?;
    let timeout = time_or_zero(&table.timeout, d.timeout)?;
    if let (Some(written), true, true) = (&table.timeout, timeout.is_zero(), idle > 0) {
        return Err(Fault::value(
            written.span(),
            "zero closes each connection before it can be used again",
        )
        .advise("where none should be kept, write keepalive = { idle = 0 }"));
    }
    Ok(Keepalive { idle, timeout })
}

fn buffer(set: &Set<BufferTable>, d: BufferSizes) -> Result<BufferSizes, Fault> {
    let Some(table) = set.as_ref().map(Spanned::get_ref) else {
        return Ok(d);
    };
    Ok(BufferSizes {
        request: size(&table.request, d.request, 0..=BUFFER_CEILING)?,
        response: size(&table.response, d.response, 0..=BUFFER_CEILING)?,
    })
}
