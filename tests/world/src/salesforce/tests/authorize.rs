//! Where authorize requests end, and with which words.

use jiff::SignedDuration;

use super::{super::*, *};

/// The callback's query, without the code's value.
fn told(url: &Url) -> String {
    assert!(url.as_str().starts_with(CALLBACK), "back at the callback, not at {url}");
    url.query().unwrap_or_default().to_owned()
}

const ERROR_PAGE: &str = "/setup/secur/RemoteAccessErrorPage.apexp";

#[tokio::test]
async fn a_wrong_key_and_a_wrong_callback_show_bare_text() {
    let stage = Stage::start().await;
    let login = stage.salesforce.login_origin();
    let mut browser = stage.browser();

    let answer = browser.open(&authorize_url(&login, "nobody", &[])).await;
    assert_eq!(answer.text, "error=invalid_client_id&error_description=client%20identifier%20invalid");
    assert_eq!((answer.status, answer.location), (StatusCode::BAD_REQUEST, None));

    let url = authorize_url(&login, KEY, &[]).replace("callback", "callback%2F");
    let answer = browser.open(&url).await;
    assert_eq!(
        answer.text,
        "error=redirect_uri_mismatch&error_description=redirect_uri%20must%20match%20configuration"
    );
}

#[tokio::test]
async fn an_app_made_in_a_sandbox_is_unknown_in_production() {
    let stage = Stage::start().await;
    let mut app = AppRegistration::connected_app("Homegrown", "sandbox.key", SECRET, CALLBACK);
    app.created_in = "acme--uat".to_owned();
    stage.salesforce.register_app(app);

    let url = authorize_url(&stage.salesforce.login_origin(), "sandbox.key", &[]);
    assert!(stage.browser().open(&url).await.text.starts_with("error=invalid_client_id"));
    let url = authorize_url(&stage.salesforce.test_origin(), "sandbox.key", &[]);
    assert!(stage.browser().open(&url).await.text.contains("Log In"));
}

#[tokio::test]
async fn a_missing_code_challenge_has_three_surfaces() {
    let stage = Stage::start().await;
    let origin = stage.salesforce.my_domain("acme");
    let bare = |key| {
        let url = authorize_url(&origin, key, &[]);
        url.replace("code_challenge=", "ignored=")
    };

    let answer = stage.browser().open(&bare(KEY)).await;
    assert_eq!(
        told(&answer.url),
        "error=invalid_request&error_description=missing+required+code+challenge&state=st%26te"
    );
    let answer = stage.browser().open(&bare(ECA_KEY)).await;
    assert_eq!(answer.text, "error=invalid_request&error_description=missing%20required%20code%20challenge");

    stage.salesforce.change(|state| state.apps.iter_mut().for_each(|app| app.require_pkce = false));
    stage.salesforce.change_org("acme", |org| org.require_pkce = true);
    let answer = stage.logged_in("acme", "ada@acme.example").await.open(&bare(KEY)).await;
    assert_eq!(answer.url.path(), ERROR_PAGE);
}

#[tokio::test]
async fn an_uninstalled_connected_app_ends_on_salesforces_own_page_and_gets_listed() {
    let stage = Stage::start().await;
    assert_eq!(stage.salesforce.standing("acme", KEY), Standing::Unseen);
    let mut browser = stage.browser();
    let url = authorize_url(&stage.salesforce.login_origin(), KEY, &[]);

    let answer = browser.log_in(&url, "uma@acme.example").await;

    let page = format!("{}{ERROR_PAGE}", stage.salesforce.my_domain("acme"));
    assert_eq!(
        answer.url.as_str(),
        format!("{page}?error=invalid_client&error_description=app+must+be+installed+into+org")
    );
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.text.contains(
        "OAUTH_APPROVAL_ERROR_GENERIC : An unexpected error has occured during authentication. Please try again."
    ));
    assert_eq!(stage.salesforce.standing("acme", KEY), Standing::Seen);
    assert_eq!(stage.salesforce.standing("globex", KEY), Standing::Unseen);
}

#[tokio::test]
async fn a_standard_administrator_may_approve_what_is_not_installed() {
    let stage = Stage::start().await;
    stage.code("acme", "ada@acme.example", KEY).await;

    assert_eq!(stage.salesforce.standing("acme", KEY), Standing::Seen);
    assert_eq!(stage.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn a_scope_that_the_app_lacks_ends_on_salesforces_own_page_after_login() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[("scope", "api mcp_api")]);

    let answer = stage.browser().log_in(&url, "uma@acme.example").await;

    assert_eq!(answer.url.path(), ERROR_PAGE);
    assert_eq!(
        answer.url.query(),
        Some("error=invalid_scope&error_description=the+requested+scope+is+not+allowed")
    );
}

