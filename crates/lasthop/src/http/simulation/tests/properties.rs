//! What holds for any exchange under any schedule.
//!
//! Most exchanges look the same however they arrive, faulty ones included, and are compared as they are.
//! Where the order of arrival decides what may be known at a moment, the property says what is let go,
//! and everything is held to [`is_faithful`]: no message that looks whole and is not, no byte of one in
//! another, nothing done twice that must be done once.

use proptest::prelude::*;

use super::flaws::{self, Flaw, with};
use super::grammar::{Exchange, choices, exchange};
use super::*;

/// Exchanges tried for each property, each under three schedules: about a second in a debug build.
const CASES: u32 = 100;

type Checked = Result<(), TestCaseError>;

/// Compares what three schedules make of a case with what it is when nothing is cut or delayed.
fn under_each(
    case: &Case,
    schedules: &[Schedule],
    check: impl Fn(&Outcome, &Outcome) -> Checked,
) -> Checked {
    let whole = simulate(case, &Schedule::Whole);
    for schedule in [&Schedule::Whole].into_iter().chain(schedules) {
        check(&simulate(case, schedule), &whole)?;
    }
    Ok(())
}

fn is_same(outcome: &Outcome, whole: &Outcome) -> Checked {
    prop_assert_eq!(outcome, whole);
    Ok(())
}

/// The final answers, without what they say about the connection.
fn finals(outcome: &Outcome) -> Vec<Message> {
    let answers = outcome.answers.iter();
    answers
        .filter(|answer| !answer.is_interim())
        .map(Message::without_connection)
        .collect()
}

/// Both clients get the same answers for as long as both get any.
fn agree(one: &Outcome, other: &Outcome) -> Checked {
    for (one, other) in finals(one).iter().zip(&finals(other)) {
        prop_assert_eq!(one, other);
    }
    nobody_is_left_without_a_word(one, other)
}

/// A client that gets fewer answers than the other was told that its connection ends, or was reset.
fn nobody_is_left_without_a_word(one: &Outcome, other: &Outcome) -> Checked {
    let (ones, others) = (finals(one).len(), finals(other).len());
    for (outcome, is_shorter) in [(one, ones < others), (other, others < ones)] {
        let is_told =
            outcome.client == End::Reset || outcome.answers.last().is_some_and(Message::closes);
        prop_assert!(!is_shorter || is_told, "{:?}", outcome);
    }
    Ok(())
}

/// What every outcome of a faulty exchange owes to the sound one that it was made from.
fn is_faithful(outcome: &Outcome, exchange: &Exchange) -> Checked {
    let alone = |number| simulate(&exchange.alone(number), &Schedule::Whole);
    let alone: Vec<Outcome> = (0..exchange.pairs.len()).map(alone).collect();
    let expected: Vec<Message> = alone.iter().flat_map(finals).collect();
    let mut finals = 0;
    for answer in &outcome.answers {
        if answer.is_interim() {
            let is_of_this =
                answer.status() == 100 || answer.head.contains(&format!("</{finals}/"));
            prop_assert!(is_of_this, "{answer:?} before answer {finals}");
            continue;
        }
        if !answer.is_from_proxy() {
            is_part_of(&answer.without_connection(), expected.get(finals))?;
        }
        finals += 1;
    }
    let mut times = vec![0; exchange.pairs.len()];
    for request in outcome.apps.iter().flat_map(|app| &app.requests) {
        let number = request.number();
        is_part_of(request, alone[number].apps[0].requests.first())?;
        times[number] += 1;
    }
    for ((request, _), times) in exchange.pairs.iter().zip(times) {
        let times_max = if request.is_idempotent() { 2 } else { 1 };
        prop_assert!(times <= times_max, "{request:?} came {times} times");
    }
    Ok(())
}

/// Whether `message` is `expected`, or its beginning and not to be taken for whole.
fn is_part_of(message: &Message, expected: Option<&Message>) -> Checked {
    prop_assert!(expected.is_some(), "nobody said {:?}", message);
    let Some(expected) = expected else {
        return Ok(());
    };
    prop_assert_eq!(&message.head, &expected.head);
    if message.is_whole {
        prop_assert_eq!(message, expected);
    }
    prop_assert!(expected.body.starts_with(&message.body), "{:?}", message);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn an_exchange_without_fault_looks_the_same_however_it_arrives(
        exchange in exchange(),
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&exchange.case(), &schedules, is_same)?;
    }

    #[test]
    fn a_malformed_message_is_refused_however_it_arrives(
        exchange in exchange(),
        flaw in prop_oneof![flaws::bad_request(), flaws::bad_answer(), Just(Flaw::SaysMore)],
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&with(&exchange, &flaw), &schedules, is_same)?;
    }

    /// An interim answer that has not been sent when the app fails is dropped (a client that waits for it
    /// gets the fault instead, and its connection ends), and one of which a part has been sent is
    /// followed by a reset.
    #[test]
    fn an_answer_that_is_cut_is_never_taken_for_whole(
        exchange in exchange(),
        flaw in flaws::answer_stops(),
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&with(&exchange, &flaw), &schedules, |outcome, whole| {
            is_faithful(outcome, &exchange)?;
            agree(outcome, whole)?;
            if outcome.answers == whole.answers && outcome.to_client == whole.to_client {
                prop_assert_eq!(outcome.client, whole.client);
            }
            Ok(())
        })?;
    }

    /// Whether the end of a connection is noticed before the next request is sent on it is a matter of
    /// time. It decides whether the app gets a request once more, which is hidden from the client
    /// unless the request may not be repeated, or is longer than what is kept of it.
    #[test]
    fn an_app_that_ends_its_connections_is_asked_again_only_where_that_is_safe(
        exchange in exchange(),
        flaw in flaws::dies(),
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&with(&exchange, &flaw), &schedules, |outcome, whole| {
            is_faithful(outcome, &exchange)?;
            let may_fail = |number: usize| {
                let request = &exchange.pairs[number].0;
                !request.is_idempotent() || request.weight_max() > exchange.settings.kept_max()
            };
            let both = finals(outcome).into_iter().zip(finals(whole));
            for (number, (seen, expected)) in both.enumerate() {
                if !may_fail(number) {
                    prop_assert_eq!(seen, expected);
                }
            }
            nobody_is_left_without_a_word(outcome, whole)
        })?;
    }

    /// How much of the request the app gets, and whether the connection can go on behind the answer,
    /// depends on what has arrived by then.
    #[test]
    fn an_answer_before_the_end_of_its_request_is_whole(
        exchange in exchange(),
        flaw in flaws::answers_early(),
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&with(&exchange, &flaw), &schedules, |outcome, whole| {
            is_faithful(outcome, &exchange)?;
            prop_assert_ne!(outcome.client, End::Reset);
            agree(outcome, whole)
        })?;
    }

    /// When a client's end is noticed decides how far everybody has come.
    #[test]
    fn a_client_that_leaves_has_seen_nothing_wrong_and_its_app_neither(
        exchange in exchange(),
        flaw in flaws::client_stops(),
        schedules in [choices(), choices(), choices()],
    ) {
        under_each(&with(&exchange, &flaw), &schedules, |outcome, _| {
            is_faithful(outcome, &exchange)
        })?;
    }
}
