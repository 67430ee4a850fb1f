//! A user's return while Salesforce's other addresses fail, or answer at the last moment: the callback ends within its
//! 28 seconds, no grant is lost or left that nobody holds, nobody but us or Salesforce is blamed, and the user can try
//! again at once.

use std::time::Duration;

use diagnosis::Actor;
use domain::secret::RefreshToken;
use protocol::{
    Answer, Effect, Fate, Kind, Process, Rig, Script, Trip,
    ether::{Calm, Fates},
    rig::{FALLBACK, TABLE, TIME_OUT},
    run,
};
use tokio::time::{Instant, sleep};
use world::salesforce::Fault;

const PAGE: &str = "<html>sorry</html>";

/// What one of Salesforce's addresses does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    Answers,
    /// After so many seconds.
    Late(u64),
    Falls,
    Unreachable,
    Says(u16, &'static str),
    /// Carries the request out, and then says so.
    SaysAfter(u16, &'static str),
    LosesTheAnswer,
}

use Does::{Answers, Falls, Late, LosesTheAnswer, Says, SaysAfter, Unreachable};

impl Does {
    fn fate(self, number: usize) -> Fate {
        let calm = Calm.fate(number, Kind::Other);
        let script = |status, body, processed| Script { status, headers: &[], body, processed };
        let effect = match self {
            Answers | Late(_) => Effect::None,
            Falls => Effect::Silent,
            Unreachable => Effect::Unreachable,
            Says(status, body) => Effect::Scripted(script(status, body, false)),
            SaysAfter(status, body) => Effect::Scripted(script(status, body, true)),
            LosesTheAnswer => Effect::AnswerLost,
        };
        let there = if let Late(seconds) = self { Duration::from_secs(seconds) } else { calm.there };
        Fate { there, effect, ..calm }
    }
}

/// What each of them does, and for how long after the code was sent the table takes no write.
#[derive(Debug, Clone, Copy)]
struct Weather {
    keys: Does,
    exchange: Does,
    identity: Does,
    revoke: Does,
    table_away: Duration,
    sent: Option<Instant>,
}

const FAIR: Weather = Weather {
    keys: Answers,
    exchange: Answers,
    identity: Answers,
    revoke: Answers,
    table_away: Duration::ZERO,
    sent: None,
};

impl Fates for Weather {
    fn fate(&mut self, number: usize, kind: Kind) -> Fate {
        let is_away = self.sent.is_some_and(|sent| sent.elapsed() < self.table_away);
        let effect = if is_away && kind == Kind::Write { Effect::Refused } else { Effect::None };
        Fate { effect, ..Calm.fate(number, kind) }
    }

    fn other(&mut self, number: usize, path: &str) -> Fate {
        let does = match path {
            "/services/oauth2/token" => {
                self.sent.get_or_insert_with(Instant::now);
                self.exchange
            }
            "/services/oauth2/revoke" => self.revoke,
            "/id/keys" => self.keys,
            _ => self.identity,
        };
        does.fate(number)
    }
}

/// Everything that an address which is only asked can do.
const FAILURES: [Does; 11] = [
    Late(4),
    Late(12),
    Falls,
    Unreachable,
    LosesTheAnswer,
    Says(200, PAGE),
    Says(200, ""),
    Says(302, ""),
    Says(404, PAGE),
    Says(429, PAGE),
    Says(503, PAGE),
];

/// How a return ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Connected,
    /// A help page that tells this cause.
    Help(String),
    /// A page of ours without a failure of its own.
    Page(u16),
}

async fn rig_with_openid() -> (Rig, Process) {
    let mut rig = Rig::with(true, |app| app.scopes.push("openid".into())).await;
    let process = rig.process();
    (rig, process)
}

fn end_of(rig: &Rig, answer: &Answer) -> End {
    let Some(location) = &answer.location else { return End::Page(answer.status) };
    if location.starts_with("https://app.fernway.example/salesforce") && location.contains("receipt=") {
        return End::Connected;
    }
    let page = location.rsplit('/').next().expect("a path");
    assert!(page.starts_with("fl_"), "{location}");
    let failure = rig.ether.item(&format!("FAILURE#{page}"), "FAILURE").expect("the help page exists");
    End::Help(failure["cause"]["S"].as_str().expect("a cause").to_owned())
}

/// How many grants live at Salesforce whose refresh token no connection holds, and how many answers the fallback keeps.
fn unheld_and_kept(rig: &Rig) -> (usize, usize) {
    let held: Vec<String> = rig
        .ether
        .items(TABLE)
        .iter()
        .filter_map(|item| item["refresh_fingerprint"]["S"].as_str().map(str::to_owned))
        .collect();
    let is_held =
        |token: &str| held.iter().any(|held| held == RefreshToken::new(token).fingerprint().as_str());
    let grants = rig.world.live_grants();
    let given = grants.iter().filter_map(|grant| grant.refresh_token.as_deref());
    (given.filter(|token| !is_held(token)).count(), rig.ether.items(FALLBACK).len())
}

