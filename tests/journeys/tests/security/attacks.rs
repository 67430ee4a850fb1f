//! The two attacks on every connect flow, and what becomes of a grant that nobody redeems.

use jiff::SignedDuration;
use journeys::Story;
use serde_json::json;
use url::Url;

/// The receipt and the session in a return address.
fn receipt_in(address: &str) -> (String, String) {
    let address = Url::parse(address).expect("an address");
    let part = |name: &str| {
        let found = address.query_pairs().find(|(key, _)| key == name);
        found.map_or_else(|| panic!("no {name} in {address}"), |(_, value)| value.into_owned())
    };
    (part("connect_session"), part("receipt"))
}

#[tokio::test]
async fn a_link_sent_to_a_victim_attaches_nothing() {
    let story = Story::installed().await;
    // Mallory begins a session of her own and sends its link to Alice.
    let mallory = story.signed_in("Mallory").await;
    let link = mallory.get(&story.stack.product).await.click("Connect Salesforce").await.url;

    // Alice, signed in to Fernway as herself, follows it and approves.
    let alice = story.signed_in("Alice").await;
    let connect = alice.get(link.as_str()).await;
    let login = connect.choose("Production").click("Continue to Salesforce").await;
    let end = login.click("uma@acme.example").await.click("Allow").await;

    assert_eq!(end.status, 409, "{}", end.text());
    assert!(story.connections().await.is_empty(), "nothing is attached to anybody");
    assert!(story.stack.salesforce.live_grants().is_empty(), "the grant is revoked at Salesforce");
    let session = link.path_segments().unwrap().next_back().unwrap().to_owned();
    assert!(story.logs.text().contains("receipt_refused"), "the try is on record");
    assert!(!story.logs.text().contains(&session), "and the link is not in the log");
    // Mallory's own page shows nothing of Alice's.
    assert!(!mallory.get(&story.stack.product).await.has("Your Salesforce accounts"));
}

#[tokio::test]
async fn a_stolen_receipt_attaches_nothing() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let consent = story.leave(&alice).await.click("uma@acme.example").await;
    alice.stop_before("/salesforce/return");
    let stopped = consent.click("Allow").await;
    let stolen = stopped.location().expect("on the way to the product").to_string();

    // Mallory opens the stolen return address in her own browser, signed in as herself.
    let mallory = story.signed_in("Mallory").await;
    let end = mallory.get(&stolen).await;

    assert_eq!(end.status, 409, "{}", end.text());
    assert!(story.connections().await.is_empty());
    assert!(story.stack.salesforce.live_grants().is_empty(), "the grant is revoked at Salesforce");

    // The receipt is worth nothing any more, to Alice neither: the product makes her a new session.
    let (session, receipt) = receipt_in(&stolen);
    let path = format!("/v1/connect-sessions/{session}/redeem");
    let again = story.call("POST", &path, Some(json!({ "receipt": receipt, "user": "u-alice" }))).await;
    assert_eq!((again.status, again.problem()), (409, "receipt-refused"));
    let asked = story.call("GET", &format!("/v1/connect-sessions/{session}"), None).await;
    assert_eq!(asked.text("status"), "failed");
    assert_eq!(asked.body["failure"]["cause"], "receipt_refused");
}

#[tokio::test]
async fn a_grant_that_is_refused_while_salesforce_is_away_is_revoked_by_the_sweep() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let consent = story.leave(&alice).await.click("uma@acme.example").await;
    alice.stop_before("/salesforce/return");
    let stolen = consent.click("Allow").await.location().expect("a return address").to_string();
    let (session, receipt) = receipt_in(&stolen);

    story.stack.salesforce.set_unreachable(true);
    let path = format!("/v1/connect-sessions/{session}/redeem");
    let refused = story.call("POST", &path, Some(json!({ "receipt": receipt, "user": "u-mallory" }))).await;
    assert_eq!((refused.status, refused.problem()), (409, "other-user"));
    assert!(refused.text("reference").starts_with("LK-"));
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "Salesforce was away");
    let connection = story.connections().await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(story.token(&connection).await.status, 404, "meanwhile it hands out nothing");

    story.stack.salesforce.set_unreachable(false);
    let swept = story.stack.sweep().await;

    assert_eq!(swept.revoked, 1);
    assert!(story.stack.salesforce.live_grants().is_empty());
    assert!(story.connections().await.is_empty());
}

#[tokio::test]
async fn what_is_never_redeemed_is_revoked_at_salesforce_then_deleted() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let consent = story.leave(&alice).await.click("uma@acme.example").await;
    alice.stop_before("/salesforce/return");
    let lost = consent.click("Allow").await.location().expect("a return address").to_string();
    let connection = story.connections().await[0]["id"].as_str().unwrap().to_owned();
    let pending = story.token(&connection).await;
    assert_eq!((pending.status, pending.problem()), (409, "not-redeemed"));

    story.pass(SignedDuration::from_mins(9));
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "not yet");
    story.pass(SignedDuration::from_mins(2));
    let swept = story.stack.sweep().await;

    assert_eq!((swept.unredeemed, swept.revoked, swept.put_off), (1, 1, 0));
    assert!(story.stack.salesforce.live_grants().is_empty());
    assert!(story.connections().await.is_empty());
    assert_eq!(story.stack.sweep().await, local::Swept::default(), "and a second run finds nothing");

    // Too late: the receipt is refused.
    let (session, receipt) = receipt_in(&lost);
    let path = format!("/v1/connect-sessions/{session}/redeem");
    let late = story.call("POST", &path, Some(json!({ "receipt": receipt, "user": "u-alice" }))).await;
    assert_eq!((late.status, late.problem()), (409, "receipt-refused"));
}

#[tokio::test]
async fn receipt_counts_only_with_its_session_product_and_user() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let consent = story.leave(&alice).await.click("uma@acme.example").await;
    alice.stop_before("/salesforce/return");
    let back = consent.click("Allow").await.location().expect("a return address").to_string();
    let (session, receipt) = receipt_in(&back);
    let path = format!("/v1/connect-sessions/{session}/redeem");
    let body = json!({ "receipt": receipt, "user": "u-alice" });

    let tidewater = story.stack.api_key("tidewater").expose().to_owned();
    let other = story.call_with(&tidewater, &[], "POST", &path, Some(body.to_string())).await;
    assert_eq!((other.status, other.problem()), (409, "receipt-refused"), "another product's key");
    let last = if receipt.ends_with('x') { 'y' } else { 'x' };
    let guess = format!("{}{last}", &receipt[..receipt.len() - 1]);
    let guessed = json!({ "receipt": guess, "user": "u-alice" });
    let guess = story.call("POST", &path, Some(guessed)).await;
    assert_eq!((guess.status, guess.problem()), (409, "receipt-refused"), "a guess changes nothing");

    let first = story.call("POST", &path, Some(body.clone())).await;
    assert_eq!(first.status, 200, "{}", first.body);
    let second = story.call("POST", &path, Some(body)).await;
    assert_eq!((second.status, &second.body), (200, &first.body), "the product may have lost the answer");
    let other = json!({ "receipt": receipt, "user": "u-mallory" });
    let other = story.call("POST", &path, Some(other)).await;
    assert_eq!((other.status, other.problem()), (409, "receipt-used"));
    let asked = story.call("GET", &format!("/v1/connect-sessions/{session}"), None).await;
    assert_eq!(asked.text("connection_id"), first.text("id"));
}
