//! An outbox between two sockets: order, second attempts, and a pipe before or behind the buffers.

use super::*;
use crate::transport::{Clock, Pipes, Slots};
use std::future::poll_fn;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_io().build().unwrap()
}

fn on_a_socket_pair<F: AsyncFnOnce(Stream, tokio::net::UnixStream)>(test: F) {
    runtime().block_on(async {
        let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
        let ours = ours.into_std().unwrap();
        test(Stream::unix(ours).unwrap(), theirs).await;
    });
}

fn on_a_tcp_pair<F: AsyncFnOnce(Stream, tokio::net::TcpStream)>(test: F) {
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = tokio::net::TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(listener.accept(), theirs);
        let ours = ours.unwrap().0.into_std().unwrap();
        test(Stream::tcp(ours).unwrap(), theirs.unwrap()).await;
    });
}

#[test]
fn bytes_come_out_in_the_order_they_went_in_across_buffers() {
    on_a_socket_pair(async |mut stream, mut peer| {
        let pool = BufferPool::new(1 << 20);
        let mut outbox = Outbox::new(&pool);
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        outbox.push(&bytes[..70_000]);
        outbox.push(&bytes[70_000..]);
        assert_eq!(outbox.unsent(), 100_000);
        let write = poll_fn(|cx| outbox.poll_flush(cx, &mut stream));
        let mut received = vec![0; 100_000];
        let read = peer.read_exact(&mut received);
        let (written, read) = tokio::join!(write, read);
        written.unwrap();
        read.unwrap();
        assert_eq!(received, bytes);
        assert_eq!(pool.lent(), 0, "every buffer went back");
    });
}

#[test]
fn a_retained_request_is_sent_again_byte_for_byte() {
    on_a_socket_pair(async |mut stream, mut peer| {
        let pool = BufferPool::new(1 << 20);
        let mut outbox = Outbox::retaining(&pool);
        outbox.push(&[b'a'; 20_000]);
        for _ in 0..2 {
            poll_fn(|cx| outbox.poll_flush(cx, &mut stream))
                .await
                .unwrap();
            assert!(outbox.has_sent());
            let mut received = vec![0; 20_000];
            peer.read_exact(&mut received).await.unwrap();
            assert!(received.iter().all(|&byte| byte == b'a'));
            outbox.rewind();
        }
        poll_fn(|cx| outbox.poll_flush(cx, &mut stream))
            .await
            .unwrap();
        outbox.release();
        assert_eq!(pool.lent(), 0);
    });
}

fn pool_with_pipes() -> BufferPool {
    let slots = std::sync::Arc::new(Slots::new(1024, 0, (1, 0), 0, [0]));
    let clock = Clock::new(std::time::Instant::now());
    BufferPool::with_pipes(4 << 20, Pipes::new(slots, clock))
}

/// Fills `outbox` from `source` until something is in its pipe; returns how much was taken in.
async fn carry_into_the_pipe(outbox: &mut Outbox, source: &mut Stream) -> usize {
    let mut count = 0;
    while outbox.siphon.held() == 0 {
        count += poll_fn(|cx| outbox.poll_carry_from(cx, source, usize::MAX, PIPE_BYTES))
            .await
            .unwrap();
        if outbox.siphon.held() == 0 {
            // What was copied first goes out first, here to nobody.
            outbox.buffers.clear();
            outbox.unsent = 0;
        }
    }
    count
}

#[test]
fn a_stream_that_brings_much_goes_through_a_pipe_and_comes_out_as_it_was() {
    on_a_socket_pair(async |mut to, mut receiver| {
        let (source, mut sender) = tokio::net::UnixStream::pair().unwrap();
        let mut source = Stream::unix(source.into_std().unwrap()).unwrap();
        let pool = pool_with_pipes();
        let mut outbox = Outbox::new(&pool);
        let bytes: Vec<u8> = (0..2_000_000_u32)
            .map(|i| (i / 5).to_le_bytes()[0])
            .collect();
        let send = async {
            sender.write_all(&bytes).await.unwrap();
            sender.shutdown().await.unwrap();
        };
        let carry = async {
            loop {
                let carry = |cx: &mut Context<'_>| {
                    outbox.poll_carry_from(cx, &mut source, usize::MAX, PIPE_BYTES)
                };
                if poll_fn(carry).await.unwrap() == 0 {
                    break;
                }
                poll_fn(|cx| outbox.poll_flush(cx, &mut to)).await.unwrap();
            }
            to.shutdown_write().unwrap();
        };
        let mut received = Vec::new();
        let receive = receiver.read_to_end(&mut received);
        let ((), (), count) = tokio::join!(send, carry, receive);
        assert_eq!(count.unwrap(), bytes.len());
        assert!(received == bytes, "other bytes came out than went in");
        assert!(pool.pipes().carried() > 1_000_000);
        assert_eq!(
            (pool.lent(), source.received(), to.sent()),
            (0, 2_000_000, 2_000_000)
        );
    });
}

