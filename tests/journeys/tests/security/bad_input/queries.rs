//! Queries are as strict as bodies: a filter that is misspelled or repeated is never ignored.

use journeys::{Answer, Returning, Story};
use serde_json::json;
use web::routes::{Parameters, ROUTES, RouteSpec};
use world::browser::RawRequest;

/// A route's path for the connection of the story.
fn path_of(route: &RouteSpec, connection: &str) -> String {
    let id =
        if route.path.contains("connect-sessions") { "cs_00000000000000000000000000" } else { connection };
    route.path.replace("{id}", id)
}

async fn call(story: &Story, route: &RouteSpec, path: &str) -> Answer {
    let body = if route.takes_json { Some(json!({})) } else { None };
    story.call(route.method, path, body).await
}

#[tokio::test]
async fn every_api_route_rejects_undeclared_and_repeated_parameters() {
    let again = Returning::begin().await;
    let mut walked = 0;
    for route in ROUTES.iter().filter(|route| route.is_api()) {
        let Parameters::Only(declared) = route.query else { panic!("{} declares no parameters", route.path) };
        let path = path_of(route, &again.earlier);
        let mut wrong: Vec<(String, String)> =
            ["custmer", "customer[]", "Customer", "customer_id", "dry_run", "state"]
                .map(|name| (format!("{name}=c-acme"), name.to_owned()))
                .into();
        for name in declared {
            wrong.push((format!("{name}=1&{name}=1"), (*name).to_owned()));
            wrong.push((format!("{name}=1&{}=1", name.replace('o', "%6f")), (*name).to_owned()));
            wrong.push((format!("{name}="), (*name).to_owned()));
            wrong.push(((*name).to_owned(), (*name).to_owned()));
            wrong.push((format!("{}=1", name.to_uppercase()), name.to_uppercase()));
        }
        for (query, name) in wrong {
            let refused = call(&again.story, route, &format!("{path}?{query}")).await;
            let at = format!("{} {path}?{query}: {}", route.method, refused.body);
            assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{at}");
            assert_eq!(refused.body["parameter"], json!(name), "{at}");
            assert_eq!(refused.body["allowed"], json!(declared), "{at}");
            assert!(refused.text("detail").starts_with(&format!("{name} is ")), "{at}");
        }
        for name in declared {
            let taken = call(&again.story, route, &format!("{path}?{name}=1")).await;
            assert_eq!(taken.body.get("parameter"), None, "{name} is declared: {}", taken.body);
        }
        walked += 1;
    }
    assert_eq!(walked, 18, "all API routes");
    again.ends_well().await;
}

#[tokio::test]
async fn customer_filter_never_fails_open() {
    let again = Returning::begin().await;
    let ids = async |query: &str| {
        let listed = again.story.call("GET", &format!("/v1/connections{query}"), None).await;
        listed.body["connections"].as_array().map(Vec::len)
    };
    assert_eq!(ids("").await, Some(1));
    assert_eq!(ids("?customer=c-acme").await, Some(1));
    assert_eq!(ids("?customer=nobody").await, Some(0));
    // A customer id that a product put into the query without escaping it.
    assert_eq!(ids("?customer=nobody&customer=c-acme").await, None);
    assert_eq!(ids("?customer=nobody&limit=5&limit=9").await, None);
    assert_eq!(ids("?customer=nobody;customer=c-acme").await, Some(0));
    again.ends_well().await;
}

