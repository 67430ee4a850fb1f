//! The operators' page: an endpoint that fails, one that is disabled, and what each missed.

use jiff::SignedDuration;
use journeys::Story;
use store::DisabledBecause;

use super::scene::{Behavior, Endpoint, happens, with_endpoints};

#[tokio::test]
async fn operators_page_shows_endpoints_that_fail_and_what_they_missed() {
    let story = Story::begin().await;
    let (down, up) = (Endpoint::start("down").await, Endpoint::start("up").await);
    with_endpoints(&story, &[&down, &up]).await;
    let (browser, page) = story.operator().await;
    assert!(!page.has("Webhook endpoint"), "both work");

    down.behaves(Behavior::Answer(500));
    let first = happens(&story, 1, &[&down, &up]).await;
    let began = story.stack.clock.now();
    for _ in 0..3 {
        story.stack.deliver().await;
        story.pass(SignedDuration::from_mins(6));
        story.stack.sweep().await;
    }
    happens(&story, 2, &[&down, &up]).await;
    story.stack.deliver().await;
    let page = browser.get(&format!("{}/ops", story.stack.latchkey)).await;
    let boxes = page.all(".incident");
    assert_eq!(boxes.len(), 1, "{boxes:?}");
    assert!(boxes[0].contains("Webhook endpoint “down” fails"), "{boxes:?}");
    let oldest = began.strftime("%-d %b %H:%M").to_string();
    assert!(
        boxes[0].contains(&format!("Oldest event that was not delivered: {oldest}")),
        "{oldest}: {boxes:?}"
    );
    let missed = page.click("Webhook endpoint “down” fails").await;
    assert_eq!(missed.status, 200);
    let rows = missed.all("[aria-labelledby=missed] tbody tr");
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows[0].contains(first.as_str()) && rows[0].contains("connection.blocked"), "{rows:?}");
    assert!(rows[0].contains("500 error page") && rows[0].contains("due"), "{rows:?}");
    let csv = missed.click("Download as CSV").await;
    assert!(csv.status == 200 && csv.text().contains(first.as_str()), "{}", csv.text());

    let (store, now) = (&story.stack.store, story.stack.clock.now());
    let fernway = "fernway".parse().expect("an id");
    store.disable_endpoint(&fernway, &down.id, DisabledBecause::Failing, now).await.expect("disabled");
    let page = browser.get(&format!("{}/ops", story.stack.latchkey)).await;
    let boxes = page.all(".incident");
    assert!(boxes[0].contains("Webhook endpoint “down” is disabled"), "{boxes:?}");
    assert!(boxes[0].contains("latchkey events enable fernway down"), "{boxes:?}");
    let unknown = browser.get(&format!("{}/ops/endpoints/nothing", story.stack.latchkey)).await;
    assert_eq!(unknown.status, 404);
}
