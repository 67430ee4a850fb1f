//! Refreshes.

use journeys::Story;
use world::salesforce::{Endpoint, Misbehavior};

use crate::hostile::{
    STALE, ask_until_it_works, assert_none_wrong, chosen, connection,
    fate::{Fate, is_slow, of_refresh},
    installed, most_uses, quarantined, works,
};

/// One refresh meets each of these faults, each at a connection of its own.
async fn refreshes_meet(story: &Story, expected: Fate, choose: impl Fn(&Misbehavior) -> bool) {
    let mut wrong = Vec::new();
    let chosen = chosen(choose);
    let healthy = connection(story, "healthy").await;
    for (customer, fault) in &chosen {
        if let Err(seen) = refresh_meets(story, customer, fault, expected).await {
            wrong.push(format!("{}: expected {expected:?}, {seen}", fault.name));
        }
        if expected == Fate::Kept {
            // Answers that fail a check one after another would stop the app; the others of it go on meanwhile.
            assert!(works(story, &ask_until_it_works(story, &healthy).await).await, "{}", fault.name);
        }
    }
    assert_none_wrong(chosen.len(), &wrong);
}

async fn refresh_meets(
    story: &Story,
    customer: &str,
    fault: &Misbehavior,
    expected: Fate,
) -> Result<(), String> {
    let connection = connection(story, customer).await;
    story.pass(STALE);
    let kept_before = quarantined(story);
    most_uses(story);
    story.stack.salesforce.misbehave(Endpoint::Token, &fault.name, Some(1));

    let first = story.token(&connection).await;

    story.stack.salesforce.behave();
    let last = if first.status == 200 { first } else { ask_until_it_works(story, &connection).await };
    // With the new refresh token, if there is one.
    story.pass(STALE);
    let later = ask_until_it_works(story, &connection).await;
    let uses = most_uses(story);
    let kept = quarantined(story) - kept_before;
    let shown = story.call("GET", &format!("/v1/connections/{connection}"), None).await;
    let seen = (shown.text("state"), kept, uses);
    let is_as_expected = match expected {
        Fate::Used => seen == ("active", 0, 1),
        // Without rotation one refresh token serves every refresh.
        Fate::Unspent => (seen.0, seen.1) == ("active", 0) && (uses <= 2 || !rotates(story)),
        Fate::Lost => matches!(seen, ("needs_reauth", 0, 1 | 2)),
        // Neither ended nor sent again.
        Fate::Kept => seen.0 != "needs_reauth" && (seen.1, seen.2) == (1, 1),
    };
    if !is_as_expected {
        let (title, cause) = (&later.body["title"], &later.body["cause"]);
        return Err(format!("(state, kept, uses) = {seen:?}: {} {title} {cause}", later.status));
    }
    if matches!(expected, Fate::Used | Fate::Unspent) {
        for token in [&last, &later] {
            if !works(story, token).await {
                return Err(format!("got {} {} {}", token.status, token.body["title"], token.body["cause"]));
            }
        }
    }
    Ok(())
}

fn rotates(story: &Story) -> bool {
    let key = &story.stack.app("fernway", "sync").consumer_key;
    story.stack.salesforce.read(|state| state.app(key).is_some_and(|app| app.refresh_token_rotation))
}

async fn all_of(expected: Fate) {
    let story = installed().await;
    refreshes_meet(&story, expected, |fault| of_refresh(fault) == expected && !is_slow(fault)).await;
}

#[tokio::test]
async fn refresh_survives_a_page_or_error_in_place_of_the_answer() {
    all_of(Fate::Unspent).await;
}

#[tokio::test]
async fn refresh_answer_in_any_usable_form_is_used() {
    all_of(Fate::Used).await;
}

#[tokio::test]
async fn lost_answer_ends_in_one_recovery_and_a_request_to_connect() {
    all_of(Fate::Lost).await;
}

#[tokio::test]
async fn refresh_answer_that_fails_a_check_is_kept_and_the_token_not_sent_again() {
    all_of(Fate::Kept).await;
}

/// Nothing can be spent where refresh tokens are not replaced: the user is never needed.
#[tokio::test]
async fn refresh_survives_every_lost_answer_of_an_app_without_rotation() {
    let story = installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.change(|state| {
        let app = state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app");
        app.refresh_token_rotation = false;
    });
    // One answer has shown that the app does not rotate.
    let first = connection(&story, "first").await;
    story.pass(STALE);
    assert_eq!(story.token(&first).await.status, 200);
    refreshes_meet(&story, Fate::Unspent, |fault| !fault.delivers_answer() && !is_slow(fault)).await;
}

async fn silence(fault: &str) {
    let story = installed().await;
    let fate = |fault: &Misbehavior| of_refresh(fault);
    let known = Misbehavior::named(fault).expect("a fault");
    refreshes_meet(&story, fate(&known), |one| one.name == fault).await;
}

#[tokio::test]
async fn silence_before_a_refresh_costs_one_recovery() {
    silence("silence-before").await;
}

#[tokio::test]
async fn silence_after_a_refresh_ends_in_a_request_to_connect() {
    silence("silence-after").await;
}
