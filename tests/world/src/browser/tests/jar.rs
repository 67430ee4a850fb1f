//! The cookie jar, seen through pages.

use super::*;

async fn visit(sites: &Sites, browser: &Browser, host: &str, set_cookie: &str) {
    let query: String = form_urlencoded::byte_serialize(set_cookie.as_bytes()).collect();
    browser.get(&sites.url(host, &format!("/set?{query}"))).await;
}

#[tokio::test]
async fn a_host_cookie_is_secure_on_localhost_and_goes_to_its_host_alone() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    visit(&sites, &browser, "a.localhost", "__Host-k=v; Path=/; Secure; HttpOnly; SameSite=Lax").await;
    let sent = |host: &str| browser.cookie_header(&sites.url(host, "/"));
    assert_eq!(sent("a.localhost").as_deref(), Some("__Host-k=v"));
    assert_eq!((sent("b.localhost"), sent("x.a.localhost")), (None, None));
    let kept = browser.cookie("__Host-k").unwrap();
    assert!(kept.secure && kept.http_only && kept.host_only && kept.same_site == Some(SameSite::Lax));
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused_and_on_record() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    let cases = [
        ("__Host-k=v; Path=/", "a prefix that asks for Secure"),
        ("__Secure-k=v; Path=/", "a prefix that asks for Secure"),
        ("__host-k=v; Secure; Path=/x", "__Host- without Path=/"),
        ("__Host-k=v; Secure", "__Host- without Path=/"),
        ("__Host-k=v; Secure; Path=/; Domain=a.localhost", "__Host- with Domain"),
        ("k=v; SameSite=None", "SameSite=None without Secure"),
        ("k=v; Domain=b.localhost", "a Domain that is not the host's"),
        ("k=v; Domain=localhost", "a Domain that is a public suffix"),
        ("=__Host-k=v; Secure; Path=/", "a prefix without a name"),
    ];
    for (set_cookie, _) in cases {
        visit(&sites, &browser, "a.localhost", set_cookie).await;
    }
    let long = format!("k={}", "x".repeat(5000));
    browser.set_cookie(&sites.url("a.localhost", "/"), &long);
    browser.set_cookie("http://a.example/", "k=v; Secure");

    let reasons: Vec<_> = browser.refused_cookies().into_iter().map(|refused| refused.reason).collect();
    let expected = cases.map(|(_, reason)| reason).into_iter();
    assert_eq!(
        reasons,
        expected.chain(["longer than 4096 bytes", "Secure from a host that is not"]).collect::<Vec<_>>()
    );
    assert!(browser.cookies().is_empty());
}

#[tokio::test]
async fn lax_comes_with_a_link_but_not_with_a_foreign_form() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    for cookie in
        ["strict=1; SameSite=Strict", "lax=1; SameSite=Lax", "none=1; SameSite=None; Secure", "unsaid=1"]
    {
        visit(&sites, &browser, "a.localhost", cookie).await;
    }
    let foreign = browser.at(&sites.url("b.localhost", "/"));
    let target = sites.url("a.localhost", "/echo");
    foreign.open(&target).await;
    assert_eq!(sites.last().header("cookie"), "lax=1; none=1; unsaid=1");
    foreign.post_form(&target, &[]).await;
    assert_eq!(sites.last().header("cookie"), "none=1; unsaid=1", "Lax + POST, for two minutes");
    sites.clock.pass(SignedDuration::from_mins(3));
    foreign.post_form(&target, &[]).await;
    assert_eq!(sites.last().header("cookie"), "none=1");
    browser.post_form(&target, &[]).await;
    assert_eq!(sites.last().header("cookie"), "strict=1; lax=1; none=1; unsaid=1");
}

#[tokio::test]
async fn cookies_end_when_their_time_comes_or_when_deleted() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    let names = || browser.cookies().into_iter().map(|cookie| cookie.name).collect::<Vec<_>>();
    visit(&sites, &browser, "a.localhost", "age=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT").await;
    visit(&sites, &browser, "a.localhost", "date=1; Expires=Thu, 01 Jan 2026 00:02:00 GMT").await;
    visit(&sites, &browser, "a.localhost", "session=1; Expires=never").await;
    visit(&sites, &browser, "a.localhost", "long=1; Max-Age=99999999999999999999").await;
    assert_eq!(names(), ["age", "date", "session", "long"]);
    sites.clock.pass(SignedDuration::from_secs(60));
    assert_eq!(names(), ["date", "session", "long"]);
    sites.clock.pass(SignedDuration::from_secs(60));
    assert_eq!(names(), ["session", "long"]);
    visit(&sites, &browser, "a.localhost", "session=; Max-Age=0").await;
    assert_eq!(names(), ["long"]);
    sites.clock.pass(SignedDuration::from_hours(401 * 24));
    assert!(names().is_empty(), "400 days at most");
}

#[tokio::test]
async fn domain_and_path_say_where_a_cookie_goes_and_in_which_order() {
    let sites = Sites::start().await;
    let browser = sites.browser();
    visit(&sites, &browser, "x.a.localhost", "wide=1; Domain=.A.localhost; Path=/").await;
    sites.clock.pass(SignedDuration::from_secs(1));
    visit(&sites, &browser, "x.a.localhost", "deep=1; Path=/connect").await;
    visit(&sites, &browser, "x.a.localhost", "own=1; Path=/").await;
    let sent = |host: &str, path: &str| browser.cookie_header(&sites.url(host, path));
    assert_eq!(sent("x.a.localhost", "/connect/k").as_deref(), Some("deep=1; wide=1; own=1"));
    assert_eq!(sent("x.a.localhost", "/connected").as_deref(), Some("wide=1; own=1"));
    assert_eq!(sent("y.a.localhost", "/").as_deref(), Some("wide=1"));
    visit(&sites, &browser, "x.a.localhost", "own=2; Path=/").await;
    assert_eq!(sent("x.a.localhost", "/").as_deref(), Some("wide=1; own=2"), "replaced, not doubled");
    browser.forget_cookies();
    assert_eq!(sent("x.a.localhost", "/"), None);
}
