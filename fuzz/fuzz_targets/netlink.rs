//! Any bytes as a datagram of netlink. Every message and attribute lies within it, at a place of its own, and the walk
//! ends; what a request is made of is read back from it.

#![no_main]

use lasthop_kernel::wire::netlink::{Attributes, Messages, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|datagram: &[u8]| {
    let within = |part: &[u8], whole: &[u8]| {
        part.is_empty()
            || whole.as_ptr_range().contains(&part.as_ptr()) && part.len() <= whole.len()
    };
    let mut bytes = 0;
    let mut malformed = 0;
    for message in Messages::new(datagram) {
        let Ok(message) = message else {
            malformed += 1;
            continue;
        };
        assert_eq!(malformed, 0, "nothing comes after what is malformed");
        assert!(within(message.payload, datagram));
        bytes += 16 + message.payload.len();
        let _ = message.meaning();
        let mut values = 0;
        for (_, value) in Attributes::new(message.payload) {
            assert!(within(value, message.payload));
            values += 4 + value.len();
        }
        assert!(values <= message.payload.len());
    }
    assert!(bytes <= datagram.len());

    let value = &datagram[..datagram.len().min(1000)];
    let request = Request::new(20, 1, 7, b"body")
        .with(3, value)
        .with(4, value)
        .finish();
    let messages: Vec<_> = Messages::new(&request).collect();
    let [Ok(message)] = messages[..] else {
        panic!("one request is one message");
    };
    let read: Vec<_> = Attributes::new(&message.payload[4..]).collect();
    assert_eq!(read, [(3, value), (4, value)]);
});
