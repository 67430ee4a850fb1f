//! An admin's way through Setup.

use super::{super::*, *};

const USAGE: &str = "/lightning/setup/ConnectedAppsUsage/home";

struct AdminAt<'a> {
    browser: Browser<'a>,
    origin: String,
}

impl Stage {
    async fn admin(&self, org: &str, username: &str) -> AdminAt<'_> {
        AdminAt { browser: self.logged_in(org, username).await, origin: self.salesforce.my_domain(org) }
    }

    /// Uma tries to connect, so that the app becomes known to her org.
    async fn try_connecting(&self, key: &str) -> Answer {
        let url = authorize_url(&self.salesforce.my_domain("acme"), key, &[]);
        self.browser().log_in(&url, "uma@acme.example").await
    }
}

impl AdminAt<'_> {
    async fn open(&mut self, path: &str) -> Answer {
        self.browser.open(&format!("{}{path}", self.origin)).await
    }

    async fn submit(&mut self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.browser.submit(&format!("{}{path}", self.origin), form).await
    }
}

#[tokio::test]
async fn setup_is_for_admins() {
    let stage = Stage::start().await;
    let url = format!("{}{USAGE}", stage.salesforce.my_domain("acme"));
    let mut browser = stage.browser();

    let turned_away = browser.log_in(&url, "uma@acme.example").await;
    assert_eq!(turned_away.status, StatusCode::FORBIDDEN);
    assert!(turned_away.text.contains("Insufficient Privileges"));

    let mut browser = stage.browser();
    let shown = browser.log_in(&url, "ada@acme.example").await;
    assert!(shown.text.contains("<h1>Connected Apps OAuth Usage</h1>"));
    assert_eq!(shown.url.path(), USAGE);
    let elsewhere = browser.open(&format!("{}{USAGE}", stage.salesforce.my_domain("globex"))).await;
    assert!(elsewhere.text.contains("<h1>Log In</h1>"), "acme's admin is nobody at globex");
}

#[tokio::test]
async fn an_admin_installs_the_app_and_the_user_connects() {
    let stage = Stage::start().await;
    let mut ada = stage.admin("acme", "ada@acme.example").await;
    assert!(!ada.open(USAGE).await.text.contains("Notely"), "not listed before the first attempt");
    stage.try_connecting(KEY).await;

    let listed = ada.open(USAGE).await.text;
    for shown in ["Notely", "Allowed", ">Install<", ">Block<"] {
        assert!(listed.contains(shown), "{shown} in {listed}");
    }
    assert!(!listed.contains(">Uninstall<"));
    let install = "/lightning/setup/ConnectedAppsUsage/install";
    let confirm = ada.open(&format!("{install}?app={KEY}")).await;
    assert!(confirm.text.contains("<button class=\"primary\">Install</button>"));
    let page = ada.submit(install, &[("app", KEY)]).await;
    for shown in ["Edit Policies", "Manage Profiles", "All users may self-authorize"] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }

    assert!(ada.open(USAGE).await.text.contains(">Uninstall<"));
    assert!(stage.try_connecting(KEY).await.text.contains("Allow Access?"));
}

#[tokio::test]
async fn an_admin_edits_policies_and_assigns_a_profile() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let mut ada = stage.admin("acme", "ada@acme.example").await;
    let edit = "/lightning/setup/ConnectedApplication/edit";

    assert!(ada.open(&format!("{edit}?app={KEY}")).await.text.contains("Permitted Users"));
    let label = "Admin approved users are pre-authorized";
    let page = ada.submit(edit, &[("app", KEY), ("permitted_users", label)]).await;
    assert!(page.text.contains(label));
    assert_eq!(
        param(&stage.try_connecting(KEY).await.url, "error").as_deref(),
        Some("OAUTH_APP_ACCESS_DENIED")
    );

    let profiles = "/lightning/setup/ConnectedApplication/profiles";
    assert!(ada.open(&format!("{profiles}?app={KEY}")).await.text.contains("value=\"Standard User\""));
    ada.submit(profiles, &[("app", KEY), ("choice", "Standard User"), ("choice", "Sales")]).await;
    assert!(param(&stage.try_connecting(KEY).await.url, "code").is_some());
}

#[tokio::test]
async fn an_admin_blocks_unblocks_and_uninstalls() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let mut ada = stage.admin("acme", "ada@acme.example").await;
    let act = "/lightning/setup/ConnectedAppsUsage/act";

    let page = ada.submit(act, &[("app", KEY), ("action", "Block")]).await.text;
    assert!(page.contains("Blocked") && page.contains(">Unblock<"));
    assert_eq!(param(&stage.try_connecting(KEY).await.url, "error").as_deref(), Some("OAUTH_APP_BLOCKED"));
    let page = ada.submit(act, &[("app", KEY), ("action", "Unblock")]).await.text;
    assert!(page.contains(">Uninstall<"));
    assert_eq!(stage.refresh("acme", text(&tokens, "refresh_token")).await.0, StatusCode::OK);

    stage.salesforce.block("globex", KEY);
    stage.salesforce.install("globex", KEY).expect("installed");
    assert!(stage.salesforce.standing("globex", KEY).is_blocked(), "installing does not unblock");
    ada.submit(act, &[("app", KEY), ("action", "Uninstall")]).await;
    assert_eq!(stage.salesforce.live_grants().len(), 0);
}