#[tokio::test]
async fn a_call_that_takes_no_body_rejects_one() {
    let again = Returning::begin().await;
    let connection = format!("/v1/connections/{}", again.earlier);
    for (method, path) in [("DELETE", connection.clone()), ("POST", "/v1/ops-links".into())] {
        let refused = again.story.call(method, &path, Some(json!({ "dry_run": true }))).await;
        assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{path}: {}", refused.body);
    }
    let shown = again.story.call("GET", &connection, None).await;
    assert_eq!((shown.status, shown.text("state")), (200, "active"), "nothing was deleted");
    again.ends_well().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problem_documents() {
    let again = Returning::begin().await;
    let token = format!("/v1/connections/{}/token", again.earlier);
    for (method, path, status, problem, allow) in [
        ("GET", "/v1/conections", 404, "unknown-route", None),
        ("GET", "/v1", 404, "unknown-route", None),
        ("PUT", "/v1/connections", 405, "method-not-allowed", Some("GET, POST")),
        ("PATCH", token.as_str(), 405, "method-not-allowed", Some("GET, POST")),
        ("OPTIONS", token.as_str(), 405, "method-not-allowed", Some("GET, POST")),
        ("DELETE", "/v1/failures", 405, "method-not-allowed", Some("GET")),
    ] {
        let answer = again.story.call(method, path, None).await;
        assert_eq!((answer.status, answer.problem()), (status, problem), "{method} {path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{method} {path}");
        let given = answer.headers.get("allow").map(|allow| allow.to_str().expect("ASCII"));
        assert_eq!(given, allow, "{method} {path}");
    }
    for path in ["/wp-login.php", "/connect", "/"] {
        let page = RawRequest::new("GET", path).header("Host", "latchkey.localhost");
        let page = page.send(&again.story.stack.latchkey).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.header("strict-transport-security").is_some(), "our headers: {path}");
    }
    let logs = again.story.logs.text();
    assert!(!logs.contains("wp-login"), "a stranger's path is not logged");
    again.ends_well().await;
}

#[tokio::test]
async fn operators_page_rejects_filters_it_would_ignore() {
    let again = Returning::begin().await;
    let link = again.story.call("POST", "/v1/ops-links", None).await;
    let browser = again.story.stack.browser();
    let page = browser.get(link.text("url")).await.click("Sign in").await;
    assert_eq!(page.status, 200, "{}", page.text());

    for (query, says) in [
        ("day=7", "day is not a parameter"),
        ("days=7&days=1", "days is given more than once"),
        ("days=8", "days is 1, 7, 30 or 90"),
        ("app=nosuch", "no app of that id"),
        ("environment=prod", "environment is production"),
        ("product=tidewater", "one product only"),
        ("product=nobody", "one product only"),
    ] {
        let refused = browser.get(&format!("{}/ops?{query}", again.story.stack.latchkey)).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.has(says), "{query}: {}", refused.text());
    }
    let search =
        browser.get(&format!("{}/ops?product=fernway&days=7&ref=", again.story.stack.latchkey)).await;
    assert_eq!(search.status, 200, "an empty field of the page's own form");
    again.ends_well().await;
}

#[tokio::test]
async fn times_are_cut_to_milliseconds_in_every_answer() {
    let again = Returning::begin().await;
    again.story.pass(jiff::SignedDuration::from_nanos(6_507_296_796));
    let made = again.story.wish(json!({})).await;
    let shown = again.story.call("GET", &format!("/v1/connect-sessions/{}", made.text("id")), None).await;
    assert_eq!(made.text("created_at"), shown.text("created_at"), "making and reading say the same");
    assert!(made.text("created_at").contains(".507Z"), "{}", made.body);
    let link = again.story.call("POST", "/v1/ops-links", None).await;
    assert!(link.text("expires_at").contains(".507Z"), "{}", link.body);
    again.ends_well().await;
}

#[tokio::test]
async fn operators_page_is_isolated_and_connect_pages_work_as_popups() {
    let again = Returning::begin().await;
    let link = again.story.call("POST", "/v1/ops-links", None).await;
    let browser = again.story.stack.browser();
    let door = browser.get(link.text("url")).await;
    assert_eq!(door.header("cross-origin-opener-policy"), Some("same-origin"));
    let page = door.click("Sign in").await;
    assert_eq!(page.header("cross-origin-opener-policy"), Some("same-origin"));

    // A product opens the connect page with window.open and waits for postMessage: the header would cut the two apart.
    let session = again.story.wish(json!({})).await;
    let connect = browser.get(session.text("connect_url")).await;
    assert_eq!((connect.status, connect.header("cross-origin-opener-policy")), (200, None));
    again.ends_well().await;
}

#[tokio::test]
async fn times_at_the_calendars_ends_are_rejected() {
    let again = Returning::begin().await;
    for time in
        ["-009999-01-02T02:00:00Z", "9999-12-30T21:59:59Z", "9000-01-01T00:00:00Z", "1969-12-31T23:59:59Z"]
    {
        for path in ["/v1/failures", "/v1/failures/summary"] {
            for query in [format!("to={time}"), format!("from={time}"), format!("from={time}&to={time}")] {
                let refused = again.story.call("GET", &format!("{path}?{query}"), None).await;
                assert_eq!((refused.status, refused.problem()), (400, "bad-request"), "{path}?{query}");
            }
        }
    }
    again.ends_well().await;
}
