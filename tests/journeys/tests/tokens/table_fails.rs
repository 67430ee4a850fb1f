//! DynamoDB refuses, is slow, or loses an answer, at every step of the way; a secret is missing. Whoever comes gets
//! a page or a document with a reference, under which the log has the cause; when it mends, they connect.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use journeys::{Answer, Returning, Story, approve, says};
use local::stack::KEYRING;
use serde_json::json;
use store::write::MAX_SENDS;
use world::{
    browser::Page,
    dynamodb::{Fault, Which},
};

/// At how many steps the way goes on all the same: the new connection's write and the takeover, which are tried again;
/// the two reads by which the connect page counts grants to warn of Salesforce's limit; the read of the app's and host's
/// health before the exchange; the write of the user's name; and the five requests that revoke and delete the grant that was replaced, which the sweep takes up.
const UNMISSED: usize = 11;

const OUR_FAULT: &str = "Something went wrong on our side";

/// Where a person and their product's backend can end on the way from a wish to the records.
enum End {
    Connected,
    /// A page of ours, or the product's own.
    Page(Page),
    /// What the backend was told when it asked for a link.
    Problem(Answer),
}

/// The whole way, as far as it goes.
async fn way(again: &Returning) -> End {
    let session = again.story.wish(json!({})).await;
    if session.status != 201 {
        return End::Problem(session);
    }
    let connect = again.alice.get(session.text("connect_url")).await;
    if connect.status != 200 {
        return End::Page(connect);
    }
    let page = approve(connect.choose("Production").click("Continue to Salesforce").await).await;
    again.story.secrets.keep_browser(&again.alice);
    // The same user's connection from before is listed whatever becomes of this try; the notice tells.
    let failed = page.all("tbody tr").is_empty() || !page.all("[role=status]").is_empty();
    if failed { End::Page(page) } else { End::Connected }
}

/// How many calls the way makes of DynamoDB while no function remembers a product. Tries are not counted: a loaded
/// machine makes more of them.
async fn steps(again: &Returning) -> usize {
    again.story.pass(SignedDuration::from_mins(2));
    again.story.stack.dynamodb.reset_counts();
    assert!(matches!(way(again).await, End::Connected));
    let requests = again.story.stack.dynamodb.requests();
    let steps = requests.iter().map(|request| &request.call).collect::<BTreeSet<_>>().len();
    tidy(again).await;
    steps
}

/// Takes back whatever was connected but for the connection from before, so that Salesforce's limit of five grants
/// ends none of them.
async fn tidy(again: &Returning) {
    for connection in again.story.connections().await {
        let id = connection["id"].as_str().expect("an id");
        if id != again.earlier {
            assert_eq!(again.story.call("DELETE", &format!("/v1/connections/{id}"), None).await.status, 204);
        }
    }
}

/// The reference that somebody was given stands in the log, beside the cause.
fn is_told(story: &Story, text: &str, cause: &str) {
    let at = text.find("LK-").unwrap_or_else(|| panic!("no reference in {text}"));
    let reference: String =
        text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let logs = story.logs.text();
    let line = logs.lines().find(|line| line.contains(&reference) && line.contains("ERROR"));
    let line = line.unwrap_or_else(|| panic!("the log has nothing under {reference}"));
    assert!(line.contains("DynamoDB") && line.contains(cause), "{line}");
}

/// A clear end: what a person or a backend can act on.
fn is_clear(again: &Returning, end: &End, cause: &str, step: usize) {
    match end {
        End::Connected => {}
        End::Problem(problem) => {
            assert_eq!(
                (problem.status, problem.problem()),
                (503, "unavailable"),
                "step {step}: {}",
                problem.body
            );
            assert_eq!(problem.headers["retry-after"], "2");
            is_told(&again.story, problem.text("reference"), cause);
        }
        End::Page(page) if page.url.as_str().starts_with(&again.story.stack.product) => {
            assert!(!page.all("[role=status]").is_empty(), "step {step}: the product says so: {page:?}");
            assert!(again.story.logs.text().contains(cause), "step {step}");
        }
        End::Page(page) => {
            says(page, 503, OUR_FAULT);
            is_told(&again.story, &page.text(), cause);
        }
    }
}

