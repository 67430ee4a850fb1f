//! The token endpoint misbehaving to order, and the exact record of what it was asked.

use std::time::Duration;

use super::{super::*, *};

/// Sends a refresh whose answer may never come.
async fn try_refresh(stage: &Stage, refresh_token: &str) -> Result<(StatusCode, String), reqwest::Error> {
    try_refresh_within(Duration::from_secs(10), stage, refresh_token).await
}

async fn try_refresh_within(
    patience: Duration,
    stage: &Stage,
    refresh_token: &str,
) -> Result<(StatusCode, String), reqwest::Error> {
    let body =
        form_urlencoded::Serializer::new(String::new()).extend_pairs(refresh_form(refresh_token)).finish();
    let url = format!("{}{TOKEN_PATH}", stage.salesforce.my_domain("acme"));
    let response = stage.http.post(url).body(body).timeout(patience).send().await?;
    Ok((response.status(), response.text().await?))
}

#[tokio::test]
async fn unprocessed_faults_leave_the_refresh_token_as_it_was() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let refresh_token = text(&tokens, "refresh_token");
    for fault in [
        Fault::Html(200),
        Fault::Html(503),
        Fault::Empty,
        Fault::Huge(5_000_000),
        Fault::Answer {
            status: 400,
            error: "unknown_error".to_owned(),
            description: "retry your request".to_owned(),
        },
    ] {
        stage.salesforce.queue_token_fault(fault);
    }

    let (status, body) = try_refresh(&stage, refresh_token).await.expect("an answer");
    assert!(status == StatusCode::OK && body.starts_with("<html>"));
    assert_eq!(
        try_refresh(&stage, refresh_token).await.expect("an answer").0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    assert_eq!(try_refresh(&stage, refresh_token).await.expect("an answer"), (StatusCode::OK, String::new()));
    assert!(try_refresh(&stage, refresh_token).await.expect("an answer").1.len() > 5_000_000);
    let verbatim = stage.refresh("acme", refresh_token).await;
    assert_eq!(error(&verbatim), (400, "unknown_error", "retry your request"));

    assert_eq!(stage.refresh("acme", refresh_token).await.0, StatusCode::OK);
}

#[tokio::test]
async fn an_answer_that_is_lost_was_given_all_the_same() {
    for fault in [Fault::CommitThenDrop, Fault::Half] {
        let stage = Stage::start().await;
        let tokens = stage.connect("acme", "uma@acme.example").await;
        let refresh_token = text(&tokens, "refresh_token");
        stage.salesforce.queue_token_fault(fault.clone());

        let lost = try_refresh(&stage, refresh_token).await;

        assert!(lost.is_err(), "{fault:?} answered {lost:?}");
        assert_eq!(stage.salesforce.grants()[0].spent, [refresh_token], "{fault:?}");
        assert_eq!(stage.refresh("acme", refresh_token).await.0, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_stop_what_it_asked_for() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let refresh_token = text(&tokens, "refresh_token");
    stage.salesforce.queue_token_fault(Fault::Slow(Duration::from_millis(1500)));

    let gave_up = try_refresh_within(Duration::from_millis(200), &stage, refresh_token).await;

    assert!(gave_up.is_err());
    let busy = stage.refresh("acme", refresh_token).await;
    assert_eq!(error(&busy), (400, "invalid_grant", "token request is already being processed"));
    while stage.salesforce.grants()[0].spent.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(stage.salesforce.grants()[0].spent, [refresh_token]);
}

#[tokio::test]
async fn a_half_answer_breaks_off_in_the_body() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    stage.salesforce.queue_token_fault(Fault::Half);
    let body = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(refresh_form(text(&tokens, "refresh_token")))
        .finish();
    let url = format!("{}{TOKEN_PATH}", stage.salesforce.my_domain("acme"));

    let response = stage.http.post(url).body(body).send().await.expect("the head arrives");

    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.text().await.is_err());
}

