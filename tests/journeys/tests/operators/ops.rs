//! The operators' page: who may look, and what there is to see.

use domain::{Failure, FailureId};
use jiff::SignedDuration;
use journeys::Story;
use serde_json::json;

#[tokio::test]
async fn a_link_signs_one_browser_in_once_and_looking_at_it_uses_nothing_up() {
    let story = Story::begin().await;
    let link = story.ops_link().await;
    let scanner = story.stack.browser();
    assert!(scanner.get(&link).await.has("The link works once"));
    assert!(scanner.cookies().is_empty(), "a preview gets no cookie");

    let browser = story.stack.browser();
    let page = browser.get(&link).await.click("Sign in").await;
    assert_eq!(page.url.path(), "/ops", "{}", page.text());
    assert!(browser.cookie("__Host-lk-ops").is_some());

    let again = story.stack.browser().get(&link).await;
    assert_eq!(again.status, 410, "{}", again.text());
    let forced = story.stack.browser().at(&link).post_form(&link, &[]).await;
    assert_eq!(forced.status, 410, "{}", forced.text());
    assert!(forced.location().is_none() && !forced.has("Sessions"));
}

#[tokio::test]
async fn a_link_waits_ten_minutes_and_a_used_session_lasts_eight_hours() {
    let story = Story::begin().await;
    let link = story.ops_link().await;
    story.pass(SignedDuration::from_mins(10));
    assert_eq!(story.stack.browser().get(&link).await.status, 410);

    let (browser, _) = story.operator().await;
    for _ in 0..17 {
        story.pass(SignedDuration::from_mins(28));
        assert_eq!(browser.get(&story.ops()).await.status, 200);
    }
    story.pass(SignedDuration::from_mins(3));
    assert_eq!(browser.get(&story.ops()).await.status, 200);
    story.pass(SignedDuration::from_mins(2));
    let over = browser.get(&story.ops()).await;
    assert_eq!(over.status, 401, "{}", over.text());
}

#[tokio::test]
async fn an_unused_session_ends_after_half_an_hour() {
    let story = Story::begin().await;
    let (browser, _) = story.operator().await;
    let (all, _) = story.runner().await;
    story.pass(SignedDuration::from_mins(29));
    assert_eq!(browser.get(&story.ops()).await.status, 200);
    story.pass(SignedDuration::from_mins(29));
    assert_eq!(browser.get(&story.ops()).await.status, 200, "its last use counts, not its begin");
    assert_eq!(all.get(&story.ops()).await.status, 401, "nobody used it");
    story.pass(SignedDuration::from_mins(31));
    assert_eq!(browser.get(&story.ops()).await.status, 401);
}

#[tokio::test]
async fn a_session_ends_with_its_key_though_the_id_comes_back() {
    let story = Story::installed().await;
    let (browser, page) = story.operator().await;
    assert_eq!(page.status, 200);
    let mut product = story.stack.products.iter().find(|p| p.id.as_str() == "fernway").unwrap().clone();
    // The operator revokes the key, and gives its id to a new one.
    let id = product.api_keys[0].id.clone();
    let new = domain::secret::ApiKey::mint(&product.id, &id);
    product.api_keys = vec![domain::product::ApiKeyDigest { id, hash: new.hash() }];
    story.stack.store.put_product(&product).await.unwrap();
    story.pass(SignedDuration::from_secs(61));
    assert_eq!(browser.get(&story.ops()).await.status, 401, "the session was the old key's");
    let link = story.call_with(new.expose(), &[], "POST", "/v1/ops-links", None).await;
    assert_eq!(link.status, 201, "{}", link.body);
}

