//! What was, as series: the last minutes finely, hours and a day more and more coarsely, in bounded memory.
//!
//! Points come in from whoever samples, and go out to the dashboard, to `/history` and to `lasthop top`. Reads no clock and
//! no kernel.