#[tokio::test]
async fn answers_that_lie() {
    let stage = Stage::start().await;
    let mut tokens = stage.connect("acme", "uma@acme.example").await;
    let honest = tokens.clone();
    for (fault, lie) in [
        (Fault::WrongSignature, "signature"),
        (Fault::AnotherUser, "id"),
        (Fault::InstanceUrl("https://evil.example".to_owned()), "instance_url"),
    ] {
        stage.salesforce.queue_token_fault(fault);
        let (status, answer) = stage.refresh("acme", text(&tokens, "refresh_token")).await;
        assert_eq!(status, StatusCode::OK);
        assert_ne!(answer[lie], honest[lie], "{lie}");
        let signature = sign::signature(SECRET, text(&answer, "id"), text(&answer, "issued_at"));
        assert_eq!(answer["signature"] == signature, lie != "signature", "{lie}");
        tokens = answer;
    }
    stage.salesforce.queue_token_fault(Fault::MissingRefreshToken);
    let (status, answer) = stage.refresh("acme", text(&tokens, "refresh_token")).await;
    assert_eq!((status, answer.get("refresh_token")), (StatusCode::OK, None));

    stage.salesforce.queue_token_fault(Fault::WrongNonce);
    let code = stage.code("acme", "uma@acme.example", KEY).await;
    let (_, answer) = stage.exchange("acme", &code).await;
    assert_eq!(sign::with_nonce(text(&answer, "id_token"), "nobody-sent-this"), text(&answer, "id_token"));
}

#[tokio::test]
async fn an_unreachable_salesforce_closes_connections_but_can_be_told_to_come_back() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    stage.salesforce.set_unreachable(true);
    assert!(try_refresh(&stage, text(&tokens, "refresh_token")).await.is_err());
    assert_eq!(stage.salesforce.token_calls().last().map(|call| &call.outcome), Some(&Outcome::Dropped));

    let control = format!("http://{}/_world/unreachable", stage.running.site());
    let told =
        stage.http.post(control).body(r#"{"unreachable":false}"#).send().await.expect("the index answers");

    assert_eq!(told.status(), StatusCode::OK);
    assert!(try_refresh(&stage, text(&tokens, "refresh_token")).await.is_ok());
}

#[tokio::test]
async fn every_call_is_on_record_and_no_secret_is() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    stage.salesforce.forget_calls();
    stage.refresh("acme", text(&tokens, "refresh_token")).await;
    stage.refresh("acme", "a-secret-guess").await;
    stage.salesforce.queue_token_fault(Fault::CommitThenDrop);
    assert!(try_refresh(&stage, "a-secret-guess").await.is_err());

    let calls = stage.salesforce.token_calls();

    let outcomes: Vec<_> = calls.iter().map(|call| &call.outcome).collect();
    let answered =
        |status, error: Option<&str>| Outcome::Answered { status, error: error.map(str::to_owned) };
    assert_eq!(outcomes, [&answered(200, None), &answered(400, Some("invalid_grant")), &Outcome::Dropped]);
    assert!(calls.iter().all(|call| {
        call.grant_type.as_deref() == Some("refresh_token") && call.host == "acme.my.salesforce.localhost"
    }));
    let written = format!("{:?}", stage.salesforce.calls());
    for secret in ["a-secret-guess", SECRET, text(&tokens, "refresh_token")] {
        assert!(!written.contains(secret));
    }
}

