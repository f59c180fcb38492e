//! The rules for `[[route]]`.

use std::collections::HashMap;

use toml::Spanned;

use super::defaults::{PATH_BYTES_MAX, ROUTES_MAX};
use super::error::Fault;
use super::nearest::nearest;
use super::rules::{at_most, duplicate_name, name, parsed, span_or};
use super::spelling::{RouteTable, Set, Size, UpstreamTable};
use super::{HostPattern, Route};

/// All routes; one to everything is implied where there is a single upstream and none is written.
pub(super) fn routes(
    tables: &[Spanned<RouteTable>],
    upstreams: &[Spanned<UpstreamTable>],
) -> Result<Vec<Route>, Fault> {
    match (tables.is_empty(), upstreams.len()) {
        (true, 1) => return Ok(vec![implied()]),
        (true, _) => {
            return Err(Fault::missing(
                "no [[route]]: with several upstreams it must be said which requests go where",
            )
            .advise("[[route]]\npath = \"/\"\nupstream = \"app\""));
        }
        (false, _) => {}
    }
    at_most(tables, ROUTES_MAX, "routes")?;
    let names: Vec<&str> = upstreams
        .iter()
        .filter_map(|upstream| upstream.get_ref().name.as_ref())
        .map(|name| name.get_ref().as_str())
        .collect();
    let mut routes: Vec<Route> = Vec::with_capacity(tables.len());
    let mut by_place: HashMap<(Option<HostPattern>, String), usize> = HashMap::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for table in tables {
        let new = route(table, &names)?;
        if let Some(earlier) = by_place.insert((new.host.clone(), new.path.clone()), routes.len()) {
            let place = default_name(new.host.as_ref(), &new.path);
            let other = span_or(&tables[earlier].get_ref().path, &tables[earlier]);
            let span = span_or(&table.get_ref().path, table);
            return Err(Fault::at(span, format_args!("two routes for {place}")).other(other));
        }
        if let Some(earlier) = by_name.insert(new.name.clone(), routes.len()) {
            let other = span_or(&tables[earlier].get_ref().name, &tables[earlier]);
            let span = span_or(&table.get_ref().name, table);
            return Err(duplicate_name("routes", &new.name, span).other(other));
        }
        routes.push(new);
    }
    Ok(routes)
}

fn implied() -> Route {
    Route {
        name: default_name(None, "/"),
        host: None,
        path: "/".to_owned(),
        upstream: 0,
        body_size_max: 0,
    }
}

fn default_name(host: Option<&HostPattern>, path: &str) -> String {
    host.map_or_else(|| path.to_owned(), |host| format!("{host}{path}"))
}

fn route(table: &Spanned<RouteTable>, upstreams: &[&str]) -> Result<Route, Fault> {
    let span = table.span();
    let table = table.get_ref();
    let host: Option<HostPattern> = table.host.as_ref().map(parsed).transpose()?;
    let path = path(&table.path)?;
    let Some(upstream) = &table.upstream else {
        return Err(Fault::at(span, "[[route]] without an `upstream`")
            .advise(format!("the upstreams are: {}", upstreams.join(", "))));
    };
    Ok(Route {
        name: name(&table.name)?.unwrap_or_else(|| default_name(host.as_ref(), &path)),
        host,
        path,
        upstream: upstream_index(upstream, upstreams)?,
        body_size_max: table.body_size_max.as_ref().map_or(0, |size| {
            let Size(bytes) = *size.get_ref();
            bytes
        }),
    })
}

fn upstream_index(upstream: &Spanned<String>, names: &[&str]) -> Result<usize, Fault> {
    let given = upstream.get_ref().as_str();
    names.iter().position(|name| *name == given).ok_or_else(|| {
        let meant = nearest(given, names.iter().copied())
            .map(|near| format!("; did you mean \"{near}\"?"))
            .unwrap_or_default();
        Fault::value(
            upstream.span(),
            format_args!("there is no upstream \"{given}\"{meant}"),
        )
        .advise(format!("the upstreams are: {}", names.join(", ")))
    })
}

/// A prefix of request paths, in the characters that a request's target may have (RFC 3986 §3.3).
fn path(set: &Set<String>) -> Result<String, Fault> {
    let Some(set) = set else {
        return Ok("/".to_owned());
    };
    let path = set.get_ref();
    let refuse = |why: &str| Err(Fault::value(set.span(), why));
    if !path.starts_with('/') {
        return refuse("a path begins with /");
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(Fault::value(
            set.span(),
            format_args!("longer than {PATH_BYTES_MAX} bytes"),
        ));
    }
    if path.contains(['?', '#']) {
        return refuse("a route is chosen by the path alone, without query or fragment");
    }
    if path.contains('*') {
        return refuse("a path is a prefix already; it takes no `*`");
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        return refuse(
            "a path has neither spaces, control characters nor bytes beyond ASCII; write them as %XX",
        );
    }
    Ok(path.clone())
}
