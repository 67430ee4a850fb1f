//! Addresses that are not registered, not ours, or not Salesforce's.

use journeys::{Returning, Story, says};
use local::Options;
use serde_json::json;
use world::browser::RawRequest;

/// None of these is a host where people sign in to Salesforce, whatever it looks like.
const NOT_SALESFORCE: [&str; 25] = [
    "evil.com#.my.salesforce.com",
    "evil.com/.my.salesforce.localhost",
    "evil.com?.my.salesforce.localhost",
    "evil.com\\.my.salesforce.localhost",
    "acme.my.salesforce.localhost@evil.com",
    "evil.com:80@acme.my.salesforce.localhost",
    "acme.my.salesforce.localhost.evil.com",
    "acmemy.salesforce.localhost",
    "my.salesforce.localhost",
    "a.b.c.my.salesforce.localhost",
    "javascript:alert(1)",
    "127.0.0.1:80",
    "\u{430}cme.my.salesforce.localhost",
    "acme.my.salesforce.com",
    // A parser of addresses refuses these, whatever a check of their letters says.
    "xn--acme",
    "xn--acme.my.salesforce.localhost",
    "https://xn--0.sandbox.my.salesforce.localhost",
    "xn--mnchen-3ya",
    "xn--a--b",
    // A word before a slash or a colon does not name an org.
    "ttps://acme.my.salesforce.localhost",
    "https//acme.my.salesforce.localhost",
    "salesforce1://acme.my.salesforce.localhost",
    "acme/other.my.salesforce.localhost",
    "acme.sandbox",
    "00550000000abcd",
];

#[tokio::test]
async fn a_my_domain_that_is_not_salesforces_is_refused_on_the_page() {
    let again = Returning::begin().await;
    let connect = again.alice.get(&again.story.invite().await).await.choose("My Domain");

    for typed in NOT_SALESFORCE {
        let page = connect.fill("my_domain", typed).click("Continue to Salesforce").await;
        says(&page, 422, "Connect Salesforce to Fernway");
        let says = if typed.contains('@') {
            "That is a username or an email address."
        } else {
            "That is not a Salesforce My Domain."
        };
        assert!(page.has(says), "{typed}: {page:?}");
        assert_eq!(page.value("my_domain"), typed, "what was typed stays, to be corrected");
    }
    let page = connect.click("Continue to Salesforce").await;
    assert!(page.has("Enter your My Domain address"), "{page:?}");

    assert!(again.story.logs.text().contains("the My Domain is not one of Salesforce's"));
    let asked = again.alice.history();
    assert!(
        asked.iter().all(|url| url.host_str().is_some_and(|host| host.ends_with(".localhost"))),
        "{asked:?}"
    );
    again.ends_well().await;
}

#[tokio::test]
async fn a_my_domain_that_is_not_salesforces_is_refused_by_the_api() {
    let again = Returning::begin().await;

    for typed in NOT_SALESFORCE.into_iter().chain([""]) {
        let refused = again.story.wish(json!({ "my_domain": typed })).await;
        assert_eq!((refused.status, refused.problem()), (400, "not-a-salesforce-host"), "{typed}");
    }

    assert!(again.story.logs.text().contains("not-a-salesforce-host"));
    again.ends_well().await;
}

#[tokio::test]
async fn a_my_domain_that_is_no_address_is_refused_by_import() {
    let again = Returning::begin().await;
    for typed in NOT_SALESFORCE {
        let row = json!({
            "app": "sync", "customer": { "id": "c-new" }, "user": "u-new", "my_domain": typed,
            "refresh_token": "5Aep861notATokenOfAnybodys0000",
        });
        let refused = again.story.call("POST", "/v1/connections", Some(row)).await;
        assert_eq!((refused.status, refused.problem()), (400, "not-a-salesforce-host"), "{typed}");
    }
    again.ends_well().await;
}