#[tokio::test]
async fn every_fault_has_a_control_over_http() {
    let stage = Stage::start().await;
    let index = format!("http://{}", stage.running.site());
    let post = async |path: &str, body: serde_json::Value| {
        let request = stage.http.post(format!("{index}{path}")).body(body.to_string());
        request.send().await.expect("an answer").status().as_u16()
    };
    let order = async |fault: serde_json::Value| {
        let body = serde_json::json!({ "fault": fault, "grant_type": "refresh_token" });
        assert_eq!(post("/_world/token-fault", body).await, 200, "{fault}");
    };
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
    order(json(r#"{"answer": {"status": 400, "error": "invalid_grant", "description": "user not active"}}"#))
        .await;
    order(json(r#"{"redirect": {"status": 307, "to": "http://login.salesforce.localhost/x"}}"#)).await;
    order(json(r#""empty""#)).await;
    // The exchange comes first, and is not meant.
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let refresh_token = text(&tokens, "refresh_token");
    assert_eq!(error(&stage.refresh("acme", refresh_token).await), (400, "invalid_grant", "user not active"));
    let (status, _) = try_refresh(&stage, refresh_token).await.expect("an answer");
    assert_eq!(status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(try_refresh(&stage, refresh_token).await.expect("an answer"), (StatusCode::OK, String::new()));

    let misbehave = |endpoint: &str, fault: &str| serde_json::json!({ "endpoint": endpoint, "fault": fault });
    assert_eq!(post("/_world/misbehave", misbehave("exchange", "unprocessed-html-503")).await, 200);
    assert_eq!(stage.refresh("acme", refresh_token).await.0, StatusCode::OK);
    assert_eq!(post("/_world/misbehave", misbehave("refresh", "unprocessed-html-502")).await, 200);
    assert_eq!(try_refresh(&stage, refresh_token).await.expect("an answer").0, StatusCode::BAD_GATEWAY);
    assert_eq!(post("/_world/misbehave", misbehave("data", "unprocessed-html-502")).await, 200);
    let limits = format!("{}/services/data/v62.0/limits", stage.salesforce.my_domain("acme"));
    let answer = stage.http.get(limits).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    stage.salesforce.behave();

    assert_eq!(post("/_world/clock-error", json(r#"{"seconds": 90}"#)).await, 200);
    assert_eq!(stage.salesforce.read(|state| state.clock_error), SignedDuration::from_secs(90));
    for seconds in [400_000_000_000, i64::MIN] {
        let order = serde_json::json!({ "seconds": seconds });
        assert_eq!(post("/_world/clock-error", order).await, 400, "{seconds}");
    }
    assert_eq!(stage.salesforce.read(|state| state.clock_error), SignedDuration::from_secs(90));
    assert_eq!(
        post("/_world/latency", json(r#"{"token_milliseconds": 1, "api_milliseconds": 2}"#)).await,
        200
    );
    let latencies = stage.salesforce.read(|state| (state.token_latency, state.api_latency));
    assert_eq!(latencies, (Duration::from_millis(1), Duration::from_millis(2)));
    assert_eq!(post("/_world/api-busy", json(r#"{"busy": true}"#)).await, 200);
    assert!(stage.salesforce.read(|state| state.api_busy));
    assert_eq!(post("/_world/revoking-ends-all", json(r#"{"ends_all": true}"#)).await, 200);
    assert!(stage.salesforce.read(|state| state.revoking_ends_all));
    let user = json(r#"{"org": "acme", "user": "uma@acme.example"}"#);
    assert_eq!(post("/_world/revoke-grants", user).await, 200);
    assert_eq!(stage.salesforce.live_grants().len(), 0);
    assert_eq!(post("/_world/refresh-sandbox", json(r#"{"org": "acme--uat"}"#)).await, 200);

    for (path, body) in [
        ("/_world/token-fault", r#"{"fault": "on-fire"}"#),
        ("/_world/token-fault", r#"{"fault": {"html": {"status": 99}}}"#),
        ("/_world/token-fault", r#"{"fault": {"redirect": {"status": 302, "to": "a\nb"}}}"#),
        ("/_world/token-fault", r#"{"fault": "half", "grant_type": "password"}"#),
        ("/_world/revoke-grants", r#"{"org": "acme", "user": "nobody"}"#),
        ("/_world/refresh-sandbox", r#"{"org": "acme"}"#),
        ("/_world/latency", r#"{"token": 1}"#),
    ] {
        assert_eq!(post(path, json(body)).await, 400, "{path} {body}");
    }
}
