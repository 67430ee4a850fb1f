//! What the operators' page says: every figure of a day that is known, and what is read from it.

use domain::{Customer, Failure, FailureId, Provenance};
use jiff::{SignedDuration, Timestamp};
use journeys::Story;
use local::{
    Options,
    month::{Month, replay},
    stack::TABLE,
};
use serde_json::json;
use world::{browser::Page, salesforce::Fault};

/// The rows of a section's first table.
fn rows(page: &Page, section: &str) -> Vec<String> {
    page.all(&format!("[aria-labelledby={section}] table:not(.numbers) tbody tr"))
}

fn refused(error: &str, description: &str) -> Fault {
    Fault::Answer { status: 400, error: error.into(), description: description.into() }
}

/// Two denials and a success; one who stays out; one who never opens the link; one who pastes what Salesforce said; a
/// connection whose refreshes succeed, meet a fault of ours and are blocked; a wave over six customers.
async fn a_day() -> Story {
    let story = Story::installed().await;
    story.deny().await;
    story.deny().await;
    story.pass(SignedDuration::from_mins(50));
    let connection = story.connected().await;
    let out = story.signed_in("Mallory").await;
    story.leave(&out).await;
    story.wish(json!({})).await;
    let wish = story.wish(json!({ "environment": "sandbox" })).await;
    story.tell(&wish, "error=invalid_client&error_description=app+must+be+installed+into+org").await;
    story.pass(SignedDuration::from_mins(31));
    story.stack.sweep().await;
    story.token(&connection).await;
    for description in ["ip restricted by app developer", "ip restricted"] {
        story.pass(SignedDuration::from_mins(16));
        story.stack.salesforce.queue_token_fault(refused("invalid_grant", description));
        story.token(&connection).await;
    }

    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let imported = story.all_imported(6).await;
    story.pass(SignedDuration::from_hours(3));
    for (customer, connection) in &imported {
        story.stack.salesforce.uninstall(customer, &key);
        story.token(connection).await;
    }
    story.stack.tally().await;
    story
}

#[tokio::test]
async fn every_section_has_its_figures() {
    let story = a_day().await;
    let (browser, page) = story.operator().await;

    assert_eq!(page.all(".tiles b"), ["6", "17 %", "3", "1", "7"]);
    assert_eq!(
        rows(&page, "funnel"),
        [
            "Created 6 100 % –",
            "Page opened 4 67 % 2",
            "Sent to Salesforce 4 67 % 0",
            "Came back with a grant 1 17 % 3",
            "Connected 1 17 % 0",
        ]
    );
    let causes = rows(&page, "causes");
    let facts = [
        ("grant_expired_or_revoked", "user 6 0 50 % –"),
        ("app_not_installed", "customer’s admin 2 1 17 % –"),
        ("user_denied", "user 2 0 17 % –"),
        ("ip_restricted", "customer’s admin 1 0 8 % –"),
        ("ip_restricted_by_developer", "product team 1 0 8 % –"),
    ];
    assert_eq!(causes.len(), facts.len(), "{causes:?}");
    for (row, (cause, figures)) in causes.iter().zip(facts) {
        assert!(row.ends_with(&format!("{cause} {figures}")), "{row}");
    }
    assert!(page.all("[aria-labelledby=causes] .more").is_empty(), "there is no time before to compare with");
    assert_eq!(
        rows(&page, "places"),
        [
            "Fernway Sync Production 4 25 % 2 1",
            "Fernway Sync Not known 1 0 % 0 0",
            "Fernway Sync Sandbox 1 0 % 1 0"
        ]
    );
    let fixes = rows(&page, "fixes");
    assert!(
        fixes.len() == 1 && fixes[0].ends_with("1 65 min 85 min"),
        "50 minutes are in 40 to 90: {fixes:?}"
    );
    assert_eq!(rows(&page, "connections"), ["blocked 1", "needs reauth 6"]);
    let needy = page.all("[aria-labelledby=connections] .rows li");
    assert!(needy.len() == 7 && needy[6].contains("Acme Corporation"), "{needy:?}");
    assert!(needy[6].contains("Their Salesforce admin has to act. Since 22 Nov 10:53."), "{needy:?}");
    let lost = rows(&page, "lost");
    assert!(lost.len() == 1 && lost[0].ends_with('1'), "{lost:?}");
    let outcomes: Vec<String> =
        rows(&page, "outcomes").iter().filter_map(|row| row.rsplit(' ').next().map(str::to_owned)).collect();
    assert_eq!(
        outcomes,
        ["1", "1", "0", "6", "1", "0"],
        "refreshed, passed, unanswered, ended, blocked, paused"
    );
    let incidents = page.all(".incident");
    assert!(
        incidents.len() == 2 && incidents[0].contains("6 orgs of the app “Fernway Sync”"),
        "{incidents:?}"
    );
    assert!(incidents[1].contains("1 failure of 1 customer") && incidents[1].contains("since 22 Nov 10:37"));
    let latest = rows(&page, "latest");
    assert_eq!(latest.len(), 12);
    assert!(latest[6].contains("Acme CorporationProduction, 00D"), "the org is known: {}", latest[6]);
    assert!(latest[9].contains("Acme CorporationSandbox authorize, reported"), "{}", latest[9]);
    assert!(latest[11].ends_with("resolved 22 Nov 09:50"), "{}", latest[11]);

    // The numbers behind each drawing.
    let numbers = |section: &str| page.all(&format!("[aria-labelledby={section}] .numbers tr"));
    let sessions = numbers("sessions");
    assert_eq!(sessions.len(), 31);
    assert!(sessions[0].starts_with("From Created Page opened Sent to Salesforce Came back with a grant"));
    assert_eq!(sessions[30], "22 Nov 6 4 4 1 1 3 1 1");
    assert_eq!(numbers("refreshes")[30], "22 Nov 1 1 7");

    let sandbox = browser.get(&format!("{}?environment=sandbox", story.ops())).await;
    assert_eq!(sandbox.all(".tiles b"), ["1", "0 %", "1", "0", "0"], "{}", sandbox.text());
    assert_eq!((rows(&sandbox, "causes").len(), rows(&sandbox, "latest").len()), (1, 1));
    assert!(
        sandbox.all(".incident").iter().all(|incident| incident.contains("A wave")),
        "a wave is the app's"
    );
    let other_app = browser.get(&format!("{}?app=insights", story.ops())).await;
    assert_eq!(other_app.all(".tiles b"), ["0", "–", "0", "0", "0"], "{}", other_app.text());
}