/// Meets a fault at each step in turn, some steps to each of several stacks where the SDK waits between its tries. At how many steps the way went on to its
/// end, and how many there are.
async fn at_every_step(at_once: usize, fault: fn() -> Fault, cause: &'static str) -> (usize, usize) {
    let mut stacks = tokio::task::JoinSet::new();
    for first in 0..at_once {
        stacks.spawn(async move {
            let again = Returning::begin().await;
            let (steps, mut connected) = (steps(&again).await, 0);
            for step in (first..steps).step_by(at_once) {
                again.story.pass(SignedDuration::from_mins(2));
                again.story.stack.dynamodb.inject(fault().after(step));
                let end = way(&again).await;
                again.story.stack.dynamodb.mend();
                is_clear(&again, &end, cause, step);
                connected += usize::from(matches!(end, End::Connected));
                assert!(matches!(way(&again).await, End::Connected), "step {step}: once it has mended");
                again.works(&again.earlier).await;
                tidy(&again).await;
            }
            again.ends_well().await;
            (connected, steps)
        });
    }
    let ends = stacks.join_all().await;
    (ends.iter().map(|(connected, _)| connected).sum(), ends[0].1)
}

#[tokio::test]
async fn refused_at_any_step_the_user_gets_a_page_and_connects_once_it_has_mended() {
    let refuse = || Fault::refuse("AccessDeniedException").every_try();
    let (connected, steps) = at_every_step(1, refuse, "AccessDeniedException").await;
    assert!(
        steps >= 12 && connected <= UNMISSED,
        "each refusal was met: {connected} of {steps} went through"
    );
}

#[tokio::test]
async fn throttled_once_at_any_step_nobody_notices() {
    let throttle = || Fault::refuse("ProvisionedThroughputExceededException");
    let (connected, steps) = at_every_step(3, throttle, "none").await;
    assert_eq!(connected, steps);
}

#[tokio::test]
async fn an_answer_lost_once_at_any_step_nobody_notices() {
    let (connected, steps) = at_every_step(3, Fault::lose_answer, "none").await;
    assert_eq!(connected, steps, "a write that was carried out is known as our own when it is tried again");
}

#[tokio::test]
async fn conflict_of_two_transactions_at_any_step_is_not_noticed() {
    let conflict = || Fault::conflict().times(2);
    let (connected, steps) = at_every_step(3, conflict, "none").await;
    assert_eq!(connected, steps, "a write that meets another transaction is sent again");
}

#[tokio::test]
async fn answers_lost_for_good_at_any_step_the_user_gets_a_page_and_connects_once_it_has_mended() {
    let lose = || Fault::lose_answer().every_try();
    let (connected, steps) = at_every_step(3, lose, "NoAnswer").await;
    assert!(steps >= 12 && connected <= UNMISSED, "each loss was met: {connected} of {steps} went through");
}

#[tokio::test]
async fn a_new_connection_whose_answers_are_lost_is_the_users_all_the_same() {
    let again = Returning::begin().await;
    let away = again.about_to_return().await;
    // The first write of the callback claims; the second stores, and is sent by a call of its own once more.
    let lose = Fault::lose_answer().on(Which::Operation("TransactWriteItems")).every_try();
    again.story.stack.dynamodb.inject(lose);

    let home = away.follow().await;

    assert!(home.has("Your Salesforce accounts"), "what was stored is not given back: {home:?}");
    assert!(again.story.logs.text().contains("DynamoDB TransactWriteItems: NoAnswer"));
    again.ends_well().await;
}

/// Alice's token is stale, and refreshing it meets a fault at each step in turn: nobody notices.
async fn refresh_at_every_step(fault: fn() -> Fault, least: usize) {
    let again = Returning::begin().await;
    let dynamodb = &again.story.stack.dynamodb;
    let mut step = 0;
    loop {
        again.story.pass(SignedDuration::from_mins(16));
        dynamodb.reset_counts();
        dynamodb.inject(fault().after(step));
        again.works(&again.earlier).await;
        let met = dynamodb.requests().iter().any(|request| request.error.is_some());
        dynamodb.mend();
        if !met {
            break;
        }
        step += 1;
    }
    assert!(step >= least, "{step} steps");
    again.ends_well().await;
}

#[tokio::test]
async fn a_refresh_that_is_throttled_once_at_any_step_gives_a_token() {
    // Product and connection, lease, began, saved.
    refresh_at_every_step(|| Fault::refuse("ThrottlingException"), 4).await;
}

#[tokio::test]
async fn a_refresh_that_loses_an_answer_once_at_any_step_gives_a_token_and_ends_no_grant() {
    refresh_at_every_step(Fault::lose_answer, 4).await;
}

#[tokio::test]
async fn refresh_that_meets_a_transaction_at_any_step_gives_a_token() {
    // Lease, began, saved.
    refresh_at_every_step(|| Fault::conflict().times(MAX_SENDS as usize - 1), 3).await;
}

