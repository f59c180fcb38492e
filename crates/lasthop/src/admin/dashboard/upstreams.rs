//! The upstreams as they are now: connections, queue, what became of attempts, and the pairs of addresses with their ports;
//! then the fullest groups of this network namespace, whoever they belong to.

use lasthop_ports::Snapshot;

use super::super::source_ports::{self, SourcePorts};
use super::super::view::View;
use super::findings::bar;
use super::html::Html;
use super::numbers::{count, percent};
use crate::observe::metrics::ConnectResult;

/// Groups of the host that are told.
const GROUPS_MAX: usize = 16;

/// Pairs of one upstream that are told; the rest is in `/status`.
const PAIRS_MAX: usize = 16;

/// All upstreams.
pub(super) fn html(view: &View, snapshot: Option<&Snapshot>) -> Html {
    let mut html = Html::new();
    for (index, upstream) in view.config.upstreams.iter().enumerate() {
        html.raw("<section class=\"upstream\"")
            .attribute("aria-labelledby", format_args!("upstream-{index}"));
        html.raw("><h3")
            .attribute("id", format_args!("upstream-{index}"))
            .raw(">");
        html.text(&upstream.name).raw("</h3><p class=\"targets\">");
        for (at, target) in upstream.targets.iter().enumerate() {
            html.raw(if at == 0 { "" } else { ", " })
                .raw("<code>")
                .text(target)
                .raw("</code>");
        }
        html.raw("</p>");
        pool(view, index, &mut html);
        pairs(
            &source_ports::of_upstream(view, index),
            &upstream.name,
            &mut html,
        );
        html.raw("</section>");
    }
    if let Some(snapshot) = snapshot {
        groups(snapshot, &mut html);
    }
    html
}

fn pool(view: &View, index: usize, html: &mut Html) {
    let upstream = &view.config.upstreams[index];
    let connections = view.upstream_connections(index);
    let queue = view
        .admissions
        .get(index)
        .map_or(0, |it| it.queue_length() as u64);
    html.raw("<dl class=\"numbers\">");
    let mut number = |name: &'static str, value: u64| {
        html.raw("<div><dt>")
            .raw(name)
            .raw("</dt><dd>")
            .text(count(value))
            .raw("</dd></div>");
    };
    number("active", connections.active);
    number("idle", connections.idle);
    number("connecting", connections.connecting);
    number("waiting", queue);
    number("queue size", upstream.queue.size as u64);
    number("reused", view.upstream(index, |it| it.reused.value()));
    number("spilled", view.upstream(index, |it| it.spilled.value()));
    number("retried", view.upstream(index, |it| it.retried.value()));
    html.raw("</dl><p class=\"results\">Connects so far: ");
    let mut is_first = true;
    for result in ConnectResult::ALL {
        let connects = view.connects(index, result);
        if connects > 0 || is_first {
            html.raw(if is_first { "" } else { ", " });
            html.text(result.label())
                .raw(" <b>")
                .text(count(connects))
                .raw("</b>");
            is_first = false;
        }
    }
    html.raw("</p>");
}

fn pairs(pairs: &[SourcePorts], upstream: &str, html: &mut Html) {
    if pairs.is_empty() {
        html.raw("<p class=\"nothing\">No TCP target, so no source ports: nothing here can run out of them.</p>");
        return;
    }
    html.raw("<div class=\"scroll\"><table class=\"pairs\"><caption>Source ports of ")
        .text(upstream);
    html.raw("</caption><thead><tr><th scope=\"col\">Source → destination</th><th scope=\"col\">In use</th>");
    html.raw("<th scope=\"col\">of</th><th scope=\"col\">Part</th><th scope=\"col\">Live</th>");
    html.raw("<th scope=\"col\">TIME_WAIT</th><th scope=\"col\">Others</th></tr></thead><tbody>");
    for pair in pairs.iter().take(PAIRS_MAX) {
        html.raw("<tr><th scope=\"row\">")
            .text(&pair.source)
            .raw(" → ")
            .text(&pair.target);
        html.raw("</th><td>")
            .text(count(pair.in_use))
            .raw("</td><td>")
            .text(count(pair.limit))
            .raw("</td><td>");
        html.html(&bar(pair.in_use, pair.limit))
            .raw(" ")
            .text(percent(pair.in_use, pair.limit));
        for value in [pair.live, pair.time_wait, pair.others] {
            html.raw("</td><td>").text(count(value));
        }
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div>");
    if pairs.len() > PAIRS_MAX {
        html.raw("<p>").text(pairs.len() - PAIRS_MAX);
        html.raw(" more pairs are in <a href=\"/status\">/status</a>.</p>");
    }
}

fn groups(snapshot: &Snapshot, html: &mut Html) {
    if snapshot.groups.is_empty() {
        return;
    }
    let limit = u64::from(snapshot.port_limit().unwrap_or(0));
    html.raw("<section class=\"upstream\" aria-labelledby=\"groups\"><h3 id=\"groups\">All of this network namespace</h3>");
    html.raw("<p class=\"results\">Connections that begin here, whoever has them</p>");
    html.raw("<div class=\"scroll\"><table class=\"pairs\"><caption>Fullest groups of connections of this host</caption><thead><tr>");
    html.raw("<th scope=\"col\">Source → destination</th><th scope=\"col\">In use</th><th scope=\"col\">of</th>");
    html.raw(
        "<th scope=\"col\">Part</th><th scope=\"col\">Open</th><th scope=\"col\">TIME_WAIT</th>",
    );
    html.raw("<th scope=\"col\" class=\"words\">Whose</th></tr></thead><tbody>");
    for group in snapshot.groups.iter().take(GROUPS_MAX) {
        let used = u64::from(group.used());
        html.raw("<tr><th scope=\"row\">")
            .text(group.key.source)
            .raw(" → ")
            .text(group.key.destination);
        html.raw("</th><td>").text(count(used)).raw("</td><td>");
        match limit {
            0 => html.raw("–"),
            limit => html.text(count(limit)),
        };
        html.raw("</td><td>")
            .html(&bar(used, limit))
            .raw(" ")
            .text(percent(used, limit));
        for value in [group.connections(), group.time_wait] {
            html.raw("</td><td>").text(count(value.into()));
        }
        html.raw("</td><td class=\"words\">");
        for (at, owner) in group.owners.iter().enumerate() {
            html.raw(if at == 0 { "" } else { ", " });
            html.text(&owner.name).raw(" (").text(owner.pid).raw(")");
        }
        html.raw(if group.owners.is_empty() { "–" } else { "" });
        html.raw("</td></tr>");
    }
    html.raw("</tbody></table></div></section>");
}