#[test]
fn what_is_in_a_pipe_goes_before_the_buffers_also_where_it_has_to_be_copied() {
    for copied in [false, true] {
        on_a_socket_pair(async |mut to, mut receiver| {
            let (source, mut sender) = tokio::net::UnixStream::pair().unwrap();
            let mut source = Stream::unix(source.into_std().unwrap()).unwrap();
            let pool = pool_with_pipes();
            let mut outbox = Outbox::new(&pool);
            let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 3).to_le_bytes()[0]).collect();
            sender.write_all(&bytes).await.unwrap();
            let count = carry_into_the_pipe(&mut outbox, &mut source).await;
            let before = count - outbox.unsent();
            assert!(outbox.empties_first());
            outbox.push(b"and the rest");
            if copied {
                outbox.copy_siphon().unwrap();
                assert_eq!((outbox.siphon.held(), pool.pipes().lent()), (0, 0));
            }
            let mut expected = bytes[before..count].to_vec();
            expected.extend_from_slice(b"and the rest");
            assert_eq!(outbox.unsent(), expected.len());
            let mut received = vec![0; expected.len()];
            let write = poll_fn(|cx| outbox.poll_flush(cx, &mut to));
            let (written, read) = tokio::join!(write, receiver.read_exact(&mut received));
            written.unwrap();
            read.unwrap();
            assert!(received == expected);
            assert_eq!(pool.lent(), 0);
        });
    }
}

/// Writes to `stream` until it takes no more; returns how much that was.
async fn stuff(stream: &mut Stream) -> usize {
    static BLOCK: [u8; 16 * 1024] = [b'.'; 16 * 1024];
    poll_fn(|cx| {
        let mut count = 0;
        while let Poll::Ready(taken) = stream.poll_write(cx, &[IoSlice::new(&BLOCK)]) {
            count += taken.unwrap();
        }
        Poll::Ready(count)
    })
    .await
}

/// Carries 100,000 bytes behind a head, the last of them in a pipe, to a receiver that has taken nothing of what came
/// before but `taken` bytes; none where nothing came before.
async fn a_pipe_behind_a_head<R: AsyncRead + Unpin>(
    mut to: Stream,
    mut receiver: R,
    taken: Option<usize>,
) {
    let (source, mut sender) = tokio::net::UnixStream::pair().unwrap();
    let mut source = Stream::unix(source.into_std().unwrap()).unwrap();
    let pool = pool_with_pipes();
    let mut outbox = Outbox::new(&pool);
    let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i / 3).to_le_bytes()[0]).collect();
    sender.write_all(&bytes).await.unwrap();
    let mut before = 0;
    if let Some(taken) = taken {
        before = stuff(&mut to).await - taken;
        receiver.read_exact(&mut vec![0; taken]).await.unwrap();
    }

    outbox.push(b"head");
    let mut count = 0;
    while !outbox.pipe_is_last {
        assert!(!outbox.empties_first());
        let carry =
            |cx: &mut Context<'_>| outbox.poll_carry_from(cx, &mut source, usize::MAX, PIPE_BYTES);
        count += poll_fn(carry).await.unwrap();
    }
    assert!(outbox.siphon.held() >= SPLICED_MIN && !outbox.gathers());

    let is_flushed = poll_fn(|cx| Poll::Ready(outbox.poll_flush(cx, &mut to).is_ready())).await;
    match taken {
        None => assert!(is_flushed),
        Some(0) => assert_eq!((is_flushed, outbox.siphon.held()), (false, 0)),
        Some(_) => {}
    }
    assert_eq!(
        outbox.empties_first(),
        !is_flushed,
        "no pipe for a slow one"
    );
    assert!(!outbox.pipe_is_last);
    outbox.push(b"end");
    let expected = [b"head", &bytes[..count], b"end"].concat();
    let mut received = vec![0; before + expected.len()];
    let write = poll_fn(|cx| outbox.poll_flush(cx, &mut to));
    let (written, read) = tokio::join!(write, receiver.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert!(received[before..] == expected, "other bytes came out");
    assert_eq!((pool.lent(), pool.pipes().lent()), (0, 0));
}

#[test]
fn a_pipe_filled_behind_buffers_goes_behind_them_and_is_copied_where_the_receiver_is_slow() {
    // Of the buffers all, none or a part is taken, and then of the pipe.
    for taken in [None, Some(0), Some(40_000), Some(80_000), Some(150_000)] {
        on_a_socket_pair(async |to, receiver| {
            Box::pin(a_pipe_behind_a_head(to, receiver, taken)).await;
        });
        // A full TCP socket may find room by itself, once its window is known.
        let taken = taken.map(|taken| taken.max(10_000));
        on_a_tcp_pair(async |to, receiver| {
            Box::pin(a_pipe_behind_a_head(to, receiver, taken)).await;
        });
    }
}

#[test]
fn a_transfer_given_up_leaves_its_bytes_to_nobody() {
    on_a_socket_pair(async |mut source, mut sender| {
        let pool = pool_with_pipes();
        let mut outbox = Outbox::new(&pool);
        sender.write_all(&[b'x'; 100_000]).await.unwrap();
        carry_into_the_pipe(&mut outbox, &mut source).await;
        assert_eq!(pool.pipes().lent(), 1);
        drop(outbox);
        assert_eq!(pool.pipes().lent(), 0);
        assert!(!pool.pipes().expire(), "it was closed, not kept");
    });
}
