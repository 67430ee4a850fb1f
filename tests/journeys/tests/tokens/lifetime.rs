//! `minimum_lifetime`: a lifetime that cannot be met is no reason to refresh again and again.

use jiff::SignedDuration;
use journeys::{Answer, Story};
use serde_json::{Value, json};

/// Asks so often for a token that lives so long: the answers, and how many refreshes they caused.
async fn ask_for_lifetime(
    story: &Story,
    connection: &str,
    seconds: u32,
    times: usize,
) -> (Vec<Answer>, usize) {
    story.stack.salesforce.forget_calls();
    let path = format!("/v1/connections/{connection}/token");
    let mut answers = Vec::new();
    for _ in 0..times {
        let answer = story.call("POST", &path, Some(json!({ "minimum_lifetime": seconds }))).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answers.push(answer);
    }
    (answers, story.stack.salesforce.token_calls().len())
}

#[tokio::test]
async fn lifetime_out_of_reach_returns_the_present_token() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // The app's tokens live for 15 minutes.
    for minutes in [0, 5, 8] {
        story.pass(SignedDuration::from_mins(minutes));
        for seconds in [900, 3600, 43_200] {
            let (answers, refreshes) = ask_for_lifetime(&story, &connection, seconds, 5).await;
            assert_eq!(refreshes, 0, "{seconds} s");
            assert!(answers.iter().all(|answer| answer.text("warning").contains("do not live as long")));
        }
    }
    let usual = story.token(&connection).await;
    assert_eq!(usual.body["warning"], Value::Null, "who asks for nothing is not warned");

    // Less than a minute is left: one refresh, which brings what there is.
    story.pass(SignedDuration::from_secs(90));
    let (answers, refreshes) = ask_for_lifetime(&story, &connection, 3600, 5).await;
    assert_eq!(refreshes, 1);
    assert!(answers.iter().all(|answer| answer.text("warning").contains("do not live as long")));
}

#[tokio::test]
async fn lifetime_within_reach_causes_one_refresh() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let (answers, refreshes) = ask_for_lifetime(&story, &connection, 840, 5).await;
    assert_eq!((refreshes, &answers[0].body["warning"]), (0, &Value::Null), "it lives long enough");

    story.pass(SignedDuration::from_mins(5));
    let (answers, refreshes) = ask_for_lifetime(&story, &connection, 840, 5).await;

    assert_eq!(refreshes, 1);
    assert!(answers.iter().all(|answer| answer.body["warning"] == Value::Null), "{}", answers[4].body);
}

#[tokio::test]
async fn young_token_is_not_replaced_for_its_lifetime_alone() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // Salesforce's clock is an hour behind: by it, each new token has ended.
    story.stack.salesforce.set_clock_error(SignedDuration::from_hours(-1));
    story.pass(SignedDuration::from_mins(16));
    story.stack.salesforce.forget_calls();
    let mut tokens = Vec::new();
    for _ in 0..20 {
        tokens.push(story.token(&connection).await);
    }

    assert!(tokens.iter().all(|token| token.status == 200));
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "one refresh for twenty calls");
    assert!(tokens[19].text("warning").contains("less than a minute old"), "{}", tokens[19].body);
    let (_, refreshes) = ask_for_lifetime(&story, &connection, 600, 5).await;
    assert_eq!(refreshes, 0);

    // A reported token is replaced however young it is.
    let path = format!("/v1/connections/{connection}/token");
    let rejected = json!({ "rejected": tokens[19].text("fingerprint") });
    let replaced = story.call("POST", &path, Some(rejected)).await;
    assert_ne!(replaced.text("fingerprint"), tokens[19].text("fingerprint"));
}

#[tokio::test]
async fn lifetime_out_of_reach_of_a_slow_clock_is_not_chased() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    // Salesforce's clock is ten minutes behind: of a token's 15 minutes, five are left when it comes.
    story.stack.salesforce.set_clock_error(SignedDuration::from_mins(-10));
    story.pass(SignedDuration::from_mins(16));
    let (_, refreshes) = ask_for_lifetime(&story, &connection, 600, 3).await;
    assert_eq!(refreshes, 1);

    for _ in 0..3 {
        story.pass(SignedDuration::from_secs(61));
        let (answers, refreshes) = ask_for_lifetime(&story, &connection, 600, 3).await;
        assert_eq!(refreshes, 0, "a new token would end as soon");
        assert!(answers.iter().all(|answer| answer.text("warning").contains("do not live as long")));
    }
    let usual = story.token(&connection).await;
    assert_eq!(usual.body["warning"], Value::Null, "{}", usual.body);

    // Less than a minute is left.
    story.pass(SignedDuration::from_secs(61));
    assert_eq!(ask_for_lifetime(&story, &connection, 600, 3).await.1, 1);
}

#[tokio::test]
async fn sweep_does_not_replace_a_young_token() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.set_clock_error(SignedDuration::from_hours(-1));
    story.pass(SignedDuration::from_mins(16));
    let young = story.token(&connection).await;
    story.stack.salesforce.forget_calls();

    story.pass(SignedDuration::from_secs(10));
    story.stack.sweep().await;

    assert_eq!(story.stack.salesforce.token_calls().len(), 0, "it is ten seconds old");
    assert_eq!(story.token(&connection).await.text("fingerprint"), young.text("fingerprint"));
    story.pass(SignedDuration::from_mins(1));
    story.stack.sweep().await;
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "then it is replaced ahead of its end");
}

#[tokio::test]
async fn minimum_lifetime_has_a_maximum_that_is_named() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let path = format!("/v1/connections/{connection}/token");

    let refused = story.call("POST", &path, Some(json!({ "minimum_lifetime": 43_201 }))).await;

    assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{}", refused.body);
    assert!(refused.text("detail").contains("43200"), "{}", refused.body);
    let most = story.call("POST", &path, Some(json!({ "minimum_lifetime": 43_200 }))).await;
    assert_eq!(most.status, 200, "{}", most.body);
}

#[tokio::test]
async fn fast_clock_of_salesforce_lengthens_no_tokens_life() {
    let story = Story::installed().await;
    story.stack.salesforce.set_clock_error(SignedDuration::from_hours(1));
    let connection = story.connected().await;
    for times in 0..3 {
        let token = story.token(&connection).await;
        let expires: jiff::Timestamp = token.text("expires_at").parse().expect("a time");
        // A call takes a moment, in which the story's clock stands still.
        let longest = story.stack.clock.now() + SignedDuration::from_mins(16);
        assert!(expires <= longest, "{times}: the earlier of both clocks counts: {}", token.body);
        story.pass(SignedDuration::from_mins(16));
    }
}
