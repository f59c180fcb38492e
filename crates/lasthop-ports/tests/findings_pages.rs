//! Every code has its page in docs/findings, and the index has every page.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lasthop_ports::diagnose::judged;

fn pages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings")
}

fn read(page: &str) -> String {
    std::fs::read_to_string(pages().join(page)).unwrap_or_default()
}

#[test]
fn every_code_that_a_rule_can_emit_has_a_page_that_begins_with_it() {
    for code in judged() {
        let text = read(&format!("{code}.md"));
        assert_eq!(
            text.lines().next(),
            Some(format!("# {code}").as_str()),
            "docs/findings/{code}.md"
        );
        let lines = text.lines().count();
        assert!(
            (30..=110).contains(&lines),
            "docs/findings/{code}.md: {lines} lines"
        );
    }
}

#[test]
fn the_index_has_a_line_for_each_page_and_no_other() {
    let index = read("README.md");
    let listed: Vec<&str> = index
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.split(']').next())
        .collect();
    let once: BTreeSet<&str> = listed.iter().copied().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    let judged: BTreeSet<&str> = judged().map(|code| code.as_str()).collect();
    assert_eq!(once, judged);

    let found: BTreeSet<String> = std::fs::read_dir(pages())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    let expected: BTreeSet<String> = judged.iter().map(|code| format!("{code}.md")).collect();
    assert_eq!(found, expected);
}
