//! What API clients meet: REST, TLS on the same port, and the controls for tests in other languages.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName},
    },
};

use super::{super::*, *};

#[tokio::test]
async fn a_token_queries_its_own_org_until_it_expires() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let access_token = text(&tokens, "access_token");
    let query = |org: &str, soql: &str| {
        let soql = soql.replace(' ', "+");
        format!("{}/services/data/v62.0/query?q={soql}", stage.salesforce.my_domain(org))
    };
    let accounts = query("acme", "select Id, name FROM account ORDER BY Name DESC LIMIT 2");

    let (status, answer) = stage.api(&accounts, access_token).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["totalSize"], 2);
    assert_eq!(answer["done"], true);
    assert_eq!(answer["records"][0]["Name"], "Umbrella Logistics");
    assert_eq!(answer["records"][0]["attributes"]["type"], "Account");
    let (_, record) = stage
        .api(
            &format!(
                "{}{}",
                stage.salesforce.my_domain("acme"),
                text(&answer["records"][0]["attributes"], "url")
            ),
            access_token,
        )
        .await;
    assert_eq!(record["Id"], answer["records"][0]["Id"]);
    assert_eq!(
        stage.api(&query("acme", "SELECT COUNT() FROM Contact"), access_token).await.1["totalSize"],
        4
    );

    for (soql, code) in [
        ("SELECT Id FROM Lead", "INVALID_TYPE"),
        ("SELECT Shoe FROM Account", "INVALID_FIELD"),
        ("DELETE FROM Account", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account LIMIT many", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE x", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name IN (Acme)", "MALFORMED_QUERY"),
        ("SELECT Id FROM ConnectedApplication", "INVALID_TYPE"),
    ] {
        let (status, answer) = stage.api(&query("acme", soql), access_token).await;
        assert_eq!((status, text(&answer[0], "errorCode")), (StatusCode::BAD_REQUEST, code), "{soql}");
    }

    let dead = serde_json::json!([{
        "message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"
    }]);
    let foreign = stage.api(&query("globex", "SELECT Id FROM Account"), access_token).await;
    assert_eq!(foreign, (StatusCode::UNAUTHORIZED, dead.clone()));
    stage.salesforce.expire_access_tokens();
    assert_eq!(stage.api(&accounts, access_token).await, (StatusCode::UNAUTHORIZED, dead.clone()));

    let (_, renewed) = stage.refresh("acme", text(&tokens, "refresh_token")).await;
    assert_eq!(stage.api(&accounts, text(&renewed, "access_token")).await.0, StatusCode::OK);
    stage.salesforce.pass(SignedDuration::from_hours(2));
    assert_eq!(stage.api(&accounts, text(&renewed, "access_token")).await, (StatusCode::UNAUTHORIZED, dead));
}

#[tokio::test]
async fn who_may_not_use_the_api_is_told_so() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "rob@acme.example").await;
    let origin = stage.salesforce.my_domain("acme");

    let (status, answer) =
        stage.api(&format!("{origin}/services/data/v62.0/"), text(&tokens, "access_token")).await;
    assert_eq!((status, text(&answer[0], "errorCode")), (StatusCode::FORBIDDEN, "API_DISABLED_FOR_ORG"));

    stage.salesforce.change(|state| state.grants[0].scopes = vec!["openid".to_owned()]);
    let (status, answer) =
        stage.api(&format!("{origin}/services/data/v62.0/"), text(&tokens, "access_token")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(answer[0]["message"], "This session is not valid for use with the REST API");
}

