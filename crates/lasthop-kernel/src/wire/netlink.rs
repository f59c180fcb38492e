//! The frame of netlink: messages in a datagram, attributes in a message (netlink(7), linux/netlink.h).
//!
//! Writes requests as well, so that both directions of the frame are in one place. Knows no protocol above it.

use super::{u16_at, u32_at};

/// `struct nlmsghdr`: length, kind, flags, sequence, port.
const HEADER_BYTES: usize = 16;
/// `struct nlattr`: length and kind.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Messages and attributes begin at multiples of this.
const ALIGNMENT: usize = 4;
/// The two highest bits of an attribute's kind are flags (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_KIND_MASK: u16 = 0x3fff;

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;

/// One message as it stands in a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is, by the protocol's numbers; below 16 by netlink's own.
    pub kind: u16,
    /// `NLM_F_*`.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// What a message means for whoever reads an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A record of the protocol.
    Record,
    /// Nothing (`NLMSG_NOOP`).
    Nothing,
    /// The last message: all is well.
    End,
    /// The last message: it failed with this errno, which is positive.
    Failed(i32),
    /// An error or overrun without a number that could be understood.
    Garbled,
}

impl Message<'_> {
    /// What the message means. A kind that is netlink's own but unknown here means nothing.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        /// Kinds below are netlink's own (`NLMSG_MIN_TYPE`).
        const FIRST_OF_PROTOCOLS: u16 = 16;
        let code = u32_at(self.payload, 0).map(u32::cast_signed);
        match (self.kind, code) {
            // An end without a number is an end of older kernels.
            (NLMSG_DONE, None | Some(0..)) | (NLMSG_ERROR, Some(0)) => Meaning::End,
            (NLMSG_DONE | NLMSG_ERROR, Some(code @ ..0)) => {
                code.checked_neg().map_or(Meaning::Garbled, Meaning::Failed)
            }
            (NLMSG_ERROR | NLMSG_OVERRUN, _) => Meaning::Garbled,
            (NLMSG_NOOP | ..FIRST_OF_PROTOCOLS, _) => Meaning::Nothing,
            _ => Meaning::Record,
        }
    }
}

/// The rest of a datagram has no message in it, though it has bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// The messages of a datagram, one after the other; the first malformed one is the last.
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages of `datagram`.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        Self { rest: datagram }
    }

    fn first(&self) -> Option<Message<'a>> {
        let length = usize::try_from(u32_at(self.rest, 0)?).ok()?;
        Some(Message {
            kind: u16_at(self.rest, 4)?,
            flags: u16_at(self.rest, 6)?,
            sequence: u32_at(self.rest, 8)?,
            payload: self.rest.get(HEADER_BYTES..length)?,
        })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let first = self.first();
        self.rest = match first {
            Some(message) => after(self.rest, HEADER_BYTES + message.payload.len()),
            None => &[],
        };
        Some(first.ok_or(Malformed))
    }
}

/// The attributes of a message, as kind and value; what is malformed ends them.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`, which begin with the first of them.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let length = usize::from(u16_at(self.rest, 0)?);
        let kind = u16_at(self.rest, 2)? & ATTRIBUTE_KIND_MASK;
        let value = self.rest.get(ATTRIBUTE_HEADER_BYTES..length)?;
        self.rest = after(self.rest, length);
        Some((kind, value))
    }
}

/// What comes after `length` bytes and their padding; the last padding may be missing.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes
        .get(length.next_multiple_of(ALIGNMENT)..)
        .unwrap_or_default()
}

/// A request under construction.
#[derive(Debug, Clone)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A request of a kind, with the fixed part of its protocol. Its length is written by [`Request::finish`].
    #[must_use]
    pub fn new(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len() + 64);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        // The port: the kernel knows who asks.
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(body);
        Self { bytes }
    }

    /// Adds an attribute. A value too long for a length of 16 bits is a mistake of ours and adds nothing.
    #[must_use]
    pub fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER_BYTES + value.len());
        debug_assert!(length.is_ok(), "an attribute of {} bytes", value.len());
        if let Ok(length) = length {
            self.pad();
            self.bytes.extend_from_slice(&length.to_ne_bytes());
            self.bytes.extend_from_slice(&kind.to_ne_bytes());
            self.bytes.extend_from_slice(value);
        }
        self
    }

    /// The datagram to send.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.pad();
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.first_chunk_mut() {
            *field = length.to_ne_bytes();
        }
        self.bytes
    }

    fn pad(&mut self) {
        let length = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(length, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::maim;

    fn request() -> Vec<u8> {
        Request::new(20, 0x301, 7, b"fixed")
            .with(1, b"abc")
            .with(2 | 0x8000, b"defg")
            .finish()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let datagram = [request(), request()].concat();
        let messages: Vec<_> = Messages::new(&datagram).map(Result::unwrap).collect();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[0], messages[1]);
        let message = messages[0];
        assert_eq!(
            (message.kind, message.flags, message.sequence),
            (20, 0x301, 7)
        );
        assert_eq!(message.meaning(), Meaning::Record);
        let attributes: Vec<_> = Attributes::new(&message.payload[8..]).collect();
        assert_eq!(attributes, [(1, &b"abc"[..]), (2, &b"defg"[..])]);
    }

    #[test]
    fn lengths_that_lie_end_the_walk() {
        maim(&[request(), request()].concat(), |datagram| {
            let messages: Vec<_> = Messages::new(datagram).collect();
            assert!(messages.len() <= datagram.len().div_ceil(HEADER_BYTES));
            assert!(messages.iter().rev().skip(1).all(Result::is_ok));
            for message in messages.into_iter().flatten() {
                let attributes = Attributes::new(message.payload).count();
                assert!(attributes <= message.payload.len() / ATTRIBUTE_HEADER_BYTES);
            }
        });
    }

    #[test]
    fn an_answer_ends_well_or_with_an_errno() {
        let message = |kind, payload| Message {
            kind,
            flags: 0,
            sequence: 0,
            payload,
        };
        let code = |code: i32| code.to_ne_bytes();
        let table = [
            (NLMSG_DONE, code(0).to_vec(), Meaning::End),
            (NLMSG_DONE, vec![], Meaning::End),
            (NLMSG_DONE, code(-2).to_vec(), Meaning::Failed(2)),
            (NLMSG_ERROR, code(0).to_vec(), Meaning::End),
            (NLMSG_ERROR, code(-101).to_vec(), Meaning::Failed(101)),
            (NLMSG_ERROR, code(i32::MIN).to_vec(), Meaning::Garbled),
            (NLMSG_ERROR, code(5).to_vec(), Meaning::Garbled),
            (NLMSG_ERROR, vec![1], Meaning::Garbled),
            (NLMSG_OVERRUN, vec![], Meaning::Garbled),
            (NLMSG_NOOP, vec![], Meaning::Nothing),
            (9, vec![], Meaning::Nothing),
            (16, vec![], Meaning::Record),
        ];
        for (kind, payload, meaning) in &table {
            assert_eq!(
                message(*kind, payload).meaning(),
                *meaning,
                "{kind} {payload:?}"
            );
        }
    }
}
