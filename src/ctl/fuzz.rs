//! What a fuzzer calls: no bytes on the control socket may panic, and every refusal is an answer.

use crate::ctl::asked::Act;
use crate::ctl::frame::Frames;
use crate::ctl::interface::{self, Asked, Call, Refusal};
use std::time::{Duration, UNIX_EPOCH};

/// Reads the bytes as they would come over the socket, in two pieces, and answers each call.
///
/// # Panics
/// If a refusal is no JSON object with the name of an error, or a message is longer than its limit.
#[doc(hidden)]
pub fn fuzz_calls(bytes: &[u8]) {
    const LIMIT: usize = 4096;
    let mut frames = Frames::new(LIMIT);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    for piece in [first, second] {
        frames.room().extend_from_slice(piece);
        loop {
            match frames.take() {
                Ok(Some(message)) => {
                    assert!(message.len() <= LIMIT, "a message keeps its limit");
                    answer(message);
                }
                Ok(None) => break,
                Err(large) => {
                    refused(&Refusal::MessageTooLarge(large.limit));
                    return;
                }
            }
        }
    }
}

fn answer(message: &[u8]) {
    match Call::parse(message).and_then(|call| call.asked()) {
        Ok(Asked::Ready(value)) => {
            let bytes = interface::reply(&value).expect("plain data");
            assert_eq!(bytes.last(), Some(&0), "a reply ends with NUL");
        }
        Ok(Asked::Events(asked)) => {
            assert!((1..=1024).contains(&asked.limit), "a reply is bounded");
        }
        Ok(Asked::Act(act)) => bounded(&act),
        Ok(Asked::Status | Asked::Neighbours | Asked::Trackers) => {}
        Err(refusal) => refused(&refusal),
    }
}

/// What the daemon computes with is what it can compute with.
fn bounded(act: &Act) {
    let for_s = match act {
        Act::Drain { term, .. } | Act::Takeover { term, .. } => {
            let reason = term.reason.as_ref().map_or(0, String::len);
            assert!(reason <= 256, "a reason of {reason} bytes");
            term.for_s
        }
        Act::Log { level, for_s } => {
            assert!(level.len() <= 5, "a level that is none: {level}");
            *for_s
        }
        Act::SetTracker { for_s, .. } => *for_s,
        Act::Reload { .. } | Act::Undrain { .. } => None,
    };
    if let Some(length) = for_s {
        assert!(length > 0.0, "{length} seconds");
        let until = Duration::try_from_secs_f64(length).map(|d| UNIX_EPOCH.checked_add(d));
        assert!(matches!(until, Ok(Some(_))), "{length} seconds");
    }
}

fn refused(refusal: &Refusal) {
    let reply = refusal.reply();
    let name = reply["error"].as_str().expect("an error has a name");
    assert!(name.contains('.'), "and an interface: {name}");
    assert!(reply["parameters"].is_object(), "and parameters: {reply}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CALLS: [&str; 10] = [
        r#"{"method":"dev.mainstay.Control.SetTracker","parameters":{"name":"db","value":"up","for_s":5}}"#,
        r#"{"method":"dev.mainstay.Control.Events","parameters":{"since":7,"kinds":["a"],"age_s":1.5}}"#,
        r#"{"method":"dev.mainstay.Control.Drain","parameters":{"instance":"VI_1","for_s":60,"reason":"x"}}"#,
        r#"{"method":"dev.mainstay.Control.Takeover","parameters":{"all":true},"oneway":true}"#,
        r#"{"method":"dev.mainstay.Control.Log","parameters":{"level":"debug","for_s":1.5}}"#,
        r#"{"method":"dev.mainstay.Control.Undrain","parameters":{"all":true}}"#,
        r#"{"method":"dev.mainstay.Control.Neighbours"}"#,
        r#"{"method":"dev.mainstay.Control.Status","parameters":{}}"#,
        r#"{"method":"dev.mainstay.Control.Reload","parameters":{"dry_run":true},"more":false}"#,
        r#"{"method":"org.varlink.service.GetInterfaceDescription","parameters":{"interface":"dev.mainstay.Control"}}"#,
    ];

    proptest! {
        #[test]
        fn random_bodies_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            fuzz_calls(&bytes);
        }

        #[test]
        fn mutated_bodies_never_panic(
            calls in proptest::collection::vec(0..CALLS.len(), 1..8),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let mut bytes: Vec<u8> = Vec::new();
            for call in calls {
                bytes.extend(CALLS[call].bytes());
                bytes.push(0);
            }
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            fuzz_calls(&bytes);
        }
    }

    #[test]
    fn the_sound_bodies_are_understood() {
        for call in CALLS {
            assert!(
                Call::parse(call.as_bytes()).and_then(|c| c.asked()).is_ok(),
                "{call}"
            );
        }
    }
}
