//! What a listener promises, with real sockets.

mod tcp;
mod unix;
