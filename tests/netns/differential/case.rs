//! A random configuration and the steps that are played on it; the same for the same seed.

use super::steps::GENTLE_VALUES;
use mainstay::sim::rng::Rng;
use std::fmt::Write as _;

/// What a tracker moves: a weight as its list of uses writes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) points: i64,
    pub(super) reverse: bool,
}

/// One entry of a `track_*` list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub(super) kind: Kind,
    pub(super) number: usize,
    /// `None`: as the definition says.
    pub(super) weight: Option<Weight>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Script,
    File,
    Link,
    Process,
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) rise: u64,
    pub(super) fall: u64,
    pub(super) weight: Option<Weight>,
}

#[derive(Clone, Debug)]
pub(super) struct TrackedFile {
    pub(super) weight: Option<Weight>,
    /// What it holds at the start; `None` if it does not exist.
    pub(super) at_start: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) weight: Option<Weight>,
    pub(super) quorum: Option<u64>,
    pub(super) quorum_max: Option<u64>,
    pub(super) at_start: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub(super) vrid: u8,
    pub(super) priority: u64,
    pub(super) uses: Vec<Use>,
    /// A virtual address lies on this link, which is tracked by that alone.
    pub(super) address_on: Option<usize>,
    pub(super) dont_track_primary: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) weights: bool,
    pub(super) uses: Vec<Use>,
}

/// Everything a pair of daemons is given.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) scripts: Vec<Script>,
    pub(super) files: Vec<TrackedFile>,
    /// Links beside the one that carries the adverts; whether each is up at the start.
    pub(super) links: Vec<bool>,
    pub(super) processes: Vec<Process>,
    pub(super) instances: Vec<Instance>,
    pub(super) group: Option<Group>,
}

fn weight(rng: &mut Rng, kind: Kind, zero: u32) -> Weight {
    let most = 253;
    let points = match rng.below(10) {
        _ if rng.permille(zero) => 0,
        // The multiplier of a file is rarely more than a few.
        0..=5 if kind == Kind::File => pick(rng, &[1, 2, 3, -1, -2, 10, -7]),
        0..=6 => i64::try_from(rng.below(121)).unwrap() - 60,
        _ => i64::try_from(rng.below(2 * most + 1)).unwrap() - i64::try_from(most).unwrap(),
    };
    Weight {
        points,
        // A fault turned around is rarer: many of them contradict each other.
        reverse: rng.permille(if points == 0 { 100 } else { 250 }),
    }
}

pub(super) fn pick<T: Copy>(rng: &mut Rng, list: &[T]) -> T {
    *rng.pick(list).expect("not empty")
}

/// Some of the trackers, each at most once.
fn uses(rng: &mut Rng, case: &Case, most: u64, zero: u32) -> Vec<Use> {
    let mut all: Vec<(Kind, usize)> = Vec::new();
    all.extend((0..case.scripts.len()).map(|n| (Kind::Script, n)));
    all.extend((0..case.files.len()).map(|n| (Kind::File, n)));
    all.extend((0..case.links.len()).map(|n| (Kind::Link, n)));
    all.extend((0..case.processes.len()).map(|n| (Kind::Process, n)));
    let mut chosen = Vec::new();
    for _ in 0..rng.below(most) + 1 {
        if all.is_empty() {
            break;
        }
        let at = usize::try_from(rng.below(all.len() as u64)).unwrap();
        let (kind, number) = all.swap_remove(at);
        let own = if kind == Kind::Link { 920 } else { 450 };
        let weight = rng.permille(own).then(|| weight(rng, kind, zero));
        chosen.push(Use {
            kind,
            number,
            weight,
        });
    }
    chosen
}

impl Case {
    /// A configuration in which more is weighed than fails; with `processes` it tracks some.
    pub(super) fn random(rng: &mut Rng, processes: bool) -> Self {
        loop {
            let case = Self::any(rng, processes);
            if case.is_lively() {
                return case;
            }
        }
    }

