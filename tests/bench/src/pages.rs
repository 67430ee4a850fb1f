//! Pages: how long they take, how large they are. The paste reader, on what no person pastes.

use runtime::HttpFunction as _;
use std::{
    future::poll_fn,
    hint::black_box,
    pin::pin,
    time::{Duration, Instant},
};

use diagnosis::read_paste;
use domain::secret::Hash;
use errors::Errors;
use http::Request;
use lambda_http::Body;
use ops::Ops;
use serde_json::json;
use web::Response;
use world::Clock;

use crate::{
    report::{Section, median, number, time},
    stage::{Stage, platform},
};

/// How often each page.
const TIMES: usize = 300;

/// How many sessions the operators' page is of.
const SESSIONS: usize = 2_000;

/// The table. What a page waits for is left out: this is what it takes to ask for what it needs, to choose and to fill it.
pub(crate) async fn measure(stage: &Stage) -> Section {
    let mut section = Section::new("Pages");
    let errors = Errors::new(platform(stage)).expect("the settings are complete");
    for (name, path) in [
        ("help page", help_page(stage).await),
        ("guide for admins", "/guides/fernway/sync".to_owned()),
        ("guide for engineers", "/guides/fernway/sync/vendor".to_owned()),
    ] {
        let now = || Clock::running().now();
        let ask = || Request::get(&path).body(Body::Empty).expect("a request");
        let (took, bytes) = own(async || errors.respond(ask(), now()).await).await;
        rows(&mut section, name, (took, 1.0), (bytes, 30.0));
    }
    operators(&mut section).await;
    let pasted = speed(PASTED);
    for (name, text) in hostile() {
        let speed = speed(&text);
        section.row(
            format!("paste reader: {} kB of {name}", text.len() / 1000),
            format!("{} MB/s", number(speed)),
            format!("what people paste {} MB/s", number(pasted)),
        );
        section.ratio(speed / pasted);
    }
    section
}

/// The operators' pages, with a month on them: all figures, those of a quarter, the failures of a cause, a customer.
async fn operators(section: &mut Section) {
    let stage = Stage::of_a_month(SESSIONS).await;
    let visit = stage.operators_visit().await;
    let ops = Ops::new(platform(&stage)).expect("the settings are complete");
    let now = stage.story.stack.clock.now();
    let found = stage.story.call("GET", "/v1/failures?limit=1", None).await;
    let latest = &found.body["failures"][0];
    let customer = Hash::of(latest["customer"]["id"].as_str().expect("a customer"));
    let cause = latest["cause"].as_str().expect("a cause");
    for (name, path) in [
        ("operators' page", "/ops".to_owned()),
        ("operators' page of a quarter", "/ops?days=90".to_owned()),
        ("operators' page of a cause", format!("/ops/failures?days=90&cause={cause}")),
        ("operators' page of a customer", format!("/ops/customers/{}", customer.as_str())),
    ] {
        let (took, bytes) = own(async || ops.respond(visit(&path), now).await).await;
        rows(section, name, (took, 5.0), (bytes, 60.0));
    }
    section.note(format!(
        "The operators' pages are of {SESSIONS} sessions in 30 days: figures and charts of each day, with their tables."
    ));
}

/// What the page computes, its requests to the table among it and without waiting for them, in the middle; and its bytes.
async fn own(page: impl AsyncFn() -> Response) -> (Duration, usize) {
    let (mut own, mut bytes) = (Vec::new(), 0);
    for _ in 0..TIMES {
        let (answer, computed) = computed(page()).await;
        assert_eq!(answer.status(), 200);
        bytes = answer.body().len();
        own.push(computed);
    }
    (median(&own), bytes)
}

/// How long a future is polled until it is ready.
async fn computed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let (mut future, mut computed) = (pin!(future), Duration::ZERO);
    let ready = poll_fn(|context| {
        let began = Instant::now();
        let polled = future.as_mut().poll(context);
        computed += began.elapsed();
        polled
    });
    (ready.await, computed)
}

/// How long a page takes, beside the most milliseconds that it may; and how large it is, beside the most kB.
fn rows(section: &mut Section, name: &str, (took, most_ms): (Duration, f64), (bytes, most_kb): (usize, f64)) {
    section.row(format!("{name}: time"), time(took), format!("{most_ms} ms"));
    section.at_most(took.as_secs_f64() * 1e3, most_ms);
    #[expect(clippy::cast_precision_loss, reason = "a page")]
    let kb = bytes as f64 / 1e3;
    section.row(format!("{name}: size"), format!("{kb:.1} kB"), format!("{most_kb} kB"));
    section.at_most(kb, most_kb);
}

/// The help page of a failure that the product reports.
async fn help_page(stage: &Stage) -> String {
    let path = format!("/v1/connections/{}/failures", stage.connection);
    let call = json!({ "code": "API_DISABLED_FOR_ORG", "message": "The REST API is not enabled for this Organization." });
    let reported = stage.story.call("POST", &path, Some(call)).await;
    assert!(reported.status < 300, "{}", reported.body);
    let url: url::Url = reported.text("help_url").parse().expect("an address");
    url.path().to_owned()
}

/// What people paste: the address of Salesforce's error page, with what it shows.
const PASTED: &str = "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client\
    &error_description=app%20must%20be%20installed%20into%20org\n\n\
    OAUTH_APPROVAL_ERROR_GENERIC : An unexpected error has occured during authentication. Please try again.\n";

/// What could keep a reader busy: markers without ends, escapes in escapes, near misses of every rule.
fn hostile() -> [(&'static str, String); 6] {
    let fill = |piece: &str| piece.repeat(64 * 1024 / piece.len());
    [
        ("percent signs", fill("%25")),
        ("escapes in escapes", fill("%2525253C&amp;amp;#x26;")),
        (
            "addresses without end",
            fill("https://a.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error="),
        ),
        ("fields without values", fill("error=&error_description=&")),
        ("near misses of tokens", fill("00D000000000001!AQ 3MVG9 ")),
        ("words of one letter", fill("a b ")),
    ]
}

fn speed(text: &str) -> f64 {
    let (began, mut rounds) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_millis(400) {
        black_box(read_paste(black_box(text)));
        rounds += 1;
    }
    #[expect(clippy::cast_precision_loss, reason = "kB")]
    let bytes = text.len() as f64;
    f64::from(rounds) * bytes / 1e6 / began.elapsed().as_secs_f64()
}
