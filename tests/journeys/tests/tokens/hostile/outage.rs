//! Outages: the token endpoint misbehaves through the recovery too, then it is healthy again.
//!
//! No connection ends because of an outage. The one exception is a refresh that Salesforce carried out and whose answer never
//! reached us.

use jiff::SignedDuration;
use journeys::Story;
use store::AppAt;
use world::salesforce::{Endpoint, Misbehavior};

use crate::hostile::{
    STALE, ask_until_it_works, assert_none_wrong, chosen, connection,
    fate::{Fate, is_slow, is_taken_as_unspent, of_refresh},
    installed, most_uses, quarantined, works,
};

/// How often a product asks during the outage, [`STALE`] apart: a harmless request comes first, then the recovery, then a
/// question about the token, then, if Salesforce knows it, another one.
const ASKED: u8 = 5;

/// Longer than the longest `Retry-After` that is honored.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_hours(25);

async fn outages_end_in(expected: Fate) {
    let story = installed().await;
    // Salesforce has told the app before that a token is active, so its *no* counts.
    let (product, app) = ("fernway".parse().expect("an id"), story.stack.app("fernway", "sync"));
    let at = AppAt { product: &product, app: &app.id, consumer_key: &app.consumer_key };
    story.stack.store.note_introspects(at).await.expect("the table takes it");
    let healthy = connection(&story, "healthy").await;
    let mut wrong = Vec::new();
    let chosen = chosen(|fault| of_refresh(fault) == expected && !is_slow(fault));
    for (customer, fault) in &chosen {
        if let Err(seen) = outage_meets(&story, customer, fault, expected).await {
            wrong.push(format!("{}: expected {expected:?}, {seen}", fault.name));
        }
        // Answers that cannot be used one after another would stop the app; the others of it go on meanwhile.
        assert!(works(&story, &ask_until_it_works(&story, &healthy).await).await, "{}", fault.name);
    }
    assert_none_wrong(chosen.len(), &wrong);
}

async fn outage_meets(
    story: &Story,
    customer: &str,
    fault: &Misbehavior,
    expected: Fate,
) -> Result<(), String> {
    let connection = connection(story, customer).await;
    story.pass(STALE);
    let kept_before = quarantined(story);
    most_uses(story);
    story.stack.salesforce.misbehave(Endpoint::Token, &fault.name, None);
    for _ in 0..ASKED {
        story.token(&connection).await;
        story.pass(STALE);
    }
    story.stack.salesforce.behave();

    let mut last = ask_until_it_works(story, &connection).await;
    if last.status == 503 {
        story.pass(LONGEST_WAIT);
        last = ask_until_it_works(story, &connection).await;
    }

    let uses = most_uses(story);
    let kept = quarantined(story) - kept_before;
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    let state = shown.text("state");
    let is_as_expected = match expected {
        Fate::Used | Fate::Unspent => (state, kept) == ("active", 0) && works(story, &last).await,
        Fate::Lost if is_taken_as_unspent(fault) => (state, kept) == ("needs_reauth", 0),
        Fate::Lost => (state, kept) == ("needs_reauth", 0) && uses <= 2,
        // Neither ended nor sent again.
        Fate::Kept => state != "needs_reauth" && (kept, uses) == (1, 1),
    };
    if is_as_expected {
        return Ok(());
    }
    let (title, cause) = (&last.body["title"], &last.body["cause"]);
    Err(format!("(state, kept, uses) = ({state:?}, {kept}, {uses}): {} {title} {cause}", last.status))
}

#[tokio::test]
async fn outage_that_outlasts_the_recovery_ends_no_connection() {
    outages_end_in(Fate::Unspent).await;
}

#[tokio::test]
async fn answer_in_any_usable_form_is_used_each_time() {
    outages_end_in(Fate::Used).await;
}

#[tokio::test]
async fn answers_that_are_lost_again_and_again_end_in_a_request_to_connect() {
    outages_end_in(Fate::Lost).await;
}

#[tokio::test]
async fn first_answer_that_fails_a_check_is_kept_and_no_other_asked_for() {
    outages_end_in(Fate::Kept).await;
}
