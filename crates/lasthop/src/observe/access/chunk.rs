//! A chunk: whole lines on their way from a worker to the writer.

/// From how many bytes on a worker hands its chunk over. A write of this size costs the kernel little
/// more than one of a line, and it is half of what a pipe holds by default (pipe(7)).
pub(super) const CHUNK_BYTES: usize = 32 * 1024;

/// What is reserved for a chunk: the last line of an ordinary one ends before it.
const CHUNK_CAPACITY: usize = CHUNK_BYTES + 4 * 1024;

/// Whole lines, and how many they are.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

impl Chunk {
    /// An empty one in used memory.
    pub(super) fn reusing(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        Self { bytes, lines: 0 }
    }

    /// Has its memory from now on, if it had none.
    pub(super) fn reserve(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve_exact(CHUNK_CAPACITY);
        }
    }

    /// Forgets its lines and keeps its memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines = 0;
    }

    /// Whether the memory is what a chunk usually needs, and not what one giant line made of it.
    pub(super) fn is_ordinary(bytes: &Vec<u8>) -> bool {
        (1..=CHUNK_CAPACITY).contains(&bytes.capacity())
    }
}
