//! One virtual router on one node: what it tracks, and what its priority comes to.

use crate::core::fold::{Pull, Standing, effective, pull, pull_of, pull_of_value};
use crate::model::settings::{CheckSettings, RouterSettings, Settings};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// What kind of thing is tracked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A script.
    Script,
    /// An interface, also the instance's own.
    Interface,
    /// The number in a file.
    File,
    /// A process.
    Process,
}

impl Kind {
    /// The block that lists such trackers.
    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::Script => "track_script",
            Self::Interface => "track_interface",
            Self::File => "track_file",
            Self::Process => "track_process",
        }
    }

    /// The blocks that may define such a tracker.
    pub(super) const fn definitions(self) -> &'static [&'static str] {
        match self {
            Self::Script => &["vrrp_script"],
            Self::Interface => &[],
            Self::File => &["track_file", "vrrp_track_file"],
            Self::Process => &["vrrp_track_process"],
        }
    }
}

/// One tracked thing as one instance sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tracker {
    pub(super) kind: Kind,
    pub(super) name: Arc<str>,
    pub(super) weight: i16,
    pub(super) reverse: bool,
    /// The member of the sync group whose tracker it is, if not the instance's own.
    pub(super) of: Option<Arc<str>>,
    /// Its first result may come long after the start.
    pub(super) slow: bool,
    /// How many failed runs of the MASTER's take it down, if that is not plain `fall`.
    pub(super) after: Option<String>,
    /// The instance's own link: when it fails, nothing can be sent any more.
    pub(super) own_link: bool,
}

impl Tracker {
    /// What it does to the priority while all is well with it, or not.
    ///
    /// Of its two states the one that leaves the priority higher is the good one: with `reverse`
    /// that is down.
    ///
    /// What another member of the sync group tracks moves only that one's priority, but its fault is
    /// everybody's.
    pub(super) fn pull(&self, well: bool) -> Pull {
        let up = well != self.reverse;
        let pull = match self.kind {
            Kind::Script | Kind::Interface => {
                match crate::model::priority::Weight::new(self.weight) {
                    Some(weight) => pull(weight, self.reverse, Some(up)),
                    None => pull_of(self.weight, self.reverse, Some(up)),
                }
            }
            Kind::Process => pull_of(self.weight, self.reverse, Some(up)),
            Kind::File => pull_of_value(self.weight, self.reverse, self.value(well)),
        };
        match (pull, &self.of) {
            (Pull::Points(_), Some(_)) => Pull::Nothing,
            (pull, _) => pull,
        }
    }

    /// The same thing tracked, perhaps by another instance of the node.
    pub(super) fn is(&self, other: &Self) -> bool {
        (self.kind, &self.name) == (other.kind, &other.name)
    }

    /// The number in a tracked file: one that does no harm, or the nearest that does.
    fn value(&self, well: bool) -> i32 {
        match (self.weight == 0, well) {
            (true, _) => i32::from(well == self.reverse),
            (false, true) => 0,
            (false, false) if (self.weight < 0) != self.reverse => 1,
            (false, false) => -1,
        }
    }

    /// Points it adds while well and while not; a fault adds none.
    pub(super) fn points(&self) -> (i32, i32) {
        let points = |pull| match pull {
            Pull::Nothing | Pull::Fault => 0,
            Pull::Points(points) => points,
        };
        (points(self.pull(true)), points(self.pull(false)))
    }

    /// Whether it decides by fault instead of by points.
    pub(super) fn faults(&self) -> bool {
        self.pull(false) == Pull::Fault
    }

    /// What happens when it fails, in words.
    pub(super) fn failing(&self) -> String {
        let name = &self.name;
        let verb = match (self.kind, self.reverse) {
            (Kind::Script, false) => "fails",
            (Kind::Script, true) => "succeeds",
            (Kind::Interface, false) => "goes down",
            (Kind::Interface, true) => "comes up",
            (Kind::Process, false) => "stops",
            (Kind::Process, true) => "runs",
            (Kind::File, _) => return format!("{name} says {}", self.value(false)),
        };
        match self.after.as_ref().filter(|_| !self.reverse) {
            Some(after) => format!("{name} {verb} ({after})"),
            None => format!("{name} {verb}"),
        }
    }
}

/// One virtual router on one node.
#[derive(Clone, Debug)]
pub(super) struct Member<'a> {
    /// Which node.
    pub(super) node: usize,
    pub(super) settings: &'a RouterSettings,
    /// What it tracks.
    pub(super) trackers: Vec<Tracker>,
}

