//! Whether a program was written in Go, from the first bytes of its file.
//!
//! The Go linker leaves a note with its build ID near the beginning of every program (`ELF_NOTE_GOBUILDID_TAG` in
//! cmd/link/internal/ld/elf.go), stripped or not. A program without one, built with an empty build ID, goes unseen; so
//! does one whose note stands beyond the bytes at hand. Shapes are those of elf(5), of either word size and byte order.

/// As much of the file as is worth reading, in bytes: the Go linker puts its note into the first 4 KiB, and a C linker that
/// it leaves the work to, into the first few pages.
pub const HEAD_BYTES: usize = 16 * 1024;

/// Program headers looked at; programs have some ten.
const SEGMENTS_MAX: usize = 64;

const PT_NOTE: u64 = 4;
/// The owner of the note and its kind.
const GO: (&[u8], u32) = (b"Go\0\0", 4);

/// Whether `head`, the first bytes of a file, is that of a program with the note of the Go linker.
#[must_use]
pub fn is_go(head: &[u8]) -> bool {
    Elf::new(head).is_some_and(|elf| elf.notes().any(|notes| elf.has_go_note(notes)))
}

/// A head of known word size and byte order.
#[derive(Clone, Copy)]
struct Elf<'a> {
    head: &'a [u8],
    wide: bool,
    big_endian: bool,
}

impl<'a> Elf<'a> {
    fn new(head: &'a [u8]) -> Option<Self> {
        let [0x7f, b'E', b'L', b'F', class, data, ..] = *head else {
            return None;
        };
        Some(Self {
            head,
            wide: match class {
                1 => false,
                2 => true,
                _ => return None,
            },
            big_endian: match data {
                1 => false,
                2 => true,
                _ => return None,
            },
        })
    }

    /// The number of `bytes` bytes, at most eight, that begins at `at`.
    fn number(self, at: usize, bytes: usize) -> Option<u64> {
        let bytes = self.head.get(at..at.checked_add(bytes)?)?;
        let number = |number, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.big_endian {
            bytes.iter().fold(0, number)
        } else {
            bytes.iter().rev().fold(0, number)
        })
    }

    /// What of each segment of notes lies within the head.
    fn notes(self) -> impl Iterator<Item = &'a [u8]> {
        // e_phoff, e_phentsize, e_phnum; p_offset, p_filesz: `Elf32_Ehdr` and `Elf64_Ehdr`, `Elf32_Phdr` and `Elf64_Phdr`.
        let (table_at, size_at, count_at) = if self.wide {
            (32, 54, 56)
        } else {
            (28, 42, 44)
        };
        let (offset_at, length_at) = if self.wide { (8, 32) } else { (4, 16) };
        let word = if self.wide { 8 } else { 4 };
        let place = |at, bytes| usize::try_from(self.number(at, bytes)?).ok();
        let table = place(table_at, word);
        let size = place(size_at, 2).unwrap_or(0);
        let count = place(count_at, 2).unwrap_or(0).min(SEGMENTS_MAX);
        (0..count).filter_map(move |index| {
            let place = |at, bytes| usize::try_from(self.number(at, bytes)?).ok();
            let header = table?.checked_add(size * index)?;
            if self.number(header, 4)? != PT_NOTE {
                return None;
            }
            let offset = place(header.checked_add(offset_at)?, word)?;
            let length = place(header.checked_add(length_at)?, word)?;
            let rest = self.head.get(offset..)?;
            Some(&rest[..length.min(rest.len())])
        })
    }

    /// Notes stand one after the other: the lengths of name and value, the kind, the name, the value, both padded to four
    /// bytes.
    fn has_go_note(self, notes: &'a [u8]) -> bool {
        const HEADER_BYTES: usize = 12;
        let mut rest = Self {
            head: notes,
            ..self
        };
        while let (Some(name), Some(value), Some(kind)) =
            (rest.number(0, 4), rest.number(4, 4), rest.number(8, 4))
        {
            let padded = |length: u64| usize::try_from(length).ok()?.checked_next_multiple_of(4);
            let (Some(name), Some(value)) = (padded(name), padded(value)) else {
                return false;
            };
            let body = &rest.head[HEADER_BYTES..];
            if body.get(..name) == Some(GO.0) && kind == u64::from(GO.1) {
                return true;
            }
            let Some(next) = name.checked_add(value).and_then(|next| body.get(next..)) else {
                return false;
            };
            rest.head = next;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    /// A file with two segments, of which the second holds a note of somebody else and then one of `owner`.
    fn program(wide: bool, big_endian: bool, owner: &[u8; 4], kind: u32) -> Vec<u8> {
        let number = |value: u64, bytes: usize| {
            let little = value.to_le_bytes();
            let mut number = little[..bytes].to_vec();
            if big_endian {
                number.reverse();
            }
            number
        };
        let word = if wide { 8 } else { 4 };
        let (header, segment) = if wide { (64, 56) } else { (52, 32) };
        let notes_at = header + 2 * segment;
        let mut note = Vec::new();
        for (owner, kind, value) in [(b"GNU\0", 3, &b"12345678"[..]), (owner, kind, b"id\0\0")] {
            note.extend(number(4, 4));
            note.extend(number(u64::try_from(value.len()).unwrap(), 4));
            note.extend(number(u64::from(kind), 4));
            note.extend_from_slice(owner);
            note.extend_from_slice(value);
        }
        let mut bytes = vec![
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(wide),
            1 + u8::from(big_endian),
        ];
        bytes.resize(notes_at, 0);
        let mut put = |at: usize, value: usize, length: usize| {
            bytes[at..at + length].copy_from_slice(&number(u64::try_from(value).unwrap(), length));
        };
        put(if wide { 32 } else { 28 }, header, word);
        put(if wide { 54 } else { 42 }, segment, 2);
        put(if wide { 56 } else { 44 }, 2, 2);
        put(header, 1, 4);
        put(header + segment, 4, 4);
        put(header + segment + if wide { 8 } else { 4 }, notes_at, word);
        put(
            header + segment + if wide { 32 } else { 16 },
            note.len(),
            word,
        );
        bytes.extend_from_slice(&note);
        bytes
    }

    #[test]
    fn the_note_of_the_go_linker_is_found_in_any_word_size_and_byte_order() {
        for (wide, big_endian) in [(true, false), (true, true), (false, false), (false, true)] {
            assert!(is_go(&program(wide, big_endian, b"Go\0\0", 4)));
            assert!(!is_go(&program(wide, big_endian, b"Go\0\0", 3)));
            assert!(!is_go(&program(wide, big_endian, b"GNU\0", 4)));
        }
    }

    #[test]
    fn this_program_is_not_written_in_go() {
        let program = std::fs::read("/proc/self/exe").unwrap();
        assert!(!is_go(&program[..HEAD_BYTES]));
        assert!(!is_go(b"#!/bin/sh\n"));
    }

    #[test]
    fn a_head_that_is_cut_or_maimed_is_no_more_than_not_understood() {
        let whole = program(true, false, b"Go\0\0", 4);
        maim(&whole, |bytes| {
            // The value of the note does not count, and its name is all there only near the end.
            assert!(!is_go(bytes) || bytes.len() >= whole.len() - 4);
        });
    }
}