#[tokio::test]
async fn operators_sessions_are_listed_and_ended() {
    let story = Story::begin().await;
    let (store, clock) = (&story.stack.store, &story.stack.clock);
    let (product, _) = story.operator().await;
    let (all, _) = story.runner().await;
    let listed = store.ops_sessions(clock.now()).await.unwrap();
    let mut owners: Vec<_> = listed
        .iter()
        .map(|session| (session.scope.owner.as_str(), session.scope.product.is_some()))
        .collect();
    owners.sort_unstable();
    assert_eq!(owners, [("API key local", true), ("Olga", false)]);

    let of_olga = latchkey::ops::Which::Of("Olga".into());
    let ended = latchkey::ops::end_sessions(store, &of_olga, clock.now(), true).await.unwrap();
    assert_eq!(all.get(&story.ops()).await.status, 200, "a dry run: {}", ended.text);
    latchkey::ops::end_sessions(store, &of_olga, clock.now(), false).await.unwrap();
    assert_eq!(all.get(&story.ops()).await.status, 401);
    assert_eq!(product.get(&story.ops()).await.status, 200, "another owner's session stays");

    let left = latchkey::ops::list_sessions(store, clock.now()).await.unwrap();
    let id = left.json["sessions"][0]["id"].as_str().unwrap().to_owned();
    assert!(left.text.contains("fernway") && left.text.contains("API key"), "{}", left.text);
    latchkey::ops::end_sessions(store, &latchkey::ops::Which::One(id), clock.now(), false).await.unwrap();
    assert_eq!(product.get(&story.ops()).await.status, 401);
    story.pass(SignedDuration::from_hours(9));
    assert_eq!(store.ops_sessions(clock.now()).await.unwrap(), []);
}

#[tokio::test]
async fn signing_out_ends_the_session_for_every_copy_of_the_cookie() {
    let story = Story::begin().await;
    let (browser, page) = story.operator().await;
    let cookie = browser.cookie("__Host-lk-ops").expect("a cookie").value.clone();

    let left = page.click("Sign out").await;

    assert!(left.has("You are signed out"), "{}", left.text());
    assert!(browser.cookie("__Host-lk-ops").is_none());
    let thief = story.stack.browser();
    thief.set_cookie(&story.ops(), &format!("__Host-lk-ops={cookie}; Path=/; Secure; HttpOnly"));
    assert_eq!(thief.get(&story.ops()).await.status, 401);
}

