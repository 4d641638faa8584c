// What is done with the bytes of each target; shared by the libFuzzer targets and the smoke test.

use mainstay::sim::{bodies, reloads};

/// A target: what is wrong with what the bytes led to.
pub(crate) type Body = fn(&[u8]) -> Result<(), String>;

/// Every target with the most bytes that it looks at.
#[allow(dead_code, reason = "libFuzzer targets name theirs")]
pub(crate) const TARGETS: &[(&str, Body, usize)] = &[
    ("advert", advert, 2_048),
    ("conf", conf, 4_096),
    ("ctl_frame", ctl_frame, 6_000),
    ("engine_ops", engine_ops, 150),
    ("two_engines", two_engines, 100),
];

/// Packets: what can be read is the same after it was written.
pub(crate) fn advert(bytes: &[u8]) -> Result<(), String> {
    mainstay::wire::fuzz::fuzz_parse(bytes);
    Ok(())
}

/// Configurations: one text, and the same split into files at `%%%`, which may include each other as
/// `0.conf`, `1.conf` and so on.
pub(crate) fn conf(bytes: &[u8]) -> Result<(), String> {
    mainstay::conf::fuzz::fuzz_text(bytes)?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut rest = bytes;
    for number in 0..4 {
        let end = rest.windows(3).position(|w| w == b"%%%");
        let (text, next) = match end {
            Some(at) => (&rest[..at], &rest[at + 3..]),
            None => (rest, &[][..]),
        };
        let path = dir.path().join(format!("{number}.conf"));
        // Includes are found from the folder of the file that names them.
        std::fs::write(path, text).map_err(|e| e.to_string())?;
        rest = next;
    }
    mainstay::conf::fuzz::fuzz_file(&dir.path().join("0.conf"))
}

/// Calls on the control socket.
pub(crate) fn ctl_frame(bytes: &[u8]) -> Result<(), String> {
    mainstay::ctl::fuzz::fuzz_calls(bytes);
    Ok(())
}

fn seeded(bytes: &[u8]) -> (u64, &[u8]) {
    match bytes.split_first_chunk() {
        Some((seed, rest)) => (u64::from_le_bytes(*seed), rest),
        None => (0, bytes),
    }
}

/// Operations on running routers: failures of all kinds, or, by the first bit, reloads.
pub(crate) fn engine_ops(bytes: &[u8]) -> Result<(), String> {
    let (seed, rest) = seeded(bytes);
    if seed & 1 == 0 {
        bodies::operations(seed, rest)
    } else {
        reloads::reloads(seed, rest)
    }
}

/// Operations, and then peace: the best router serves, and no other.
pub(crate) fn two_engines(bytes: &[u8]) -> Result<(), String> {
    let (seed, rest) = seeded(bytes);
    bodies::convergence(seed, rest)
}
