//! Layers: inside `crates/lasthop/src`, a room names only the rooms that ARCHITECTURE.md lets it use.
//!
//! A room is a file or directory directly below `src`. Paths that begin with `crate`, `super` or, in the program's
//! own root, `lasthop` are followed to the room they name, whether they stand in a `use`, in groups, or in the code.
//! `lib.rs` declares the rooms and is not checked. The table must name the rooms that exist, and each may use
//! only rooms further down in it: so there are no circles, and rooms on one floor do not know each other.

use std::collections::BTreeSet;

use super::source::{Token, masked, tokens};
use super::tables::{DOCUMENT, Row, Tables};
use super::tree::{Finding, Tree};

const SOURCE: &str = "crates/lasthop/src/";

pub(crate) fn check(tree: &Tree, tables: &Tables, findings: &mut Vec<Finding>) {
    let sources: Vec<(&str, &str)> = tree
        .of_kind("rs")
        .filter(|(path, _)| path.starts_with(SOURCE))
        .collect();
    let rooms: BTreeSet<&str> = sources
        .iter()
        .map(|(path, _)| room_of(path))
        .filter(|&room| room != "lib")
        .collect();
    check_table(&tables.rooms, &rooms, findings);
    for (path, text) in &sources {
        let room = room_of(path);
        let Some(row) = tables.rooms.iter().find(|row| row.name == room) else {
            continue;
        };
        for (named, line) in rooms_named(path, text) {
            if named == room || row.uses.contains(&named) {
                continue;
            }
            let message = if rooms.contains(named.as_str()) {
                format!("`{room}` uses `{named}`, which its row in {DOCUMENT} does not allow")
            } else {
                format!("`{named}` is no room; what others use lives in a room, under its name")
            };
            findings.push(Finding::new(path, line, message));
        }
    }
}

fn check_table(rows: &[Row], rooms: &BTreeSet<&str>, findings: &mut Vec<Finding>) {
    for room in rooms
        .iter()
        .filter(|&&room| rows.iter().all(|row| row.name != room))
    {
        findings.push(Finding::new(
            DOCUMENT,
            1,
            format!("the room `{room}` has no row in the table of rooms"),
        ));
    }
    for (index, row) in rows.iter().enumerate() {
        if !rooms.contains(row.name.as_str()) {
            findings.push(Finding::new(
                DOCUMENT,
                row.line,
                format!("there is no room `{}`", row.name),
            ));
        }
        for used in &row.uses {
            if !rows[index + 1..].iter().any(|below| below.name == *used) {
                let message = format!(
                    "`{}` may use only rooms further down, and `{used}` is none",
                    row.name
                );
                findings.push(Finding::new(DOCUMENT, row.line, message));
            }
        }
    }
}

/// `crates/lasthop/src/http/forward.rs` is in the room `http`, `crates/lasthop/src/exit.rs` is the room `exit`.
pub(crate) fn room_of(path: &str) -> &str {
    let inside = path.strip_prefix(SOURCE).unwrap_or(path);
    inside
        .split('/')
        .next()
        .unwrap_or(inside)
        .trim_end_matches(".rs")
}

/// The modules from the crate's root to this file.
fn module_path(path: &str) -> Vec<String> {
    let inside = path
        .strip_prefix(SOURCE)
        .unwrap_or(path)
        .trim_end_matches(".rs");
    let mut modules: Vec<String> = inside.split('/').map(str::to_owned).collect();
    let last = modules.last().map(String::as_str);
    if last == Some("mod") || modules.len() == 1 && matches!(last, Some("lib" | "main")) {
        modules.pop();
    }
    modules
}