#[tokio::test]
async fn copied_my_domains_are_repaired_or_explained() {
    let again = Returning::begin().await;
    for typed in [
        "https://acme.my.salesforce.localhost/home#x",
        "(acme.my.salesforce.localhost).",
        "\u{200b}ACME.my.salesforce.localhost\u{2069}",
        "acme.lightning.force.com",
        "My Domain: acme.my.salesforce.localhost",
        "Current My Domain URL\tacme.my.salesforce.localhost",
        "acme.my.salesforce.localhost%20",
    ] {
        let wish = again.story.wish(json!({ "my_domain": typed })).await;
        assert_eq!(wish.status, 201, "{typed}: {}", wish.body);
        let page = again.alice.get(wish.text("connect_url")).await;
        assert!(page.has("acme.my.salesforce.localhost"), "{typed}: {}", page.text());
    }
    let connect = again.alice.get(&again.story.invite().await).await.choose("My Domain");
    for (typed, says) in [
        ("00D50000000IZ3ZEAW", "That is an org ID."),
        ("Organization ID 00D50000000IZ3Z", "That is an org ID."),
        ("uma@acme.example", "That is a username or an email address."),
        ("acme.my.salesforce.localhost, beta.my.salesforce.localhost", "Enter one My Domain only"),
        ("acme corp.my.salesforce.localhost", "Enter one My Domain only, without other words"),
    ] {
        let page = connect.fill("my_domain", typed).click("Continue to Salesforce").await;
        assert!(page.status == 422 && page.has(says), "{typed}: {page:?}");
    }
    again.ends_well().await;
}

