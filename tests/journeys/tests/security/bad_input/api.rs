//! Calls of the API that are not as documented, or not the caller's to make.

use jiff::SignedDuration;
use journeys::{Answer, Returning};
use serde_json::{Value, json};
use world::browser::RawRequest;

const SESSIONS: &str = "/v1/connect-sessions";

fn wish(again: &Returning) -> Value {
    json!({
        "app": "sync",
        "customer": { "id": "c-acme", "name": "Acme Corporation" },
        "user": "u-alice",
        "return_to": format!("{}/salesforce/return", again.story.stack.product),
    })
}

/// A problem document that says what to do, and nothing else.
fn is_problem(answer: &Answer, status: u16, kind: &str) {
    assert_eq!((answer.status, answer.problem()), (status, kind), "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert!(!answer.text("title").is_empty() && !answer.text("detail").is_empty(), "{}", answer.body);
}

#[tokio::test]
async fn a_body_that_is_not_as_documented_is_refused_with_what_is_wrong() {
    let again = Returning::begin().await;
    let with = |member: &str, value: Value| {
        let mut body = wish(&again);
        body[member] = value;
        body.to_string()
    };
    let key = again.story.stack.api_key("fernway").expose();

    for (body, says) in [
        (String::new(), "missing field `user`"),
        (with("customer", Value::Null), "customer is needed"),
        (with("customer", json!(["c-acme", "Acme Corporation"])), "customer: expected an object"),
        ("{".into(), "not valid JSON: line 1, column 1"),
        ("[]".into(), "expected an object"),
        ("null".into(), "expected an object"),
        (with("user", json!(7)), "expected a string"),
        (with("customer", json!("c-acme")), "expected an object"),
        (with("customer", json!({ "name": "Acme" })), "missing field `id`"),
        (with("environment", json!("moon")), "unknown variant"),
        (with("app", json!("Not an app id")), "not an app id"),
        (with("app", json!("other")), "no app of that id"),
        (with("expires_in", json!("soon")), "expected a whole number"),
        (with("expires_in", json!(1)), "expires_in must be"),
        (with("expires_in", json!(i64::MAX)), "expires_in must be"),
        (with("expires_in", json!(i64::MIN)), "expires_in must be"),
        (with("user", json!("")), "user must have 1 to 200 bytes"),
        (with("user", json!("u".repeat(201))), "user must have 1 to 200 bytes"),
        (with("customer", json!({ "id": "c", "name": "n".repeat(201) })), "customer.name must have at most"),
        (with("user", json!("u-\u{202E}ecila")), "user has a control or invisible character, U+202E"),
        (with("user", json!("u-1\u{FE0F}")), "user has a control or invisible character, U+FE0F"),
        (with("user", json!("u-\u{200D}1")), "user has a control or invisible character"),
        (
            with("customer", json!({ "id": "c\u{0}1" })),
            "customer.id has a control or invisible character, U+0000",
        ),
        (with("customer", json!({ "id": "c", "name": "Ac\u{200B}me" })), "customer.name has a control"),
        (with("enviroment", json!("sandbox")), "unknown field `enviroment`"),
        (with("user", json!("u".repeat(70_000))), "larger than 64 kB"),
        (format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)), "expected an object"),
    ] {
        let refused = again.story.call_with(key, &[], "POST", SESSIONS, Some(body)).await;
        is_problem(&refused, 400, "bad-request");
        assert!(refused.text("detail").contains(says), "{says}: {}", refused.text("detail"));
        assert!(again.story.logs.text().contains(says), "the log tells {says}");
    }
    let failures = format!("/v1/connections/{}/failures", again.earlier);
    let import = json!({
        "app": "sync", "customer": ["c-acme", "Acme"], "user": "u-alice", "environment": "production",
        "refresh_token": "5Aep861notATokenOfAnybodys0000",
    });
    for (path, body, says) in [
        ("/v1/connections", import, "customer: expected an object"),
        (
            failures.as_str(),
            json!({ "body": [["INVALID_SESSION_ID", "expired"]] }),
            "body[0]: expected an object",
        ),
    ] {
        let refused = again.story.call("POST", path, Some(body)).await;
        is_problem(&refused, 400, "bad-request");
        assert!(refused.text("detail").contains(says), "{says}: {}", refused.text("detail"));
    }
    let raw = RawRequest::new("POST", SESSIONS)
        .header("Host", "latchkey.localhost")
        .header("Authorization", format!("Bearer {key}"))
        .body(b"{\"user\":\"\xff\xfe\"}");
    assert_eq!(raw.send(&again.story.stack.latchkey).await.status, 400);
    again.ends_well().await;
}

