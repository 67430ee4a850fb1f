//! Every page that a browser meets: its headers, its cookies, and a brand that is only ever text.

use std::path::PathBuf;

use jiff::SignedDuration;
use journeys::{Returning, Story, approve};
use local::Options;
use serde_json::json;
use world::browser::{Page, SameSite};

/// What keeps a page of ours from being framed, cached, sniffed, indexed, told to the next site, or scripted.
fn is_guarded(page: &Page) {
    let header = |name: &str| page.header(name).unwrap_or_else(|| panic!("no {name} on {page:?}"));
    assert_eq!(header("content-type"), "text/html; charset=utf-8", "{page:?}");
    for (name, value) in [
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-robots-tag", "noindex, nofollow"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(header(name), value, "{name} of {page:?}");
    }
    assert!(header("strict-transport-security").starts_with("max-age=63072000"));
    let policy = header("content-security-policy");
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "connect-src 'self'"]
    {
        assert!(policy.contains(directive), "{directive} of {page:?}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let nonce = policy.split("'nonce-").nth(1).and_then(|rest| rest.split('\'').next()).expect("a nonce");
    assert_eq!(nonce.len(), 26, "128 bits: {policy}");
    for css in ["script", "style"] {
        let all = page.all(css).len();
        let own = page.all(&format!("{css}[nonce='{nonce}']")).len();
        assert_eq!(all, own, "every {css} of {page:?} has the nonce");
    }
    assert!(page.all("[onclick], [onerror], [onload], [style], iframe, object, base").is_empty(), "{page:?}");
    assert!(!page.heading().is_empty() && !page.title().is_empty(), "{page:?}");
}

/// Every page that can be met, each with the word for it.
async fn every_page(again: &Returning) -> Vec<(&'static str, Page)> {
    let (story, alice, origin) = (&again.story, &again.alice, &again.story.stack.latchkey);
    let link = story.invite().await;
    let connect = alice.get(&link).await;
    let refused =
        connect.choose("My Domain").fill("my_domain", "evil.example").click("Continue to Salesforce").await;
    let away = story.about_to_return(alice, &link).await;
    let trouble = alice.get(&format!("{link}/trouble")).await;
    let nothing_told = trouble.click("Show me what to do").await;
    let help = trouble.fill("pasted", "error=invalid_scope").click("Show me what to do").await;
    let back_at_connect = alice.get(&link).await;
    assert!(away.follow().await.has("Your Salesforce accounts"));
    let connected = alice.get(&link).await;
    let resolved = alice.get(help.url.as_str()).await;
    let bad_form = alice.at("http://evil.localhost:1/").post_form(&link, &[]).await;
    let open = story.invite().await;
    story.pass(SignedDuration::from_hours(2));
    let mut pages = vec![
        ("connect", connect),
        ("my domain refused", refused),
        ("trouble", trouble),
        ("nothing told", nothing_told),
        ("help", help),
        ("connect, after a failure", back_at_connect),
        ("already connected", connected),
        ("help, resolved", resolved),
        ("bad form", bad_form),
        ("expired", alice.get(&open).await),
    ];
    for (what, path) in [
        ("stray callback", "/oauth/callback?state=x&code=y"),
        ("unknown link", "/connect/ck_unknown"),
        ("unknown trouble", "/connect/ck_unknown/trouble"),
        ("unknown help", "/help/fl_00000000000000000000000000"),
    ] {
        pages.push((what, alice.get(&format!("{origin}{path}")).await));
    }
    story.stack.dynamodb.down(true);
    pages.push(("out of order", alice.get(&open).await));
    story.stack.dynamodb.mend();
    pages
}

#[tokio::test]
async fn every_page_is_guarded_and_has_a_nonce_of_its_own() {
    let again = Returning::begin().await;
    let pages = every_page(&again).await;

    let mut policies = std::collections::BTreeSet::new();
    for (what, page) in &pages {
        assert!(page.url.as_str().starts_with(&again.story.stack.latchkey), "{what}: {page:?}");
        is_guarded(page);
        let policy = page.header("content-security-policy").expect("looked at above");
        assert!(policies.insert(policy.to_owned()), "{what}: a nonce is used once");
        let sends = what.starts_with("connect") || *what == "my domain refused";
        assert_eq!(
            policy.contains("form-action 'self'"),
            !sends,
            "{what}: only the connect page's form leads on"
        );
    }
    again.ends_well().await;
}