impl Member<'_> {
    /// What it comes to while `bad` says which trackers are not well.
    pub(super) fn standing(&self, bad: impl Fn(&Tracker) -> bool) -> Standing {
        let pulls = self
            .trackers
            .iter()
            .map(|tracker| tracker.pull(!bad(tracker)));
        effective(self.settings.priority, pulls)
    }

    /// What it comes to when so many points are added and nothing faults.
    pub(super) fn with_points(&self, points: i32) -> Standing {
        effective(
            self.settings.priority,
            std::iter::once(Pull::Points(points)),
        )
    }

    /// Every sum of points the trackers but one can come to, ascending. Each is as likely as any
    /// other: trackers do not know of each other.
    pub(super) fn sums(&self, without: Option<usize>) -> Vec<i32> {
        let mut sums = vec![0];
        for (index, tracker) in self.trackers.iter().enumerate() {
            if Some(index) == without {
                continue;
            }
            let (well, bad) = tracker.points();
            if well == bad {
                sums.iter_mut().for_each(|sum| *sum += well);
                continue;
            }
            let mut next: Vec<i32> = sums.iter().flat_map(|s| [s + well, s + bad]).collect();
            next.sort_unstable();
            next.dedup();
            sums = next;
        }
        sums
    }

    /// Every effective priority it can have while it is not in fault, ascending.
    pub(super) fn reach(&self) -> Vec<u8> {
        let sums = self.sums(None);
        let mut reach: Vec<u8> = sums
            .into_iter()
            .map(|points| self.with_points(points).priority.get())
            .collect();
        reach.dedup();
        reach
    }

    /// Whether it takes over from a lower router that serves.
    pub(super) fn preempts(&self) -> bool {
        self.settings.preempt || self.settings.priority.is_owner()
    }
}

/// What is known of one node's settings, for all of its instances.
pub(super) struct Definitions<'a> {
    /// Scripts that can be used.
    scripts: HashMap<&'a str, &'a CheckSettings>,
    files: HashSet<&'a str>,
    processes: HashSet<&'a str>,
    /// The sync group of each instance that has one, by its place.
    group_of: HashMap<&'a str, usize>,
    /// Trackers of all members, by group.
    shared: Vec<Vec<Tracker>>,
}

impl<'a> Definitions<'a> {
    pub(super) fn of(settings: &'a Settings) -> Self {
        let usable = settings.checks.iter().filter(|c| c.unusable.is_none());
        let mut this = Self {
            scripts: usable.map(|c| (&*c.name, &**c)).collect(),
            files: settings.files.iter().map(|f| &*f.name).collect(),
            processes: settings.processes.iter().map(|p| &*p.name).collect(),
            group_of: HashMap::new(),
            shared: vec![Vec::new(); settings.groups.len()],
        };
        for (index, group) in settings.groups.iter().enumerate() {
            for member in &group.members {
                this.group_of.entry(member).or_insert(index);
            }
        }
        for router in &settings.routers {
            if let Some(&group) = this.group_of.get(&*router.name) {
                let mut own = this.own(router);
                own.iter_mut()
                    .for_each(|t| t.of = Some(router.name.clone()));
                if let Some(shared) = this.shared.get_mut(group) {
                    shared.append(&mut own);
                }
            }
        }
        this
    }

    /// The sync group of an instance, by its place in the settings.
    pub(super) fn group_of(&self, instance: &str) -> Option<usize> {
        self.group_of.get(instance).copied()
    }

    /// Everything one instance tracks, with what faults it through its sync group.
    pub(super) fn trackers(&self, router: &RouterSettings) -> Vec<Tracker> {
        let mut all = self.own(router);
        let group = self.group_of(&router.name);
        let shared = group.and_then(|group| self.shared.get(group));
        for tracker in shared.into_iter().flatten() {
            if tracker.of.as_ref() == Some(&router.name) {
                continue;
            }
            // A thing that faults one and only weighs with another faults both.
            let same = |t: &Tracker| t.is(tracker) && (t.faults() || !tracker.faults());
            if !all.iter().any(same) {
                all.push(tracker.clone());
            }
        }
        all
    }

