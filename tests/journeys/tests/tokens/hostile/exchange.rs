//! Connects: whatever comes in place of an answer, what was connected before works, so does connecting again, and no
//! grant is left that nobody holds.

use journeys::Returning;
use local::stack::FALLBACK;
use world::salesforce::{Ending, Endpoint, Misbehavior};

use crate::hostile::{
    STALE, assert_none_wrong, chosen, connection,
    fate::{Connect, applies, is_slow, of_exchange, of_keys},
    keep_few_logs,
};

/// After so many connects a new browser is used: each leaves a cookie.
const PER_BROWSER: usize = 20;

/// One connect meets each of these faults at this endpoint.
async fn connects_meet(
    endpoint: Endpoint,
    choose: impl Fn(&Misbehavior) -> bool,
    expected: impl Fn(&Misbehavior) -> Connect,
) {
    keep_few_logs();
    let mut again = Returning::begin().await;
    let chosen = chosen(|fault| applies(endpoint, fault) && choose(fault));
    let mut wrong = Vec::new();
    for (number, (_, fault)) in chosen.iter().enumerate() {
        if number % PER_BROWSER == PER_BROWSER - 1 {
            again.alice = again.story.signed_in("Alice").await;
            // Salesforce ends what is not used for 30 days.
            again.works(&again.earlier).await;
        }
        if endpoint == Endpoint::Keys {
            // Keys are believed for a day.
            again.story.pass(jiff::SignedDuration::from_hours(25));
        }
        let seen = connect_meets(&again, endpoint, fault).await;
        let expected = expected(fault);
        let is_as_expected = match expected {
            Connect::Succeeds => seen == Ok((true, 0)),
            Connect::Fails => seen == Ok((false, 0)),
            Connect::Orphans => matches!(seen, Ok((false, 0 | 1))),
        };
        if !is_as_expected {
            wrong.push(format!("{}: expected {expected:?}, (connected, orphans) = {seen:?}", fault.name));
        }
        if !matches!(seen, Ok((true, _))) {
            // Answers that cannot be used one after another would stop the app; others of it go on meanwhile.
            again.story.pass(STALE);
            connection(&again.story, &format!("healthy{number}")).await;
        }
        tidy(&again).await;
    }
    assert_none_wrong(chosen.len(), &wrong);
    again.works(&again.earlier).await;
    again.story.connects(&again.alice).await;
    again.works(&again.earlier).await;
}

/// Whether one connect succeeded, and how many grants it left that nobody holds.
async fn connect_meets(
    again: &Returning,
    endpoint: Endpoint,
    fault: &Misbehavior,
) -> Result<(bool, i64), String> {
    let story = &again.story;
    let back = again.about_to_return().await;
    let kept_before = story.stack.dynamodb.dump(FALLBACK).len();
    story.stack.salesforce.misbehave(endpoint, &fault.name, None);
    let page = back.follow().await;
    story.stack.salesforce.behave();
    let connected = page.has("Your Salesforce accounts");
    if !connected && !page.has("LK-") {
        return Err(format!("a page that leads nowhere: {page:?}"));
    }
    let kept = story.stack.dynamodb.dump(FALLBACK).len() - kept_before;
    let held = story.connections().await.len() + kept;
    let grants = story.stack.salesforce.live_grants();
    let given = grants.iter().filter(|grant| grant.refresh_token.is_some()).count();
    let count = |number: usize| i64::try_from(number).expect("a small number");
    Ok((connected, count(given) - count(held)))
}

/// Leaves the earlier connection alone standing. Salesforce's limit of five grants must not end it.
async fn tidy(again: &Returning) {
    let story = &again.story;
    for connection in story.connections().await {
        let id = connection["id"].as_str().expect("an id");
        if id != again.earlier {
            let deleted = story.call("DELETE", &format!("/v1/connections/{id}"), None).await;
            assert_eq!(deleted.status, 204, "{}", deleted.body);
        }
    }
    story.stack.salesforce.change(|state| {
        let live = state.grants.iter_mut().filter(|grant| grant.is_live());
        for grant in live.skip(1) {
            grant.ended = Some(Ending::Revoked);
        }
    });
}

async fn exchanges_meet(choose: impl Fn(&Misbehavior) -> bool) {
    connects_meet(Endpoint::Token, |fault| !is_slow(fault) && choose(fault), of_exchange).await;
}

#[tokio::test]
async fn exchange_answer_in_any_usable_form_connects() {
    exchanges_meet(|fault| of_exchange(fault) == Connect::Succeeds).await;
}

#[tokio::test]
async fn exchange_answer_that_fails_a_check_leaves_no_grant_behind() {
    exchanges_meet(|fault| of_exchange(fault) == Connect::Fails && fault.delivers_answer()).await;
}

#[tokio::test]
async fn exchange_that_is_not_answered_leads_on() {
    exchanges_meet(|fault| of_exchange(fault) == Connect::Fails && !fault.delivers_answer()).await;
}

#[tokio::test]
async fn exchange_whose_answer_is_lost_leads_on() {
    exchanges_meet(|fault| of_exchange(fault) == Connect::Orphans).await;
}

#[tokio::test]
async fn user_connects_once_the_keys_can_be_read() {
    connects_meet(Endpoint::Keys, |fault| !is_slow(fault), of_keys).await;
}

/// The user's name is for people to read.
#[tokio::test]
async fn user_connects_whatever_the_identity_address_answers() {
    connects_meet(Endpoint::Identity, |fault| !is_slow(fault), |_| Connect::Succeeds).await;
}
