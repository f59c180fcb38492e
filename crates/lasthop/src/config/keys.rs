//! Are the keys of a file ones that exist? Asked before anything is read, of the parsed text.
//!
//! Serde would refuse an unknown key too, but in its own words and without the section. Which keys there are is not
//! repeated here: the structs of `spelling` are asked. The refusal nearest to the top of the file is the one reported.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Visitor};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::Fault;
use super::nearest::nearest;
use super::planned;
use super::spelling::{
    AdminTable, BufferTable, File, KeepaliveTable, ListenerTable, LogTable, QueueTable, RouteTable,
    ServerTable, UpstreamTable,
};
use super::text::bracketed;

/// One table of the format.
struct Section {
    name: &'static str,
    /// Written `[[name]]`, once for each.
    repeated: bool,
    keys: &'static [&'static str],
}

impl Section {
    fn new<T: for<'de> Deserialize<'de>>(name: &'static str, repeated: bool) -> Self {
        let keys = keys_of::<T>();
        Self {
            name,
            repeated,
            keys,
        }
    }

    fn bracketed(&self) -> String {
        bracketed(self.name, self.repeated)
    }
}

/// Refuses unknown keys, planned keys, and tables written as something else.
pub(super) fn check(root: &DeTable<'_>) -> Result<(), Fault> {
    let sections = [
        Section::new::<ServerTable>("server", false),
        Section::new::<LogTable>("log", false),
        Section::new::<AdminTable>("admin", false),
        Section::new::<ListenerTable>("listener", true),
        Section::new::<UpstreamTable>("upstream", true),
        Section::new::<RouteTable>("route", true),
    ];
    debug_assert_eq!(keys_of::<File>(), sections.each_ref().map(|s| s.name));
    let mut faults = Vec::new();
    for (key, value) in root {
        match sections
            .iter()
            .find(|section| section.name == key.get_ref())
        {
            Some(section) => check_section(section, &sections, key, value, &mut faults),
            None => faults.push(unknown_at_top(key, &sections)),
        }
    }
    let first = faults
        .into_iter()
        .min_by_key(|fault| fault.span.as_ref().map(|span| span.start));
    first.map_or(Ok(()), Err)
}

fn check_section(
    section: &Section,
    sections: &[Section],
    key: &Spanned<DeString<'_>>,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Vec<Fault>,
) {
    match (value.get_ref(), section.repeated) {
        (DeValue::Table(table), false) => check_table(section, sections, table, faults),
        (DeValue::Array(tables), true) => {
            for table in tables {
                match table.get_ref() {
                    DeValue::Table(table) => check_table(section, sections, table, faults),
                    _ => faults.push(wrong_shape(section, key)),
                }
            }
        }
        _ => faults.push(wrong_shape(section, key)),
    }
}

fn wrong_shape(section: &Section, key: &Spanned<DeString<'_>>) -> Fault {
    let name = section.name;
    let brackets = section.bracketed();
    let why = if section.repeated {
        "there may be several"
    } else {
        "there is one"
    };
    Fault::at(
        key.span(),
        format_args!("`{name}` is written {brackets}: {why}"),
    )
}

fn check_table(
    section: &Section,
    sections: &[Section],
    table: &DeTable<'_>,
    faults: &mut Vec<Fault>,
) {
    for (key, value) in table {
        let name = key.get_ref().as_ref();
        if !section.keys.contains(&name) {
            faults.push(unknown_in_section(key, section, sections));
            continue;
        }
        let Some((inner, example)) = inner_table(section.name, name) else {
            continue;
        };
        match value.get_ref() {
            DeValue::Table(table) => check_inner(section, name, inner, table, faults),
            _ => faults.push(Fault::value(
                value.span(),
                format_args!("expected a table such as {example}"),
            )),
        }
    }
}

/// The keys of a table inside a section, and how it is written.
fn inner_table(section: &str, key: &str) -> Option<(&'static [&'static str], &'static str)> {
    match (section, key) {
        ("upstream", "queue") => {
            Some((keys_of::<QueueTable>(), "{ size = 4096, timeout = \"5s\" }"))
        }
        ("upstream", "keepalive") => Some((
            keys_of::<KeepaliveTable>(),
            "{ idle = 256, timeout = \"1500ms\" }",
        )),
        ("upstream", "buffer") => Some((
            keys_of::<BufferTable>(),
            "{ request = \"64KiB\", response = \"256KiB\" }",
        )),
        _ => None,
    }
}