/// One return in this weather, and everything that must be true of it whatever it was.
async fn returns(rig: &Rig, process: &Process, weather: Weather, within: Duration) -> End {
    let trip = Trip::begin(rig).await;
    let back = trip.back(rig).await;
    rig.ether.set(weather);
    let began = Instant::now();
    let answer = process.answer_within(back, within).await;
    assert!(
        !answer.died(),
        "{weather:?}: Lambda ended it after {:?}\n{}",
        began.elapsed(),
        rig.ether.trace()
    );
    let end = end_of(rig, &answer);
    rig.ether.set(Calm);
    let is_lost = matches!(weather.exchange, LosesTheAnswer | SaysAfter(..) | Late(15..));
    let (unheld, kept) = unheld_and_kept(rig);
    assert!(
        unheld <= kept || is_lost,
        "{weather:?}: {unheld} live grants are not held, {kept} answers are kept: {end:?}\n{}",
        rig.ether.trace()
    );
    if let End::Help(cause) = &end {
        let actor = diagnosis::cause(cause).expect("in the catalogue").actor;
        assert!(matches!(actor, Actor::Vendor | Actor::Wait), "{weather:?}: {cause} blames {actor:?}");
    }
    if end != End::Connected {
        let again = process.answer(trip.back(rig).await).await;
        assert_eq!(end_of(rig, &again), End::Connected, "{weather:?}: the next try, after {end:?}");
    }
    end
}

/// A day later everything that was not connected has been revoked, and what was connected works.
async fn settles(rig: &Rig, process: &Process) {
    for _ in 0..4 {
        sleep(Duration::from_hours(9)).await;
        process.sweep().await.expect("it runs");
    }
    assert_eq!(unheld_and_kept(rig), (0, 0), "a grant that nobody holds is left\n{}", rig.ether.trace());
    let answer = process.answer(rig.call(None)).await;
    assert_eq!(answer.status, 200, "the connection from before works: {}", answer.body);
}

#[test]
fn return_ends_in_time_whatever_keys_and_identity_do() {
    for keys in [&FAILURES[..], &[Answers]].concat() {
        for exchange in [Answers, Late(10), Late(14)] {
            run(async move {
                let (rig, process) = rig_with_openid().await;
                for identity in [Answers, Falls, Late(4), Says(503, PAGE)] {
                    let weather = Weather { keys, exchange, identity, ..FAIR };
                    let end = returns(&rig, &process, weather, TIME_OUT).await;
                    // The keys are asked for before the code is sent, and once more after.
                    if matches!(keys, Answers | Late(4)) {
                        assert_eq!(end, End::Connected, "{weather:?}");
                    }
                }
                settles(&rig, &process).await;
            });
        }
    }
}

#[test]
fn user_who_was_approved_is_connected_without_identity_address() {
    for identity in FAILURES {
        run(async move {
            let (rig, process) = rig_with_openid().await;
            let weather = Weather { identity, ..FAIR };
            assert_eq!(returns(&rig, &process, weather, TIME_OUT).await, End::Connected, "{weather:?}");
            settles(&rig, &process).await;
        });
    }
}

#[test]
fn exchange_that_fails_leads_on_whatever_revoke_does() {
    let exchanges = [
        Falls,
        Unreachable,
        LosesTheAnswer,
        Late(16),
        Says(200, PAGE),
        Says(302, ""),
        Says(429, PAGE),
        Says(503, PAGE),
        SaysAfter(502, PAGE),
        SaysAfter(200, ""),
    ];
    for exchange in exchanges {
        run(async move {
            let (rig, process) = rig_with_openid().await;
            let weather = Weather { exchange, revoke: Falls, ..FAIR };
            let end = returns(&rig, &process, weather, TIME_OUT).await;
            assert!(matches!(end, End::Help(_)), "{weather:?}: {end:?}");
        });
    }
}

/// The answer is somebody else's: its grant is revoked at once, or by the sweep if Salesforce does not answer.
#[test]
fn grant_that_is_refused_is_revoked_in_the_end_whatever_revoke_does() {
    // An empty 200 says that the token is revoked (RFC 7009 §2.2).
    for revoke in FAILURES.into_iter().filter(|revoke| *revoke != Says(200, "")) {
        for exchange in [Answers, Late(14)] {
            run(async move {
                let (rig, process) = rig_with_openid().await;
                rig.world.queue_token_fault(Fault::WrongNonce);
                let weather = Weather { exchange, revoke, ..FAIR };
                let end = returns(&rig, &process, weather, TIME_OUT).await;
                assert!(matches!(end, End::Help(_)), "{weather:?}: {end:?}");
                settles(&rig, &process).await;
                assert_eq!(rig.world.live_grants().len(), 1, "{weather:?}: of the connection from before");
            });
        }
    }
}

/// The answer comes at the last moment, and the table is away: the fallback has it before the function ends.
#[test]
fn late_answer_is_kept_while_the_table_is_away() {
    for (exchange, away) in [(Answers, 40), (Late(10), 40), (Late(14), 40), (Late(14), 16), (Late(1), 10)] {
        run(async move {
            let (rig, process) = rig_with_openid().await;
            let table_away = Duration::from_secs(away);
            let weather = Weather { keys: Late(4), exchange, table_away, ..FAIR };
            returns(&rig, &process, weather, TIME_OUT).await;
            settles(&rig, &process).await;
        });
    }
}

/// With any time that is left a code is sent only if its answer can still be stored.
#[test]
fn return_with_little_time_left_loses_nothing() {
    for left in [1, 5, 15, 21, 22, 23, 24, 26] {
        for (keys, exchange) in [(Answers, Answers), (Falls, Answers), (Late(4), Late(14)), (Answers, Falls)]
        {
            run(async move {
                let (rig, process) = rig_with_openid().await;
                let weather = Weather { keys, exchange, ..FAIR };
                let end = returns(&rig, &process, weather, Duration::from_secs(left)).await;
                assert!(!matches!(end, End::Page(_)), "{left} s, {weather:?}: {end:?}");
            });
        }
    }
}
