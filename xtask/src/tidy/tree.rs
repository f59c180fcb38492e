//! The tree of files that the rules read, from disk or, in tests, from a list; and what a rule finds.
//!
//! It holds the text of the few kinds of file that rules read, and only the names of all others.
//! Build output, fuzzing corpora and the history are left out by name: they are not ours to keep tidy.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

/// Directories that hold no file of ours, wherever they stand.
const SKIPPED: &[&str] = &[
    ".git",
    "target",
    "node_modules",
    "artifacts",
    "corpus",
    "coverage",
    ".venv",
    "__pycache__",
];
/// Kinds of file whose text the rules read.
const READ: &[&str] = &["rs", "toml", "md", "py", "js", "mjs"];
/// A bound on the walk, so that a tree with a mount or a stray checkout inside is a clear error, not a long wait.
const FILES_MAX: usize = 20_000;

/// One breach of a rule. Ordered by path, then line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong and what would be right.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Paths relative to the root, each with its text, or with an empty text if no rule reads that kind of file.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// Reads a tree from disk.
    ///
    /// # Errors
    /// The path that could not be read, or a tree of more than [`FILES_MAX`] files.
    pub(crate) fn read(root: &Path) -> Result<Self, String> {
        let mut tree = Self::default();
        tree.read_directory(root, "")
            .map_err(|(path, error)| format!("cannot read {path}: {error}"))?;
        Ok(tree)
    }

    fn read_directory(
        &mut self,
        directory: &Path,
        prefix: &str,
    ) -> Result<(), (String, io::Error)> {
        let at = |error| (directory.display().to_string(), error);
        for entry in fs::read_dir(directory).map_err(at)? {
            let entry = entry.map_err(at)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = format!("{prefix}{name}");
            // The kind of the entry itself: links are not followed, so the walk cannot go in circles.
            let kind = entry.file_type().map_err(at)?;
            if kind.is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.read_directory(&entry.path(), &format!("{relative}/"))?;
                }
                continue;
            }
            if self.files.len() >= FILES_MAX {
                return Err((
                    relative,
                    io::Error::other(format!("more than {FILES_MAX} files")),
                ));
            }
            let text = if kind.is_file() && READ.contains(&extension(&name)) {
                fs::read_to_string(entry.path()).map_err(|error| (relative.clone(), error))?
            } else {
                String::new()
            };
            self.files.insert(relative, text);
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self {
            files: files.collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.files.len()
    }

    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// All paths with their texts, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Files that end in `.kind`, with their texts.
    pub(crate) fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = (&str, &str)> {
        self.files()
            .filter(move |(path, _)| extension(path) == kind)
    }

    /// Whether a file or a directory of that name exists; `""` is the root.
    pub(crate) fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        if path.is_empty() || self.files.contains_key(path) {
            return true;
        }
        let inside = format!("{path}/");
        self.files
            .range(inside.clone()..)
            .next()
            .is_some_and(|(first, _)| first.starts_with(&inside))
    }
}

fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::{Tree, extension};

    #[test]
    fn a_directory_exists_when_a_file_in_it_does() {
        let tree = Tree::of(&[("docs/decisions/0001.md", ""), ("docs.txt", "")]);
        assert!(
            tree.has("docs")
                && tree.has("docs/")
                && tree.has("docs/decisions/0001.md")
                && tree.has("")
        );
        assert!(
            !tree.has("doc") && !tree.has("docs/decision") && !tree.has("docs/decisions/0002.md")
        );
    }

    #[test]
    fn the_kind_of_a_file_is_what_follows_its_last_dot() {
        assert_eq!(extension("a.b/c.rs"), "rs");
        assert_eq!(extension("a.b/Makefile"), "");
    }

    #[test]
    fn this_package_can_be_read_from_disk_without_its_build_output() {
        let tree = Tree::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(tree.text("src/tidy/tree.rs").unwrap().starts_with("//!"));
        assert!(!tree.has("target"));
    }
}
