#![no_main]

#[path = "../bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(report) = bodies::ctl_frame(bytes) {
        panic!("{report}");
    }
});