/// A stack whose app allows only these login hosts.
async fn with_login_hosts(login_hosts: &str) -> Story {
    let folder =
        std::env::temp_dir().join(format!("latchkey-hosts-{}-{}", login_hosts.len(), std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the product file");
    let file = include_str!("../../../../../infra/products/fernway.toml");
    let all = r#"login_hosts = ["production", "sandbox", "my_domain"]"#;
    assert!(file.contains(all), "the example names its login hosts");
    std::fs::write(folder.join("fernway.toml"), file.replace(all, &format!("login_hosts = [{login_hosts}]")))
        .expect("the product file is written");
    let story = Story::with(Options { products: folder.clone(), ..Options::for_tests() }).await;
    std::fs::remove_dir_all(folder).expect("the folder goes");
    story
}

#[tokio::test]
async fn login_host_typed_as_my_domain_obeys_the_app() {
    let story = with_login_hosts(r#""my_domain""#).await;
    let alice = story.signed_in("Alice").await;
    let connect = alice.get(&story.invite().await).await;
    for typed in ["login.salesforce.localhost", "http://test.salesforce.localhost"] {
        let page = connect.fill("my_domain", typed).click("Continue to Salesforce").await;
        assert!(page.status == 422 && page.has("That is not a Salesforce My Domain."), "{typed}: {page:?}");
        let wish = story.wish(json!({ "my_domain": typed })).await;
        assert!(
            wish.status == 400 && wish.body.to_string().contains("login_hosts"),
            "{typed}: {}",
            wish.body
        );
        let row = json!({
            "app": "sync", "customer": { "id": "c-new" }, "user": "u-new", "my_domain": typed,
            "refresh_token": "5Aep861notATokenOfAnybodys0000",
        });
        let refused = story.call("POST", "/v1/connections", Some(row)).await;
        assert!(refused.status == 400 && refused.body.to_string().contains("login_hosts"), "{typed}");
    }

    let story = with_login_hosts(r#""production", "sandbox""#).await;
    let wish = story.wish(json!({ "my_domain": "login.salesforce.localhost" })).await;
    assert_eq!(wish.status, 201, "{}", wish.body);
    let page = story.signed_in("Alice").await.get(wish.text("connect_url")).await;
    assert!(page.has("login.salesforce.localhost"), "{}", page.text());
    let refused = story.wish(json!({ "my_domain": "acme.my.salesforce.localhost" })).await;
    assert_eq!(refused.status, 400, "{}", refused.body);
}

#[tokio::test]
async fn a_link_works_with_a_sentences_end() {
    let again = Returning::begin().await;
    for end in [".", ")", "].", "%E2%80%9D", ",", "%3E", "_", "_.", "**"] {
        let page = again.alice.get(&format!("{}{end}", again.story.invite().await)).await;
        says(&page, 200, "Connect Salesforce to Fernway");
    }
    again.ends_well().await;
}

#[tokio::test]
async fn a_return_address_is_registered_to_the_letter_or_refused() {
    let again = Returning::begin().await;
    let registered = format!("{}/salesforce/return", again.story.stack.product);

    for asked in [
        "https://evil.example/salesforce/return".to_owned(),
        format!("{registered}/"),
        format!("{registered}?next=https://evil.example"),
        format!("{registered}#fragment"),
        registered.to_uppercase(),
        registered.replace("http://", "http://u@"),
        registered.replace(".localhost", ".localhost.evil.example"),
        "/salesforce/return".to_owned(),
        "javascript:alert(1)".to_owned(),
        String::new(),
    ] {
        let refused = again.story.wish(json!({ "return_to": asked })).await;
        assert_eq!((refused.status, refused.problem()), (400, "return-address-not-registered"), "{asked}");
        assert!(!refused.body.to_string().contains("evil"), "what was sent is not repeated");
    }

    assert!(again.story.logs.text().contains("return-address-not-registered"));
    again.ends_well().await;
}

#[tokio::test]
async fn a_forged_host_changes_no_address_of_ours() {
    let again = Returning::begin().await;
    let origin = &again.story.stack.latchkey;
    let forged = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "gopher"),
        ("x-original-url", "https://evil.example/"),
        ("forwarded", "host=evil.example;proto=gopher"),
    ];

    let wish = json!({
        "app": "sync", "customer": { "id": "c-acme" }, "user": "u-alice",
        "return_to": format!("{}/salesforce/return", again.story.stack.product),
    });
    let key = again.story.stack.api_key("fernway").expose();
    let session =
        again.story.call_with(key, &forged, "POST", "/v1/connect-sessions", Some(wish.to_string())).await;
    let link = session.text("connect_url");
    assert!(link.starts_with(&format!("{origin}/connect/ck_")), "the link is ours");

    let path = url::Url::parse(link).expect("an address").path().to_owned();
    let with_forged = |request: RawRequest| {
        forged.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    let page = with_forged(RawRequest::new("GET", &path)).send(origin).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("evil.example") && !page.head.contains("evil.example"));

    let form = RawRequest::new("POST", &path)
        .header("Sec-Fetch-Site", "same-origin")
        .header("Content-Type", "application/x-www-form-urlencoded");
    let away = with_forged(form.body("host=production")).send(origin).await;
    let to = url::Url::parse(away.header("location").expect("a redirect")).expect("an address");
    let back =
        to.query_pairs().find(|(name, _)| name == "redirect_uri").expect("a redirect_uri").1.into_owned();
    assert_eq!((away.status, back), (303, format!("{origin}/oauth/callback")));
    assert_eq!(to.origin().ascii_serialization(), again.story.stack.salesforce.login_origin());

    let stray = with_forged(RawRequest::new("GET", "/oauth/callback?state=x&code=y")).send(origin).await;
    assert!(stray.status == 400 && !stray.body.contains("evil.example"));
    assert!(!again.story.logs.text().contains("evil.example"));
    again.ends_well().await;
}

#[tokio::test]
async fn another_site_cannot_send_a_browser_off_with_its_form() {
    let again = Returning::begin().await;
    let link = again.story.invite().await;
    let evil = again.alice.at("http://evil.localhost:1/");
    let origin = &again.story.stack.latchkey;

    says(&evil.post_form(&link, &[("host", "production")]).await, 400, "This form didn't come from our page");
    let told = evil.post_form(&format!("{link}/trouble"), &[("seen", "other")]).await;
    says(&told, 400, "This form didn't come from our page");

    // An older browser, which tells its origin and nothing more.
    let path = url::Url::parse(&link).expect("an address").path().to_owned();
    let form = RawRequest::new("POST", &path)
        .header("Host", "latchkey.localhost")
        .header("Origin", "http://evil.localhost")
        .header("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(form.body("host=production").send(origin).await.status, 400);

    assert!(again.story.logs.text().contains("the form is not from our page"));
    let session = url_session(&again, &link).await;
    assert_eq!((session["status"].as_str(), session["attempts"].as_u64()), (Some("created"), Some(0)));
    again.ends_well().await;
}

/// The session behind a link, as the product's backend sees it.
async fn url_session(again: &Returning, link: &str) -> serde_json::Value {
    let key = link.rsplit('/').next().expect("a key");
    let id = domain::secret::ConnectKey::new(key).session();
    again.story.call("GET", &format!("/v1/connect-sessions/{id}"), None).await.body
}
