//! A simulated partition and its healing, printed as a timeline.
//!
//! `cargo run --example split_brain`

use mainstay::model::ids::Family;
use mainstay::sim::scenario::{Event, Scenario, host, router};
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let second = Duration::from_secs(1);
    let mut world = Scenario::new(7)
        .host(host("left").router(router("VI_1").vrid(51).priority(150)))
        .host(host("right").router(router("VI_1").vrid(51).priority(100)))
        .at(
            6 * second,
            Event::Cut {
                lan: 0,
                from: 0,
                to: 1,
            },
        )
        .at(
            6 * second,
            Event::Cut {
                lan: 0,
                from: 1,
                to: 0,
            },
        )
        .at(12 * second, Event::HealAll { lan: 0 })
        .world();

    world.run_for(11 * second);
    let parted = world.serving(0, Family::V4, 51).to_vec();
    world.run_for(4 * second);
    print!("{}", world.timeline());
    println!("while parted, hosts {parted:?} served");
    println!("two served at once for {:?}", world.longest_dual());
    match world.agreed(0, Family::V4, 51, true) {
        Ok(host) => {
            println!("healed, host {host} serves alone");
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprintln!("{report}");
            ExitCode::FAILURE
        }
    }
}
