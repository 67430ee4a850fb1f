//! A panic is a bug in the handling of one connection. It ends neither the process nor what else it does.

use std::time::Duration;

use domain::secret::Fingerprint;
use protocol::{
    Effect, Fate, Kind, Rig,
    ether::{Calm, Fates},
    rig::CONSUMER_KEY,
    run,
};
use tokio::time::sleep;

/// Whoever sends this refresh token panics.
struct Panics(Fingerprint);

impl Fates for Panics {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        Calm.fate(number, kind)
    }

    fn refresh(&mut self, number: usize, token: &Fingerprint) -> Fate {
        let effect = if *token == self.0 { Effect::Panics } else { Effect::None };
        Fate { effect, ..Calm.fate(number, Kind::Refresh) }
    }
}

fn held(rig: &Rig) -> Fingerprint {
    let held = rig.item()["refresh_fingerprint"]["S"].as_str().map(Fingerprint::parse);
    held.flatten().expect("a fingerprint")
}

#[test]
fn panic_in_one_connection_leaves_the_others_refreshed() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let mut others = Vec::new();
        for org in 0..6 {
            let org = rig.world.add_customer(&format!("customer{org}")).name;
            rig.world.install(&org, CONSUMER_KEY).expect("the app can be installed");
            others.push(rig.connect_in(&org, 0).await);
        }
        sleep(Duration::from_hours(24 * 16)).await;
        rig.ether.set(Panics(held(&rig)));

        let swept = process.sweep().await.expect("the run goes on");

        assert_eq!((swept.refreshed, swept.put_off), (6, 1), "{swept:?}");
        let next = process.sweep().await.expect("it ran");
        assert_eq!(next.put_off, 0, "the next run does not begin with it: {next:?}");
        rig.ether.set(Calm);
        for other in &others {
            assert_eq!(process.answer(rig.call_for(other, None)).await.status, 200);
        }
        let mut answer = process.answer(rig.call(None)).await;
        for _ in 0..20 {
            if answer.status == 200 {
                break;
            }
            sleep(Duration::from_mins(1)).await;
            answer = process.answer(rig.call(None)).await;
        }
        assert_eq!(answer.status, 200, "it recovers as after any unanswered refresh: {}", answer.body);
    });
}

#[test]
fn panic_in_one_request_leaves_the_other_requests_their_answers() {
    run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        let other = rig.connect_another(1).await;
        sleep(Duration::from_mins(16)).await;
        rig.ether.set(Panics(held(&rig)));
        let ask = |request| {
            let process = process.clone();
            tokio::spawn(async move { process.answer(request).await })
        };
        let (panics, waits, works) =
            (ask(rig.call(None)), ask(rig.call(None)), ask(rig.call_for(&other, None)));
        assert!(panics.await.expect_err("it panicked").is_panic());
        assert_eq!(waits.await.expect("whoever waited for it is answered").status, 503);
        assert_eq!(works.await.expect("it ends").status, 200);
    });
}