#[tokio::test]
async fn what_the_org_forbids_comes_back_to_the_callback_with_its_state() {
    let stage = Stage::start().await;
    let salesforce = &stage.salesforce;
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let connected_app = authorize_url(&salesforce.my_domain("acme"), KEY, &[]);
    let external = authorize_url(&salesforce.my_domain("acme"), ECA_KEY, &[]);

    salesforce.block("acme", KEY);
    assert_eq!(
        told(&browser.open(&connected_app).await.url),
        "error=OAUTH_APP_BLOCKED&error_description=this+app+is+blocked+by+admin&state=st%26te"
    );

    salesforce.unblock("acme", KEY);
    salesforce.install("acme", KEY).expect("installed");
    salesforce.set_permitted_users("acme", KEY, PermittedUsers::AdminApprovedPreAuthorized);
    assert_eq!(
        told(&browser.open(&connected_app).await.url),
        "error=OAUTH_APP_ACCESS_DENIED&error_description=user+is+not+admin+approved+to+access+this+app&state=st%26te"
    );

    assert_eq!(
        told(&browser.open(&external).await.url),
        "error=OAUTH_EC_APP_NOT_FOUND&error_description=External+client+app+is+not+installed+in+this+org&state=st%26te"
    );

    salesforce.change(|state| {
        for app in &mut state.apps {
            app.distribution = Distribution::Local;
        }
    });
    assert_eq!(
        told(&browser.open(&external).await.url),
        "error=OAUTH_AUTHORIZATION_BLOCKED\
         &error_description=Cross-org+OAuth+flows+are+not+supported+for+this+external+client+app&state=st%26te"
    );
}

#[tokio::test]
async fn a_pre_authorized_user_is_not_asked() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    stage.salesforce.set_policy("acme", KEY, |policy| {
        policy.permitted_users = PermittedUsers::AdminApprovedPreAuthorized;
        policy.profiles.insert("Standard User".to_owned());
    });
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[]);

    let answer = stage.browser().log_in(&url, "uma@acme.example").await;

    assert!(told(&answer.url).starts_with("code="), "{}", answer.url);
    assert_eq!(param(&answer.url, "state").as_deref(), Some("st&te"));
}

#[tokio::test]
async fn api_access_control_blocks_all_that_is_not_installed_and_assigned() {
    let stage = Stage::start().await;
    stage.salesforce.change_org("acme", |org| org.api_access_control = true);
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[]);
    let mut ada = stage.logged_in("acme", "ada@acme.example").await;

    assert!(told(&ada.open(&url).await.url).starts_with("error=OAUTH_APP_BLOCKED"));
    stage.salesforce.install("acme", KEY).expect("installed");
    assert!(told(&ada.open(&url).await.url).starts_with("error=OAUTH_APP_BLOCKED"));
    stage.salesforce.set_policy("acme", KEY, |policy| {
        policy.profiles.insert("System Administrator".to_owned());
    });
    assert!(ada.open(&url).await.text.contains("Allow Access?"));
}

#[tokio::test]
async fn deny_is_access_denied_and_gives_nothing() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let mut browser = stage.browser();
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[]);
    let consent = browser.log_in(&url, "uma@acme.example").await;
    for shown in ["Notely", "uma@acme.example", ">Allow<", ">Deny<", "Perform requests at any time"] {
        assert!(consent.text.contains(shown), "{shown} in {}", consent.text);
    }

    let back = browser.press(&consent, "deny").await;

    assert_eq!(
        told(&back),
        "error=access_denied&error_description=end-user+denied+authorization&state=st%26te"
    );
    assert_eq!(stage.salesforce.grants().len(), 0);
}

#[tokio::test]
async fn deny_in_one_tab_is_deny_though_another_tab_allowed() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[]);
    let (one, two) = (browser.open(&url).await, browser.open(&url).await);

    assert!(told(&browser.press(&one, "allow").await).starts_with("code="));
    assert!(told(&browser.press(&two, "deny").await).starts_with("error=access_denied"));
    assert_eq!(stage.salesforce.live_grants().len(), 1);
}

