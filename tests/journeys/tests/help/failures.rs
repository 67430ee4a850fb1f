//! Failures are records: a product asks for its own, filtered and page by page.
#![expect(clippy::disallowed_methods, reason = "nothing else writes to the table of a test")]

use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use jiff::SignedDuration;
use journeys::Story;
use local::stack::TABLE;
use serde_json::{Value, json};

impl Asked for Story {
    async fn failures(&self, query: &str) -> Vec<Value> {
        let answer = self.call("GET", &format!("/v1/failures{query}"), None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["failures"].as_array().expect("a list").clone()
    }

    async fn tell_of(&self, customer: &str, pasted: &str) {
        let customer = json!({ "id": customer, "name": customer.to_uppercase() });
        let wish = self.wish(json!({ "customer": customer, "environment": "sandbox" })).await;
        self.tell(&wish, pasted).await;
    }
}

trait Asked {
    async fn failures(&self, query: &str) -> Vec<Value>;
    /// What Salesforce showed somebody of this customer.
    async fn tell_of(&self, customer: &str, pasted: &str);
}

const NOT_INSTALLED: &str = "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client\
                             &error_description=app+must+be+installed+into+org";

#[tokio::test]
async fn a_failure_is_a_record_with_all_that_was_seen() {
    let story = Story::installed().await;
    story.deny().await;

    let found = story.failures("").await;

    let [failure] = &found[..] else { panic!("{found:?}") };
    for (member, value) in [
        ("product", json!("fernway")),
        ("app", json!("sync")),
        ("customer", json!({ "id": "c-acme", "name": "Acme Corporation" })),
        ("environment", json!("production")),
        ("stage", json!("callback")),
        ("surface", json!("callback")),
        ("provenance", json!("observed")),
        ("code", json!("access_denied")),
        ("actor", json!("end_user")),
        ("resolved", Value::Null),
    ] {
        assert_eq!(failure[member], value, "{member} of {failure}");
    }
    // The callback's own clock goes on while it works.
    let at = failure["at"].as_str().unwrap();
    assert!(at.starts_with("2026-11-22T09:00:0"), "{at}");
    let id = failure["id"].as_str().unwrap();
    assert_eq!(failure["help_url"], format!("{}/help/{id}", story.stack.latchkey));
    assert!(failure["session_id"].as_str().unwrap().starts_with("cs_"), "{failure}");
    assert!(["sure", "likely", "possible"].contains(&failure["confidence"].as_str().unwrap()), "{failure}");
    assert!(!failure.to_string().contains("uma@"), "who pressed it is nobody's business: {failure}");
    let help = story.stack.browser().get(failure["help_url"].as_str().unwrap()).await;
    assert!(help.has(failure["reference"].as_str().unwrap()), "{}", help.text());
}

#[tokio::test]
async fn failures_are_filtered_and_reported_ones_are_marked() {
    let story = Story::installed().await;
    story.deny().await;
    story.pass(SignedDuration::from_hours(30));
    story.tell_of("c-beta", NOT_INSTALLED).await;
    story.tell_of("c-beta", "nobody knows this text").await;

    let all = story.failures("").await;
    assert_eq!(all.len(), 3);
    assert!(all.is_sorted_by(|a, b| a["id"].as_str() > b["id"].as_str()), "the latest first: {all:?}");
    for (query, how_many) in [
        ("?provenance=reported", 2),
        ("?provenance=observed", 1),
        ("?cause=app_not_installed", 1),
        ("?cause=app_not_installed&customer=c-beta", 1),
        ("?cause=app_not_installed&customer=c-acme", 0),
        ("?customer=c-beta", 2),
        ("?customer=c-acme&stage=callback", 1),
        ("?stage=authorize", 2),
        ("?environment=sandbox", 2),
        ("?app=sync", 3),
        ("?app=other", 0),
        ("?resolved=false", 3),
        ("?resolved=true", 0),
        ("?from=2026-11-23T00:00:00Z", 2),
        ("?to=2026-11-23T00:00:00Z", 1),
        ("?from=2026-11-23T00:00:00Z&customer=c-beta", 2),
        ("?to=2026-11-23T00:00:00Z&customer=c-beta", 0),
    ] {
        assert_eq!(story.failures(query).await.len(), how_many, "{query}");
    }
    for bad in ["?stage=x", "?resolved=maybe", "?limit=0", "?limit=101", "?cuase=x", "?after=x", "?from=x"] {
        let refused = story.call("GET", &format!("/v1/failures{bad}"), None).await;
        assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{bad}");
    }
}

#[tokio::test]
async fn failures_are_listed_page_by_page_and_a_cursor_holds_for_one_product_and_filter() {
    let story = Story::installed().await;
    for day in 0..5 {
        for _ in 0..3 {
            story.tell_of(if day % 2 == 0 { "c-even" } else { "c-odd" }, NOT_INSTALLED).await;
            story.pass(SignedDuration::from_mins(7));
        }
        story.pass(SignedDuration::from_hours(24));
    }

    for (filter, how_many) in [("", 15), ("&customer=c-even", 9), ("&cause=app_not_installed", 15)] {
        let mut ids = Vec::new();
        let mut after = String::new();
        loop {
            let page = story.call("GET", &format!("/v1/failures?limit=2{filter}{after}"), None).await;
            assert_eq!(page.status, 200, "{}", page.body);
            ids.extend(page.body["failures"].as_array().unwrap().iter().map(|found| found["id"].to_string()));
            let Some(next) = page.body["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        let mut unlike = ids.clone();
        unlike.dedup();
        assert_eq!((ids.len(), unlike.len()), (how_many, how_many), "{filter}: each once");
        assert!(ids.is_sorted_by(|a, b| a > b), "{filter}: the latest first");
    }

    let page = story.call("GET", "/v1/failures?limit=2", None).await;
    let next = page.text("next").to_owned();
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let refused =
        story.call_with(&other, &[], "GET", &format!("/v1/failures?limit=2&after={next}"), None).await;
    assert_eq!(refused.status, 400, "another product's cursor: {}", refused.body);
    let refused = story.call("GET", &format!("/v1/failures?limit=2&stage=lost&after={next}"), None).await;
    assert_eq!(refused.status, 400, "another list's cursor: {}", refused.body);
}

#[tokio::test]
async fn a_key_of_one_product_sees_no_failure_of_the_other() {
    let story = Story::installed().await;
    story.deny().await;
    let customer = story.failures("").await[0]["customer"]["id"].as_str().unwrap().to_owned();
    let other = story.stack.api_key("tidewater").expose().to_owned();

    for query in ["", "?customer=c-acme", &format!("?customer={customer}"), "?app=sync"] {
        let answer = story.call_with(&other, &[], "GET", &format!("/v1/failures{query}"), None).await;
        assert_eq!(
            (answer.status, answer.body["failures"].as_array().map(Vec::len)),
            (200, Some(0)),
            "{query}"
        );
    }
    let stranger = story.call_with("lk_fernway_local_x", &[], "GET", "/v1/failures", None).await;
    assert_eq!((stranger.status, stranger.problem()), (401, "unauthorized"));
}

#[tokio::test]
async fn a_callback_of_nobodys_is_counted_and_leaves_no_record() {
    let story = Story::installed().await;
    for state in 0..3 {
        let visit =
            format!("{}/oauth/callback?state=invented{state}&error=access_denied", story.stack.latchkey);
        story.stack.browser().get(&visit).await;
    }

    assert_eq!(story.failures("").await.len(), 0);
    let items = story.stack.dynamodb.dump(TABLE);
    let of = |kind: &str| {
        items.iter().filter(|item| item["pk"]["S"].as_str().is_some_and(|pk| pk.starts_with(kind))).count()
    };
    assert_eq!((of("STRAY#"), of("FAILURE#")), (1, 0));

    // As many as are counted a day: what comes after costs a refused write, and no more.
    let stack = &story.stack;
    let day = "STRAY#2026-11-22";
    let almost = stack.store.client().update_item().table_name(TABLE);
    let almost = almost.key("pk", S(day.into())).key("sk", S("STRAY".into()));
    let almost = almost.update_expression("SET callbacks = :almost");
    almost.expression_attribute_values(":almost", N("9999".into())).send().await.unwrap();
    for _ in 0..3 {
        stack.browser().get(&format!("{}/oauth/callback?state=invented&code=x", stack.latchkey)).await;
    }
    let items = stack.dynamodb.dump(TABLE);
    let counter = items.iter().find(|item| item["pk"]["S"] == day).expect("the counter");
    assert_eq!(counter["callbacks"]["N"], "10000");
}
