//! A second opinion on everything our daemons sent in all the labs.

use crate::support::capture::write_pcap;
use crate::support::frames;
use crate::support::lab::OURS;
use crate::support::runner::{Outcome, Test, judge, listed, skip};
use crate::tests;
use crate::{need_program, support::note};
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    let mut all = tests![a_skip_must_be_listed_when_run_as_root];
    all.push(Test {
        name: "tshark_finds_nothing_wrong_in_what_we_sent",
        body: tshark_finds_nothing_wrong_in_what_we_sent,
        last: true,
    });
    all
}

fn a_skip_must_be_listed_when_run_as_root() {
    let policy = listed("# a comment: not a test\nneeds_vlan: no VLAN in this kernel\n");
    let skipped = || Outcome::Skipped("no VLAN".to_owned());
    let failed = |name, root| matches!(judge(name, skipped(), root, &policy), Outcome::Failed(..));
    assert!(!failed("needs_vlan", true), "it is listed");
    assert!(failed("needs_vrf", true), "it is not listed");
    assert!(failed("# a comment", true), "comments list nothing");
    assert!(
        !failed("needs_vrf", false),
        "without root everything may skip"
    );
}

fn tshark(file: &std::path::Path, filter: &str) -> String {
    let out = Command::new("tshark")
        .arg("-r")
        .arg(file)
        .args([
            "-o",
            "ip.check_checksum:TRUE",
            "-Y",
            filter,
            "-V",
            "-c",
            "60000",
        ])
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "tshark: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn tshark_finds_nothing_wrong_in_what_we_sent() {
    need_program("/usr/bin/tshark");
    let mut ours = std::mem::take(&mut *OURS.lock().unwrap());
    ours.retain(|(_, bytes)| frames::read(bytes) != frames::Kind::Other);
    if ours.is_empty() {
        skip("no lab with a daemon of ours ran before it");
    }
    ours.sort_by_key(|(at, _)| *at);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ours.pcap");
    write_pcap(
        &file,
        ours.iter().map(|(at, bytes)| (*at, bytes.as_slice())),
    )
    .unwrap();
    note(format!("{} frames", ours.len()));
    let wrong = tshark(
        &file,
        "_ws.malformed || vrrp.checksum.status == 0 || ip.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.expert.severity >= 0x800000 || (vrrp && _ws.expert.severity >= 0x600000)",
    );
    let head: String = wrong.lines().take(60).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "tshark objects:\n{head}");
    // The filter must be able to object: the same frames with one bit turned.
    let spoilt: Vec<(u64, Vec<u8>)> = ours
        .iter()
        .filter(|(_, bytes)| matches!(frames::read(bytes), frames::Kind::Advert(_)))
        .take(10)
        .map(|(at, bytes)| {
            let mut bytes = bytes.clone();
            // An octet of the priority, behind Ethernet and the IP header.
            let at_priority = if bytes[12] == 0x08 {
                14 + 20 + 2
            } else {
                14 + 40 + 2
            };
            bytes[at_priority] ^= 1;
            (*at, bytes)
        })
        .collect();
    let file = dir.path().join("spoilt.pcap");
    write_pcap(
        &file,
        spoilt.iter().map(|(at, bytes)| (*at, bytes.as_slice())),
    )
    .unwrap();
    let found = tshark(&file, "vrrp.checksum.status == 0")
        .matches("Frame Number:")
        .count();
    assert_eq!(found, spoilt.len(), "tshark does not see a wrong checksum");
}