#[tokio::test]
async fn uninstalled_and_blocked_apps_are_at_the_bottom() {
    let stage = Stage::start().await;
    for (label, key) in [("Aardvark", "key.a"), ("Beaver", "key.b"), ("Zebra", "key.z")] {
        stage.salesforce.register_app(AppRegistration::connected_app(label, key, SECRET, CALLBACK));
    }
    stage.salesforce.block("acme", "key.a");
    stage.try_connecting("key.b").await;
    stage.salesforce.install("acme", "key.z").expect("installed");

    let page = stage.admin("acme", "ada@acme.example").await.open(USAGE).await.text;

    let at = |label: &str| page.find(label).unwrap_or_else(|| panic!("{label} is listed"));
    assert!(at("Zebra") < at("Beaver") && at("Beaver") < at("Aardvark"));
}

#[tokio::test]
async fn a_permission_set_lets_one_user_approve_what_is_not_installed() {
    let stage = Stage::start().await;
    let mut ada = stage.admin("acme", "ada@acme.example").await;
    let name = "Temporary app approval";
    let page = ada.submit("/lightning/setup/PermSets/home", &[("label", name)]).await;
    assert!(
        page.text.contains("Approve Uninstalled Connected Apps") && page.text.contains("Manage Assignments")
    );
    let permission = "Approve Uninstalled Connected Apps";
    ada.submit("/lightning/setup/PermSets/systemPermissions", &[("set", name), ("permission", permission)])
        .await;
    assert_eq!(stage.try_connecting(KEY).await.url.path(), "/setup/secur/RemoteAccessErrorPage.apexp");

    ada.submit("/lightning/setup/PermSets/assignments", &[("set", name), ("user", "uma@acme.example")]).await;
    assert!(stage.try_connecting(KEY).await.text.contains("Allow Access?"));

    ada.submit("/lightning/setup/PermSets/assignments", &[("set", name)]).await;
    assert_eq!(stage.try_connecting(KEY).await.url.path(), "/setup/secur/RemoteAccessErrorPage.apexp");
    assert!(ada.open("/lightning/setup/PermSets/home").await.text.contains(name));
}

#[tokio::test]
async fn a_package_link_installs_an_external_client_app_in_the_admins_org() {
    let stage = Stage::start().await;
    let link = format!("{}/packaging/installPackage.apexp?p0={PACKAGE}", stage.salesforce.test_origin());
    let mut ada = stage.browser();
    let page = ada.log_in(&link, "ada@acme.example.uat").await;
    for shown in ["Install Notely Next", "Install for Admins Only", "Non-Salesforce Application"] {
        assert!(page.text.contains(shown), "{shown} in {}", page.text);
    }

    let form = [("p0", PACKAGE), ("for", "admins")];
    let post = page.url.join(page.url.path()).expect("a URL");
    assert!(ada.submit(post.as_str(), &form).await.text.contains("role=\"alert\""), "not acknowledged");
    assert!(!stage.salesforce.standing("acme--uat", ECA_KEY).is_installed());
    let done = ada.submit(post.as_str(), &[form[0], form[1], ("acknowledge", "on")]).await;
    assert!(done.text.contains("Installation Complete!"));

    assert!(stage.salesforce.standing("acme--uat", ECA_KEY).is_installed());
    assert!(!stage.salesforce.standing("acme", ECA_KEY).is_installed(), "every org installs for itself");
    let origin = stage.salesforce.my_domain("acme--uat");
    let manager = ada.open(&format!("{origin}/lightning/setup/ManageExternalClientApplication/home")).await;
    assert!(manager.text.contains("Notely Next"));
    let page = ada.open(&format!("{origin}/lightning/setup/ConnectedApplication/page?app={ECA_KEY}")).await;
    assert!(page.text.contains("All users can self-authorize"));
    let edit = format!("{origin}/lightning/setup/ConnectedApplication/edit");
    let label = "Admin approved users are pre-authorized";
    let form = [("app", ECA_KEY), ("permitted_users", label), ("profile", "Sales")];
    assert!(ada.submit(&edit, &form).await.text.contains("Sales"));
}

#[tokio::test]
async fn an_app_made_in_a_sandbox_cannot_be_installed_in_production() {
    let stage = Stage::start().await;
    stage.salesforce.change(|state| "acme--uat".clone_into(&mut state.apps[0].created_in));
    let mut ada = stage.admin("acme", "ada@acme.example").await;

    let page = ada.submit("/lightning/setup/ConnectedAppsUsage/install", &[("app", KEY)]).await;

    assert_eq!(page.url.path(), "/identity/app/AppInstallErrorPage.apexp");
    assert!(page.text.contains("There was a problem in installing the application."));
}
