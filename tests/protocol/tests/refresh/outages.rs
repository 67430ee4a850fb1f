//! Both tables are away at once, for longer than a lease, while another connection shows that the host answers; and answers
//! that wait in the fallback.

use std::time::Duration;

use protocol::{
    Effect, Fate, Kind, Rig, Script,
    ether::{Calm, Fates},
    run,
};
use serde_json::json;
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

/// From the first refresh on, neither table answers a write for so long.
struct TablesSilent {
    since: Option<Instant>,
    time: Duration,
}

impl Fates for TablesSilent {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        if kind == Kind::Refresh {
            self.since.get_or_insert_with(Instant::now);
        }
        let is_away = self.since.is_some_and(|since| since.elapsed() < self.time);
        let is_silent = is_away && matches!(kind, Kind::Write | Kind::Fallback);
        let effect = if is_silent { Effect::Silent } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }
}

/// The sweep still has the answer in its memory when both tables are back. Whoever asks then, and knows that the host
/// answers, does not send the token again.
#[test]
fn sweep_that_holds_an_answer_through_an_outage_is_not_overtaken() {
    for seconds in [71, 93, 120, 150] {
        run(async move {
            let mut rig = Rig::new(true).await;
            let other = rig.connect_another(1).await;
            let (process, caller) = (rig.process(), rig.process());
            sleep(16 * MINUTE).await;
            rig.make_due();
            let time = Duration::from_secs(seconds);
            rig.ether.set(TablesSilent { since: None, time });
            let sweeping = {
                let process = process.clone();
                tokio::spawn(async move { process.sweep().await })
            };
            sleep(time).await;
            let token = rig.ether.sent()[0].token.clone();
            for _ in 0..150 {
                caller.answer(rig.call(None)).await;
                let body = json!({ "minimum_lifetime": 840 });
                caller.answer(rig.call_for(&other, Some(&body))).await;
                sleep(Duration::from_millis(100)).await;
            }
            assert!(sweeping.await.expect("it ends").is_some());
            let uses = rig.ether.sent().iter().filter(|sent| sent.token == token).count();
            assert_eq!(uses, 1, "{seconds} s: sent twice\n{}", rig.ether.trace());
            let answer = caller.answer(rig.call(None)).await;
            assert_eq!(answer.status, 200, "{seconds} s: {}", answer.body);
        });
    }
}

/// Only the host's own redirect says where the org has moved; it comes after ten seconds, and the other host is silent.
struct Redirects {
    is_over: bool,
}

impl Fates for Redirects {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        const MOVED: Script = Script {
            status: 302,
            headers: &[("Location", "http://acme.my.salesforce.localhost:7402/services/oauth2/token")],
            body: "",
            processed: false,
        };
        let calm = Calm.fate(number, kind);
        match kind {
            Kind::Refresh if std::mem::replace(&mut self.is_over, true) => {
                Fate { effect: Effect::Silent, ..calm }
            }
            Kind::Refresh => Fate { effect: Effect::Scripted(MOVED), there: Duration::from_secs(10), ..calm },
            _ => calm,
        }
    }
}

#[test]
fn redirected_request_has_one_time_limit_over_all_hosts() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.ether.set(Redirects { is_over: false });
        let began = Instant::now();
        let answer = process.answer(rig.call(None)).await;
        assert_eq!((answer.status, rig.ether.sent().len()), (503, 2), "{}", answer.body);
        let took = began.elapsed();
        assert!(Duration::from_secs(15) <= took && took < Duration::from_secs(17), "{took:?}");
        assert!(rig.ether.sent().iter().all(|sent| !sent.cut_off));
    });
}

/// What nobody can read is counted once in six hours, stays where it is, and hides nothing.
#[test]
fn unreadable_answer_in_the_fallback_is_set_aside() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        rig.spoil_fallback();
        let counted = async |times: usize| {
            let mut unreadable = 0;
            for _ in 0..times {
                unreadable += process.sweep().await.expect("a run").unreadable;
                sleep(5 * MINUTE).await;
            }
            unreadable
        };
        assert_eq!(counted(6).await, 1);
        sleep(6 * HOUR).await;
        assert_eq!(counted(6).await, 1, "the operators are told again");
        assert_eq!(rig.ether.items(protocol::rig::FALLBACK).len(), 1, "it stays");
    });
}