    fn own(&self, router: &RouterSettings) -> Vec<Tracker> {
        let tracker = |kind, name: &Arc<str>, weight, reverse| Tracker {
            kind,
            name: name.clone(),
            weight,
            reverse,
            of: None,
            slow: false,
            after: None,
            own_link: false,
        };
        let mut all = Vec::with_capacity(router.tracks.len() + 1);
        for track in &router.tracks {
            if let Some(script) = self.scripts.get(&*track.check) {
                let weight = track.weight.get();
                let mut one = tracker(Kind::Script, &track.check, weight, track.reverse);
                one.slow = script.init_fail;
                one.after = script.thresholds.falls_after(true);
                all.push(one);
            }
        }
        for track in &router.track_links {
            let weight = track.weight.get();
            all.push(tracker(
                Kind::Interface,
                &track.interface,
                weight,
                track.reverse,
            ));
        }
        for track in &router.track_files {
            if self.files.contains(&*track.name) {
                all.push(tracker(
                    Kind::File,
                    &track.name,
                    track.weight,
                    track.reverse,
                ));
            }
        }
        for track in &router.track_processes {
            if self.processes.contains(&*track.name) {
                let (weight, reverse) = (track.weight, track.reverse);
                all.push(tracker(Kind::Process, &track.name, weight, reverse));
            }
        }
        if !router.dont_track_primary {
            let mut own = tracker(Kind::Interface, &router.interface, 0, false);
            own.own_link = true;
            all.push(own);
        }
        for dev in router.installed().filter(|a| !a.no_track) {
            let Some(dev) = &dev.dev else { continue };
            let known = |t: &Tracker| t.kind == Kind::Interface && t.name == *dev;
            if *dev != router.interface && !all.iter().any(known) {
                all.push(tracker(Kind::Interface, dev, 0, false));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::scenario::{check, router, settings};

    fn tracker(kind: Kind, weight: i16, reverse: bool) -> Tracker {
        Tracker {
            kind,
            name: "t".into(),
            weight,
            reverse,
            of: None,
            slow: false,
            after: None,
            own_link: false,
        }
    }

    #[test]
    fn failing_never_leaves_the_priority_higher() {
        for kind in [Kind::Script, Kind::Interface, Kind::File, Kind::Process] {
            for weight in [-254, -253, -20, 0, 1, 30, 253] {
                for reverse in [false, true] {
                    let t = tracker(kind, weight, reverse);
                    let (well, bad) = t.points();
                    assert_ne!(t.pull(true), Pull::Fault, "{t:?}");
                    assert!(t.faults() || bad < well, "{t:?} {well} {bad}");
                }
            }
        }
    }

    #[test]
    fn the_sums_of_independent_trackers_are_all_there_are() {
        let r = router("V")
            .track("a", -10)
            .track("b", 5)
            .track("c", 0)
            .settings();
        let s = settings([], [check("a"), check("b"), check("c")]);
        let m = Member {
            node: 0,
            trackers: Definitions::of(&s).trackers(&r),
            settings: &r,
        };
        assert_eq!(m.sums(None), [-10, -5, 0, 5]);
        assert_eq!(m.sums(Some(0)), [0, 5]);
        assert_eq!(m.reach(), [90, 95, 100, 105]);
        assert_eq!(m.standing(|_| false).priority.get(), 105);
        assert!(m.standing(|t| &*t.name == "c").fault);
    }

    #[test]
    fn scripts_that_are_missing_or_unusable_are_not_counted() {
        let r = router("V").track("a", -10).track("b", -5).settings();
        let mut s = settings([], [check("a")]);
        Arc::make_mut(&mut s.checks[0]).unusable = Some("gone".into());
        let trackers = Definitions::of(&s).trackers(&r);
        assert_eq!(trackers.len(), 1, "the own interface");
        assert!(trackers[0].own_link);
    }

    #[test]
    fn what_faults_one_member_of_a_sync_group_faults_the_others() {
        let mut s = settings(
            [
                router("A").track("a", 0).track("w", -5),
                router("B").vrid(52).on("eth1"),
            ],
            [check("a"), check("w")],
        );
        s.groups = vec![Arc::new(crate::model::settings::GroupSettings {
            name: "G".into(),
            members: vec!["A".into(), "B".into()],
            notify: crate::model::settings::NotifySettings::default(),
        })];
        let names: Vec<_> = Definitions::of(&s)
            .trackers(&s.routers[1])
            .into_iter()
            .map(|t| (t.name, t.of))
            .collect();
        let a = Some("A".into());
        assert_eq!(
            names,
            [
                ("eth1".into(), None),
                ("a".into(), a.clone()),
                ("w".into(), a.clone()),
                ("eth0".into(), a)
            ]
        );
    }
}
