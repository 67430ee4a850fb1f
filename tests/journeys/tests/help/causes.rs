//! Whatever stands in the way, the person ends on a page that names the true cause, says who acts, and leads on.

use journeys::{Story, connect_link};
use serde_json::json;
use world::{
    browser::{Browser, Page},
    salesforce::PermittedUsers,
};

/// The user goes back to the link and pastes what Salesforce shows.
async fn paste(browser: &Browser, pasted: &str) -> Page {
    let back = browser.get(&connect_link(browser)).await;
    let (_, trouble) =
        back.links().into_iter().find(|(_, to)| to.ends_with("/trouble")).expect("the way to tell");
    let trouble = browser.get(&trouble).await;
    trouble.fill("pasted", pasted).click("Show me what to do").await
}

#[tokio::test]
async fn who_presses_deny_is_told_and_can_try_again_at_once() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;

    let help = story.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;

    assert!(help.url.path().starts_with("/help/fl_"), "{}", help.url);
    assert_eq!(story.failed_cause(&browser).await, "user_denied");
    // This browser is bound to the session: its help page leads back to the connect page.
    let again = help.links().into_iter().find(|(_, to)| to.contains("/connect/ck_")).expect("the way back");
    let connect = browser.get(&again.1).await;
    let home = connect.choose("Production").click("Continue to Salesforce").await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());
    // Somebody to whom the help link was sent can read, but not go on there.
    let admin = story.stack.browser().get(help.url.as_str()).await;
    assert!(!admin.links().iter().any(|(_, to)| to.contains("/connect/ck_")), "{:?}", admin.links());
    assert!(admin.has("connected"), "and sees that it is mended: {}", admin.text());
}

#[tokio::test]
async fn a_blocked_app_comes_back_with_the_step_that_unblocks_it() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.block("acme", &key);
    let browser = story.signed_in("Alice").await;

    let help = story.leave(&browser).await.click("uma@acme.example").await;

    assert!(help.has("Unblock"), "{}", help.text());
    assert_eq!(story.failed_cause(&browser).await, "app_blocked");
    story.stack.salesforce.unblock("acme", &key);
    story.install("sync");
    let home = story.leave(&browser).await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());
}

#[tokio::test]
async fn a_user_whom_the_admin_has_not_approved_leads_to_profiles_and_permission_sets() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.stack.salesforce.set_permitted_users("acme", &key, PermittedUsers::AdminApprovedPreAuthorized);
    let browser = story.signed_in("Alice").await;

    let help = story.leave(&browser).await.click("uma@acme.example").await;

    assert_eq!(story.failed_cause(&browser).await, "user_not_approved");
    assert!(help.has("Manage Profiles") && help.has("Manage Permission Sets"), "{}", help.text());
}

#[tokio::test]
async fn an_external_client_app_that_is_missing_comes_back_with_its_install_link() {
    let story = Story::begin().await;
    let browser = story.signed_in("Alice").await;
    let connect = browser.get(&story.stack.product).await.click("Connect Insights").await;

    let login = connect.choose("Production").click("Continue to Salesforce").await;
    let help = login.click("uma@acme.example").await;

    assert_eq!(story.failed_cause(&browser).await, "eca_not_installed");
    let package = story.stack.app("fernway", "insights").packages.production.clone().expect("a package");
    let links = help.links();
    assert!(links.iter().any(|(_, to)| to == package.as_str()), "{links:?}");

    // The admin follows it, installs, and Connect works.
    let admin = story.stack.browser();
    let login = admin.get(package.as_str()).await;
    let install = login.click("ada@acme.example").await;
    assert!(install.has("Install"), "{}", install.text());
    story.install("insights");
    let home = browser.get(&story.stack.product).await.click("Connect Insights").await;
    let home = home.choose("Production").click("Continue to Salesforce").await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{} {}", home.url, home.text());
}

#[tokio::test]
async fn what_the_vendor_did_wrong_is_not_blamed_on_the_customer() {
    let story = Story::installed().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    let change = |change: fn(&mut world::salesforce::AppRegistration)| {
        story.stack.salesforce.change(|state| {
            change(state.apps.iter_mut().find(|app| app.consumer_key == key).expect("the app"));
        });
    };
    let right = story.stack.salesforce.read(|state| state.app(&key).cloned().expect("the app"));
    let browser = story.signed_in("Alice").await;

    for (expected, wrong) in [
        (
            "scope_not_allowed",
            (|app| app.scopes = vec!["id".into()]) as fn(&mut world::salesforce::AppRegistration),
        ),
        ("redirect_uri_mismatch", |app| {
            app.callback_urls = vec!["https://old.fernway.example/callback".into()];
        }),
        ("client_id_invalid", |app| app.consumer_key = "3MVG9.Another".into()),
    ] {
        change(wrong);
        let mut stuck = story.leave(&browser).await;
        if stuck.has("uma@acme.example") {
            stuck = stuck.click("uma@acme.example").await;
        }
        let shown = if stuck.url.path().contains("RemoteAccessErrorPage") {
            stuck.url.to_string()
        } else {
            stuck.body.clone()
        };
        let help = paste(&browser, &shown).await;

        assert_eq!(story.failed_cause(&browser).await, expected);
        assert!(!help.has("For your Salesforce admin"), "{expected}: {}", help.text());
        assert!(help.has("help@fernway.example") && help.has("LK-"), "{expected}: {}", help.text());
        story.stack.salesforce.register_app(right.clone());
        story.stack.salesforce.change(|state| state.apps.retain(|app| app.consumer_key != "3MVG9.Another"));
    }
}

