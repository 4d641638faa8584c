//! The state machine as rows: where it stands, what happens, what follows.

use super::*;

/// Where a row begins.
#[derive(Clone, Copy, Debug)]
enum Given {
    /// Created, nothing has been seen.
    Init,
    /// Listening for half a second.
    Backup,
    /// Serving for 300 ms.
    Active,
}

/// What happens in a row.
#[derive(Clone, Debug)]
enum When {
    Startup,
    Shutdown,
    /// The running timer ends.
    TimerFires,
    Hears(Forge),
}

/// What the one running timer is afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Timer {
    None,
    /// It runs on as if nothing had happened.
    Kept,
    /// It ends so long from now.
    In(Duration),
}

struct Row {
    clause: &'static str,
    says: &'static str,
    router: RouterMaker,
    given: Given,
    when: When,
    phase: Phase,
    /// Priorities of the adverts that leave.
    sends: &'static [u8],
    timer: Timer,
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn rows() -> Vec<Row> {
    use Given::{Active, Backup, Init};
    use When::{Hears, Shutdown, Startup, TimerFires};
    let row = |clause, says, router, given, when, phase, sends, timer| Row {
        clause,
        says,
        router,
        given,
        when,
        phase,
        sends,
        timer,
    };
    let owner = || ours().priority(255).start_active();
    let stays = Timer::Kept;
    vec![
        // §6.4.1 Initialize
        row(
            "§6.4.1",
            "an owner that starts sends an advert, sets the Adver_Timer and is Active",
            owner(),
            Init,
            Startup,
            Phase::Active,
            &[255],
            Timer::In(S),
        ),
        row(
            "§6.4.1",
            "any other router that starts takes its own interval for the Active router's, sets the Active_Down_Timer and is Backup",
            ours(),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.1",
            "the interval of a starting router enters its down timer to the microsecond",
            ours().adver(10 * MS).priority(254),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(down(254, 10 * MS)),
        ),
        row(
            "§6.4.1",
            "the longest interval the wire can say is used as it is",
            ours().adver(Duration::from_millis(40_950)).priority(1),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(down(1, Duration::from_millis(40_950))),
        ),
        // §6.4.2 Backup
        row(
            "§6.4.2",
            "a Backup that is shut down cancels its timer and is in Initialize, without a word",
            ours(),
            Backup,
            Shutdown,
            Phase::Init,
            &[],
            Timer::None,
        ),
        row(
            "§6.4.2",
            "when the Active_Down_Timer ends, a Backup sends an advert, sets the Adver_Timer and is Active",
            ours(),
            Backup,
            TimerFires,
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "§6.4.2",
            "priority 0 sets the Active_Down_Timer to Skew_Time",
            ours(),
            Backup,
            Hears(advert(0)),
            Phase::Backup,
            &[],
            Timer::In(skew(100, S)),
        ),
        row(
            "§6.4.2",
            "priority 0 sets the timer to Skew_Time also where Preempt_Mode is false",
            ours().nopreempt(),
            Backup,
            Hears(advert(0)),
            Phase::Backup,
            &[],
            Timer::In(skew(100, S)),
        ),
        row(
            "§6.4.2",
            "Skew_Time is of the interval known, not of the one in the priority-0 advert",
            ours(),
            Backup,
            Hears(advert(0).every(10 * S)),
            Phase::Backup,
            &[],
            Timer::In(skew(100, S)),
        ),
        row(
            "§6.4.2",
            "a higher priority is heeded: the timer starts again",
            ours(),
            Backup,
            Hears(advert(101)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.2",
            "the same priority is heeded, from a higher address",
            ours(),
            Backup,
            Hears(advert(100)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.2",
            "the same priority is heeded, from a lower address just as well",
            ours(),
            Backup,
            Hears(from_below(100)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.2",
            "a longer interval is learned: skew and down timer are of the Active router's interval",
            ours(),
            Backup,
            Hears(advert(200).every(5 * S)),
            Phase::Backup,
            &[],
            Timer::In(down(100, 5 * S)),
        ),
        row(
            "§6.4.2",
            "a shorter interval is learned",
            ours(),
            Backup,
            Hears(advert(200).every(100 * MS)),
            Phase::Backup,
            &[],
            Timer::In(down(100, 100 * MS)),
        ),
        row(
            "§6.4.2",
            "where Preempt_Mode is false a lower priority is heeded",
            ours().nopreempt(),
            Backup,
            Hears(advert(1).every(2 * S)),
            Phase::Backup,
            &[],
            Timer::In(down(100, 2 * S)),
        ),
        row(
            "§6.4.2",
            "where Preempt_Mode is true a lower priority is discarded: the timer runs on",
            ours(),
            Backup,
            Hears(advert(99)),
            Phase::Backup,
            &[],
            stays,
        ),
        row(
            "§6.4.2",
            "a discarded advert teaches no interval",
            ours(),
            Backup,
            Hears(advert(99).every(10 * S)),
            Phase::Backup,
            &[],
            stays,
        ),
        row(
            "§6.1 Preempt_Mode",
            "an owner always preempts, whatever Preempt_Mode says",
            ours().priority(255).nopreempt(),
            Backup,
            Hears(advert(254)),
            Phase::Backup,
            &[],
            stays,
        ),
        // §6.4.3 Active
        row(
            "§6.4.3",
            "an Active router that is shut down cancels its timer, sends priority 0 and is in Initialize",
            ours(),
            Active,
            Shutdown,
            Phase::Init,
            &[0],
            Timer::None,
        ),
        row(
            "§6.4.3",
            "when the Adver_Timer ends an advert leaves and the timer starts again",
            ours(),
            Active,
            TimerFires,
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "§6.4.3",
            "priority 0 is answered with an advert and the Adver_Timer starts again",
            ours(),
            Active,
            Hears(advert(0)),
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "§6.4.3",
            "a higher priority makes an Active router Backup, with the down timer of the interval heard",
            ours(),
            Active,
            Hears(advert(101).every(3 * S)),
            Phase::Backup,
            &[],
            Timer::In(down(100, 3 * S)),
        ),
        row(
            "§6.4.3",
            "yielding asks nobody's Preempt_Mode",
            ours().nopreempt(),
            Active,
            Hears(advert(101)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.3",
            "the same priority from a higher address makes an Active router Backup",
            ours(),
            Active,
            Hears(advert(100)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "§6.4.3",
            "an owner yields to an owner with a higher address",
            owner(),
            Active,
            Hears(advert(255)),
            Phase::Backup,
            &[],
            Timer::In(down(255, S)),
        ),
        row(
            "§6.4.3",
            "the same priority from a lower address is discarded and answered at once",
            ours(),
            Active,
            Hears(from_below(100)),
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "§6.4.3",
            "a lower priority is discarded and answered at once, whatever its address",
            ours(),
            Active,
            Hears(advert(99)),
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "§6.4.3",
            "an owner answers an owner with a lower address and stays",
            owner(),
            Active,
            Hears(from_below(255)),
            Phase::Active,
            &[255],
            Timer::In(S),
        ),
        row(
            "§6.4.3",
            "an owner answers any contender",
            owner(),
            Active,
            Hears(advert(254)),
            Phase::Active,
            &[255],
            Timer::In(S),
        ),
        // RFC 3768, version 2
        row(
            "RFC 3768 §6.4.1",
            "version 2: Skew_Time is a part of a second, whatever the interval",
            ours().v2().adver(5 * S),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(3 * 5 * S + skew(100, S)),
        ),
        row(
            "RFC 3768 §6.1",
            "version 2: Skew_Time is not rounded to seconds",
            ours().v2().priority(254),
            Backup,
            Hears(Forge::v2(51, 0)),
            Phase::Backup,
            &[],
            Timer::In(Duration::from_nanos(7_812_500)),
        ),
        row(
            "RFC 3768 §6.4.2",
            "version 2: a higher priority is heeded and the interval is our own",
            ours().v2().adver(2 * S),
            Backup,
            Hears(Forge::v2(51, 200).every(2 * S)),
            Phase::Backup,
            &[],
            Timer::In(6 * S + skew(100, S)),
        ),
        row(
            "RFC 3768 §6.4.3",
            "version 2: a higher priority makes an Active router Backup",
            ours().v2(),
            Active,
            Hears(Forge::v2(51, 101)),
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "RFC 9568 §6.4.3 for RFC 3768 §6.4.3",
            "version 2: a lower priority is answered too, as keepalived does",
            ours().v2(),
            Active,
            Hears(Forge::v2(51, 99)),
            Phase::Active,
            &[100],
            Timer::In(S),
        ),
        row(
            "RFC 3768 §7.1",
            "version 2: another interval than ours is discarded",
            ours().v2(),
            Backup,
            Hears(Forge::v2(51, 200).every(2 * S)),
            Phase::Backup,
            &[],
            stays,
        ),
        row(
            "RFC 3768 §6.4.3",
            "version 2: shutting down sends priority 0",
            ours().v2(),
            Active,
            Shutdown,
            Phase::Init,
            &[0],
            Timer::None,
        ),
        // keepalived's words that bend a sentence
        row(
            "keepalived.conf(5) lower_prio_no_advert",
            "a losing advert is not answered where that is forbidden",
            ours().with(|s| s.lower_prio_no_advert = true),
            Active,
            Hears(advert(99)),
            Phase::Active,
            &[],
            stays,
        ),
        row(
            "keepalived.conf(5) higher_prio_send_advert",
            "a winning advert is answered once before yielding where that is asked for",
            ours().with(|s| s.higher_prio_send_advert = true),
            Active,
            Hears(advert(101)),
            Phase::Backup,
            &[100],
            Timer::In(down(100, S)),
        ),
        row(
            "keepalived.conf(5) owner_ignore_adverts",
            "an owner that is told to hears nobody, not even a higher address",
            owner().with(|s| s.owner_ignore_adverts = true),
            Active,
            Hears(advert(255)),
            Phase::Active,
            &[],
            stays,
        ),
        row(
            "keepalived.conf(5) down_timer_adverts",
            "so many intervals make the down timer, and the skew",
            ours().with(|s| s.down_adverts = 5),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(5 * S + skew(100, S)),
        ),
        row(
            "keepalived.conf(5) state",
            "the word MASTER makes nobody Active but an owner",
            ours().start_active(),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(down(100, S)),
        ),
        row(
            "keepalived.conf(5) state",
            "an owner with the word BACKUP listens first",
            ours().priority(255),
            Init,
            Startup,
            Phase::Backup,
            &[],
            Timer::In(down(255, S)),
        ),
    ]
}

#[test]
fn every_sentence_of_the_state_machine() {
    for row in rows() {
        let label = format!("{}: {}", row.clause, row.says);
        let mut bench = match row.given {
            Given::Init => Bench::bare(settings([row.router.clone()], [])),
            Given::Backup => Bench::backup(row.router.clone()),
            Given::Active => Bench::active(row.router.clone()),
        };
        let before = bench.engine.next_deadline();
        match &row.when {
            When::Startup => {
                bench.link(true);
                bench.address(OWN4, 24, true);
                bench.begin();
            }
            When::Shutdown => bench.stop(),
            When::TimerFires => {
                bench.next_timer();
            }
            When::Hears(forged) => bench.hear(forged),
        }
        assert_eq!(bench.phase(), row.phase, "{label}");
        assert_eq!(bench.sent(), row.sends, "{label}");
        // Announcing is the only other thing that has a time; it is over at once here.
        bench.wait(Duration::ZERO);
        match row.timer {
            Timer::None => assert_eq!(bench.timer(), None, "{label}"),
            Timer::Kept => assert_eq!(bench.engine.next_deadline(), before, "{label}"),
            Timer::In(length) => assert_eq!(bench.timer(), Some(length), "{label}"),
        }
    }
}
