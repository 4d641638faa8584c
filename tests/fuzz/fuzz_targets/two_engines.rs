#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(report) = bodies::two_engines(bytes) {
        panic!("{report}");
    }
});