#[tokio::test]
async fn without_a_session_there_is_nothing_to_see_and_forms_of_other_sites_do_nothing() {
    let story = Story::begin().await;
    let stranger = story.stack.browser().get(&story.ops()).await;
    assert_eq!(stranger.status, 401);
    assert!(!stranger.has("Fernway"), "{}", stranger.text());

    let link = story.ops_link().await;
    let request = |site: &str| {
        http::Request::post(&link).header("sec-fetch-site", site).body(Vec::new()).expect("a request")
    };
    let http = salesforce::Http::on_this_machine();
    let refused = http.send(request("cross-site")).await.expect("an answer");
    assert_eq!(refused.status().as_u16(), 400);
    assert!(refused.headers().get("set-cookie").is_none());
    let entered = http.send(request("same-origin")).await.expect("an answer");
    assert_eq!(entered.status().as_u16(), 303, "it was not used up");
    let cookie = entered.headers()["set-cookie"].to_str().unwrap();
    for part in ["__Host-lk-ops=", "Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let no_key = story.call_with("lk_nobody_x_y", &[], "POST", "/v1/ops-links", None).await;
    assert_eq!(no_key.status, 401);
}

#[tokio::test]
async fn a_product_sees_itself_alone_and_loses_sight_with_its_key() {
    let story = Story::installed().await;
    story.deny().await;
    story.stack.tally().await;
    let reference = {
        let found = story.call("GET", "/v1/failures", None).await;
        found.body["failures"][0]["reference"].as_str().unwrap().to_owned()
    };
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let link = story.call_with(&other, &[], "POST", "/v1/ops-links", None).await;
    let browser = story.stack.browser();
    browser.get(link.text("url")).await.click("Sign in").await;

    for query in
        ["", "?product=fernway", &format!("?ref={reference}"), &format!("?product=fernway&ref={reference}")]
    {
        let page = browser.get(&format!("{}{query}", story.ops())).await;
        let status = if query.contains("product=fernway") { 400 } else { 200 };
        assert_eq!(page.status, status, "{query}");
        assert!(!page.has("Acme") && !page.has("Fernway"), "{query}: {}", page.text());
    }

    let (own, page) = story.operator().await;
    assert!(page.has("Acme Corporation"), "{}", page.text());
    let mut product = story.stack.products.iter().find(|p| p.id.as_str() == "fernway").unwrap().clone();
    product.api_keys.clear();
    story.stack.store.put_product(&product).await.unwrap();
    story.pass(SignedDuration::from_secs(61));
    assert_eq!(own.get(&story.ops()).await.status, 401, "the key is gone");
}

#[tokio::test]
async fn the_page_shows_what_failed_and_leads_by_the_reference_to_the_attempt() {
    let story = Story::installed().await;
    story.deny().await;
    story.pass(SignedDuration::from_mins(20));
    story.connected().await;
    story.stack.tally().await;
    let (browser, page) = story.operator().await;

    assert_eq!(page.all(".tiles b")[..2], ["2", "50 %"], "{}", page.text());
    let causes = page.all("[aria-labelledby=causes] .wide tbody tr");
    assert!(
        causes[0].contains("user_denied") && causes[0].starts_with("Access denied by the user"),
        "{causes:?}"
    );
    assert!(page.has("Updated 22 Nov 09:20 UTC"), "its age: {}", page.text());
    for path in ["", "?days=1", "?days=7", "?days=90", "?days=30&app=sync", "?app=sync&ref=nope"] {
        let shown = browser.get(&format!("{}{path}", story.ops())).await;
        assert_eq!(shown.status, 200, "{path}");
        assert!(shown.body.len() < 60_000, "{path}: {} bytes", shown.body.len());
    }
    let found = story.call("GET", "/v1/failures", None).await;
    let reference = found.body["failures"][0]["reference"].as_str().unwrap();

    let looked_up = page.fill("q", &reference.to_lowercase()).click("Find").await;

    let words = looked_up.all(".timeline strong");
    assert_eq!(words, ["Sent", "Answered", "Classified", "Advised", "Resolved"], "{}", looked_up.text());
    assert!(looked_up.has("The customer connected, 20 min later"), "{}", looked_up.text());
    let nothing = looked_up.fill("q", "LK-0000-0000").click("Find").await;
    assert!(nothing.has("No failure has that reference"), "{}", nothing.text());
}

#[tokio::test]
async fn the_vendors_own_incident_stands_on_top_and_reports_raise_none() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    let reported = json!({ "code": "invalid_client", "message": "invalid client credentials" });
    story.call("POST", &format!("/v1/connections/{connection}/failures"), Some(reported)).await;
    story.stack.tally().await;
    let (browser, page) = story.operator().await;
    assert!(page.all(".incident").is_empty(), "what is only said raises none: {}", page.text());

    story.stack.salesforce.queue_token_fault(world::salesforce::Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: "ip restricted by app developer".into(),
    });
    story.pass(SignedDuration::from_mins(16));
    story.token(&connection).await;
    story.stack.tally().await;

    let page = browser.get(&story.ops()).await;
    let incident = page.all(".incident").join(" ");
    assert!(incident.contains("You need to fix this"), "{incident} {}", page.text());
    assert!(incident.contains("1 failure of 1 customer with the app “Fernway Sync”"), "{incident}");
    assert!(incident.contains("What to do"), "{incident}");
    // The goal is no step, and the names of buttons stand out.
    assert!(incident.contains("has every address that we call from"), "{incident}");
    let steps = page.all(".incident li");
    assert!(steps[0].contains("Treat this as an incident"), "{steps:?}");
    assert!(!page.all(".incident li b").is_empty(), "{steps:?}");
}

