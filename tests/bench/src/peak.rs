//! The most memory that a function ever occupies, over the heaviest of what it does: a refresh, a connect, a sweep that
//! refreshes. The binaries are what is deployed, but for the hosts that they talk to (`tests/journeys/src/bin`).

use jiff::SignedDuration;
use local::stack::TABLE;
use serde_json::{Value, json};
use world::{Clock, lambda::http_event};

use crate::{
    callback::returning,
    report::{Section, mib},
    sandbox::{Function, Sandbox},
    stage::Stage,
};

/// How many of each before the peak is read.
const TIMES: usize = 20;

/// How many connections are due. Salesforce keeps five grants of one user.
const DUE: usize = 4;

/// The table.
pub(crate) async fn measure() -> Section {
    let stage = Stage::set().await;
    let mut section = Section::new("Memory at the peak");
    let refresh = http_event("GET", &stage.token_path(), &stage.bearer(), &[], None);
    let end = || make_due(&stage);
    let answers = row(&mut section, stage.here("token"), "refreshes", &vec![refresh; TIMES], end);
    assert!(answers.iter().all(|answer| answer["statusCode"] == 200), "{answers:?}");

    let mut connects = Vec::new();
    for _ in 0..TIMES {
        let back = returning(&stage).await;
        let cookies: Vec<&str> = back.cookies.split("; ").collect();
        connects.push(http_event("GET", &back.target, &[], &cookies, None));
    }
    let answers = row(&mut section, stage.here("callback"), "connects", &connects, || ());
    assert!(answers.iter().all(|answer| answer["statusCode"] == 303), "{answers:?}");

    let stage = Stage::set().await;
    let alice = stage.story.signed_in("Alice").await;
    for _ in 1..DUE {
        stage.story.connects(&alice).await;
    }
    make_due(&stage);
    let what = "sweeps, the first with due connections";
    let answers = row(&mut section, stage.here("sweep"), what, &vec![json!({}); TIMES], || ());
    assert_eq!(answers[0]["refreshed"], DUE, "{answers:?}");
    section
}

/// Every connection is due now: its token is from a quarter of an hour ago, and about to end.
fn make_due(stage: &Stage) {
    let dynamodb = &stage.story.stack.dynamodb;
    let now = Clock::running().now();
    let times = [
        ("due_at", now - SignedDuration::from_secs(1)),
        ("issued_at", now - SignedDuration::from_mins(14)),
        ("fetched_at", now - SignedDuration::from_mins(14)),
        ("expires_at", now + SignedDuration::from_mins(1)),
    ];
    let mut items = dynamodb.dump(TABLE);
    items.retain(|item| item["sk"]["S"] == "CONNECTION");
    for item in &mut items {
        for (attribute, time) in times {
            item[attribute] = json!({ "N": time.as_millisecond().to_string() });
        }
    }
    dynamodb.seed(TABLE, items.into_iter());
}

/// Sends the events one after the other, each after `prepare`, and reads the peak: the answers.
fn row(
    section: &mut Section,
    function: Function,
    what: &str,
    events: &[Value],
    prepare: impl Fn(),
) -> Vec<Value> {
    tokio::task::block_in_place(|| {
        let (first, more) = events.split_first().expect("an event");
        prepare();
        let sandbox = Sandbox::start(&Function { event: first.clone(), ..function.clone() });
        let mut answers = vec![sandbox.first().1];
        answers.extend(more.iter().map(|event| {
            prepare();
            sandbox.again(event).1
        }));
        let memory = sandbox.memory();
        section.row(
            format!("{}: the peak of {} {what}", function.name, events.len()),
            format!("{:.1} MiB", mib(memory.peak)),
            format!("resident after them {:.1} MiB", mib(memory.resident)),
        );
        section.at_most(mib(memory.peak), 16.0);
        answers
    })
}