#[tokio::test]
async fn the_page_is_all_that_is_loaded_and_says_nothing_twice() {
    let story = Story::installed().await;
    let mut product =
        story.stack.products.iter().find(|product| product.id.as_str() == "fernway").unwrap().clone();
    product.brand.logo = Some("https://cdn.fernway.example/logo.svg".parse().unwrap());
    story.stack.store.put_product(&product).await.unwrap();
    story.pass(SignedDuration::from_secs(61));
    story.deny().await;
    story.token(&story.connected().await).await;
    story.stack.tally().await;
    let (_, page) = story.operator().await;

    for part in
        ["src=", "<script", "<link rel=\"stylesheet", "@import", "srcset", "<iframe", "<object", "cdn."]
    {
        assert!(!page.body.contains(part), "{part} fetches");
    }
    let urls: Vec<&str> =
        page.body.split("url(").skip(1).map(|rest| rest.split(')').next().unwrap()).collect();
    assert!(urls.iter().all(|url| url.starts_with('#')), "{urls:?}");
    let icon = page.attribute("link[rel=icon]", "href").unwrap();
    assert!(icon.starts_with("data:"), "{icon}");
    let mut ids: Vec<&str> =
        page.body.split(" id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert!(all > 10 && ids.len() == all, "an id stands there once: {ids:?}");
}

/// A failure like another, of somebody else and at another time.
fn like(failure: &Failure, cause: &str, customer: usize, at: Timestamp) -> Failure {
    Failure {
        id: FailureId::mint(at),
        at,
        cause: cause.into(),
        customer: Customer { id: format!("c-{customer}"), name: Some(format!("Customer {customer}")) },
        ..failure.clone()
    }
}

#[tokio::test]
async fn what_is_usual_is_told_from_an_outage_and_pastes_from_both() {
    let story = Story::installed().await;
    story.deny().await;
    let (store, now) = (&story.stack.store, story.stack.clock.now());
    let denied = &story.latest_failure().await;
    // On each of the days before four deny, and half as many find their app blocked.
    for day in 2..=8 {
        let at = now - SignedDuration::from_hours(24 * day);
        for customer in 0..4 {
            store.record_failure(&like(denied, "user_denied", customer, at)).await.unwrap();
        }
        for customer in 0..2 {
            store.record_failure(&like(denied, "app_blocked", customer, at)).await.unwrap();
        }
    }
    // Today five deny, seven are blocked, one customer meets the same six times, and nine paste something.
    for customer in 0..9 {
        let mut today = vec![like(denied, "app_not_installed", customer, now)];
        today[0].evidence.provenance = Provenance::Reported;
        if customer < 4 {
            today.push(like(denied, "user_denied", customer, now));
        }
        if customer < 7 {
            today.push(like(denied, "app_blocked", customer, now));
        }
        if customer < 6 {
            today.push(like(denied, "ip_restricted", 77, now));
        }
        for failure in &today {
            store.record_failure(failure).await.unwrap();
        }
    }
    story.stack.tally().await;

    for query in ["?days=1", "?days=7", "?days=30", "?app=sync"] {
        let (browser, _) = story.operator().await;
        let page = browser.get(&format!("{}{query}", story.ops())).await;
        let spread = page.all("[aria-labelledby=spread] .rows li");
        assert_eq!(spread.len(), 3, "nothing is read from pastes: {spread:?}");
        assert!(
            spread[0].contains("7 failures of 7 customers; about 2 a day are usual"),
            "{query}: {spread:?}"
        );
        assert!(spread[0].contains("Many at once"), "{spread:?}");
        assert!(
            spread[1].contains("5 failures of 5 customers; about 4 a day are usual"),
            "{query}: {spread:?}"
        );
        assert!(spread[1].contains("No more than usual"), "{spread:?}");
        assert!(spread[2].contains("6 failures of 1 customer; none is usual"), "{query}: {spread:?}");
        assert!(
            spread[2].contains("The customer’s own setting.") && spread[2].ends_with("Customer 77"),
            "{spread:?}"
        );
        assert_eq!(page.all(".wide-spread").len(), 1, "{query}");
    }
}

#[tokio::test]
async fn no_user_name_of_salesforces_is_kept_or_shown() {
    let story = a_day().await;
    story.pass(SignedDuration::from_mins(1));
    story.stack.salesforce.queue_token_fault(refused("E-4711", "uma@acme.example is not known here"));
    let link = story.wish(json!({})).await.text("connect_url").to_owned();
    let connect = story.stack.browser().get(&link).await.choose("Production");
    connect.click("Continue to Salesforce").await.click("uma@acme.example").await;
    story.stack.tally().await;
    let (_, page) = story.operator().await;
    let found = story.call("GET", "/v1/failures", None).await;
    let references: Vec<&str> =
        found.body["failures"].as_array().unwrap().iter().map(|f| f["reference"].as_str().unwrap()).collect();
    assert!(references.len() >= 12, "{references:?}");

    let looked_up = page.fill("q", references[0]).click("Find").await;

    assert!(looked_up.has("E-4711: (a user) is not known here"), "{}", looked_up.text());
    assert_eq!(story.stack.dynamodb.find(TABLE, "is not known here").len(), 1);
    assert!(story.stack.dynamodb.find(TABLE, "uma@acme.example is not").is_empty());
    for reference in references {
        let page = page.fill("q", reference).click("Find").await;
        assert!(page.all(".timeline li").len() >= 4, "{reference}: {}", page.text());
        for name in ["uma@", "ada@", "sam@", "@acme.example", "@customer"] {
            assert!(!page.body.contains(name), "{name} on the page of {reference}");
        }
    }
}

#[tokio::test]
async fn a_month_costs_a_fixed_number_of_requests_and_under_60_kb() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/products/examples");
    let story = Story::with(Options { products: examples.into(), ..Options::for_tests() }).await;
    let products = story.stack.products.len();
    replay(&story.stack, Month { sessions: 120, seed: 5 }).await.expect("a month");

    let (browser, page) = story.runner().await;

    let choices = page.all(".choices[aria-label=Product] a");
    assert_eq!(choices.len(), products, "{choices:?}");
    let created: Vec<i64> = {
        let mut created = Vec::new();
        for product in &choices {
            let page = browser.get(&format!("{}?product={product}", story.ops())).await;
            created.push(page.all(".tiles b")[0].parse().expect("a number"));
        }
        created
    };
    assert!(created.iter().all(|count| *count > 0), "each has its sessions: {created:?}");
    // docs/costs.md reckons with these. The first product has most of the sessions, and yet so few that the latest failures
    // are those of days. It has no webhook endpoint; each is one read more.
    let busiest = story.stack.products[0].id.clone();
    for (days, asked) in [(1, 20), (7, 17), (30, 19), (90, 23)] {
        let url = format!("{}?product={busiest}&days={days}", story.ops());
        browser.get(&url).await;
        story.stack.dynamodb.reset_counts();
        let page = browser.get(&url).await;
        let requests = story.stack.dynamodb.requests();
        let units: f64 = requests.iter().map(|request| request.read_units).sum();
        println!("{days} days: {} requests, {units} units, {} bytes", requests.len(), page.body.len());
        assert_eq!(requests.len(), asked, "{days} days: {requests:?}");
        let reads = ["Query", "GetItem", "BatchGetItem"];
        assert!(requests.iter().all(|request| reads.contains(&request.operation.as_str())), "{requests:?}");
        assert!(page.body.len() < 60_000, "{days} days: {} bytes", page.body.len());
    }
}