#[tokio::test]
async fn an_outage_of_ours_hides_nobody_who_needs_somebody() {
    let story = Story::installed().await;
    let connection = story.connected().await;
    story.stack.salesforce.revoke_grants("acme", "uma@acme.example");
    story.pass(SignedDuration::from_mins(16));
    assert_eq!(story.token(&connection).await.problem(), "reauthorization-needed");
    let (store, now) = (&story.stack.store, story.stack.clock.now());
    let ended = story.latest_failure().await;
    for second in 1..=120 {
        let at = now + SignedDuration::from_secs(second);
        let of_ours = Failure {
            id: FailureId::mint(at),
            at,
            cause: "ip_restricted_by_developer".into(),
            ..ended.clone()
        };
        store.record_failure(&of_ours).await.unwrap();
    }
    story.pass(SignedDuration::from_mins(20));
    story.stack.tally().await;

    let (_, page) = story.operator().await;

    let needy = page.all("[aria-labelledby=connections] .rows").join(" ");
    assert!(needy.contains("Acme Corporation") && needy.contains(&ended.id.reference()), "{needy}");
    let incident = page.all(".incident").join(" ");
    assert!(incident.contains("100 failures or more of 1 customer"), "{incident}");
}

#[tokio::test]
async fn the_operators_command_makes_a_link_for_all_products() {
    let story = Story::installed().await;
    story.deny().await;
    story.stack.tally().await;

    let (_, page) = story.runner().await;

    let fernway = page.click("fernway").await;
    assert!(fernway.has("Acme Corporation"), "{}", fernway.text());
    let tidewater = fernway.click("tidewater").await;
    assert!(!tidewater.has("Acme Corporation"), "{}", tidewater.text());
}

#[tokio::test]
async fn a_reference_is_looked_for_in_what_is_shown() {
    let story = Story::begin().await;
    let key = story.stack.api_key("tidewater").expose().to_owned();
    let wish = json!({
        "app": "tidewater", "customer": { "id": "c-9", "name": "Nine Oceans" }, "user": "u-9",
        "return_to": "https://tidewater.example/integrations/salesforce/done",
    });
    let wish = story.call_with(&key, &[], "POST", "/v1/connect-sessions", Some(wish.to_string())).await;
    story.tell(&wish, "error=access_denied").await;
    story.stack.tally().await;
    let found = story.call_with(&key, &[], "GET", "/v1/failures", None).await;
    let reference = found.body["failures"][0]["reference"].as_str().unwrap();

    let (browser, _) = story.runner().await;
    let shown = "product=tidewater&days=7&app=tidewater&environment=sandbox";
    let page = browser.get(&format!("{}?{shown}", story.ops())).await;
    // As it was heard on the phone.
    let heard = format!(" {} ", reference.replace('-', " ").to_lowercase());
    let looked_up = page.fill("q", &heard).click("Find").await;

    assert!(looked_up.has("Nine Oceans") && looked_up.has(reference), "{}", looked_up.text());
    for choice in ["tidewater", "7 days", "Sandbox"] {
        assert!(looked_up.all("[aria-current=page]").contains(&choice.to_owned()), "{choice} is still shown");
    }
    let elsewhere = looked_up.click("fernway").await.fill("q", &heard).click("Find").await;
    assert!(elsewhere.has("No failure has that reference"), "{}", elsewhere.text());
}

#[tokio::test]
async fn a_reference_of_a_fault_of_our_own_leads_to_the_log() {
    let story = Story::begin().await;
    let (browser, page) = story.operator().await;
    story.stack.dynamodb.refuse_next(20, world::dynamodb::Which::Any, "InternalServerError");
    let broken = browser.get(&story.ops()).await;
    story.stack.dynamodb.mend();
    assert!(broken.has("Something went wrong on our side"), "{}", broken.text());
    let reference = broken.all(".reference").concat();
    assert!(story.logs.text().contains(&reference), "{reference}");

    let looked_up = page.fill("q", &reference).click("Find").await;

    assert!(looked_up.has(&format!("| filter reference = \"{reference}\"")), "{}", looked_up.text());
    let none = looked_up.fill("q", "<b>hello</b>").click("Find").await;
    assert!(none.has("Nothing matches “<b>hello</b>”") && !none.has("filter reference"), "{}", none.text());
}