#[tokio::test]
async fn the_resources_that_clients_look_up_are_there() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let at = |path: &str| format!("{}/services/data{path}", stage.salesforce.my_domain("acme"));
    let access_token = text(&tokens, "access_token");

    let (_, versions) = stage.api(&at("/"), "none").await;
    let newest = versions.as_array().and_then(|versions| versions.last()).expect("versions");
    assert_eq!((&newest["version"], &newest["label"]), (&"68.0".into(), &"Winter '27".into()));
    for (path, holds) in [
        ("/v62.0/", "query"),
        ("/v62.0/limits", "DailyApiRequests"),
        ("/v62.0/sobjects", "sobjects"),
        ("/v62.0/sobjects/Account/describe", "fields"),
    ] {
        let (status, answer) = stage.api(&at(path), access_token).await;
        assert!(status == StatusCode::OK && answer.get(holds).is_some(), "{path}: {answer}");
    }
    assert_eq!(stage.api(&at("/v12.0/query?q=x"), access_token).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_same_port_answers_tls() {
    let stage = Stage::start().await;
    let pem: String = stage.running.ca_pem().lines().filter(|line| !line.starts_with("-----")).collect();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(STANDARD.decode(pem).expect("PEM"))).expect("an authority");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocols")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));

    for host in ["login.salesforce.localhost", "acme--uat.sandbox.my.salesforce.localhost"] {
        let stream = tokio::net::TcpStream::connect(stage.running.addr()).await.expect("connected");
        let name = ServerName::try_from(host).expect("a name");
        let mut stream = connector.connect(name, stream).await.expect("a certificate of this host");
        let request = format!("GET /id/keys HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn tests_in_other_languages_have_the_same_controls() {
    let stage = Stage::start().await;
    let index = format!("http://{}", stage.running.site());
    let post = async |path: &str, body: &str| {
        let response =
            stage.http.post(format!("{index}{path}")).body(body.to_owned()).send().await.expect("an answer");
        response.status()
    };
    let target = format!(r#"{{"org":"acme","app":"{KEY}"}}"#);

    assert_eq!(post("/_world/install", &target).await, StatusCode::OK);
    assert!(stage.salesforce.standing("acme", KEY).is_installed());
    let policies = format!(r#"{{"org":"acme","app":"{KEY}","admin_approved":true,"profiles":["Sales"]}}"#);
    assert_eq!(post("/_world/policies", &policies).await, StatusCode::OK);
    let policy = stage.salesforce.standing("acme", KEY).policy().cloned().expect("a policy");
    assert_eq!(policy.permitted_users, PermittedUsers::AdminApprovedPreAuthorized);
    assert_eq!(post("/_world/block", &target).await, StatusCode::OK);
    assert!(stage.salesforce.standing("acme", KEY).is_blocked());
    assert_eq!(post("/_world/unblock", &target).await, StatusCode::OK);
    assert_eq!(stage.salesforce.standing("acme", KEY), Standing::Installed(policy));
    assert_eq!(post("/_world/uninstall", &target).await, StatusCode::OK);
    assert_eq!(stage.salesforce.standing("acme", KEY), Standing::Seen);

    let before = stage.salesforce.clock().now();
    assert_eq!(post("/_world/pass", r#"{"seconds":90}"#).await, StatusCode::OK);
    assert_eq!(stage.salesforce.clock().now(), before + SignedDuration::from_secs(90));
    for seconds in [1_767_225_600_000, i64::MAX, i64::MIN] {
        let order = format!(r#"{{"seconds":{seconds}}}"#);
        assert_eq!(post("/_world/pass", &order).await, StatusCode::BAD_REQUEST, "{seconds}");
    }
    assert_eq!(stage.salesforce.clock().now(), before + SignedDuration::from_secs(90));
    let tokens = stage.connect("acme", "uma@acme.example").await;
    assert_eq!(post("/_world/expire-access-tokens", "").await, StatusCode::OK);
    let limits = format!("{}/services/data/v62.0/limits", stage.salesforce.my_domain("acme"));
    assert_eq!(stage.api(&limits, text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);

    let (_, calls) = stage.api(&format!("{index}/_world/calls"), "none").await;
    let last = calls.as_array().and_then(|calls| calls.last()).expect("calls");
    assert_eq!((text(last, "path"), &last["status"]), ("/services/data/v62.0/limits", &401.into()));
    assert_eq!(post("/_world/install", r#"{"org":"nowhere","app":"x"}"#).await, StatusCode::BAD_REQUEST);
    // The controls are the index's alone.
    let elsewhere = format!("{}/_world/calls", stage.salesforce.my_domain("acme"));
    assert_eq!(stage.api(&elsewhere, "none").await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn every_fault_can_be_ordered_over_http_and_ended() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let control = format!("http://{}/_world/misbehave", stage.running.site());
    let order = async |body: &str| {
        stage.http.post(&control).body(body.to_owned()).send().await.expect("an answer").status()
    };
    let userinfo = format!("{}/services/oauth2/userinfo", stage.salesforce.my_domain("acme"));
    let asked = async || stage.api(&userinfo, text(&tokens, "access_token")).await.0;

    let (_, known) = stage.api(&control, "none").await;
    let faults = known["faults"].as_array().expect("a list");
    for fault in faults {
        let body = format!(r#"{{"endpoint":"userinfo","fault":{fault},"times":1}}"#);
        assert_eq!(order(&body).await, StatusCode::OK, "{fault}");
    }
    assert_eq!(
        order(r#"{"endpoint":"userinfo","fault":"unprocessed-html-502","times":2}"#).await,
        StatusCode::OK
    );
    for expected in [StatusCode::BAD_GATEWAY, StatusCode::BAD_GATEWAY, StatusCode::OK] {
        assert_eq!(asked().await, expected, "the last order counts, for so many requests");
    }
    assert_eq!(order(r#"{"endpoint":"userinfo","fault":"unprocessed-html-502"}"#).await, StatusCode::OK);
    assert_eq!(asked().await, StatusCode::BAD_GATEWAY);
    stage.http.delete(&control).send().await.expect("an answer");
    assert_eq!(asked().await, StatusCode::OK);
    for wrong in [r#"{"endpoint":"moon","fault":"half"}"#, r#"{"endpoint":"token","fault":"moon"}"#, "{}"] {
        assert_eq!(order(wrong).await, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_told_so() {
    let stage = Stage::start().await;
    let url = format!("http://evil.my.salesforce.localhost:{}/", stage.running.addr().port());
    assert_eq!(stage.browser().open(&url).await.status, StatusCode::NOT_FOUND);
    let guide = stage.browser().open(&format!("http://{}/", stage.running.site())).await;
    for shown in ["acme.my.salesforce.localhost", "acme--uat.sandbox.my", "ada@acme.example", "Notely Next"] {
        assert!(guide.text.contains(shown), "{shown}");
    }
}

#[tokio::test]
async fn a_stopped_salesforce_answers_no_more() {
    let Stage { salesforce, running, http } = Stage::start().await;
    let url = format!("{}/id/keys", salesforce.login_origin());
    assert!(http.get(&url).send().await.is_ok());
    running.stop().await;
    assert!(http.get(&url).send().await.is_err());
}
