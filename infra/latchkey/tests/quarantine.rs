//! Token answers that fail a check are kept, shown to the operators, and released or discarded by them.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use journeys::{Answer, Story, approve};
use latchkey::{quarantine, report::Report};
use local::stack::{FALLBACK, consumer_secret};
use serde_json::{Value, json};
use store::{Decision, Fallback};
use world::salesforce::Fault;

/// Longer than the 15 minutes for which an access token is taken to live.
const STALE: SignedDuration = SignedDuration::from_mins(16);

fn fallback(story: &Story) -> Fallback {
    Fallback::new(story.stack.store.client().clone(), FALLBACK)
}

async fn list(story: &Story) -> Report {
    quarantine::list(&fallback(story), story.stack.clock.now()).await.expect("the list")
}

/// An operator decides, and the sweep runs.
async fn decide(story: &Story, connection: &str, decision: Decision) {
    quarantine::decide(&fallback(story), connection, decision, None, false)
        .await
        .expect("it is in quarantine");
    story.stack.sweep().await;
}

/// A connection whose refresh met this fault.
async fn refresh_meets(fault: Fault) -> (Story, String, Answer) {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.pass(STALE);
    story.stack.salesforce.queue_token_fault(fault);
    let answer = story.token(&connection).await;
    (story, connection, answer)
}

async fn works(story: &Story, connection: &str) {
    let token = story.token(connection).await;
    assert_eq!(token.status, 200, "{}", token.body);
    assert_eq!(story.salesforce_says(&token).await, 200);
}

#[tokio::test]
async fn doubtful_refresh_answer_is_kept_until_it_is_released() {
    let (story, connection, first) = refresh_meets(Fault::WrongSignature).await;
    assert_eq!((first.status, first.problem()), (409, "vendor-incident"), "{}", first.body);
    assert_eq!(first.text("cause"), "signature_mismatch");
    story.stack.salesforce.forget_calls();
    for hours in [1, 24, 72] {
        story.pass(SignedDuration::from_hours(hours));
        assert_eq!(story.token(&connection).await.text("cause"), "signature_mismatch", "after {hours} h");
        story.stack.sweep().await;
    }
    assert_eq!(story.stack.salesforce.token_calls(), [], "the token may be spent: it is not sent again");

    let listed = list(&story).await;
    assert!(listed.wrong && listed.text.contains(&connection), "{}", listed.text);
    decide(&story, &connection, Decision::Release).await;
    let shown = quarantine::show(&fallback(&story), &connection).await.expect("still there");
    assert!(shown.text.contains("not done     its signature does not match"), "{}", shown.text);

    // The answer was signed with a secret that was being staged.
    let app = story.stack.app("fernway", "sync").clone();
    let both = json!({ "current": consumer_secret(&app), "next": "another secret" });
    story.secrets.keep("consumer secret", "another secret");
    story.stack.secrets.put(&app.secret, &both.to_string());
    decide(&story, &connection, Decision::Release).await;

    assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
    works(&story, &connection).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    story.nothing_leaked().await;
}

#[tokio::test]
async fn answer_for_another_user_is_never_released() {
    let (story, connection, first) = refresh_meets(Fault::AnotherUser).await;
    assert_eq!(first.problem(), "vendor-incident", "{}", first.body);

    decide(&story, &connection, Decision::Release).await;

    let shown = quarantine::show(&fallback(&story), &connection).await.expect("still there");
    assert!(shown.text.contains("not done     it is for another org or user"), "{}", shown.text);
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "nothing is dropped");
    decide(&story, &connection, Decision::Discard).await;
    assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
    assert!(story.stack.salesforce.live_grants().is_empty(), "what it held is revoked");
    story.nothing_leaked().await;
}

