//! The rules for `[admin]`: an address for operators that no stranger reaches.
//!
//! Whoever reads the numbers of a proxy learns about the host and its users, so an address that other hosts can reach
//! takes a token, and so does one that clients would reach through a route.

use toml::Spanned;

use super::defaults::{ADMIN_HOSTS_MAX, TOKEN_BYTES_MAX, TOKEN_BYTES_MIN};
use super::error::Fault;
use super::rules::{at_most, parsed, span_or};
use super::rules_listener::{Collision, collision, reaches};
use super::spelling::{AdminTable, File, List, Set};
use super::{Admin, HostPattern, ListenAddress, Listener, Secret, Target};

const WITHOUT_TOKEN: &str = "without a token: 127.0.0.1:9180, or unix:/run/lasthop/admin.sock\n\
    a token is written in a file, as token = \"\u{2026}\" in [admin]; there is no flag for it";

/// The admin address, if there is one.
pub(super) fn admin(file: &File, listeners: &[Listener]) -> Result<Option<Admin>, Fault> {
    let Some(table) = &file.admin else {
        return Ok(None);
    };
    let AdminTable {
        address,
        token,
        hosts,
    } = table.get_ref();
    let Some(address) = address else {
        return Err(Fault::at(table.span(), "[admin] without an `address`")
            .advise("address = \"127.0.0.1:9180\" or \"unix:/run/lasthop/admin.sock\""));
    };
    let admin = Admin {
        address: parsed(address)?,
        token: self::token(token)?,
        hosts: self::hosts(hosts)?,
    };
    refuse_public(address, &admin)?;
    refuse_listeners(address, &admin.address, file, listeners)?;
    refuse_targets(file, &admin)?;
    Ok(Some(admin))
}

/// The refusal does not repeat the token.
fn token(set: &Set<Secret>) -> Result<Option<Secret>, Fault> {
    let Some(set) = set else {
        return Ok(None);
    };
    let token = set.get_ref().expose();
    let length = TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX;
    if length.contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Some(set.get_ref().clone()));
    }
    let (low, high) = length.into_inner();
    Err(Fault::value(
        set.span(),
        format_args!("a token is {low} to {high} visible ASCII characters, without spaces"),
    )
    .advise("`openssl rand -hex 32` makes one"))
}

/// Names as a browser puts them into `Host`: whole ones, since a wildcard would let in whoever may name a host below it.
fn hosts(set: &Set<List>) -> Result<Vec<String>, Fault> {
    let Some(set) = set else {
        return Ok(Vec::new());
    };
    let List(texts) = set.get_ref();
    at_most(texts, ADMIN_HOSTS_MAX, "hosts")?;
    let mut hosts: Vec<String> = Vec::with_capacity(texts.len());
    for text in texts {
        let HostPattern::Exact(host) = parsed(text)? else {
            return Err(Fault::value(
                text.span(),
                "write each name out, without `*`",
            ));
        };
        if let Some(earlier) = hosts.iter().position(|h| *h == host) {
            return Err(
                Fault::value(text.span(), format_args!("{host} is listed twice"))
                    .other(texts[earlier].span()),
            );
        }
        hosts.push(host);
    }
    Ok(hosts)
}

fn refuse_public(at: &Spanned<String>, admin: &Admin) -> Result<(), Fault> {
    let public = match &admin.address {
        ListenAddress::Tcp(address) => !address.ip().to_canonical().is_loopback(),
        // Who may open it is a matter of the file's permissions.
        ListenAddress::Unix { .. } => false,
    };
    if public && admin.token.is_none() {
        let address = admin.address.label();
        let message = format_args!("{address} is open to other hosts, and there is no token");
        return Err(Fault::value(at.span(), message).advise(WITHOUT_TOKEN));
    }
    Ok(())
}

fn refuse_listeners(
    at: &Spanned<String>,
    admin: &ListenAddress,
    file: &File,
    listeners: &[Listener],
) -> Result<(), Fault> {
    for (listener, table) in listeners.iter().zip(&file.listener) {
        let label = listener.address.label();
        let why = match collision(admin, &listener.address) {
            None => continue,
            Some(Collision::Same) => format!("{label} is the address of a listener"),
            Some(Collision::Overlap) => {
                format!("{} and the listener on {label} overlap", admin.label())
            }
        };
        let other = span_or(&table.get_ref().address, table);
        return Err(Fault::value(at.span(), why)
            .other(other)
            .advise("the admin address takes an address of its own"));
    }
    Ok(())
}

/// A route to the admin address would give it to every client.
fn refuse_targets(file: &File, admin: &Admin) -> Result<(), Fault> {
    if admin.token.is_some() {
        return Ok(());
    }
    let upstreams = file.upstream.iter();
    let lists = upstreams.filter_map(|table| table.get_ref().targets.as_ref());
    for text in lists.flat_map(|targets| &targets.get_ref().0) {
        let target: Target = parsed(text)?;
        if reaches(&target, &admin.address) {
            return Err(Fault::value(
                text.span(),
                format_args!(
                    "{target} is the admin address: clients would reach it, and there is no token"
                ),
            )
            .advise("give the address of the application"));
        }
    }
    Ok(())
}