#[tokio::test]
async fn a_failure_that_cannot_be_recorded_has_a_page_all_the_same() {
    let again = Returning::begin().await;
    let away = again.about_to_return().await;
    again.story.stack.salesforce.queue_token_fault(world::salesforce::Fault::Html(200));
    // The claim goes through; whatever is written then does not.
    again
        .story
        .stack
        .dynamodb
        .inject(Fault::refuse("AccessDeniedException").on(Which::Writes).after(1).times(99));

    let page = away.follow().await;

    says(&page, 503, OUR_FAULT);
    is_told(&again.story, &page.text(), "AccessDeniedException");
    assert!(
        again.story.logs.text().contains("Salesforce answered 200 with HTML"),
        "the first cause is in the log"
    );
    assert!(again.story.logs.text().contains("exchange: unexpected_answer"));
    again.story.stack.dynamodb.mend();
    again.ends_well().await;
}

#[tokio::test]
async fn while_the_table_is_down_every_visit_ends_on_a_page_or_a_document() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let connect = again.alice.get(&link).await.choose("Production");
    let trouble = again.alice.get(&format!("{link}/trouble")).await;
    let help = trouble.fill("pasted", "error=invalid_scope").click("Show me what to do").await;
    let answer = again.answer().await;
    let dynamodb = &again.story.stack.dynamodb;
    dynamodb.inject(Fault::refuse("AccessDeniedException").times(999));

    for page in [
        again.alice.get(&link).await,
        connect.click("Continue to Salesforce").await,
        again.alice.get(&format!("{link}/trouble")).await,
        trouble.fill("pasted", "error=invalid_scope").click("Show me what to do").await,
        help.reload().await,
        again.alice.get(&format!("{}/status", help.url)).await,
        again.alice.get(answer.as_str()).await,
    ] {
        says(&page, 503, OUR_FAULT);
        is_told(&again.story, &page.text(), "AccessDeniedException");
    }
    let stray = format!("{}/oauth/callback?state=nobodys&code=nobodys", again.story.stack.latchkey);
    says(&again.alice.get(&stray).await, 503, OUR_FAULT);
    let earlier = format!("/v1/connections/{}", again.earlier);
    for (method, path) in [
        ("GET", earlier.clone()),
        ("GET", format!("{earlier}/token")),
        ("DELETE", earlier),
        ("GET", "/v1/connections".into()),
        ("POST", "/v1/connect-sessions/cs_00000000000000000000000000/redeem".into()),
    ] {
        let receipt = format!("rc_{}_x", "0".repeat(26));
        let body = (method == "POST").then(|| json!({ "receipt": receipt, "user": "u-alice" }));
        let problem = again.story.call(method, &path, body).await;
        assert_eq!((problem.status, problem.problem()), (503, "unavailable"), "{method} {path}");
        is_told(&again.story, problem.text("reference"), "AccessDeniedException");
    }

    dynamodb.mend();
    assert!(again.alice.get(answer.as_str()).await.has("Your Salesforce accounts"), "nothing was spent");
    again.ends_well().await;
}

#[tokio::test]
async fn a_slow_table_keeps_nobody_waiting_longer_than_five_seconds() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let connect = again.alice.get(&link).await.choose("Production");
    let answer = again.answer().await;
    again.story.stack.dynamodb.slow(Duration::from_secs(2));

    let began = Instant::now();
    let (seen, sent, returned, asked, token) = tokio::join!(
        again.alice.get(&link),
        connect.click("Continue to Salesforce"),
        again.alice.get(answer.as_str()),
        again.story.wish(json!({})),
        again.story.token(&again.earlier),
    );

    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    for page in [&seen, &sent, &returned] {
        says(page, 503, OUR_FAULT);
        is_told(&again.story, &page.text(), "timed out");
    }
    for problem in [&asked, &token] {
        assert_eq!((problem.status, problem.problem()), (503, "unavailable"), "{}", problem.body);
        is_told(&again.story, problem.text("reference"), "timed out");
    }
    again.story.stack.dynamodb.mend();
    again.ends_well().await;
}

#[tokio::test]
async fn a_table_that_is_slow_but_answers_is_waited_for() {
    let again = Returning::begin().await;
    again.story.stack.dynamodb.slow(Duration::from_millis(100));
    again.story.connects(&again.alice).await;
    again.story.stack.dynamodb.mend();
    again.ends_well().await;
}