fn check_inner(
    section: &Section,
    name: &str,
    keys: &'static [&'static str],
    table: &DeTable<'_>,
    faults: &mut Vec<Fault>,
) {
    let place = format!("`{name}` of {}", section.bracketed());
    for key in table
        .keys()
        .filter(|key| !keys.contains(&key.get_ref().as_ref()))
    {
        faults.push(unknown(key, keys, &place, None));
    }
}

fn unknown_at_top(key: &Spanned<DeString<'_>>, sections: &[Section]) -> Fault {
    let name = key.get_ref().as_ref();
    let written: Vec<String> = sections.iter().map(Section::bracketed).collect();
    let meant = match nearest(name, sections.iter().map(|section| section.name)) {
        Some(near) => {
            let section = sections.iter().find(|section| section.name == near);
            format!(
                "; did you mean {}?",
                section.map(Section::bracketed).unwrap_or_default()
            )
        }
        None => home_of(name, sections, "")
            .map(|home| format!("; it belongs in {home}"))
            .unwrap_or_default(),
    };
    Fault::at(key.span(), format_args!("unknown key `{name}`{meant}"))
        .advise(format!("the tables are: {}", written.join(", ")))
}

fn unknown_in_section(
    key: &Spanned<DeString<'_>>,
    section: &Section,
    sections: &[Section],
) -> Fault {
    let name = key.get_ref().as_ref();
    if let Some(planned) = planned::key(section.name, name) {
        let message = format!("`{name}` in {}: {planned}", section.bracketed());
        return Fault::at(key.span(), message).advise(planned.meanwhile);
    }
    let home = home_of(name, sections, section.name);
    unknown(key, section.keys, &section.bracketed(), home)
}

fn unknown(
    key: &Spanned<DeString<'_>>,
    keys: &[&'static str],
    place: &str,
    home: Option<String>,
) -> Fault {
    let name = key.get_ref().as_ref();
    let meant = match (home, nearest(name, keys.iter().copied())) {
        (Some(home), _) => format!("; it belongs in {home}"),
        (None, Some(near)) => format!("; did you mean `{near}`?"),
        (None, None) => String::new(),
    };
    let message = format!("unknown key `{name}` in {place}{meant}");
    Fault::at(key.span(), message).advise(format!("{place} takes: {}", keys.join(", ")))
}

/// The sections that do have the key: it may only have slipped below the wrong header.
fn home_of(key: &str, sections: &[Section], but: &str) -> Option<String> {
    let homes: Vec<String> = sections
        .iter()
        .filter(|section| section.name != but)
        .filter(|section| section.keys.contains(&key) || planned::key(section.name, key).is_some())
        .map(Section::bracketed)
        .collect();
    (!homes.is_empty()).then(|| homes.join(" or "))
}

/// Every key there is, those of inner tables included: what an example has to show.
#[cfg(test)]
pub(super) fn all() -> Vec<&'static str> {
    let sections = [
        keys_of::<ServerTable>(),
        keys_of::<LogTable>(),
        keys_of::<AdminTable>(),
        keys_of::<ListenerTable>(),
        keys_of::<UpstreamTable>(),
        keys_of::<RouteTable>(),
        keys_of::<QueueTable>(),
        keys_of::<KeepaliveTable>(),
        keys_of::<BufferTable>(),
    ];
    sections.concat()
}

/// The keys of a spelling struct: serde names them when it asks for the struct, and needs no more than that.
fn keys_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    match T::deserialize(AsksForKeys) {
        Err(Keys(keys)) => keys,
        // A type that is satisfied without being given anything has no keys.
        Ok(_) => &[],
    }
}

/// A deserializer that has nothing to give and remembers what it was asked for.
struct AsksForKeys;

#[derive(Debug)]
struct Keys(&'static [&'static str]);

impl<'de> Deserializer<'de> for AsksForKeys {
    type Error = Keys;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Keys> {
        Err(Keys(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        keys: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Keys> {
        Err(Keys(keys))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked for {:?}", self.0)
    }
}

impl std::error::Error for Keys {}

impl serde::de::Error for Keys {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_struct_are_those_of_its_fields() {
        assert_eq!(keys_of::<QueueTable>(), ["size", "timeout"]);
        assert_eq!(
            keys_of::<File>(),
            ["server", "log", "admin", "listener", "upstream", "route"]
        );
    }
}