#[tokio::test]
async fn redirects_and_documents_are_guarded_too() {
    let again = Returning::begin().await;
    let away = again.about_to_return().await;
    let link = again.story.invite().await;
    again.alice.stop_before("/services/oauth2/authorize");
    let departing = again.alice.get(&link).await.choose("Production").click("Continue to Salesforce").await;
    again.alice.stop_before("/salesforce/return");
    let returning = away.follow().await;

    for page in [&departing, &returning] {
        assert_eq!((page.status, page.body.as_str()), (303, ""));
        assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "the next site learns no address");
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    }
    let token = again.story.token(&again.earlier).await;
    assert_eq!((token.headers["cache-control"].as_bytes()), b"no-store");
    assert_eq!(token.headers["x-content-type-options"], "nosniff");
    let problem = again.story.call("GET", "/v1/connections/con_x", None).await;
    assert_eq!(problem.headers["cache-control"], "no-store");
    again.ends_well().await;
}

#[tokio::test]
async fn every_cookie_is_bound_to_the_host_and_out_of_scripts_reach() {
    let again = Returning::begin().await;
    let away = again.about_to_return().await;

    let ours: Vec<_> =
        again.alice.cookies().into_iter().filter(|cookie| cookie.domain == "latchkey.localhost").collect();
    assert!(ours.len() >= 2, "the attempt's, and the way back to its session: {ours:?}");
    for cookie in &ours {
        assert!(cookie.name.starts_with("__Host-lk-"), "{cookie:?}");
        assert!(cookie.secure && cookie.http_only && cookie.host_only && cookie.path == "/", "{cookie:?}");
        assert_eq!(cookie.same_site, Some(SameSite::Lax), "{cookie:?}");
        assert!(cookie.expires.is_some(), "it ends by itself: {cookie:?}");
    }
    assert_eq!(again.alice.refused_cookies(), [], "the browser takes all of them");

    assert!(away.follow().await.has("Your Salesforce accounts"));
    again.ends_well().await;
}

#[tokio::test]
async fn looking_at_a_link_sets_no_cookie() {
    let again = Returning::begin().await;
    let scanner = again.story.stack.browser();
    let link = again.story.invite().await;

    for address in [link.clone(), format!("{link}/trouble")] {
        assert_eq!(scanner.get(&address).await.status, 200);
    }

    assert!(scanner.cookies().is_empty(), "{:?}", scanner.cookies());
    again.ends_well().await;
}

/// Markup wherever a product's file, its calls and its users can put it.
const MARKUP: &str = "<b>Acme</b><script>alert('x')</script>\"'&{{1237*4591}}";

/// A folder with one product, whose file has markup wherever a text is free.
fn product_with_markup() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("latchkey-markup-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the product file");
    let file = format!(
        "id = \"fernway\"\nreturn_addresses = [\"https://app.fernway.example/done\"]\n\
         [brand]\nname = '''{MARKUP}'''\ncustomer_word = '''<i>\"&account</i>'''\nsupport = {{ email = \"help@fernway.example\" }}\n\
         [[apps]]\nid = \"sync\"\nkind = \"connected_app\"\nconsumer_key = \"3MVG9KeyOfTheMarkup\"\n\
         secret = \"latchkey/dev/apps/markup\"\nscopes = [\"api\", \"refresh_token\", \"openid\"]\n\
         names = ['''{MARKUP}''']\nlogin_hosts = [\"production\", \"sandbox\", \"my_domain\"]\n"
    );
    std::fs::write(folder.join("fernway.toml"), file).expect("the product file is written");
    folder
}

#[tokio::test]
async fn a_brand_with_markup_in_it_is_text() {
    let folder = product_with_markup();
    let story = Story::with(Options { products: folder.clone(), ..Options::for_tests() }).await;
    std::fs::remove_dir_all(folder).expect("the folder goes");
    story.install("sync");
    let alice = story.signed_in("Alice").await;
    let session = story.wish(json!({ "customer": { "id": "c-acme", "name": MARKUP } })).await;
    let link = session.text("connect_url");

    let connect = alice.get(link).await;
    let trouble = alice.get(&format!("{link}/trouble")).await;
    let pasted = format!("error=invalid_scope&error_description={MARKUP}");
    let help = trouble.fill("pasted", &pasted).click("Show me what to do").await;
    let refused = connect.choose("My Domain").fill("my_domain", MARKUP).click("Continue to Salesforce").await;
    let home = approve(connect.choose("Production").click("Continue to Salesforce").await).await;
    assert!(home.has("Your Salesforce accounts"), "{home:?}");
    let connected = alice.get(link).await;

    for page in [&connect, &trouble, &help, &refused, &connected] {
        is_guarded(page);
        assert!(page.has(MARKUP), "it is shown as it stands: {page:?}");
        assert!(!page.body.contains("<b>Acme"), "{page:?}");
        assert!(page.all("script").len() <= 1 && !page.body.contains("<script>alert"), "{page:?}");
        assert!(!page.has("5679067"), "no template is filled from it: {page:?}");
    }
}