    fn any(rng: &mut Rng, processes: bool) -> Self {
        let mut case = Self {
            scripts: Vec::new(),
            files: Vec::new(),
            links: Vec::new(),
            processes: Vec::new(),
            instances: Vec::new(),
            group: None,
        };
        for _ in 0..2 + rng.below(3) {
            case.scripts.push(Script {
                rise: 1 + rng.below(3),
                fall: 1 + rng.below(3),
                weight: rng.permille(880).then(|| weight(rng, Kind::Script, 60)),
            });
        }
        for _ in 0..rng.below(3) {
            case.files.push(TrackedFile {
                weight: rng.permille(600).then(|| weight(rng, Kind::File, 100)),
                at_start: rng.permille(700).then(|| pick(rng, &GENTLE_VALUES)),
            });
        }
        for _ in 0..rng.below(3) {
            case.links.push(rng.permille(800));
        }
        if processes {
            for _ in 0..1 + rng.below(2) {
                case.processes.push(Process {
                    weight: rng.permille(900).then(|| weight(rng, Kind::Process, 80)),
                    quorum: rng.permille(500).then(|| 1 + rng.below(3)),
                    quorum_max: rng.permille(300).then(|| 1 + rng.below(3)),
                    at_start: usize::try_from(rng.below(3)).unwrap(),
                });
            }
        }
        let instances = pick(rng, &[1, 1, 2, 2, 3]);
        let group = instances > 1 && rng.permille(700);
        for number in 0..instances {
            let priority = match rng.below(20) {
                0 => 255,
                1 => 254,
                2 => 1,
                _ => 1 + rng.below(254),
            };
            let on = !case.links.is_empty() && rng.permille(150);
            let instance = Instance {
                vrid: 51 + number,
                priority,
                uses: uses(rng, &case, 5, 60),
                address_on: on
                    .then(|| usize::try_from(rng.below(case.links.len() as u64)).unwrap()),
                dont_track_primary: rng.permille(100),
            };
            case.instances.push(instance);
        }
        case.use_all(rng);
        if group {
            case.group = Some(Group {
                weights: rng.permille(750),
                uses: if rng.permille(600) {
                    uses(rng, &case, 3, 60)
                } else {
                    Vec::new()
                },
            });
            // Named in both, a script holds keepalived 2.2.7 in FAULT for ever.
            let scripts = |u: &&Use| u.kind == Kind::Script;
            let of_group: Vec<usize> = case
                .group
                .iter()
                .flat_map(|g| g.uses.iter().filter(scripts).map(|u| u.number))
                .collect();
            let weights = case.group.as_ref().is_some_and(|g| g.weights);
            for one in &mut case.instances {
                one.uses
                    .retain(|u| u.kind != Kind::Script || !of_group.contains(&u.number));
                // It says that it ignores these, and does not.
                for u in one.uses.iter_mut().filter(|u| u.kind == Kind::Link) {
                    if let Some(weight) = u.weight.as_mut().filter(|_| !weights) {
                        weight.points = 0;
                        weight.reverse = false;
                    }
                }
            }
        }
        case
    }

    /// How many trackers there are of each kind.
    pub(super) const fn trackers(&self) -> [(Kind, usize); 4] {
        [
            (Kind::Script, self.scripts.len()),
            (Kind::File, self.files.len()),
            (Kind::Link, self.links.len()),
            (Kind::Process, self.processes.len()),
        ]
    }

    /// Gives what nobody tracks to one of the instances.
    fn use_all(&mut self, rng: &mut Rng) {
        for (kind, count) in self.trackers() {
            for number in 0..count {
                let mut uses = self.instances.iter().flat_map(|i| &i.uses);
                if uses.any(|u| u.kind == kind && u.number == number) {
                    continue;
                }
                let weight = rng.permille(850).then(|| weight(rng, kind, 60));
                let of = usize::try_from(rng.below(self.instances.len() as u64)).unwrap();
                self.instances[of].uses.push(Use {
                    kind,
                    number,
                    weight,
                });
            }
        }
    }

