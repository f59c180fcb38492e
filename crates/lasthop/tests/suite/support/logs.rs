//! Lines of the two logs, taken apart: the operator log's fields, and the access log's JSON.

use serde_json::Value;

/// A line of the access log in JSON; panics on anything that is not one object.
pub(crate) fn access(line: &str) -> Value {
    let value: Value =
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
    assert!(value.is_object(), "{line}");
    value
}

/// The value of a field in a line of the operator log: `name=value`, or `name="value"` with `"` and `\` escaped.
pub(crate) fn field(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(&format!(" {name}="))?;
    let Some(quoted) = value.strip_prefix('"') else {
        return value.split(' ').next().map(str::to_owned);
    };
    let mut text = String::new();
    let mut letters = quoted.chars();
    loop {
        match letters.next() {
            Some('"') => return Some(text),
            Some('\\') => text.extend(letters.next()),
            Some(letter) => text.push(letter),
            None => panic!("an open quote in {line:?}"),
        }
    }
}