#[tokio::test]
async fn answer_with_missing_parts_is_kept_and_not_sent_for_again() {
    let without = |fault: fn(Value) -> (u16, Vec<u8>)| Fault::Rewritten(fault);
    for fault in [
        without(|mut answer| {
            answer["access_token"] = json!("");
            (200, answer.to_string().into_bytes())
        }),
        without(|mut answer| {
            answer["token_type"] = json!("mac");
            (200, answer.to_string().into_bytes())
        }),
        without(|mut answer| {
            answer["id"] = json!(["x"]);
            (200, answer.to_string().into_bytes())
        }),
        without(|answer| (502, answer.to_string().into_bytes())),
        without(|answer| {
            let whole = answer.to_string();
            (200, whole.as_bytes()[..whole.len() - 20].to_vec())
        }),
    ] {
        let (story, connection, first) = refresh_meets(fault).await;
        assert_eq!(first.text("cause"), "answer_malformed", "{}", first.body);
        story.pass(SignedDuration::from_mins(5));
        story.stack.salesforce.forget_calls();
        assert_eq!(story.token(&connection).await.text("cause"), "answer_malformed");
        assert_eq!(story.stack.salesforce.token_calls(), []);
        assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the grant lives");
        assert!(list(&story).await.text.contains(&connection));
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn advisory_fields_never_cost_an_answer() {
    let rewritten = |fault: fn(Value) -> (u16, Vec<u8>)| Fault::Rewritten(fault);
    let story = Story::installed().await;
    let connection = story.connected().await;
    for fault in [
        rewritten(|answer| (200, format!("\u{feff}{answer}").into_bytes())),
        rewritten(|mut answer| {
            answer["expires_in"] = json!("7200");
            answer["scope"] = json!(["api", "refresh_token"]);
            (200, answer.to_string().into_bytes())
        }),
        rewritten(|mut answer| {
            answer["expires_in"] = json!(-1);
            answer["token_type"] = json!(null);
            answer["id_token"] = json!({ "not": "a token" });
            (201, answer.to_string().into_bytes())
        }),
        rewritten(|answer| {
            let repeated = answer.to_string().replacen('{', r#"{"scope":"x","scope":7,"#, 1);
            (200, repeated.into_bytes())
        }),
        rewritten(|mut answer| {
            answer["issued_at"] =
                answer["issued_at"].as_str().expect("text").parse::<u64>().expect("a number").into();
            (200, answer.to_string().into_bytes())
        }),
        rewritten(|mut answer| {
            answer.as_object_mut().expect("an object").remove("instance_url");
            (200, answer.to_string().into_bytes())
        }),
        Fault::InstanceUrl("https://acme.my.newsalesforce.example".into()),
    ] {
        story.pass(STALE);
        story.stack.salesforce.queue_token_fault(fault);
        works(&story, &connection).await;
    }
    let failures = story.call("GET", "/v1/failures?limit=100", None).await;
    let failures = failures.body["failures"].as_array().expect("a list").clone();
    let causes: BTreeSet<&str> = failures.iter().filter_map(|failure| failure["cause"].as_str()).collect();
    assert_eq!(causes, BTreeSet::from(["instance_unknown"]), "the operators know");
    assert!(story.logs.text().contains("names acme.my.newsalesforce.example"));
    assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
    story.nothing_leaked().await;
}

#[tokio::test]
async fn doubtful_import_answer_is_kept_until_it_is_released() {
    let story = Story::installed().await;
    let app = story.stack.app("fernway", "sync").clone();
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", &app.consumer_key);
    let call = json!({
        "app": "sync", "customer": { "id": "c-acme", "name": "Acme" }, "user": "u-alice",
        "environment": "production", "refresh_token": granted["refresh_token"],
    });
    let import = || story.call("POST", "/v1/connections", Some(call.clone()));
    story.stack.salesforce.forget_calls();
    story.stack.salesforce.queue_token_fault(Fault::WrongSignature);

    for minutes in [0, 5, 60] {
        story.pass(SignedDuration::from_mins(minutes));
        let kept = import().await;
        assert_eq!((kept.status, kept.problem()), (409, "import-quarantined"), "{}", kept.body);
    }
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "sent once");

    let both = json!({ "current": consumer_secret(&app), "next": "another secret" });
    story.secrets.keep("consumer secret", "another secret");
    story.stack.secrets.put(&app.secret, &both.to_string());
    let listed = list(&story).await;
    let connection = listed.json["quarantined"][0]["connection"].as_str().expect("an id").to_owned();
    decide(&story, &connection, Decision::Release).await;

    let imported = import().await;
    assert_eq!((imported.status, imported.text("id")), (200, connection.as_str()), "{}", imported.body);
    works(&story, &connection).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
    story.nothing_leaked().await;
}

/// What Fernway brings of a grant that it holds, and its first answer.
async fn import(story: &Story, fault: Fault) -> (Value, Answer) {
    let app = story.stack.app("fernway", "sync").clone();
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", &app.consumer_key);
    let call = json!({
        "app": "sync", "customer": { "id": "c-acme", "name": "Acme" }, "user": "u-alice",
        "environment": "production", "refresh_token": granted["refresh_token"],
    });
    story.stack.salesforce.forget_calls();
    story.stack.salesforce.queue_token_fault(fault);
    let answer = story.call("POST", "/v1/connections", Some(call.clone())).await;
    (call, answer)
}

#[tokio::test]
async fn import_without_instance_is_imported_after_a_second_look() {
    let without: fn(Value) -> (u16, Vec<u8>) = |mut answer| {
        answer.as_object_mut().expect("an object").remove("instance_url");
        (200, answer.to_string().into_bytes())
    };
    for fault in [Fault::Rewritten(without), Fault::InstanceUrl("https://evil.example".into())] {
        let story = Story::installed().await;
        let (call, imported) = import(&story, fault).await;
        assert_eq!(imported.status, 201, "{}", imported.body);
        assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
        works(&story, imported.text("id")).await;
        assert_eq!(story.call("POST", "/v1/connections", Some(call)).await.status, 200);
        assert_eq!(story.stack.salesforce.token_calls().len(), 1, "sent once");
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn import_whose_instance_nobody_tells_is_released_with_the_operators_word() {
    // The identity address takes another access token than the answer's, so it says nothing.
    let spoiled: fn(Value) -> (u16, Vec<u8>) = |mut answer| {
        answer.as_object_mut().expect("an object").remove("instance_url");
        answer["access_token"] = json!("00Dspoiled!token");
        (200, answer.to_string().into_bytes())
    };
    let story = Story::installed().await;
    let (call, kept) = import(&story, Fault::Rewritten(spoiled)).await;
    assert_eq!((kept.status, kept.problem()), (409, "import-quarantined"), "{}", kept.body);
    let listed = list(&story).await;
    let connection = listed.json["quarantined"][0]["connection"].as_str().expect("an id").to_owned();
    decide(&story, &connection, Decision::Release).await;
    let shown = quarantine::show(&fallback(&story), &connection).await.expect("still there");
    assert!(shown.text.contains("--instance-url"), "{}", shown.text);

    let told = story.stack.salesforce.my_domain("acme");
    let release = Decision::Release;
    quarantine::decide(&fallback(&story), &connection, release, Some(&told), false).await.expect("kept");
    story.stack.sweep().await;

    let imported = story.call("POST", "/v1/connections", Some(call)).await;
    assert_eq!((imported.status, imported.text("id")), (200, &*connection), "{}", imported.body);
    // Its access token never worked; the refresh token does.
    story.pass(STALE);
    works(&story, &connection).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn import_that_ended_after_quarantine_is_not_sent_again() {
    let story = Story::installed().await;
    // The journal does not learn that the answer is in quarantine.
    let refuse = world::dynamodb::Fault::refuse("AccessDeniedException");
    let refuse = refuse.on(world::dynamodb::Which::Operation("TransactWriteItems")).times(99);
    story.stack.dynamodb.inject(refuse);
    let (call, first) = import(&story, Fault::WrongSignature).await;
    assert_eq!(first.status, 503, "{}", first.body);
    story.stack.dynamodb.mend();

    story.pass(SignedDuration::from_mins(5));
    let again = story.call("POST", "/v1/connections", Some(call)).await;

    assert_eq!((again.status, again.problem()), (409, "import-quarantined"), "{}", again.body);
    assert_eq!(story.stack.salesforce.token_calls().len(), 1, "the token may be spent");
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn leftover_of_an_import_is_forgotten_and_not_revoked() {
    let story = Story::installed().await;
    // The second look stores the connection; the item in quarantine stays.
    let keep = world::dynamodb::Fault::refuse("AccessDeniedException");
    story.stack.dynamodb.inject(keep.on(world::dynamodb::Which::Operation("DeleteItem")).times(9));
    let (_, imported) = import(&story, Fault::InstanceUrl("https://evil.example".into())).await;
    assert_eq!(imported.status, 201, "{}", imported.body);
    story.stack.dynamodb.mend();
    assert!(list(&story).await.text.contains(imported.text("id")));

    decide(&story, imported.text("id"), Decision::Discard).await;

    assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
    works(&story, imported.text("id")).await;
    assert_eq!(story.stack.salesforce.live_grants().len(), 1);
}

/// Alice connects Acme as uma, whose consent Salesforce has already; the connection's id.
async fn connected_as_before(story: &Story) -> String {
    let alice = story.signed_in("Alice").await;
    let home = approve(story.leave(&alice).await).await;
    assert!(home.has("Your Salesforce accounts"), "connected: {}", home.text());
    story.connections().await[0]["id"].as_str().expect("an id").to_owned()
}

/// An import's answer is released after the same Salesforce user has connected in the browser.
async fn released_after_a_connect(another: bool) -> (Story, String, String, Answer) {
    let story = Story::installed().await;
    let app = story.stack.app("fernway", "sync").clone();
    let granted = story.stack.salesforce.granted("acme", "uma@acme.example", &app.consumer_key);
    let call = json!({
        "app": "sync", "customer": { "id": "c-acme", "name": "Acme" }, "user": "u-alice", "another": another,
        "environment": "production", "refresh_token": granted["refresh_token"],
    });
    story.stack.salesforce.queue_token_fault(Fault::WrongSignature);
    let kept = story.call("POST", "/v1/connections", Some(call.clone())).await;
    assert_eq!((kept.status, kept.problem()), (409, "import-quarantined"), "{}", kept.body);
    let connected = connected_as_before(&story).await;

    let both = json!({ "current": consumer_secret(&app), "next": "another secret" });
    story.secrets.keep("consumer secret", "another secret");
    story.stack.secrets.put(&app.secret, &both.to_string());
    let listed = list(&story).await;
    let quarantined = listed.json["quarantined"][0]["connection"].as_str().expect("an id").to_owned();
    decide(&story, &quarantined, Decision::Release).await;
    assert_eq!(list(&story).await.text, "Nothing is in quarantine.");
    let imported = story.call("POST", "/v1/connections", Some(call)).await;
    assert_eq!(imported.status, 200, "{}", imported.body);
    (story, connected, quarantined, imported)
}

#[tokio::test]
async fn released_import_renews_the_connection_that_exists() {
    let (story, connected, _, imported) = released_after_a_connect(false).await;

    assert_eq!(imported.text("id"), connected, "{}", imported.body);
    let connections = story.connections().await;
    assert_eq!(connections.len(), 1, "no silent second connection: {connections:?}");
    assert_eq!(story.stack.salesforce.live_grants().len(), 1, "the earlier grant is revoked");
    works(&story, &connected).await;
    story.pass(STALE);
    works(&story, &connected).await;
    story.nothing_leaked().await;
}

#[tokio::test]
async fn released_import_of_one_more_connection_stays_one_more() {
    let (story, connected, quarantined, imported) = released_after_a_connect(true).await;

    assert_eq!(imported.text("id"), quarantined, "{}", imported.body);
    assert_eq!(story.connections().await.len(), 2);
    for connection in [&connected, &quarantined] {
        works(&story, connection).await;
    }
    assert_eq!(story.stack.salesforce.live_grants().len(), 2);
}

#[tokio::test]
async fn connecting_after_a_released_import_renews_it() {
    let story = Story::installed().await;
    let (_, kept) = import(&story, Fault::WrongSignature).await;
    assert_eq!(kept.problem(), "import-quarantined", "{}", kept.body);
    let app = story.stack.app("fernway", "sync").clone();
    let both = json!({ "current": consumer_secret(&app), "next": "another secret" });
    story.secrets.keep("consumer secret", "another secret");
    story.stack.secrets.put(&app.secret, &both.to_string());
    let listed = list(&story).await;
    let released = listed.json["quarantined"][0]["connection"].as_str().expect("an id").to_owned();
    decide(&story, &released, Decision::Release).await;

    let connected = connected_as_before(&story).await;

    assert_eq!(connected, released, "its uniqueness item says that it exists");
    assert_eq!(story.connections().await.len(), 1);
    works(&story, &released).await;
}