/// `c-1` and `c-1 ` read alike: as two customers they would have two connections, and nobody would see why.
#[tokio::test]
async fn ids_that_read_alike_are_rejected() {
    let again = Returning::begin().await;
    let key = again.story.stack.api_key("fernway").expose();
    let import = |customer: &str, user: &str| {
        json!({
            "app": "sync", "customer": { "id": customer }, "user": user, "environment": "production",
            "refresh_token": "5Aep861notATokenOfAnybodys0000",
        })
    };
    let session = |customer: &str, user: &str| {
        let mut body = wish(&again);
        body["customer"] = json!({ "id": customer });
        body["user"] = json!(user);
        body
    };
    for id in [
        " ",
        "   ",
        " c-1",
        "c-1 ",
        "\tc-1",
        "c-1\n",
        "c\t1",
        "c\r\n1",
        "c-1\u{A0}",
        "\u{A0}c-1",
        "c\u{A0}1",
        "c-1\u{3000}",
        "c\u{3000}1",
        "c-1\u{202F}",
        "c\u{2009}1",
        "\u{1680}c",
        "c\u{2028}1",
        "c\u{2029}",
        "c\u{205F}1",
        "c\u{85}1",
    ] {
        for (path, body, says) in [
            (SESSIONS, session(id, "u-alice"), "customer.id must not"),
            (SESSIONS, session("c-1", id), "user must not"),
            ("/v1/connections", import(id, "u-alice"), "customer.id must not"),
            ("/v1/connections", import("c-1", id), "user must not"),
        ] {
            let refused = again.story.call_with(key, &[], "POST", path, Some(body.to_string())).await;
            is_problem(&refused, 400, "bad-request");
            assert!(refused.text("detail").contains(says), "{id:?}: {}", refused.text("detail"));
        }
    }
    let one_space = session("Acme Ltd 1", "Alice Moor").to_string();
    let taken = again.story.call_with(key, &[], "POST", SESSIONS, Some(one_space)).await;
    assert_eq!(taken.status, 201, "a space within an id is one");
    again.ends_well().await;
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_repeated() {
    let again = Returning::begin().await;
    let (key, token) =
        (again.story.stack.api_key("fernway").expose(), again.story.token(&again.earlier).await);
    let access = token.text("access_token");
    let mut misplaced = wish(&again);
    misplaced[key] = json!("a member's name");
    let path = format!("/v1/connections/{}/token", again.earlier);

    for (path, body) in [
        (SESSIONS, misplaced),
        (SESSIONS, json!({ "customer": key })),
        (SESSIONS, json!({ "customer": { "id": "c" }, "user": "u", "environment": key })),
        (SESSIONS, json!({ "customer": { "id": "c" }, "user": "u", "app": key })),
        (SESSIONS, json!({ "app": "sync", "customer": { "id": "c" }, "user": "u", "my_domain": key })),
        (SESSIONS, json!({ "app": "sync", "customer": { "id": "c" }, "user": "u", "return_to": key })),
        (path.as_str(), json!({ "rejected": access })),
        (path.as_str(), json!({ "minimum_lifetime": access })),
    ] {
        let refused = again.story.call("POST", path, Some(body)).await;
        assert_eq!(refused.status, 400, "{path}");
        let said = refused.body.to_string();
        assert!(!said.contains(key) && !said.contains(access), "{path}");
    }
    again.ends_well().await;
}

#[tokio::test]
async fn a_token_is_asked_for_in_ways_that_make_sense() {
    let again = Returning::begin().await;
    let path = format!("/v1/connections/{}/token", again.earlier);

    for body in [
        json!({ "rejected": "short" }),
        json!({ "rejected": 7 }),
        json!({ "minimum_lifetime": -1 }),
        json!({ "minimum_lifetime": 999_999 }),
        json!({ "lifetime": 60 }),
    ] {
        is_problem(&again.story.call("POST", &path, Some(body)).await, 400, "bad-request");
    }
    for query in ["limit=0", "limit=101", "limit=x", "after=x", "after=con_../../x"] {
        is_problem(
            &again.story.call("GET", &format!("/v1/connections?{query}"), None).await,
            400,
            "bad-request",
        );
    }
    assert!(again.story.logs.text().contains("rejected must be the fingerprint"));
    again.ends_well().await;
}

#[tokio::test]
async fn without_a_valid_key_nothing_is_answered() {
    let again = Returning::begin().await;
    let key = again.story.stack.api_key("fernway").expose();
    let (shorter, upper) = (&key[..key.len() - 1], key.to_uppercase());
    let (longer, unknown) = (format!("{key}A"), key.replace("fernway", "nobody"));
    let other = again.story.stack.api_key("tidewater").expose().replace("tidewater", "fernway");
    let huge = format!("lk_fernway_local_{}", "k".repeat(10_000));
    let earlier = format!("/v1/connections/{}", again.earlier);
    let token = format!("{earlier}/token");
    let redeem = format!("{SESSIONS}/cs_00000000000000000000000000/redeem");
    let calls = [
        ("POST", SESSIONS),
        ("GET", "/v1/connect-sessions/cs_00000000000000000000000000"),
        ("POST", redeem.as_str()),
        ("GET", "/v1/connections"),
        ("GET", earlier.as_str()),
        ("DELETE", earlier.as_str()),
        ("GET", token.as_str()),
        ("POST", token.as_str()),
    ];

    for bad in
        ["", "lk_", "lk_fernway", "lk_fernway_local_", shorter, &longer, &upper, &unknown, &other, &huge]
    {
        for (method, path) in calls {
            let refused = again.story.call_with(bad, &[], method, path, Some("{}".into())).await;
            is_problem(&refused, 401, "unauthorized");
            assert_eq!(refused.headers["www-authenticate"], r#"Bearer error="invalid_token""#);
        }
    }
    for header in ["", "Bearer", "Basic dXNlcjpwYXNz", key] {
        let raw = RawRequest::new("GET", &earlier)
            .header("Host", "latchkey.localhost")
            .header("Authorization", header);
        assert_eq!(raw.send(&again.story.stack.latchkey).await.status, 401, "a bare or other scheme");
    }
    let unsent = RawRequest::new("GET", &earlier).header("Host", "latchkey.localhost");
    let unsent = unsent.send(&again.story.stack.latchkey).await;
    assert_eq!((unsent.status, unsent.header("www-authenticate")), (401, Some("Bearer")), "no header at all");
    for other in ["Bearer lk_nobody_x_y".to_owned(), format!("Bearer {key}")] {
        let twice = RawRequest::new("GET", &earlier)
            .header("Host", "latchkey.localhost")
            .header("Authorization", format!("Bearer {key}"))
            .header("Authorization", other);
        assert_eq!(twice.send(&again.story.stack.latchkey).await.status, 401, "two headers");
    }
    assert!(again.story.logs.text().contains("unauthorized"));
    again.ends_well().await;
}

#[tokio::test]
async fn what_is_another_products_is_not_there() {
    let again = Returning::begin().await;
    let home = again.about_to_return().await;
    again.alice.stop_before("/salesforce/return");
    let returned = home.follow().await.location().expect("a redirect");
    let of = |name: &str| returned.query_pairs().find(|(key, _)| key == name).expect("there").1.into_owned();
    let (session, receipt) = (of("connect_session"), of("receipt"));
    let tidewater = again.story.stack.api_key("tidewater").expose();
    let (connection, invented) =
        (format!("/v1/connections/{}", again.earlier), "con_00000000000000000000000000");

    for (method, path) in [
        ("GET", connection.clone()),
        ("DELETE", connection.clone()),
        ("GET", format!("{connection}/token")),
        ("POST", format!("{connection}/token")),
        ("GET", format!("{SESSIONS}/{session}")),
        ("GET", format!("/v1/connections/{invented}")),
        ("GET", format!("/v1/connections/{invented}/token")),
        ("GET", "/v1/connections/con_not-an-id".into()),
        ("GET", format!("{SESSIONS}/cs_not-an-id")),
    ] {
        let answer = again.story.call_with(tidewater, &[], method, &path, None).await;
        is_problem(&answer, 404, "not-found");
    }
    let listed = again.story.call_with(tidewater, &[], "GET", "/v1/connections", None).await;
    assert_eq!(listed.body["connections"], json!([]));

    // A stolen receipt is worth nothing with another product's key, and is not spent by trying.
    let body = json!({ "receipt": receipt, "user": "u-alice" });
    let path = format!("{SESSIONS}/{session}/redeem");
    let refused = again.story.call_with(tidewater, &[], "POST", &path, Some(body.to_string())).await;
    is_problem(&refused, 409, "receipt-refused");
    let unknown = format!("{SESSIONS}/cs_00000000000000000000000000/redeem");
    let nobodys = again.story.call_with(tidewater, &[], "POST", &unknown, Some(body.to_string())).await;
    assert_eq!(refused.body, nobodys.body, "another's session and none are not told apart");
    assert_eq!(again.story.call("POST", &path, Some(body)).await.status, 200, "Fernway redeems it");

    assert!(again.story.logs.text().contains("not-found"));
    again.ends_well().await;
}

#[tokio::test]
async fn a_receipt_is_redeemed_once_and_read_strictly() {
    let again = Returning::begin().await;
    let away = again.about_to_return().await;
    again.alice.stop_before("/salesforce/return");
    let returned = away.follow().await.location().expect("a redirect");
    let of = |name: &str| returned.query_pairs().find(|(key, _)| key == name).expect("there").1.into_owned();
    let (session, receipt) = (of("connect_session"), of("receipt"));
    let path = format!("{SESSIONS}/{session}/redeem");
    let redeem = async |body: Value| again.story.call("POST", &path, Some(body)).await;

    for body in [json!({}), json!({ "receipt": receipt }), json!({ "receipt": 7, "user": "u-alice" })] {
        is_problem(&redeem(body).await, 400, "bad-request");
    }
    for wrong in ["", "rc_", "rc_é", &receipt[..receipt.len() - 1], &"r".repeat(10_000)] {
        is_problem(&redeem(json!({ "receipt": wrong, "user": "u-alice" })).await, 409, "receipt-refused");
    }
    assert_eq!(redeem(json!({ "receipt": receipt, "user": "u-alice" })).await.status, 200);
    assert_eq!(redeem(json!({ "receipt": receipt, "user": "u-alice" })).await.status, 200, "repeated");
    is_problem(&redeem(json!({ "receipt": receipt, "user": "u-mallory" })).await, 409, "receipt-used");

    assert!(again.story.logs.text().contains("receipt-used"));
    again.ends_well().await;
}

#[tokio::test]
async fn a_revoked_key_stops_within_a_minute() {
    let again = Returning::begin().await;
    let mut without =
        again.story.stack.products.clone().into_iter().find(|product| product.id.as_str() == "fernway");
    let without = without.as_mut().expect("Fernway");
    let with = without.clone();
    without.api_keys.clear();
    let calls = async || {
        let mut statuses = Vec::new();
        for path in ["/v1/connections".to_owned(), format!("/v1/connections/{}/token", again.earlier)] {
            statuses.push(again.story.call("GET", &path, None).await.status);
        }
        statuses.push(again.story.wish(json!({})).await.status);
        statuses
    };
    assert_eq!(calls().await, [200, 200, 201]);

    again.story.stack.store.put_product(without).await.expect("the product is stored");
    again.story.pass(SignedDuration::from_secs(60));

    assert_eq!(calls().await, [401, 401, 401]);
    assert!(again.story.logs.text().contains("unauthorized"));

    // The product puts a key back: what was connected is as it was.
    again.story.stack.store.put_product(&with).await.expect("the product is stored");
    again.story.pass(SignedDuration::from_secs(60));
    again.ends_well().await;
}

#[tokio::test]
async fn a_call_made_twice_makes_one_session() {
    let again = Returning::begin().await;
    let key = again.story.stack.api_key("fernway").expose();
    let call = async |idempotency: &str, body: String| {
        again.story.call_with(key, &[("idempotency-key", idempotency)], "POST", SESSIONS, Some(body)).await
    };
    let body = wish(&again).to_string();

    let first = call("order-1", body.clone()).await;
    let second = call("order-1", body.clone()).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(
        (first.text("id"), first.text("connect_url")),
        (second.text("id"), second.text("connect_url"))
    );

    let different = call("order-1", body.replace("u-alice", "u-bob")).await;
    is_problem(&different, 422, "idempotency-key-reused");
    let other = call("order-2", body.clone()).await;
    assert_ne!(first.text("id"), other.text("id"));
    for unusable in ["", &"k".repeat(256)] {
        is_problem(&call(unusable, body.clone()).await, 400, "bad-request");
    }

    // The same key of another product's is another key.
    let tidewater = again.story.stack.api_key("tidewater").expose();
    let return_to = "https://tidewater.example/integrations/salesforce/done";
    let theirs = json!({ "customer": { "id": "c" }, "user": "u", "return_to": return_to }).to_string();
    let theirs = again
        .story
        .call_with(tidewater, &[("idempotency-key", "order-1")], "POST", SESSIONS, Some(theirs))
        .await;
    assert_eq!(theirs.status, 201, "{}", theirs.body);

    assert!(again.story.logs.text().contains("idempotency-key-reused"));
    let home = again.story.about_to_return(&again.alice, second.text("connect_url")).await.follow().await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    again.ends_well().await;
}
