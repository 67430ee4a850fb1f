//! The reader of pastes: what people really paste, what they must not leave behind, and any text at all.

use diagnosis::{Context, diagnose, read_paste, scrub};
use domain::{AppKind, Evidence, Provenance, Stage, Surface};
use proptest::prelude::*;

const CONTEXT: Context = Context {
    stage: Stage::Lost,
    app_kind: AppKind::ConnectedApp,
    environment: None,
    connected_before: None,
};

fn cause(pasted: &str) -> &'static str {
    let evidence = read_paste(pasted).unwrap_or_else(|| panic!("not recognised: {pasted}"));
    diagnose(&evidence, &CONTEXT).cause().id
}

/// Pasted texts, and the cause that each is to be read as. None of them is in Salesforce's own words alone.
const PASTES: &[(&str, &str)] = &[
    // Addresses: whole, bare, quoted, encoded, broken, rewritten.
    (
        "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client&error_description=app+must+be+installed+into+org",
        "app_not_installed",
    ),
    (
        "acme--uat.sandbox.my.salesforce.com/setup/secur/remoteaccesserrorpage.apexp?ERROR=INVALID_CLIENT&error_description=App%20must%20be%20installed%20into%20org",
        "app_not_installed",
    ),
    (
        "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client&amp;error_description=app+must+be+installed+into+org",
        "app_not_installed",
    ),
    (
        "https%3A%2F%2Facme.my.salesforce.com%2Fsetup%2Fsecur%2FRemoteAccessErrorPage.apexp%3Ferror%3Dinvalid_scope%26error_description%3Dthe%2Brequested%2Bscope%2Bis%2Bnot%2Ballowed",
        "scope_not_allowed",
    ),
    (
        "https%253A%252F%252Facme.my.salesforce.com%252Fx%253Ferror%253Dinvalid_scope%2526error_description%253Dthe%252Brequested%252Bscope",
        "scope_not_allowed",
    ),
    (
        "> https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=inval\n> id_client&error_description=app+must+be+inst\n> alled+into+org\n",
        "app_not_installed",
    ),
    (
        "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=3Dinvalid_client&error_descrip=\ntion=3Dapp+must+be+installed+into+org",
        "app_not_installed",
    ),
    (
        "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Facme.my.salesforce.com%2Fsetup%2Fsecur%2FRemoteAccessErrorPage.apexp%3Ferror%3Dinvalid_client%26error_description%3Dapp%2Bmust%2Bbe%2Binstalled&data=05%7C02%7Cjo%40acme.example%7C5f1d2a3b4c5d6e7f8a9b%7C0&sdata=Zm9vYmFyMTIzNDU2Nzg5MA%3D%3D",
        "app_not_installed",
    ),
    (
        "[error page](https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_scope&error_description=x)",
        "scope_not_allowed",
    ),
    (
        "<a href=\"https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=redirect_uri_mismatch\">link</a>",
        "redirect_uri_mismatch",
    ),
    (
        "https://app.example.com/oauth/callback?error=OAUTH_APP_BLOCKED&error_description=this+app+is+blocked+by+admin&state=abc",
        "app_blocked",
    ),
    (
        "http://localhost:8080/oauth/callback?error=OAUTH_AUTHORIZATION_BLOCKED&error_description=Cross-org+OAuth+flows+are+not+supported+for+this+external+client+app&state=…",
        "cross_org_eca",
    ),
    (
        "https://acme.my.salesforce.com/identity/app/AppInstallErrorPage.apexp?error_code=generic_error",
        "install_failed",
    ),
    (
        "https://acme.my.salesforce.com/_nc_external/identity/sso/ui/AuthorizationError?ErrorCode=No_Oauth_Token&ErrorDescription=An+error+occurred",
        "sso_failed",
    ),
    ("https://acme.my.salesforce.com/_nc_external/identity/saml/SamlError", "sso_failed"),
    // No error at all.
    (
        "https://acme.my.salesforce.com/setup/secur/RemoteAccessAuthorizationPage.apexp?source=CAAAAYxyz123456789abcdefgh",
        "consent_page",
    ),
    ("https://acme.lightning.force.com/lightning/setup/SetupOneHome/home", "not_an_error"),
    ("https://acme.my.salesforce.com/_nc_external/identity/ic/ICRequired", "identity_check"),
    // The page's text.
    (
        "We can't authorize you because of an OAuth error. For more information, contact your Salesforce administrator.\nOAUTH_APPROVAL_ERROR_GENERIC : An unexpected error has occured during authentication. Please try again.",
        "app_not_installed",
    ),
    (
        "oauth_approval_error_generic: an unexpected error has occurrred during authentication",
        "app_not_installed",
    ),
    ("We can’t authorize you because of an OAuth error.", "app_not_installed"),
    ("OAUTH APPROVAL ERROR GENERIC", "app_not_installed"),
    ("OAUTH_APPROVAL_ERROR_\n> GENERIC", "app_not_installed"),
    ("OAUTH_APROVAL_ERROR_GENERIC", "app_not_installed"),
    ("You didn’t complete the approval process before it expired.  Please try again.", "approval_expired"),
    ("YOU DID NOT COMPLETE THE APPROVAL PROCESS BEFORE IT EXPIRED", "approval_expired"),
    (
        "Managed Application Installation Error – There was a problem in installing the application.",
        "install_failed",
    ),
    ("1800 : There was a problem in setting up your remote access", "approval_page_failed"),
    ("1804 : The requested scope is not allowed", "scope_not_allowed"),
    ("error 1703", "oauth_one"),
    ("Insufficient Privileges\nYou do not have the level of access necessary", "login_as_used"),
    // Raw bodies.
    ("error=invalid_client_id&error_description=client%20identifier%20invalid", "client_id_invalid"),
    (
        "error=redirect_uri_mismatch&error_description=redirect_uri%20must%20match%20configuration",
        "redirect_uri_mismatch",
    ),
    ("error=invalid_request&error_description=missing required code challenge", "pkce_missing"),
    // JSON, escaped and not; logs.
    (
        r#"{"error":"invalid_grant","error_description":"ip restricted by app developer"}"#,
        "ip_restricted_by_developer",
    ),
    (
        r#"body: "{\"error\":\"invalid_grant\",\"error_description\":\"user hasn't approved this consumer\"}""#,
        "user_not_approved",
    ),
    (r#"{"url":"https:\/\/x\/?error=invalid_scope\u0026error_description=no"}"#, "scope_not_allowed"),
    (
        r#"[{"message":"The REST API is not enabled for this Organization.","errorCode":"API_DISABLED_FOR_ORG"}]"#,
        "api_disabled",
    ),
    (
        r#"{"level":"warn","extra":{"error":"OAUTH_APP_BLOCKED","state":"eyJhbGciOiJIUzI1NiJ9"},"message":"callback failed"}"#,
        "app_blocked",
    ),
    (
        "2026-09-15T10:22:33Z ERROR sync: Error refreshing token: expired access/refresh token (HTTP 400)",
        "grant_expired_or_revoked",
    ),
    (
        "HTTP 400 {'error': 'invalid_client', 'error_description': 'invalid client credentials'}",
        "client_credentials_invalid",
    ),
    ("[OAuth2Error] unsupported_grant_type - grant type not supported", "request_malformed"),
    ("sfdc: 503 Service Unavailable, will retry", "salesforce_unavailable"),
    // Tickets, in people's words and languages.
    (
        "Guten Tag, beim Verbinden erscheint „OAUTH_APP_BLOCKED : this app is blocked by admin“. Bitte um Hilfe!",
        "app_blocked",
    ),
    ("Bonjour, j'obtiens OAUTH_EC_APP_NOT_FOUND quand je clique sur Connecter", "eca_not_installed"),
    ("接続できません。OAUTH_APP_ACCESS_DENIED と表示されます", "user_not_approved"),
    ("Our Salesforce says the External Client App isn't installed in this org??", "eca_not_installed"),
    ("Hi team, the admin blocked your app in our org I think", "app_blocked"),
    ("The user is not admin-approved to access this app", "user_not_approved"),
    ("login history shows: Failed: Not approved for access", "user_not_approved"),
    ("Login History: Restricted IP", "ip_restricted"),
    ("Failed: IP Address Not Allowed", "ip_restricted"),
    ("Status LOGIN_OAUTH_INVALID_IP", "ip_restricted"),
    ("Failed: Token request is already being processed", "concurrent_refresh"),
    ("Failed: API-only user", "license_insufficient"),
    ("LOGIN_ERROR_USER_FROZEN", "user_inactive"),
    ("Login rate exceeded", "login_rate_exceeded"),
    ("it says PKCE is required", "pkce_missing"),
    ("callback url mismatch", "redirect_uri_mismatch"),
    ("error: access-denied, end-user denied authorization", "user_denied"),
    ("I think I clicked Deny by mistake", "user_denied"),
    ("I get a page: SAML assertion invalid", "sso_failed"),
    // Said by hand.
    ("Salesforce schreibt, die App muss erst installiert werden (invalid_client)", "app_not_installed"),
    ("it complains that the app needs to be installed into my org first", "app_not_installed"),
    ("the page says the connected app was never installed", "app_not_installed"),
    ("Connected app is blocked", "app_blocked"),
    ("Your application has been blocked by an administrator", "app_blocked"),
    ("blocked by our Salesforce admin, can you unblock?", "app_blocked"),
    ("I'm told the user isn't approved for the app", "user_not_approved"),
    ("User is not authorised to access this app", "user_not_approved"),
    ("says the requested scopes are not allowed", "scope_not_allowed"),
    ("the scope refresh_token isn't allowed", "scope_not_allowed"),
    ("redirect uri does not match", "redirect_uri_mismatch"),
    ("wrong client secret", "client_credentials_invalid"),
    ("Cross org OAuth isn't supported", "cross_org_eca"),
    ("the approval expired before I could click", "approval_expired"),
    ("the user was deactivated last week", "user_inactive"),
    ("org is locked, closed, or suspended", "org_inactive"),
    ("refresh token was revoked", "grant_expired_or_revoked"),
    ("Error 503 on Salesforce", "salesforce_unavailable"),
    ("oauth-app-access-denied", "user_not_approved"),
    ("Oauth_Ec_App_Not_Found", "eca_not_installed"),
    ("Error Code: 1707", "oauth_one"),
    ("invalid_app_acess", "user_not_approved"),
    ("fail_close_app_blocked", "app_blocked"),
    ("INVALID_SESSION_ID: This session is not valid for use with the REST API", "api_access_control"),
    ("[{'errorCode': 'INVALID_SESSION_ID', 'message': 'Session expired or invalid'}]", "session_invalid"),
    ("Bad_OAuth_Token", "session_invalid"),
    ("REQUEST_LIMIT_EXCEEDED: TotalRequests Limit exceeded.", "api_limit_exceeded"),
    ("error_description=Number+of+logins+exceeded&error=rate_limit_exceeded", "rate_limit_exceeded"),
    ("error=invalid_grant&error_description=IP+restricted+or+invalid+login+hours", "ip_restricted"),
    ("{\"error\":\"invalid_grant\",\"error_description\":\"inactive organization\"}", "org_inactive"),
    ("immediate_unsuccessful", "silent_sign_in"),
    ("Non sandbox app cannot be installed in sandbox", "app_of_other_environment"),
    ("request not supported on this domain", "request_malformed"),
    ("no client credentials user enabled", "client_credentials_flow"),
    ("Audience validation failed", "assertion_invalid"),
    (
        "http://acme.my.salesforce.localhost:9000/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client&error_description=app+must+be+installed+into+org",
        "app_not_installed",
    ),
    (
        "Page says OAUTH_APPROVAL_ERROR_GENERIC : An unexpected error has occured during authentication. Address: https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_scope&error_description=the+requested+scope+is+not+allowed",
        "scope_not_allowed",
    ),
    (
        "https://login.salesforce.com/services/oauth2/authorize?response_type=code&client_id=3MVG9abcdef1234567890&redirect_uri=https%3A%2F%2Fx.example%2Fcb&state=abc",
        "not_an_error",
    ),
    ("https://acme.lightning.force.com/lightning/setup/ConnectedAppsUsage/home", "not_an_error"),
    ("https://acme.my.salesforce.com/setup/forcecomHomepage.apexp?setupid=ForceCom", "not_an_error"),
];

#[test]
fn what_people_paste_is_read_as_what_it_means() {
    let wrong: Vec<String> = PASTES
        .iter()
        .filter_map(|(pasted, expected)| {
            let Some(evidence) = read_paste(pasted) else {
                return Some(format!("not recognised: {pasted}"));
            };
            // The trouble page reads it as of the way out, the sweep as of a session that was lost.
            [Stage::Lost, Stage::Authorize].into_iter().find_map(|stage| {
                let found = diagnose(&evidence, &Context { stage, ..CONTEXT });
                let ids: Vec<_> = found.ranked.iter().map(|candidate| candidate.cause.id).collect();
                (ids[0] != *expected)
                    .then(|| format!("{pasted}\n  {evidence:?}\n  → {stage:?} {ids:?}, not {expected}"))
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_paste_reads_the_same_inside_a_mail_in_capitals_and_encoded() {
    for (pasted, expected) in PASTES {
        let mail = format!("Hello,\n\nsee below. Thanks, Jo\n\n> {}\n", pasted.replace('\n', "\n> "));
        assert_eq!(cause(&mail), *expected, "in a mail: {pasted}");
        let encoded: String = pasted
            .bytes()
            .map(|byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            })
            .collect();
        assert_eq!(cause(&encoded), *expected, "percent-encoded: {pasted}");
        let html = pasted.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;");
        assert_eq!(cause(&html), *expected, "in HTML: {pasted}");
        let json = serde_json::to_string(pasted).unwrap();
        assert_eq!(cause(&json), *expected, "in JSON: {pasted}");
    }
}

#[test]
fn text_that_names_nothing_is_not_recognised() {
    for text in [
        "",
        " \n",
        "it does not work",
        "help!!",
        "https://example.com/",
        "12345",
        "\u{0}\u{1}",
        "%%%%",
        "&&&&===",
    ] {
        assert_eq!(read_paste(text), None, "{text:?}");
    }
}

#[test]
fn the_evidence_tells_where_by_whom_and_of_which_org() {
    let evidence = read_paste(
        "https://Acme--uat.sandbox.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error=invalid_client&error_description=app+must+be+installed+into+org",
    );
    assert_eq!(
        evidence,
        Some(Evidence {
            surface: Surface::HostedPage,
            provenance: Provenance::Reported,
            code: Some("invalid_client".to_owned()),
            description: Some("app must be installed into org".to_owned()),
            http_status: None,
            host: Some("acme--uat.sandbox.my.salesforce.com".to_owned()),
        })
    );
}

#[test]
fn who_tells_of_two_errors_is_shown_both() {
    let pasted = "Before the admin unblocked it we had OAUTH_APP_BLOCKED, now it is OAUTH_APP_ACCESS_DENIED";
    let evidence = read_paste(pasted).expect("two codes");
    let ids: Vec<_> =
        diagnose(&evidence, &CONTEXT).ranked.iter().map(|candidate| candidate.cause.id).collect();
    assert!(ids[0] == "app_blocked" && ids[1..].contains(&"user_not_approved"), "{ids:?}");
}

#[test]
fn reading_takes_as_long_as_the_text_is() {
    // What would make a careless reader look at the same text again and again: minutes, not a second.
    let begun = std::time::Instant::now();
    for piece in
        ["error=", "code=a&", "error: a,", "token: a ", "&amp;", "%25", "app ", "http://a\n", "\\", "a.b/"]
    {
        let text = piece.repeat(100_000 / piece.len());
        assert!(scrub(&text).len() <= 8 * 1024);
        drop(read_paste(&text));
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn an_error_in_the_middle_of_a_long_log_is_found_at_either_end() {
    let noise = "INFO nothing to see here, all is well\n".repeat(4_000);
    assert_eq!(cause(&format!("{noise}error=OAUTH_APP_BLOCKED\n")), "app_blocked");
    assert_eq!(cause(&format!("error=OAUTH_APP_BLOCKED\n{noise}")), "app_blocked");
    assert!(scrub(&noise).len() <= 8 * 1024);
}

#[test]
fn wherever_a_long_text_is_cut_scrubbing_again_changes_nothing() {
    for before in 8 * 1024 - 60..8 * 1024 {
        let text =
            format!("{}?code=access_denied&state=aPrx1&sid=00D5g0000008abc!AQx", "a ".repeat(before / 2));
        let once = scrub(&text[before % 2..]);
        assert_eq!(scrub(&once), once, "after {before} bytes");
    }
}

/// The page promises that codes, tokens and passwords are removed: whatever form or client they come from, and in whatever
/// language somebody names them.
#[test]
fn promised_secrets_are_kept_nowhere() {
    const SECRET: &str = "Zq7-hunter.X";
    let fields = [
        "pw",
        "password",
        "Password",
        "newpassword",
        "confirmpassword",
        "j_password",
        "SF_PASSWORD",
        "sfdc.password",
        "client_secret",
        "client-secret",
        "clientSecret",
        "refresh_token",
        "X-Api-Key",
        "security_token",
        "sid",
        "sessionId",
        "X-SFDC-Session",
        "JSESSIONID",
        "SAMLResponse",
        "RelayState",
        "code_verifier",
        "client_assertion",
        "emc",
        "smc",
        "otp",
        "csrf",
        "_CONFIRMATIONTOKEN",
        "private_key",
        "passphrase",
        "pwd",
        "pass",
    ];
    for name in fields {
        for text in [
            format!("{name}={SECRET}"),
            format!("https://login.salesforce.com/?un=uma&{name}={SECRET}&Login=x"),
            format!("{name}: {SECRET}"),
            format!("{name} = '{SECRET}'"),
            format!("{{\"{name}\": \"{SECRET}\"}}"),
            format!(":{name} => \"{SECRET}\""),
            format!("<{name}>{SECRET}</{name}>").replace(' ', ""),
            format!("<urn:{name} xsi:type=\"xsd:string\">{SECRET}</urn:{name}>"),
            format!("<input type=\"text\" name=\"{name}\" value=\"{SECRET}\">"),
            format!("{{\"name\":\"{name}\",\"value\":\"{SECRET}\"}}"),
        ] {
            let pasted = format!("{text}\nerror=OAUTH_APP_BLOCKED&error_description=blocked");
            let kept = kept(&pasted);
            assert!(!kept.contains(SECRET), "{pasted}\n→ {kept}");
            assert!(kept.contains("OAUTH_APP_BLOCKED"), "the error stays: {pasted}\n→ {kept}");
        }
    }
    for sentence in [
        "My password is {}",
        "my password: {}",
        "Mein Passwort ist {}",
        "Mein Kennwort lautet {}",
        "Mi contraseña es {}",
        "mi clave es {}",
        "Mon mot de passe est {}",
        "mdp : {}",
        "Minha senha é {}",
        "La mia password è {}",
        "Mijn wachtwoord is {}",
        "Mitt lösenord är {}",
        "Moje hasło to {}",
        "Мой пароль {}",
        "пароль — {}",
        "パスワードは{}です",
        "パスワード：{}",
        "我的密码是{}",
        "密碼：{}",
        "제 비밀번호는 {}",
        "암호: {}",
        "the sid cookie is {}",
        "session id was {}",
        "cookie sid: {}",
        "my security token is {}",
        "PW: {}",
        "login uma@acme.example password {}",
        "https://uma:{}@acme.my.salesforce.com",
        "curl -u uma@acme.example:{} x",
    ] {
        let pasted = format!("{}\nOAUTH_APP_BLOCKED", sentence.replace("{}", SECRET));
        let kept = kept(&pasted);
        assert!(!kept.contains(SECRET), "{pasted}\n→ {kept}");
        assert!(kept.contains("OAUTH_APP_BLOCKED"), "the error stays: {pasted}\n→ {kept}");
    }
}

/// Everything of the evidence that is kept.
fn kept(pasted: &str) -> String {
    format!("{}\n{:?}", scrub(pasted), read_paste(pasted))
}

fn encodings() -> impl Strategy<Value = fn(&str) -> String> {
    fn plain(text: &str) -> String {
        text.to_owned()
    }
    fn percent(text: &str) -> String {
        let encode = |byte: u8| {
            if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
        };
        text.bytes().map(encode).collect()
    }
    fn twice(text: &str) -> String {
        percent(&percent(text))
    }
    fn html(text: &str) -> String {
        text.replace('&', "&amp;").replace('=', "&#61;").replace('"', "&quot;")
    }
    fn json(text: &str) -> String {
        serde_json::to_string(text).expect("a string").replace('&', "\\u0026")
    }
    prop_oneof![
        Just(plain as fn(&str) -> String),
        Just(percent as fn(&str) -> String),
        Just(twice as fn(&str) -> String),
        Just(html as fn(&str) -> String),
        Just(json as fn(&str) -> String)
    ]
}

fn near_misses() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("error=".to_owned()),
        Just("error_description".to_owned()),
        Just("code=".to_owned()),
        Just("&amp;".to_owned()),
        Just("%25".to_owned()),
        Just("%".to_owned()),
        Just("=3D".to_owned()),
        Just("=\n".to_owned()),
        Just("\\u00".to_owned()),
        Just("\\".to_owned()),
        Just("[removed]".to_owned()),
        Just("\"".to_owned()),
        Just("://".to_owned()),
        Just("\n> ".to_owned()),
        Just("00D5g0000008abc!AQ".to_owned()),
        Just("token: ".to_owned()),
        Just("Cookie: ".to_owned()),
        Just("&#x26;".to_owned()),
        Just("u=https-3A__".to_owned()),
        Just(".my.salesforce.com".to_owned()),
        Just("OAUTH_APP_BLOCKED".to_owned()),
        Just("’".to_owned()),
        Just("\u{200b}".to_owned()),
        "[a-zA-Z0-9_.-]{0,20}",
        "\\PC{0,8}",
    ];
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_is_too_much(text in prop_oneof![any::<String>(), near_misses()]) {
        let scrubbed = scrub(&text);
        prop_assert!(scrubbed.len() <= 8 * 1024);
        prop_assert_eq!(scrub(&scrubbed), scrubbed);
        if let Some(evidence) = read_paste(&text) {
            prop_assert!(!diagnose(&evidence, &CONTEXT).ranked.is_empty());
            prop_assert!(evidence.code.is_some() || evidence.description.is_some());
            prop_assert_eq!(evidence.provenance, Provenance::Reported);
        }
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let scrubbed = scrub(&String::from_utf8_lossy(&bytes));
        prop_assert_eq!(scrub(&scrubbed), scrubbed);
    }

    #[test]
    fn no_named_secret_survives(
        name in prop::sample::select(vec![
            "code", "sid", "state", "access_token", "refresh_token", "id_token", "client_secret", "code_verifier",
            "password", "assertion", "session_id", "token", "sessionId", "oauth_token", "receipt", "nonce",
        ]),
        secret in "[A-Za-z][0-9][A-Za-z0-9._!-]{8,80}",
        form in 0..4,
        before in "(https://app\\.example/cb\\?error=access_denied&|please look: |)",
        encode in encodings(),
    ) {
        let pasted = match form {
            0 => format!("{before}{name}={secret}&error=access_denied"),
            1 => format!("{before}{{\"{name}\": \"{secret}\", \"error\": \"invalid_grant\"}}"),
            2 => format!("{before}{name}: {secret}\nOAUTH_APP_BLOCKED"),
            _ => format!("{before}error=OAUTH_APP_BLOCKED&{name} = '{secret}'"),
        };
        let kept = kept(&encode(&pasted));
        prop_assert!(!kept.contains(&secret[..]), "{pasted}\n→ {kept}");
    }

    #[test]
    fn no_token_survives_by_its_looks(
        secret in prop_oneof![
            "00D[A-Za-z0-9]{12}![A-Za-z0-9._]{20,80}",
            "eyJ[A-Za-z0-9]{20}\\.eyJ[A-Za-z0-9_-]{20,60}\\.[A-Za-z0-9_-]{20,40}",
            "5Aep861[A-Za-z0-9._]{20}[0-9][A-Za-z0-9._]{40}",
            "aPrx[a-z]{3}[0-9][A-Za-z0-9]{30}==",
            "[0-9A-F]{2}[0-9][A-F][0-9A-F]{60}",
        ],
        before in "(We used |token |\\(|\"|see: )",
        encode in encodings(),
    ) {
        let kept = kept(&encode(&format!("{before}{secret} and got OAUTH_APP_BLOCKED")));
        prop_assert!(!kept.contains(&secret[..]), "{secret} → {kept}");
        prop_assert!(!kept.contains(&secret[secret.len() - 12..]), "the end of {secret} → {kept}");
    }
}
