//! What is done to both daemons, step by step; the same for the same seed.

use super::case::{Case, Kind, Use, Weight, pick};
use mainstay::sim::rng::Rng;

/// How a value comes into a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    Write,
    /// A finished file takes its place.
    Rename,
}

/// What a step does to both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// The next run of the script ends with this status.
    Result(usize, u8),
    Value(usize, By, &'static str),
    Delete(usize),
    /// Sets the link itself up or down.
    Admin(usize, bool),
    /// Gives the link its carrier, or takes it.
    Carrier(usize, bool),
    /// The same to the link that carries the adverts.
    Wire(bool),
    /// One more process, or one less.
    Start(usize),
    End(usize),
}

/// The last five are no numbers of 32 bits, or none at all in places.
const FILE_VALUES: [&str; 32] = [
    "3\n",
    "7\n",
    "10\n",
    "-10\n",
    "25\n",
    "50\n",
    "-50\n",
    "100\n",
    "-100\n",
    "127\n",
    "128\n",
    "252\n",
    "253\n",
    "254\n",
    "-252\n",
    "-253\n",
    "-254\n",
    "-255\n",
    "1000000\n",
    "-1000000\n",
    "",
    "\n",
    "  12\n",
    "0x10\n",
    "010\n",
    "7",
    "+5\n",
    "99999999999999999999\n",
    "-99999999999999999999\n",
    "garbage\n",
    "12abc\n",
    "1.5\n",
];
pub(super) const GENTLE_VALUES: [&str; 6] = ["0\n", "1\n", "-1\n", "2\n", "5\n", "-5\n"];

/// What a step touches; at most once each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Subject {
    Of(Kind, usize),
    Wire,
}

/// What the steps so far have made of things.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    running: Vec<usize>,
    /// Somebody was silent after the last step.
    pub(super) silent: bool,
    files: Vec<&'static str>,
    /// Whether the script succeeds at the moment.
    scripts: Vec<bool>,
    /// How often in a row.
    streak: Vec<u64>,
    /// Admin state and carrier.
    links: Vec<(bool, bool)>,
    processes: Vec<usize>,
    wire_down: bool,
    before: Vec<Subject>,
}

