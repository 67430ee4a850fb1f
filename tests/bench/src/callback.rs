//! The callback from Salesforce's redirect to ours, against what it waits for: the exchange, the reads, the writes.

use runtime::HttpFunction as _;
use std::{collections::BTreeMap, time::Instant};

use callback::Callback;
use http::Request;
use lambda_http::Body;
use serde_json::json;
use tracing::instrument::WithSubscriber;
use world::Clock;

use crate::{
    parts::{Steps, Waits},
    report::{Section, median, time},
    stage::{Stage, platform_through},
};

/// How many connects.
const CONNECTS: usize = 40;

/// The table.
pub(crate) async fn measure(stage: &Stage) -> Section {
    let waits = Waits::default();
    let platform = platform_through(stage, waits.aws(), waits.salesforce());
    let callback = Callback::new(platform).expect("the settings are complete");
    let (mut whole, mut own, mut waited) = (Vec::new(), Vec::new(), Vec::new());
    let mut parts = BTreeMap::<String, Vec<_>>::new();
    for connect in 0..=CONNECTS {
        let request = returning(stage).await.request();
        waits.take();
        let began = Instant::now();
        let answer = callback.respond(request, Clock::running().now()).await;
        let took = began.elapsed();
        assert_eq!(answer.status(), 303, "{:?}", answer.headers());
        let location = answer.headers()["location"].to_str().expect("text");
        assert!(location.starts_with(&stage.story.stack.product), "back to the product: {location}");
        let waits = waits.take();
        if connect == 0 {
            continue; // it reads the secrets and the product
        }
        let sum = waits.iter().map(|(_, time)| *time).sum();
        whole.push(took);
        waited.push(sum);
        own.push(took.saturating_sub(sum));
        for (what, time) in waits {
            parts.entry(what).or_default().push(time);
        }
    }
    let steps = Steps::default();
    for _ in 0..CONNECTS {
        let request = returning(stage).await.request();
        let answer = callback.respond(request, Clock::running().now()).with_subscriber(steps.clone());
        assert_eq!(answer.await.status(), 303);
    }
    let mut section = Section::new("Callback, warm, without the network");
    section.row(
        "from Salesforce's redirect to ours",
        time(median(&whole)),
        format!("its waits {}", time(median(&waited))),
    );
    section.ratio(median(&whole).as_secs_f64() / median(&waited).as_secs_f64());
    section.row("of it our own: verify, seal, SDK", time(median(&own)), "");
    for (step, what) in [("verify", "the id_token is verified"), ("seal", "two tokens are sealed")] {
        section.row(what, time(steps.median(step)), format!("our own {}", time(median(&own))));
        section.ratio(steps.median(step).as_secs_f64() / median(&own).as_secs_f64());
    }
    for (what, times) in parts {
        section.row(
            format!("waits for {what}"),
            time(median(&times)),
            format!("{} a callback", times.len() / CONNECTS),
        );
    }
    section
}

/// A browser's request as it comes back from Salesforce.
pub(crate) struct Return {
    /// Path and query.
    pub(crate) target: String,
    /// What the `Cookie` header says.
    pub(crate) cookies: String,
}

impl Return {
    fn request(self) -> Request<Body> {
        let request = Request::get(self.target).header("cookie", self.cookies);
        request.body(Body::Empty).expect("a request")
    }
}

/// A user approves, and the browser is on its way back.
pub(crate) async fn returning(stage: &Stage) -> Return {
    let wish = stage.story.wish(json!({})).await;
    let browser = stage.story.stack.browser();
    browser.stop_before("/oauth/callback");
    let page = browser.get(wish.text("connect_url")).await.choose("Production");
    let mut page = page.click("Continue to Salesforce").await.click("uma@acme.example").await;
    if page.location().is_none() {
        page = page.click("Allow").await;
    }
    let back = page.location().expect("on the way to the callback");
    let cookies = browser.cookie_header(back.as_str()).expect("the attempt's cookie");
    let target = format!("{}?{}", back.path(), back.query().unwrap_or_default());
    Return { target, cookies }
}
