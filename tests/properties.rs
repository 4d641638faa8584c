//! Rules that hold whatever happens.

use mainstay::sim::bodies;
use proptest::prelude::*;

/// 300 cases, or as many as PROPTEST_CASES says; failures are printed, not kept in files.
fn config() -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 300;
    }
    config
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_operations_break_a_rule(seed in any::<u64>(), bytes in prop::collection::vec(any::<u8>(), 0..150)) {
        if let Err(report) = bodies::operations(seed, &bytes) {
            panic!("{report}");
        }
    }

    #[test]
    fn after_any_operations_peace_brings_one_active_router_and_it_is_the_best(
        seed in any::<u64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..90),
    ) {
        if let Err(report) = bodies::convergence(seed, &bytes) {
            panic!("{report}");
        }
    }
}