/// Every room that a file names by a path from the root, with the line; `*` for a glob import of the root.
fn rooms_named(path: &str, text: &str) -> Vec<(String, usize)> {
    let masked = masked(text);
    let tokens = tokens(&masked);
    // The program's root file is a crate of its own, which sees the rooms through the library's name.
    let is_program = path == "crates/lasthop/src/main.rs";
    let starts: &[&str] = if is_program {
        &["lasthop"]
    } else {
        &["crate", "super"]
    };
    let mut modules = module_path(path);
    // Depths of braces at which an inline `mod name {` ends.
    let mut inline: Vec<usize> = Vec::new();
    let mut depth = 0_usize;
    let mut named = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        let before = index
            .checked_sub(1)
            .and_then(|before| tokens.get(before))
            .map_or("", |token| token.text);
        match token.text {
            "{" => {
                depth += 1;
                if let [.., keyword, name, _] = &tokens[..=index]
                    && keyword.text == "mod"
                    && name.is_name()
                {
                    modules.push(name.text.to_owned());
                    inline.push(depth);
                }
            }
            "}" => {
                if inline.last() == Some(&depth) {
                    inline.pop();
                    modules.pop();
                }
                depth = depth.saturating_sub(1);
            }
            start if before != "::" && starts.contains(&start) => {
                follow(&tokens, index, &modules, &mut named);
            }
            _ => {}
        }
    }
    named
}

/// Follows one path, or one branch of a group, and notes the name that stands directly below the root.
/// `modules` is where the path has come to. Returns the index of the first token behind the path.
fn follow(
    tokens: &[Token<'_>],
    start: usize,
    modules: &[String],
    named: &mut Vec<(String, usize)>,
) -> usize {
    let mut modules = modules.to_vec();
    let mut at = start;
    loop {
        let Some(token) = tokens.get(at) else {
            return at;
        };
        match token.text {
            "super" => _ = modules.pop(),
            "self" => {}
            "crate" => modules.clear(),
            "lasthop" if at == start => modules.clear(),
            "{" => return follow_group(tokens, at, &modules, named),
            word => {
                if modules.is_empty() && (token.is_name() || word == "*") {
                    named.push((word.to_owned(), token.line));
                }
                modules.push(word.to_owned());
            }
        }
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            return at;
        }
        at += 1;
    }
}