#[tokio::test]
async fn what_nobody_knows_is_said_to_be_unknown_and_has_a_way_out() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    story.leave(&browser).await;
    let history = browser.history();
    let authorize =
        history.iter().rev().find(|url| url.path() == "/services/oauth2/authorize").expect("left");
    let state = authorize.query_pairs().find(|(name, _)| name == "state").expect("a state").1.into_owned();

    let forged = format!(
        "{}/oauth/callback?state={state}&error=OAUTH_BRAND_NEW&error_description=%3Cscript%3Enobody+knows%3C/script%3E",
        story.stack.latchkey
    );
    let help = browser.get(&forged).await;

    assert_eq!(story.failed_cause(&browser).await, "unknown");
    assert!(help.has("OAUTH_BRAND_NEW"), "shown as it came: {}", help.text());
    assert!(!help.body.contains("<script>nobody"), "but never as markup");
    assert!(story.logs.text().contains("OAUTH_BRAND_NEW"));
}

#[tokio::test]
async fn a_choice_without_a_text_is_enough_and_nothing_at_all_is_asked_again() {
    let story = Story::begin().await;
    let browser = story.signed_in("Alice").await;
    story.leave(&browser).await.click("uma@acme.example").await;
    let trouble = browser.get(&format!("{}/trouble", connect_link(&browser))).await;

    let again = trouble.click("Show me what to do").await;
    assert_eq!(again.status, 422, "{}", again.text());
    let help = again.choose("generic_error").click("Show me what to do").await;

    assert_eq!(help.status, 200);
    // The likeliest by what is known: nobody of this org has connected the app.
    assert_eq!(story.failed_cause(&browser).await, "app_not_installed");
    assert!(help.heading().contains("An admin has to install it once"), "{}", help.text());
    let pasted = paste(&browser, "my cat sat on the keyboard, code=aPrx0secret0code").await;
    assert_eq!(pasted.status, 200);
    assert!(!pasted.body.contains("aPrx0secret0code"));
    assert!(story.stack.dynamodb.find(local::stack::TABLE, "aPrx0secret0code").is_empty());
}

#[tokio::test]
async fn an_org_is_connected_by_its_own_host_and_a_sandbox_by_its_own() {
    let story = Story::begin().await;
    let key = story.stack.app("fernway", "sync").consumer_key.clone();
    story.install("sync");
    story.stack.salesforce.install("acme--uat", &key).expect("installed");

    let wish = story.wish(json!({ "my_domain": "https://acme.my.salesforce.localhost/lightning" })).await;
    assert_eq!(wish.status, 201, "{}", wish.body);
    let browser = story.signed_in("Alice").await;
    let connect = browser.get(wish.text("connect_url")).await;
    assert!(connect.has("acme.my.salesforce.localhost"), "{}", connect.text());
    let login = connect.click("Continue to Salesforce").await;
    assert!(login.url.host_str().unwrap().starts_with("acme.my."), "{}", login.url);
    let home = login.click("uma@acme.example").await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());

    let browser = story.signed_in("Mallory").await;
    let connect = browser.get(&story.stack.product).await.click("Connect Salesforce").await;
    let login =
        connect.choose("My Domain").fill("my_domain", "acme--uat").click("Continue to Salesforce").await;
    assert!(login.url.host_str().unwrap().starts_with("acme--uat.sandbox.my."), "{}", login.url);
    let home = login.click("uma@acme.example.uat").await.click("Allow").await;
    assert!(home.has("Your Salesforce accounts"), "{}", home.text());
    assert_eq!(story.connections().await.len(), 2);
}

#[tokio::test]
async fn a_fresh_sign_in_is_forced_when_asked_for() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    story.connect(&browser).await;
    let other = story.signed_in("Mallory").await;
    // Somebody is signed in to Salesforce in this browser already.
    other.get(&story.stack.salesforce.login_origin()).await;
    let connect = other.get(&story.stack.product).await.click("Connect Salesforce").await;
    story.leave(&other).await.click("uma@acme.example").await;

    let login =
        connect.choose("Production").choose("Ask me to sign in again").click("Continue to Salesforce").await;

    assert!(login.has("ada@acme.example"), "the login page, not the session: {}", login.text());
}

#[tokio::test]
async fn a_help_link_is_not_indexed_sends_no_referrer_and_ends() {
    let story = Story::installed().await;
    let browser = story.signed_in("Alice").await;
    let help = story.leave(&browser).await.click("uma@acme.example").await.click("Deny").await;
    assert_eq!(help.header("x-robots-tag"), Some("noindex, nofollow"));
    assert_eq!(help.header("referrer-policy"), Some("no-referrer"));
    let id = help.url.path().strip_prefix("/help/fl_").expect("a help page");
    assert!(id.len() >= 26, "74 random bits and the time: not to be guessed");

    story.pass(jiff::SignedDuration::from_hours(24 * 91));

    let gone = story.stack.browser().get(help.url.as_str()).await;
    assert_eq!(gone.status, 404, "{}", gone.text());
}
