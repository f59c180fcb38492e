//! The time of day as HTTP writes it, made once a second instead of once an answer.

use std::cell::{Ref, RefCell};
use std::time::{Duration, Instant, SystemTime};

use crate::transport::Clock;

/// How long a text is good for. The worker's clock is coarse, so it may be a tick older.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The value of a `Date` field (RFC 9110 section 6.6.1), right to the second or two.
#[derive(Debug)]
pub struct DateText {
    clock: Clock,
    made: RefCell<(Instant, String)>,
}

impl DateText {
    /// By the worker's clock.
    pub fn new(clock: Clock) -> Self {
        let now = clock.now();
        Self {
            clock,
            made: RefCell::new((now, now_as_text())),
        }
    }

    /// The text of now. Do not hold it across an await.
    pub fn text(&self) -> Ref<'_, str> {
        let now = self.clock.now();
        if now.saturating_duration_since(self.made.borrow().0) >= GOOD_FOR {
            *self.made.borrow_mut() = (now, now_as_text());
        }
        Ref::map(self.made.borrow(), |(_, text)| text.as_str())
    }
}

fn now_as_text() -> String {
    httpdate::fmt_http_date(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_made_anew_after_a_second_and_not_before() {
        let clock = Clock::new(Instant::now());
        let date = DateText::new(clock.clone());
        *date.made.borrow_mut() = (clock.now(), "old".to_owned());
        assert_eq!(&*date.text(), "old");
        clock.tick(clock.now() + GOOD_FOR);
        assert!(date.text().ends_with(" GMT"));
    }
}