#[tokio::test]
async fn the_present_session_answers_unless_a_login_is_asked_for() {
    let stage = Stage::start().await;
    stage.connect("acme", "ada@acme.example").await;
    let mut browser = stage.logged_in("acme", "ada@acme.example").await;
    let login = stage.salesforce.login_origin();

    let silent = browser.open(&authorize_url(&login, KEY, &[])).await;
    assert!(told(&silent.url).starts_with("code="), "ada approved before and is not asked");

    let forced = authorize_url(&login, KEY, &[("prompt", "login")]);
    let answer = browser.log_in(&forced, "gus@globex.example").await;
    assert_eq!(answer.url.path(), ERROR_PAGE, "gus's org has not installed the app");
    assert_eq!(answer.url.host_str(), Some("globex.my.salesforce.localhost"));

    let mut browser = stage.logged_in("acme", "ada@acme.example").await;
    let asked = browser.open(&authorize_url(&login, KEY, &[("prompt", "consent")])).await;
    assert!(asked.text.contains("Allow Access?"));
    let impatient =
        browser.open(&authorize_url(&login, KEY, &[("prompt", "consent"), ("immediate", "true")])).await;
    assert!(told(&impatient.url).starts_with("error=immediate_unsuccessful"));
}

#[tokio::test]
async fn a_forced_login_cannot_be_walked_around() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let origin = stage.salesforce.my_domain("acme");
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let login = browser.open(&authorize_url(&origin, KEY, &[("prompt", "login")])).await;

    let consent = format!("{origin}{}", param(&login.url, "startURL").expect("where login leads"));
    let answer = browser.open(&consent).await;

    assert!(answer.text.contains("<h1>Log In</h1>"), "{}", answer.url);
    assert!(browser.log_in(answer.url.as_str(), "uma@acme.example").await.text.contains("Allow Access?"));
}

#[tokio::test]
async fn each_host_logs_in_its_own_people_only() {
    let stage = Stage::start().await;
    let salesforce = &stage.salesforce;
    let refused = "Please check your username and password.";
    for (origin, username) in [
        (salesforce.my_domain("globex"), "uma@acme.example"),
        (salesforce.login_origin(), "uma@acme.example.uat"),
        (salesforce.test_origin(), "uma@acme.example"),
        (salesforce.my_domain("acme"), "nobody@acme.example"),
    ] {
        let mut browser = stage.browser();
        let answer = browser.log_in(&authorize_url(&origin, KEY, &[]), username).await;
        assert!(answer.text.contains(refused), "{username} at {origin}");
        assert_eq!(browser.sid, None);
    }
    // A login at one My Domain is none at another's.
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let answer = browser.open(&authorize_url(&salesforce.my_domain("globex"), KEY, &[])).await;
    assert!(answer.text.contains("<h1>Log In</h1>"));
}

#[tokio::test]
async fn a_user_who_lingers_is_told_so() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let consent = browser.open(&authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[])).await;

    stage.salesforce.pass(APPROVAL_LIFETIME);
    let source = param(&consent.url, "source").expect("a source");
    let page = consent.url.join(consent.url.path()).expect("a URL");
    let answer = browser.submit(page.as_str(), &[("source", &source), ("decision", "allow")]).await;

    assert!(
        answer
            .text
            .contains("You didn&#39;t complete the approval process before it expired. Please try again.")
    );
    assert_eq!(stage.salesforce.grants().len(), 0);
}

#[tokio::test]
async fn a_sixth_approval_ends_the_oldest_grant_before_its_code_is_exchanged() {
    let stage = Stage::start().await;
    let first = stage.connect("acme", "uma@acme.example").await;
    for _ in 0..4 {
        stage.code("acme", "uma@acme.example", KEY).await;
    }
    assert_eq!(stage.salesforce.live_grants().len(), GRANTS_PER_USER_AND_APP);

    stage.code("acme", "uma@acme.example", KEY).await;

    assert_eq!(stage.salesforce.live_grants().len(), GRANTS_PER_USER_AND_APP);
    assert_eq!(stage.salesforce.grants()[0].ended, Some(Ending::Evicted));
    let answer = stage.refresh("acme", text(&first, "refresh_token")).await;
    assert_eq!(error(&answer), (400, "invalid_grant", "expired access/refresh token"));
    // Another user's grants are not touched.
    stage.code("acme", "sam@acme.example", KEY).await;
    assert_eq!(stage.salesforce.live_grants().len(), GRANTS_PER_USER_AND_APP + 1);
}

#[tokio::test]
async fn a_login_ends_with_the_orgs_session_timeout() {
    let stage = Stage::start().await;
    stage.salesforce.install("acme", KEY).expect("installed");
    let mut browser = stage.logged_in("acme", "uma@acme.example").await;
    let url = authorize_url(&stage.salesforce.my_domain("acme"), KEY, &[]);
    assert!(browser.open(&url).await.text.contains("Allow Access?"));

    stage.salesforce.pass(SignedDuration::from_hours(2));

    assert!(browser.open(&url).await.text.contains("<h1>Log In</h1>"));
}