    /// What both are given to read; `dir` is where the daemon finds its scripts and files, `mark`
    /// makes the names of its processes its own.
    pub(super) fn text(&self, dir: &str, mark: &str, head: &str) -> String {
        // Room for news of the processes of all configurations.
        let mut out = format!(
            "{head}global_defs {{\n    script_user root\n    process_monitor_rcv_bufs 4194304\n}}\n"
        );
        for (n, script) in self.scripts.iter().enumerate() {
            // A run waits for its result as long as it takes.
            let _ = writeln!(
                out,
                "vrrp_script s{n} {{\n    script \"{dir}/s{n}\"\n    interval 1\n    timeout 900\n    \
                 rise {}\n    fall {}{}\n}}",
                script.rise,
                script.fall,
                line_of(script.weight)
            );
        }
        for (n, file) in self.files.iter().enumerate() {
            let _ = writeln!(
                out,
                "vrrp_track_file f{n} {{\n    file {dir}/f{n}{}\n}}",
                line_of(file.weight)
            );
        }
        for (n, process) in self.processes.iter().enumerate() {
            let mut quorum = String::new();
            if let Some(least) = process.quorum {
                let _ = write!(quorum, "\n    quorum {least}");
            }
            if let Some(most) = process.quorum_max {
                let most = most.max(process.quorum.unwrap_or(1));
                let _ = write!(quorum, "\n    quorum_max {most}");
            }
            let _ = writeln!(
                out,
                "vrrp_track_process p{n} {{\n    process {}{quorum}{}\n}}",
                process_name(mark, n),
                line_of(process.weight)
            );
        }
        if let Some(group) = &self.group {
            out.push_str("vrrp_sync_group G {\n    group {\n");
            for one in &self.instances {
                let _ = writeln!(out, "        VI_{}", one.vrid);
            }
            out.push_str("    }\n");
            if group.weights {
                out.push_str("    sync_group_tracking_weight\n");
            }
            lists(&group.uses, &mut out);
            out.push_str("}\n");
        }
        for one in &self.instances {
            self.instance(one, &mut out);
        }
        out
    }

    fn instance(&self, one: &Instance, out: &mut String) {
        let state = if one.priority == 255 {
            "MASTER"
        } else {
            "BACKUP"
        };
        let vrid = one.vrid;
        let _ = writeln!(
            out,
            "vrrp_instance VI_{vrid} {{\n    state {state}\n    interface {WIRE}\n    \
             virtual_router_id {vrid}\n    version 3\n    priority {}\n    advert_int 0.1\n    \
             virtual_ipaddress {{\n        10.9.0.{vrid}/24",
            one.priority
        );
        if let Some(link) = one.address_on {
            let _ = writeln!(out, "        10.8.{vrid}.1/24 dev t{link}");
        }
        out.push_str("    }\n");
        if one.dont_track_primary {
            out.push_str("    dont_track_primary\n");
        }
        lists(&one.uses, out);
        out.push_str("}\n");
    }
}

/// The link that carries the adverts. No link outside has this name.
pub(super) const WIRE: &str = "wire0";

/// At most the 15 bytes that the kernel keeps.
pub(super) fn process_name(mark: &str, number: usize) -> String {
    let name = format!("{mark}p{number}");
    assert!(name.len() <= 15, "{name} is cut by the kernel");
    name
}

fn words(weight: Weight) -> String {
    let reverse = if weight.reverse { " reverse" } else { "" };
    format!("weight {}{reverse}", weight.points)
}

fn line_of(weight: Option<Weight>) -> String {
    weight.map_or_else(String::new, |w| format!("\n    {}", words(w)))
}

fn lists(uses: &[Use], out: &mut String) {
    for (kind, list, letter) in [
        (Kind::Script, "track_script", 's'),
        (Kind::File, "track_file", 'f'),
        (Kind::Link, "track_interface", 't'),
        (Kind::Process, "track_process", 'p'),
    ] {
        let mut of: Vec<&Use> = uses.iter().filter(|u| u.kind == kind).collect();
        if of.is_empty() {
            continue;
        }
        of.sort_by_key(|u| u.number);
        let _ = writeln!(out, "    {list} {{");
        for one in of {
            let weight = one
                .weight
                .map_or_else(String::new, |w| format!(" {}", words(w)));
            let _ = writeln!(out, "        {letter}{}{weight}", one.number);
        }
        out.push_str("    }\n");
    }
}