/// A secret of cold functions is not as it should be while a user comes back from Salesforce; then it is.
async fn cold_functions_meet(spoil: impl FnOnce(&Story, &str), name: fn(&Story) -> String, log: &[&str]) {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let away = story.about_to_return(&alice, &story.invite().await).await;
    let name = name(&story);
    let value = stored(&story, &name);
    spoil(&story, &name);

    let page = away.follow().await;

    says(&page, 200, "Something went wrong on our side.");
    assert!(page.has("Fernway") && page.has("LK-"), "{page:?}");
    assert!(
        !page.body.contains(&name) && !page.has("Secrets Manager"),
        "a person is not told a secret's name"
    );
    let logs = story.logs.text();
    assert!(logs.contains(&format!("secret {name}")), "the log names it");
    for part in log {
        assert!(logs.contains(part), "the log tells {part:?}");
    }
    assert!(logs.contains("exchange: internal"));

    story.stack.secrets.down(false);
    story.stack.secrets.put(&name, &value);
    story.connects(&alice).await;
    story.holds_every_grant().await;
    story.nothing_leaked().await;
}

/// What the secret of that name holds while all is well.
fn stored(story: &Story, name: &str) -> String {
    if name == KEYRING {
        // 32 bytes in base 32: any key will do for whom has sealed nothing yet.
        return format!(r#"{{"current":"v1","v1":"{}"}}"#, "k".repeat(52));
    }
    format!(r#"{{"current":"{}"}}"#, local::stack::consumer_secret(story.stack.app("fernway", "sync")))
}

fn consumer(story: &Story) -> String {
    story.stack.app("fernway", "sync").secret.clone()
}

fn keyring(_: &Story) -> String {
    KEYRING.to_owned()
}

const NOT_FOUND: &[&str] =
    &["could not be read: ResourceNotFoundException", "can't find the specified secret"];

#[tokio::test]
async fn a_missing_consumer_secret_is_named_in_the_log_and_not_on_the_page() {
    cold_functions_meet(|story, name| story.stack.secrets.remove(name), consumer, NOT_FOUND).await;
}

#[tokio::test]
async fn a_missing_keyring_is_named_in_the_log_and_not_on_the_page() {
    cold_functions_meet(|story, name| story.stack.secrets.remove(name), keyring, NOT_FOUND).await;
}

#[tokio::test]
async fn a_secret_in_the_wrong_form_is_named_and_not_repeated_and_mends_without_a_restart() {
    let spoil = |story: &Story, name: &str| {
        story.secrets.keep("consumer secret", "the-bare-consumer-secret");
        story.stack.secrets.put(name, "the-bare-consumer-secret");
    };
    cold_functions_meet(spoil, consumer, &["has the wrong form: expected"]).await;
}

#[tokio::test]
async fn a_keyring_in_the_wrong_form_is_named_and_not_repeated_and_mends_without_a_restart() {
    let spoil = |story: &Story, name: &str| {
        story.stack.secrets.put(name, r#"{"current":"v9","v1":"a-key-that-is-too-short"}"#);
        story.secrets.keep("keyring", "a-key-that-is-too-short");
    };
    cold_functions_meet(spoil, keyring, &["has the wrong form"]).await;
}

#[tokio::test]
async fn while_secrets_manager_is_down_a_cold_function_says_so() {
    let spoil = |story: &Story, _: &str| story.stack.secrets.down(true);
    cold_functions_meet(spoil, consumer, &["could not be read: InternalServiceError"]).await;
}

#[tokio::test]
async fn while_secrets_manager_is_down_warm_functions_go_on() {
    let again = Returning::begin().await;
    again.works(&again.earlier).await;
    again.story.stack.secrets.reset_calls();
    again.story.stack.secrets.down(true);
    again.story.connects(&again.alice).await;
    again.works(&again.earlier).await;
    assert_eq!(again.story.stack.secrets.calls(), [], "nobody needs to ask");
    again.story.stack.secrets.down(false);
    again.ends_well().await;
}

#[tokio::test]
async fn without_a_keyring_a_cold_token_function_answers_with_a_problem() {
    let story = Story::installed().await;
    let alice = story.signed_in("Alice").await;
    let away = story.about_to_return(&alice, &story.invite().await).await;
    alice.stop_before("/salesforce/return");
    let returned = away.follow().await.location().expect("a redirect");
    let of = |name: &str| returned.query_pairs().find(|(key, _)| key == name).expect("there").1.into_owned();
    let body = json!({ "receipt": of("receipt"), "user": "u-alice" });
    let path = format!("/v1/connect-sessions/{}/redeem", of("connect_session"));
    let connection = story.call("POST", &path, Some(body)).await;
    story.stack.secrets.down(true);

    let problem = story.token(connection.text("id")).await;

    assert_eq!((problem.status, problem.problem()), (503, "unavailable"), "{}", problem.body);
    assert!(!problem.body.to_string().contains("keyring"), "{}", problem.body);
    assert!(story.logs.text().contains(&format!("secret {KEYRING} could not be read: InternalServiceError")));
    story.stack.secrets.down(false);
    assert_eq!(story.token(connection.text("id")).await.status, 200);
    story.connects(&alice).await;
    story.holds_every_grant().await;
}
