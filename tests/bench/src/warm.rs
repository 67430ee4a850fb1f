//! A fresh token from a warm instance, against a bare GetItem of the same item through the same client, in turn.

use runtime::HttpFunction as _;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use aws_sdk_dynamodb::types::AttributeValue;
use http::Request;
use jiff::Timestamp;
use lambda_http::Body;
use local::stack::TABLE;
use runtime::invocation_log::{Observer, RequestFacts};
use token::Token;
use world::Clock;

use crate::{
    report::{Section, median, number, time},
    stage::{Stage, platform},
};

/// How many of each.
const READS: usize = 4000;

/// How many at once, where throughput is measured, and for how long.
const AT_ONCE: usize = 8;
const FOR: Duration = Duration::from_secs(2);

/// A token read, and the GetItem that it makes.
pub(crate) struct Pair {
    token: Token,
    observer: Observer,
    client: aws_sdk_dynamodb::Client,
    pk: String,
    uri: String,
    bearer: &'static str,
}

impl Pair {
    /// Of the stage's connection.
    pub(crate) fn of(stage: &Stage) -> Self {
        let platform = platform(stage);
        Self {
            observer: Observer::new("token", "bench"),
            client: platform.store.client().clone(),
            token: Token::new(platform).expect("the settings are complete"),
            pk: format!("CONNECTION#{}", stage.connection),
            uri: stage.token_path(),
            bearer: stage.bearer()[0].1,
        }
    }

    fn request(&self) -> (Request<Body>, Timestamp) {
        let request = Request::get(&self.uri).header("authorization", self.bearer).body(Body::Empty);
        (request.expect("a request"), Clock::running().now())
    }

    /// A fresh token.
    async fn unwatched(&self) {
        let (request, now) = self.request();
        assert_eq!(self.token.respond(request, now).await.status(), 200);
    }

    /// The same, watched as it is when deployed: with the lines that are told of it.
    pub(crate) async fn token(&self) {
        let (request, now) = self.request();
        let asked = RequestFacts::of(&request);
        let (answer, lines) =
            self.observer.request(asked, now, Box::pin(self.token.respond(request, now))).await;
        black_box(lines);
        assert_eq!(answer.status(), 200);
    }

    async fn get_item(&self) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let asked = self.client.get_item().table_name(TABLE).consistent_read(true);
        let answer = asked.key("pk", text(&self.pk)).key("sk", text("CONNECTION")).send().await;
        assert!(answer.expect("an answer").item.is_some());
    }
}

/// The table.
pub(crate) async fn measure(stage: &Stage) -> Section {
    let pair = Pair::of(stage);
    for _ in 0..200 {
        pair.token().await;
        pair.get_item().await;
    }
    let [mut tokens, mut watched, mut bare] = [(); 3].map(|()| Vec::with_capacity(READS));
    for _ in 0..READS {
        tokens.push(timed(pair.unwatched()).await);
        watched.push(timed(pair.token()).await);
        bare.push(timed(pair.get_item()).await);
    }
    let mut section = Section::new("A fresh token, warm");
    let bare = median(&bare);
    for (what, took) in [("latency, median", tokens), ("the same with the invocation's line", watched)] {
        let took = median(&took);
        section.row(what, time(took), format!("bare GetItem {}", time(bare)));
        section.at_most(took.as_secs_f64() / bare.as_secs_f64(), 1.15);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(a_second(async || pair.token().await).await);
        theirs.push(a_second(async || pair.get_item().await).await);
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    section.row(
        format!("throughput, {AT_ONCE} at once"),
        format!("{} a second", number(ours)),
        format!("bare GetItem {} a second", number(theirs)),
    );
    section.at_most(theirs / ours, 1.15);
    section.note("The emulator answers in the same process, on the same two cores: of both figures it is the greater part, and throughput is its own.");
    section
}

async fn timed(one: impl Future<Output = ()>) -> Duration {
    let began = Instant::now();
    one.await;
    began.elapsed()
}

/// How many were answered in a second.
async fn a_second(one: impl AsyncFn()) -> f64 {
    let began = Instant::now();
    let mut answered = 0_u32;
    let end = began + FOR;
    let worker = async || {
        let mut answered = 0_u32;
        while Instant::now() < end {
            one().await;
            answered += 1;
        }
        answered
    };
    let all = tokio::join!(worker(), worker(), worker(), worker(), worker(), worker(), worker(), worker());
    for count in [all.0, all.1, all.2, all.3, all.4, all.5, all.6, all.7] {
        answered += count;
    }
    f64::from(answered) / began.elapsed().as_secs_f64()
}