impl Case {
    /// What is to be done next. `seen` is how things stand.
    pub(super) fn step(&self, rng: &mut Rng, now: &mut Standing) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut touched = Vec::new();
        for _ in 0..pick(rng, &[1, 1, 1, 2]) {
            let mut then = now.clone();
            if let Some((subject, action)) = self.action(rng, &mut then)
                && !touched.contains(&subject)
            {
                *now = then;
                touched.push(subject);
                actions.push(action);
            }
        }
        now.before = touched;
        actions
    }

    fn action(&self, rng: &mut Rng, now: &mut Standing) -> Option<(Subject, Action)> {
        let mut all = Vec::new();
        // Results twice: their counters have the longest memory.
        for _ in 0..2 {
            all.extend(now.running.iter().map(|n| (Kind::Script, *n)));
        }
        all.extend((0..self.files.len()).map(|n| (Kind::File, n)));
        all.extend((0..self.links.len()).map(|n| (Kind::Link, n)));
        all.extend((0..self.processes.len()).map(|n| (Kind::Process, n)));
        // A script that has just run starts again only when its interval is over.
        let several = all.iter().any(|of| *of != all[0]);
        all.retain(|of| !several || !now.before.contains(&Subject::Of(of.0, of.1)));
        if now.wire_down || rng.permille(12) {
            let up = now.wire_down;
            now.wire_down = !up;
            return Some((Subject::Wire, Action::Wire(up)));
        }
        let (mut kind, mut n) = *rng.pick(&all)?;
        // Silence takes a second to see: it is made, but not kept up for long.
        let bad = if now.silent {
            self.bad(now)
        } else {
            Vec::new()
        };
        let mend = !bad.is_empty() && rng.permille(850);
        if mend {
            (kind, n) = pick(rng, &bad);
        }
        let action = match kind {
            Kind::Script => {
                let before = now.scripts[n];
                // Runs of the same result, so that counters come to their ends.
                if mend {
                    now.scripts[n] = self.quiet(kind, n).unwrap_or(true);
                } else if rng.permille(300) {
                    now.scripts[n] = !now.scripts[n];
                } else if let Some(up) = self.quiet(kind, n).filter(|_| rng.permille(300)) {
                    now.scripts[n] = up;
                }
                now.streak[n] = if now.scripts[n] == before {
                    now.streak[n] + 1
                } else {
                    1
                };
                let status = if now.scripts[n] {
                    0
                } else {
                    pick(rng, &[1, 1, 2, 127, 255])
                };
                Action::Result(n, status)
            }
            Kind::File => {
                let quiet = self.quiet(kind, n);
                let gentle = if quiet.is_some() { 700 } else { 350 };
                let by = if rng.permille(400) {
                    By::Rename
                } else {
                    By::Write
                };
                let none = if quiet == Some(false) { "1\n" } else { "0\n" };
                match rng.below(8) {
                    _ if mend => {
                        now.files[n] = none;
                        return Some((Subject::Of(kind, n), Action::Value(n, by, none)));
                    }
                    0 => {
                        now.files[n] = "";
                        Action::Delete(n)
                    }
                    _ => {
                        let gently = rng.permille(gentle);
                        let list: &[&str] = if gently { &GENTLE_VALUES } else { &FILE_VALUES };
                        now.files[n] = pick(rng, list);
                        Action::Value(n, by, now.files[n])
                    }
                }
            }
            Kind::Link => {
                let link = &mut now.links[n];
                let up = !(link.0 && link.1);
                let admin = if up { !link.0 } else { rng.permille(400) };
                if admin {
                    link.0 = up;
                    Action::Admin(n, up)
                } else {
                    link.1 = up;
                    Action::Carrier(n, up)
                }
            }
            Kind::Process => {
                let count = &mut now.processes[n];
                let more = *count == 0 || (*count < 4 && rng.permille(500));
                if more {
                    *count += 1;
                    Action::Start(n)
                } else {
                    *count -= 1;
                    Action::End(n)
                }
            }
        };
        Some((Subject::Of(kind, n), action))
    }

    /// Which side of a tracker puts nobody into FAULT, if the other one does.
    fn quiet(&self, kind: Kind, number: usize) -> Option<bool> {
        let own = self.weight_of(kind, number);
        let reversed = own.is_some_and(|w| w.reverse);
        let members = self
            .instances
            .iter()
            .flat_map(|i| &i.uses)
            .map(|u| (u, true));
        let group = self.group.iter().flat_map(|g| &g.uses).map(|u| (u, false));
        // Of members of a group that does not take their weights, a file's weight of 1 becomes 0.
        // With an owner among the members, the group's weights are 0.
        let owned = self.instances.iter().any(|i| i.priority == 255);
        let stripped = self.group.as_ref().is_some_and(|g| !g.weights);
        members
            .chain(group)
            .filter(|(u, _)| u.kind == kind && u.number == number)
            .find_map(|(u, member)| {
                let weight = u.weight.or(own);
                // Without a weight a file has 1, all others 0.
                let points = weight.map_or(i64::from(kind == Kind::File), |w| w.points);
                let lost = kind == Kind::File && member && stripped && points == 1;
                let turned = reversed || weight.is_some_and(|w| w.reverse);
                let lost = lost || (!member && owned);
                (points == 0 || lost).then_some(!turned)
            })
    }

    /// Whether more moves a priority than puts somebody into FAULT: silence takes a second to see.
    pub(super) fn is_lively(&self) -> bool {
        let (mut faults, mut weights) = (0, 0);
        for (kind, count) in self.trackers() {
            for n in 0..count {
                let of_group = self.group.iter().flat_map(|g| &g.uses);
                let shared = of_group.clone().any(|u| u.kind == kind && u.number == n);
                let moved = self.instances.iter().any(|i| {
                    let its = |u: &Use| u.kind == kind && u.number == n;
                    i.priority != 255 && i.uses.iter().any(its)
                });
                let counts = moved && self.group.as_ref().is_none_or(|g| g.weights);
                if self.quiet(kind, n).is_some() {
                    faults += 1;
                } else if counts || shared || kind == Kind::Process {
                    weights += 1;
                }
            }
        }
        weights >= faults + 2
    }

    fn meets_quorum(&self, n: usize, count: usize) -> bool {
        let process = &self.processes[n];
        let least = process.quorum.unwrap_or(1);
        let most = process.quorum_max.map_or(u64::MAX, |most| most.max(least));
        (least..=most).contains(&(count as u64))
    }

    /// What probably keeps somebody silent.
    fn bad(&self, now: &Standing) -> Vec<(Kind, usize)> {
        let mut bad = Vec::new();
        for n in &now.running {
            let script = &self.scripts[*n];
            let needed = if now.scripts[*n] {
                script.rise
            } else {
                script.fall
            };
            let is_quiet = |up: bool| now.scripts[*n] == up && now.streak[*n] >= needed;
            if self.quiet(Kind::Script, *n).is_some_and(|up| !is_quiet(up)) {
                bad.push((Kind::Script, *n));
            }
        }
        for (n, value) in now.files.iter().enumerate() {
            let zero = matches!(*value, "" | "0\n");
            let quiet = self.quiet(Kind::File, n);
            if !GENTLE_VALUES.contains(value) || quiet.is_some_and(|up| up != zero) {
                bad.push((Kind::File, n));
            }
        }
        for (n, (admin, carrier)) in now.links.iter().enumerate() {
            if (*admin && *carrier) != self.quiet(Kind::Link, n).unwrap_or(true) {
                bad.push((Kind::Link, n));
            }
        }
        for (n, count) in now.processes.iter().enumerate() {
            let quiet = self.quiet(Kind::Process, n);
            if quiet.is_some_and(|up| up != self.meets_quorum(n, *count)) {
                bad.push((Kind::Process, n));
            }
        }
        bad
    }

    fn weight_of(&self, kind: Kind, number: usize) -> Option<Weight> {
        match kind {
            Kind::Script => self.scripts[number].weight,
            Kind::File => self.files[number].weight,
            Kind::Process => self.processes[number].weight,
            Kind::Link => None,
        }
    }

    /// Where everything stands at the start.
    ///
    /// `running` are the scripts that run at all: those of members of a group that does not take
    /// their weights do not.
    pub(super) fn standing(&self, running: Vec<usize>) -> Standing {
        Standing {
            running,
            silent: false,
            streak: vec![0; self.scripts.len()],
            files: self
                .files
                .iter()
                .map(|f| f.at_start.unwrap_or_default())
                .collect(),
            scripts: vec![true; self.scripts.len()],
            links: self.links.iter().map(|up| (true, *up)).collect(),
            processes: self.processes.iter().map(|p| p.at_start).collect(),
            wire_down: false,
            before: Vec::new(),
        }
    }
}
