//! Flap damping in a sentence.

use crate::ctl::render::length;
use crate::model::view::RouterView;

/// `held at 80 by flap damping, penalty 3.4, free again in 41 s`; `None` while nothing is held back.
pub(super) fn held(instance: &RouterView) -> Option<String> {
    let damping = instance.damping.as_ref().filter(|damping| damping.held)?;
    let place = match (damping.fault, instance.state.as_str()) {
        (true, _) => "held in FAULT".to_owned(),
        (false, "FAULT") => "rises will be held back".to_owned(),
        (false, _) => format!("held at {}", instance.priority),
    };
    let free = damping.free_s.map_or_else(String::new, |free| {
        format!(", free again in {}", length(free))
    });
    Some(format!(
        "{place} by flap damping, penalty {:.1}{free}",
        damping.penalty
    ))
}

/// The same, or how far it is from that; `None` where it is not asked for.
pub(super) fn state(instance: &RouterView) -> Option<String> {
    let damping = instance.damping.as_ref()?;
    Some(held(instance).unwrap_or_else(|| {
        format!(
            "flap damping: penalty {:.1}; above {} rises are held back",
            damping.penalty, damping.limit
        )
    }))
}

#[cfg(test)]
mod tests {
    use crate::ctl::explain::explain;
    use crate::ctl::overview::overview;
    use crate::ctl::render::Look;
    use crate::ctl::render::tests::full_snapshot;
    use crate::model::view::{DampingView, Snapshot};

    fn damped(held: bool, fault: bool) -> Snapshot {
        let mut snapshot = full_snapshot();
        let instance = &mut snapshot.instances[0];
        instance.intent = None;
        (
            instance.base_priority,
            instance.priority_sum,
            instance.priority,
        ) = (100, 100, 80);
        instance.damping = Some(DampingView {
            penalty: 3.42,
            limit: 3,
            held,
            fault,
            free_s: held.then_some(41.2),
        });
        snapshot
    }

    #[test]
    fn a_hold_stands_in_status_and_explain_with_its_penalty_and_its_end() {
        let snapshot = damped(true, false);
        let sentence = "held at 80 by flap damping, penalty 3.4, free again in 41.2 s";
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        assert!(text.contains(&format!("80 ({sentence})")), "{text}");
        let text = overview(&snapshot, Look::default());
        assert!(text.contains(&format!("VI_1: {sentence}")), "{text}");
        let text = crate::ctl::render::instance(&snapshot.instances[0], &snapshot, Look::default());
        assert!(text.contains(sentence), "{text}");
        let text = overview(&damped(true, true), Look::default());
        assert!(
            text.contains("VI_1: held in FAULT by flap damping"),
            "{text}"
        );
    }

    #[test]
    fn a_penalty_that_holds_nothing_is_for_those_who_ask() {
        let snapshot = damped(false, false);
        let text = explain(&snapshot.instances[0], &snapshot, Look::default());
        let sentence = "flap damping: penalty 3.4; above 3 rises are held back";
        assert!(text.contains(sentence), "{text}");
        assert!(!overview(&snapshot, Look::default()).contains("flap damping"));
    }
}
