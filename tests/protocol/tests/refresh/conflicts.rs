//! DynamoDB rejects writes that meet another transaction. They are sent again, and a write that never gets through
//! leaves nothing behind that makes the next caller wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use protocol::{
    Effect, Fate, Kind, Rig, Script,
    ether::{Calm, Fates},
    laws::End,
    run, settle,
};
use serde_json::{Value, json};
use store::write::MAX_SENDS;
use tokio::time::sleep;

const MINUTE: Duration = Duration::from_mins(1);

/// One write is rejected so many times, and those after it are not. Refreshes are refused, where a script says so.
struct Conflict {
    write: usize,
    times: usize,
    refusal: Option<Script>,
    seen: usize,
    met: Arc<AtomicUsize>,
}

impl Conflict {
    /// The `write`th write, counted from 0; how often it was rejected can be read.
    fn at(write: usize, times: usize, refusal: Option<Script>) -> (Self, Arc<AtomicUsize>) {
        let met = Arc::<AtomicUsize>::default();
        (Self { write, times, refusal, seen: 0, met: Arc::clone(&met) }, met)
    }
}

impl Fates for Conflict {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let calm = Calm.fate(number, kind);
        match (kind, self.refusal) {
            (Kind::Refresh, Some(script)) => Fate { effect: Effect::Scripted(script), ..calm },
            (Kind::Write, _) => {
                let meets = (self.write..self.write + self.times).contains(&self.seen);
                self.seen += 1;
                self.met.fetch_add(usize::from(meets), Ordering::Relaxed);
                Fate { effect: if meets { Effect::Conflict } else { Effect::None }, ..calm }
            }
            _ => calm,
        }
    }
}

const ONE_LESS: usize = MAX_SENDS as usize - 1;
const FOR_GOOD: usize = MAX_SENDS as usize;

#[test]
fn refresh_whose_writes_meet_transactions_gives_a_token() {
    for rotation in [true, false] {
        let mut write = 0;
        while run(async {
            let mut rig = Rig::new(rotation).await;
            let process = rig.process();
            sleep(16 * MINUTE).await;
            let (conflict, met) = Conflict::at(write, ONE_LESS, None);
            rig.ether.set(conflict);
            let answer = process.answer(rig.call(None)).await;
            assert_eq!(
                (answer.status, &answer.body["warning"]),
                (200, &Value::Null),
                "{write}: {}",
                answer.body
            );
            let (end, tally) = settle(&mut rig).await.expect("no law is broken");
            assert_eq!((end, tally.sent), (End::Token, 1), "write {write}");
            met.load(Ordering::Relaxed) > 0
        }) {
            write += 1;
        }
        assert_eq!(write, 4, "lease, began, what the app does, save");
    }
}

#[test]
fn write_that_never_gets_through_makes_nobody_wait_for_a_lease() {
    let mut write = 0;
    while run(async {
        let mut rig = Rig::new(true).await;
        let (first, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        let (conflict, met) = Conflict::at(write, FOR_GOOD, None);
        rig.ether.set(conflict);
        first.answer(rig.call(None)).await;
        let answer = other.answer(rig.call(None)).await;
        assert_eq!((answer.status, rig.ether.sent().len()), (200, 1), "{write}: {}", answer.body);
        met.load(Ordering::Relaxed) > 0
    }) {
        write += 1;
    }
    assert_eq!(write, 4);
}

const BUSY: Script = Script {
    status: 400,
    headers: &[],
    body: r#"{"error":"invalid_grant","error_description":"token request is already being processed"}"#,
    processed: false,
};
const ENDED: Script = Script {
    status: 400,
    headers: &[],
    body: r#"{"error":"invalid_grant","error_description":"expired access/refresh token"}"#,
    processed: false,
};

#[test]
fn token_that_works_is_returned_whatever_cannot_be_written() {
    for refusal in [None, Some(BUSY), Some(ENDED)] {
        let mut write = 0;
        while run(async {
            let mut rig = Rig::new(true).await;
            let process = rig.process();
            sleep(10 * MINUTE).await;
            let (conflict, met) = Conflict::at(write, FOR_GOOD, refusal);
            rig.ether.set(conflict);
            let wants_more = json!({ "minimum_lifetime": 600 });
            let answer = process.answer(rig.call(Some(&wants_more))).await;
            let met = met.load(Ordering::Relaxed) > 0;
            let ends = refusal.is_some_and(|refusal| refusal.body == ENDED.body) && answer.status == 409;
            assert!(answer.status == 200 || ends, "{refusal:?}, write {write}: {}", answer.body);
            met
        }) {
            write += 1;
        }
        assert!(write >= 3, "{refusal:?}: {write}");
    }
}

#[test]
fn refusal_that_cannot_be_written_is_met_again_by_the_next_caller() {
    let mut write = 0;
    while run(async {
        let mut rig = Rig::new(true).await;
        let (first, other) = (rig.process(), rig.process());
        sleep(16 * MINUTE).await;
        let (conflict, met) = Conflict::at(write, FOR_GOOD, Some(ENDED));
        rig.ether.set(conflict);
        first.answer(rig.call(None)).await;
        sleep(Duration::from_secs(6)).await;
        let answer = other.answer(rig.call(None)).await;
        assert_eq!(answer.problem(), "reauthorization-needed", "write {write}: {}", answer.body);
        assert_ne!(answer.body["cause"], "answer_lost", "write {write}: nothing was lost");
        let page = answer.body["help_url"].as_str().and_then(|url| url.rsplit('/').next().map(str::to_owned));
        let failure = format!("FAILURE#{}", page.expect("a help page"));
        assert!(rig.ether.item(&failure, "FAILURE").is_some(), "write {write}: the help page exists");
        met.load(Ordering::Relaxed) > 0
    }) {
        write += 1;
    }
    assert!(write >= 3, "{write}");
}

#[test]
fn reconnect_whose_writes_meet_transactions_takes_the_new_grant() {
    let mut write = 0;
    while run(async {
        let mut rig = Rig::new(true).await;
        let process = rig.process();
        sleep(16 * MINUTE).await;
        rig.reconnect().await;
        let (conflict, met) = Conflict::at(write, ONE_LESS, None);
        rig.ether.set(conflict);
        let redeem = rig.redeem().expect("a reconnect");
        let answer = process.answer(redeem).await;
        assert_eq!(answer.status, 200, "write {write}: {}", answer.body);
        let (end, tally) = settle(&mut rig).await.expect("no law is broken");
        assert_eq!((end, tally.left), (End::Token, 0), "write {write}");
        met.load(Ordering::Relaxed) > 0
    }) {
        write += 1;
    }
    assert!(write >= 2, "the takeover, and the old grant's end: {write}");
}
