//! Pipes that carry bytes from one socket to another without a copy through this process: splice(2).
//!
//! A [`Pipe`] knows how many bytes are in it, because the kernel does not say: a splice that would block may mean an empty
//! socket as well as a full pipe. Decides nothing about when a pipe is worth its two descriptors.
//!
//! A pipe has slots, and each piece of a packet takes one, whatever its length: how many bytes fit depends on how they
//! were sent, from a few per slot up to more than [`Pipe::capacity`].
//!
//! Sockets have to be non-blocking themselves: `SPLICE_F_NONBLOCK` is about the pipe, and `tcp_splice_read` looks at the
//! socket's own flag.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Both ends of a pipe of ours, and what is in it. Neither end ever blocks.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    capacity: usize,
    held: usize,
}

impl Pipe {
    /// A new pipe that asks for room for `capacity` bytes, and has what the host grants: see [`Pipe::capacity`].
    ///
    /// The kernel counts the capacity of all pipes of a user (pipe(7)): beyond `fs.pipe-user-pages-soft` a pipe without
    /// privileges is two pages large and may not grow.
    ///
    /// # Errors
    /// As pipe2(2): `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn open(capacity: usize) -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: `ends` has room for the two descriptors that the call writes.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call has just made both descriptors, and nobody else knows them.
        let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let mut pipe = Self {
            read,
            write,
            capacity: 0,
            held: 0,
        };
        // Refused with EPERM where it is too much for this user; what the pipe has then is asked for next.
        let wanted = libc::c_int::try_from(capacity).unwrap_or(libc::c_int::MAX);
        let fd = pipe.write.as_raw_fd();
        // SAFETY: the descriptor is open, and both commands take and return numbers only.
        let granted = unsafe {
            libc::fcntl(fd, libc::F_SETPIPE_SZ, wanted);
            libc::fcntl(fd, libc::F_GETPIPE_SZ)
        };
        pipe.capacity = usize::try_from(granted).map_err(|_| io::Error::last_os_error())?;
        Ok(pipe)
    }

    /// Room for so many bytes where each page is full.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Bytes in it.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Moves at most `bytes_max` bytes that have arrived at `socket` into the pipe. `Ok(0)` may be the end of the stream: only
    /// recv(2) tells for sure. Once a TCP peer has sent its FIN it is also the answer where there are bytes that cannot be
    /// moved (`tcp_splice_read` in net/ipv4/tcp.c), an urgent one above all.
    ///
    /// # Errors
    /// `WouldBlock` where nothing has arrived, where the pipe is full, or where the next byte is an urgent one, which only
    /// recv(2) passes over; whatever the socket has failed with; and as splice(2), see [`is_unfit`].
    pub fn fill_from(&mut self, socket: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
        let count = splice(socket, self.write.as_fd(), bytes_max)?;
        self.held += count;
        Ok(count)
    }

    /// Moves what is in the pipe to `socket`, as much as it takes. Less than all of it means that the socket is full.
    ///
    /// A socket whose peer is gone raises SIGPIPE besides the error, as write(2) does; Rust's programs ignore it.
    ///
    /// # Errors
    /// `WouldBlock` where the socket takes nothing now; whatever the socket has failed with; as splice(2), see [`is_unfit`].
    pub fn drain_to(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        let count = splice(self.read.as_fd(), socket, self.held)?;
        self.held = self.held.saturating_sub(count);
        Ok(count)
    }

    /// Copies bytes out of the pipe, oldest first; returns how many.
    ///
    /// # Errors
    /// `WouldBlock` where nothing is in it; as read(2).
    pub fn take(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        // SAFETY: the descriptor is open, and the pointer and the length describe `bytes`, which is ours to write.
        let count = unsafe {
            libc::read(
                self.read.as_raw_fd(),
                bytes.as_mut_ptr().cast(),
                bytes.len(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.held = self.held.saturating_sub(count);
        Ok(count)
    }
}

/// Whether an error of splice(2) says that these descriptors, this kernel or a filter of system calls will never do it,
/// and nothing has been moved: bytes have to be copied then.
#[must_use]
pub fn is_unfit(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM | libc::EACCES)
    )
}

fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, bytes_max: usize) -> io::Result<usize> {
    // Not SPLICE_F_MORE: it would have the kernel wait for more before it sends what is there.
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    loop {
        // SAFETY: both descriptors are open for the length of the borrows, and no offsets are given.
        let count = unsafe {
            libc::splice(
                from.as_raw_fd(),
                ptr::null_mut(),
                to.as_raw_fd(),
                ptr::null_mut(),
                bytes_max,
                flags,
            )
        };
        if let Ok(count) = usize::try_from(count) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        // Neither end ever blocks, so this ends as soon as the signals do.
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wait_readable;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    const CAPACITY: usize = 256 * 1024;

    fn tcp_pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (one, listener.accept().unwrap().0)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * 31 / 7).to_le_bytes()[0]).collect()
    }

    /// Sends `bytes` into `sender` and takes them from `receiver`, by way of a pipe between the other ends.
    fn carry<S: Write + Send, R: Read>(
        bytes: &[u8],
        (mut sender, from): (S, &impl AsFd),
        (to, mut receiver): (&impl AsFd, R),
    ) {
        let mut pipe = Pipe::open(CAPACITY).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || sender.write_all(bytes).unwrap());
            let mut received = Vec::new();
            while received.len() < bytes.len() {
                wait_readable(from);
                let count = pipe.fill_from(from.as_fd(), bytes.len()).unwrap();
                assert!(count > 0, "the stream ended early");
                assert_eq!(pipe.drain_to(to.as_fd()).unwrap(), count);
                assert_eq!(pipe.held(), 0);
                let before = received.len();
                received.resize(before + count, 0);
                receiver.read_exact(&mut received[before..]).unwrap();
            }
            assert!(received == bytes, "other bytes came out than went in");
        });
    }

    #[test]
    fn bytes_cross_from_every_kind_of_socket_to_every_other() {
        let bytes = pattern(1 << 20);
        let (app, app_here) = tcp_pair();
        let (client_here, client) = tcp_pair();
        let (unix_app, unix_app_here) = UnixStream::pair().unwrap();
        let (unix_client_here, unix_client) = UnixStream::pair().unwrap();
        // A socket that takes all it is given, so that one thread can both write and read.
        for socket in [client_here.as_fd(), unix_client_here.as_fd()] {
            let socket = socket2::SockRef::from(&socket);
            socket.set_send_buffer_size(8 << 20).unwrap();
        }
        carry(&bytes, (&app, &app_here), (&client_here, &client));
        carry(&bytes, (&unix_app, &unix_app_here), (&client_here, &client));
        carry(
            &bytes[..64 << 10],
            (&app, &app_here),
            (&unix_client_here, &unix_client),
        );
    }

    #[test]
    fn an_empty_socket_blocks_an_ended_one_says_so_and_a_failed_one_tells() {
        let (app, here) = tcp_pair();
        here.set_nonblocking(true).unwrap();
        let mut pipe = Pipe::open(CAPACITY).unwrap();
        let blocked = pipe.fill_from(here.as_fd(), CAPACITY).unwrap_err();
        assert_eq!(blocked.kind(), io::ErrorKind::WouldBlock);
        assert!(!is_unfit(&blocked));
        app.shutdown(std::net::Shutdown::Write).unwrap();
        wait_readable(&here);
        assert_eq!(pipe.fill_from(here.as_fd(), CAPACITY).unwrap(), 0);

        let (app, here) = tcp_pair();
        crate::socket::reset_on_close(&app, true).unwrap();
        drop(app);
        wait_readable(&here);
        let failed = pipe.fill_from(here.as_fd(), CAPACITY).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
        assert!(!is_unfit(&failed));
    }

    #[test]
    fn a_full_socket_leaves_the_rest_in_the_pipe_and_it_can_be_taken_back() {
        let bytes = pattern(CAPACITY);
        let (mut app, here) = tcp_pair();
        let (client_here, mut client) = UnixStream::pair().unwrap();
        client_here.set_nonblocking(true).unwrap();
        let small = socket2::SockRef::from(&client_here);
        small.set_send_buffer_size(16 * 1024).unwrap();
        let mut pipe = Pipe::open(CAPACITY).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| app.write_all(&bytes).unwrap());
            while pipe.held() < 128 * 1024 {
                wait_readable(&here);
                pipe.fill_from(here.as_fd(), CAPACITY).unwrap();
            }
            let held = pipe.held();
            let sent = pipe.drain_to(client_here.as_fd()).unwrap();
            assert!(sent > 0 && sent < held, "{sent} of {held}");
            let full = pipe.drain_to(client_here.as_fd()).unwrap_err();
            assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
            let mut rest = vec![0; held];
            let mut count = sent;
            while pipe.held() > 0 {
                count += pipe.take(&mut rest[count..]).unwrap();
            }
            assert_eq!(count, held, "nothing is lost and nothing is there twice");
            client.read_exact(&mut rest[..sent]).unwrap();
            assert!(rest == bytes[..held]);
            // The writer may go: its peer reads the rest.
            let mut left = vec![0; bytes.len() - held];
            (&here).read_exact(&mut left).unwrap();
        });
    }

    #[test]
    fn descriptors_that_cannot_be_spliced_are_told_from_failed_ones() {
        let mut pipe = Pipe::open(CAPACITY).unwrap();
        let (here, mut there) = UnixStream::pair().unwrap();
        there.write_all(b"some bytes").unwrap();
        assert_eq!(pipe.fill_from(here.as_fd(), CAPACITY).unwrap(), 10);
        let directory = std::fs::File::open("/").unwrap();
        assert!(is_unfit(&pipe.fill_from(directory.as_fd(), 1).unwrap_err()));
        let counter = std::fs::OpenOptions::new().append(true).open("/dev/full");
        let unfit = pipe.drain_to(counter.unwrap().as_fd()).unwrap_err();
        assert!(is_unfit(&unfit), "{unfit}");
        let mut bytes = [0; 16];
        assert_eq!(pipe.take(&mut bytes).unwrap(), 10, "they are still there");
        assert_eq!(&bytes[..10], b"some bytes");
    }

    #[test]
    fn behind_an_urgent_byte_there_may_be_more_though_nothing_can_be_moved() {
        let (sender, receiver) = tcp_pair();
        receiver.set_nonblocking(true).unwrap();
        let sender = socket2::SockRef::from(&sender);
        sender.send(b"before").unwrap();
        sender.send_out_of_band(b"!").unwrap();
        sender.send(b"behind").unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
        while crate::socket::tcp_state(&receiver).unwrap() != crate::socket::TcpState::CloseWait {
            std::thread::yield_now();
        }
        let mut pipe = Pipe::open(CAPACITY).unwrap();
        assert_eq!(pipe.fill_from(receiver.as_fd(), CAPACITY).unwrap(), 6);
        assert_eq!(pipe.fill_from(receiver.as_fd(), CAPACITY).unwrap(), 0);
        let mut rest = [0; 16];
        assert_eq!((&receiver).read(&mut rest).unwrap(), 6);
        assert_eq!(&rest[..6], b"behind");
    }

    #[test]
    fn a_pipe_has_the_room_that_the_host_grants() {
        let pipe = Pipe::open(CAPACITY).unwrap();
        let mut write = std::fs::File::from(pipe.write.try_clone().unwrap());
        let mut written = 0;
        while let Ok(count) = write.write(&[b'x'; 65_536]) {
            written += count;
        }
        assert_eq!(written, pipe.capacity());
        let greedy = Pipe::open(usize::MAX).unwrap();
        assert!(greedy.capacity() >= 4096, "refused, and still a pipe");
    }
}