fn follow_group(
    tokens: &[Token<'_>],
    open: usize,
    modules: &[String],
    named: &mut Vec<(String, usize)>,
) -> usize {
    let mut at = open + 1;
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "," => at += 1,
            // `name as other`: the other name says nothing about rooms.
            "as" => at += 2,
            _ => at = follow(tokens, at, modules, named).max(at + 1),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::{check, module_path, room_of, rooms_named};
    use crate::tidy::tables;
    use crate::tidy::tree::{Finding, Tree};

    fn named(path: &str, text: &str) -> Vec<String> {
        let path = format!("crates/lasthop/src/{path}");
        rooms_named(&path, text)
            .into_iter()
            .map(|(room, _)| room)
            .collect()
    }

    fn findings(rooms: &str, files: &[(&str, &str)]) -> Vec<Finding> {
        let document = format!("```rooms\n{rooms}```\n```crates\n```\n```dependencies\n```\n");
        let mut files = files.to_vec();
        files.push(("ARCHITECTURE.md", &document));
        let tree = Tree::of(&files);
        let mut findings = Vec::new();
        let tables = tables::read(&tree, &mut findings);
        check(&tree, &tables, &mut findings);
        findings
    }

    #[test]
    fn a_file_knows_its_room_and_its_place() {
        assert_eq!(room_of("crates/lasthop/src/http/forward.rs"), "http");
        assert_eq!(room_of("crates/lasthop/src/exit.rs"), "exit");
        assert_eq!(
            module_path("crates/lasthop/src/http/forward.rs"),
            ["http", "forward"]
        );
        assert_eq!(module_path("crates/lasthop/src/http/mod.rs"), ["http"]);
        assert!(module_path("crates/lasthop/src/main.rs").is_empty());
    }

    #[test]
    fn a_room_is_found_behind_crate_and_super_and_in_groups_and_in_code() {
        let table: &[(&str, &str, &[&str])] = &[
            ("http/forward.rs", "use crate::relay::Tunnel;", &["relay"]),
            (
                "http/forward.rs",
                "use crate::{relay::{a, b}, route::Table as T, config};",
                &["relay", "route", "config"],
            ),
            ("http/forward.rs", "use super::super::relay;", &["relay"]),
            ("http/forward.rs", "use super::body;", &[]),
            ("http/mod.rs", "use super::relay;", &["relay"]),
            (
                "http/mod.rs",
                "use super::{relay, self as root, config::A};",
                &["relay", "config"],
            ),
            (
                "http/mod.rs",
                "fn f() { crate::observe::count(super::relay::x) }",
                &["observe", "relay"],
            ),
            (
                "http/mod.rs",
                "pub(crate) fn f() {} pub(super) fn g() {} pub(in crate::http) fn h() {}",
                &["http"],
            ),
            (
                "http/mod.rs",
                "mod tests { use super::body; use super::super::relay; } use super::route;",
                &["relay", "route"],
            ),
            (
                "http/mod.rs",
                "fn f() { if a { b } } use super::route;",
                &["route"],
            ),
            (
                "http/mod.rs",
                "// crate::relay\nconst A: &str = \"crate::route\";",
                &[],
            ),
            (
                "http/mod.rs",
                "use other::crate_::relay; use a::super_;",
                &[],
            ),
            ("http/mod.rs", "use crate::*;", &["*"]),
            (
                "main.rs",
                "use lasthop::{cli, commands};",
                &["cli", "commands"],
            ),
            ("http/mod.rs", "use lasthop::cli;", &[]),
        ];
        for (path, text, wanted) in table {
            assert_eq!(named(path, text), *wanted, "{path}: {text}");
        }
    }

    #[test]
    fn text_that_is_cut_anywhere_ends_the_walk() {
        let text = "use crate::{relay::{a, b}, route::Table as T}; mod x { use super::super::y; }";
        for end in 0..text.len() {
            named("http/forward.rs", &text[..end]);
        }
    }

    #[test]
    fn a_sibling_a_room_above_and_a_glob_of_the_root_are_refused() {
        let found = findings(
            "server: http relay\nhttp: config\nrelay: config\nconfig:\n",
            &[
                (
                    "crates/lasthop/src/lib.rs",
                    "pub mod http; use crate::server::x;",
                ),
                (
                    "crates/lasthop/src/server.rs",
                    "use crate::http; use crate::relay; use crate::server;",
                ),
                (
                    "crates/lasthop/src/http/mod.rs",
                    "use crate::config;\n\nuse crate::relay;\nuse crate::*;",
                ),
                ("crates/lasthop/src/relay.rs", "use crate::config;\n"),
                (
                    "crates/lasthop/src/config/rules.rs",
                    "use super::super::server;",
                ),
            ],
        );
        let places: Vec<(&str, usize)> = found
            .iter()
            .map(|finding| (finding.path.as_str(), finding.line))
            .collect();
        let wanted = [
            ("crates/lasthop/src/config/rules.rs", 1),
            ("crates/lasthop/src/http/mod.rs", 3),
            ("crates/lasthop/src/http/mod.rs", 4),
        ];
        assert_eq!(places, wanted, "{found:?}");
    }

    #[test]
    fn the_table_names_the_rooms_that_exist_and_runs_downward() {
        let found = findings(
            "config: http\nhttp: config\ntls:\n",
            &[
                ("crates/lasthop/src/http.rs", ""),
                ("crates/lasthop/src/config.rs", ""),
                ("crates/lasthop/src/exit.rs", ""),
            ],
        );
        let messages: Vec<&str> = found
            .iter()
            .map(|finding| finding.message.as_str())
            .collect();
        assert_eq!(
            messages,
            [
                "the room `exit` has no row in the table of rooms",
                "`http` may use only rooms further down, and `config` is none",
                "there is no room `tls`",
            ]
        );
    }
}
