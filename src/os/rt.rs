//! How the engine thread asks to be scheduled, and memory that does not go away.

use crate::model::settings::ProcessSettings;
use crate::os::sys;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use std::fmt::Display;
use std::hint::black_box;
use std::process::Command;
use std::sync::OnceLock;

/// Stack that is touched beforehand: more than the engine uses in one turn.
const STACK: usize = 128 << 10;
const PAGE: usize = 4096;

/// What was granted, and texts on what was not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Raised {
    /// The thread runs at real-time priority.
    pub realtime: bool,
    /// Memory is locked.
    pub locked: bool,
    /// What was refused, and what that means; none of it is a reason to stop.
    pub warnings: Vec<String>,
}

/// Applies the settings to the calling thread, memory locking to the whole process.
///
/// To be called on the engine thread after all others were started: they would inherit nice value
/// and processors (SCHED_RR is not handed on). With `rttime` SIGXCPU is ignored from then on in the
/// whole process, and by what it executes unless that is told otherwise.
pub fn raise(settings: &ProcessSettings) -> Raised {
    let mut raised = Raised::default();
    if !settings.cpus.is_empty() {
        raised.note(pin(&settings.cpus), || {
            format!(
                "vrrp_cpu_affinity: cannot keep to processors {:?}",
                settings.cpus
            )
        });
    }
    if let Some(nice) = settings.nice {
        raised.note(sys::nice(nice), || {
            format!("vrrp_priority: cannot set nice value {nice}")
        });
    }
    if settings.no_swap {
        prefault();
        raised.locked = raised.note(sys::lock_on_fault(), || {
            "vrrp_no_swap: cannot lock memory (it needs CAP_IPC_LOCK or LimitMEMLOCK=infinity)"
                .into()
        });
    }
    if let Some(microseconds) = settings.rttime {
        raised.note(limit_rttime(microseconds), || {
            format!("vrrp_rlimit_rttime: cannot set the limit to {microseconds} us")
        });
    }
    if let Some(priority) = settings.rt_priority {
        prefault();
        raised.realtime = raised.note(sys::round_robin(priority), || {
            format!(
                "vrrp_rt_priority: cannot run at real-time priority {priority} (it needs \
                 CAP_SYS_NICE or LimitRTPRIO={priority})"
            )
        });
    }
    raised
}

/// Gives the calling thread the usual place in the queue: SCHED_OTHER, nice value 0. Without the right
/// to it things stay as they are.
pub fn usual() {
    let _ = sys::usual_policy();
    let _ = sys::nice(0);
}

/// Has a program begin as this user, with this group and these others.
pub fn become_with_groups(command: &mut Command, uid: u32, gid: u32, groups: &[u32]) {
    sys::become_with_groups(command, uid, gid, groups.to_vec());
}

impl Raised {
    fn note<E: Display>(&mut self, result: Result<(), E>, what: impl FnOnce() -> String) -> bool {
        if let Err(error) = &result {
            self.warnings.push(format!("{}: {error}", what()));
        }
        result.is_ok()
    }
}

fn pin(cpus: &[u16]) -> nix::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu.into())?;
    }
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// The soft limit alone: passing it sends SIGXCPU, passing the hard one kills.
fn limit_rttime(microseconds: u64) -> std::io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_RTTIME)?;
    sys::ignore(libc::SIGXCPU)?;
    setrlimit(Resource::RLIMIT_RTTIME, microseconds.min(hard), hard)?;
    Ok(())
}

/// The soft limit on open files that this process was started with, once it was raised.
static FILES: OnceLock<u64> = OnceLock::new();

/// Allows this process as many open files as it may allow itself: sockets of many interfaces.
pub fn raise_files() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
        && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()
    {
        // Raised once in a life; a second time there is nothing to raise.
        let _ = FILES.set(soft);
    }
}

/// The limit before [`raise_files`], for what is started: programs that use select(2) rely on it.
pub fn files_before() -> Option<u64> {
    FILES.get().copied()
}

/// Lowers the soft limit on open files of this process.
pub fn limit_files(soft: u64) {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // More than before is refused, and harmless.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard);
    }
}

/// Touches the stack that will be needed, so that no turn of the engine has to wait for a page.
#[inline(never)]
pub fn prefault() {
    let mut stack = [0u8; STACK];
    for byte in stack.iter_mut().step_by(PAGE) {
        *byte = black_box(1);
    }
    black_box(&stack);
}

/// Keeps freed memory in the process and lets all threads share one arena: early in `main`, before
/// any thread is started. Costs a lock between threads, saves megabytes under mlockall.
pub fn one_arena() {
    sys::keep_freed_memory(1);
}

/// Gives memory that is free, and code that only the start needed, back to the kernel: after start
/// and after a reload, on any thread. Code that is used again costs a minor fault.
pub fn trim() {
    sys::give_back_memory();
    if let Ok(smaps) = std::fs::read_to_string("/proc/self/smaps") {
        sys::give_back_code(&smaps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_still_works() {
        let text = "constants live in the same file";
        trim();
        assert_eq!(text.len(), 31);
        assert_eq!(std::thread::spawn(|| 6 * 7).join().unwrap(), 42);
    }

    fn on_a_thread(settings: ProcessSettings) -> (Raised, i32) {
        std::thread::spawn(move || (raise(&settings), sys::policy()))
            .join()
            .unwrap()
    }

    #[test]
    fn nothing_asked_for_changes_nothing() {
        let (raised, policy) = on_a_thread(ProcessSettings::default());
        assert_eq!(raised, Raised::default());
        assert_eq!(policy, libc::SCHED_OTHER);
    }

    #[test]
    fn real_time_priority_is_given_to_this_thread_alone_or_refused_with_a_warning() {
        let settings = ProcessSettings {
            rt_priority: Some(2),
            ..ProcessSettings::default()
        };
        let (raised, policy) = on_a_thread(settings);
        assert_eq!(raised.realtime, raised.warnings.is_empty());
        assert_eq!(raised.realtime, policy == libc::SCHED_RR);
        assert_eq!(sys::policy(), libc::SCHED_OTHER);
    }

    #[test]
    fn a_refusal_names_the_keyword_and_the_value() {
        let settings = ProcessSettings {
            cpus: vec![1023],
            ..ProcessSettings::default()
        };
        let (raised, _) = on_a_thread(settings);
        assert_eq!(raised.warnings.len(), 1);
        assert!(
            raised.warnings[0].starts_with("vrrp_cpu_affinity: cannot keep to processors [1023]")
        );
    }
}
