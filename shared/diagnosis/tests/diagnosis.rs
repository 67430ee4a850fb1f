//! Evidence → causes: every error case on record, and what a diagnosis promises.

use diagnosis::evidence;
use diagnosis::{Actor, Cause, Context, Diagnosis, Playbook, diagnose, read_paste};
use domain::Confidence;
use domain::{AppKind, Environment, Stage, Surface};
use serde_json::Value;

fn cases() -> Vec<Value> {
    include_str!("error-cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a JSON row"))
        .collect()
}

fn text<'a>(case: &'a Value, field: &str) -> Option<&'a str> {
    case[field].as_str().filter(|text| !text.is_empty())
}

/// Where the case was seen, and when.
fn place(case: &Value) -> (Surface, Stage) {
    match case["stage"].as_str().expect("a stage") {
        "authorize_hosted_page" => (Surface::HostedPage, Stage::Lost),
        "authorize_raw_body" => (Surface::RawBody, Stage::Lost),
        "authorize_callback" => (Surface::Callback, Stage::Callback),
        "install_page" => (Surface::OtherPage, Stage::Lost),
        "token_authorization_code" | "token_jwt_bearer" | "token_password" => {
            (Surface::TokenEndpoint, Stage::Exchange)
        }
        "token_refresh" => (Surface::TokenEndpoint, Stage::Refresh),
        "api_call" | "data_sync_logs" => (Surface::Api, Stage::Api),
        "login_history" => (Surface::LoginHistory, Stage::Lost),
        _ => (Surface::Unknown, Stage::Lost),
    }
}

fn context(stage: Stage, app_kind: AppKind) -> Context {
    Context { stage, app_kind, environment: None, connected_before: None }
}

fn kind(case: &Value) -> AppKind {
    let external = case.to_string().contains("ECA") || case.to_string().contains("External client app");
    if external { AppKind::ExternalClientApp } else { AppKind::ConnectedApp }
}

fn ids(diagnosis: &Diagnosis) -> Vec<&'static str> {
    diagnosis.ranked.iter().map(|candidate| candidate.cause.id).collect()
}

/// Who acts. A report that does not know is answered by the others in its words, and by the vendor where there
/// is none: what nobody knows goes there.
fn who_acts(case: &Value) -> String {
    let who = |case: &Value| case["who_acts"].as_str().expect("who acts").to_owned();
    if who(case) != "unknown" {
        return who(case);
    }
    let same =
        |other: &&Value| ["code", "description", "stage"].iter().all(|field| other[field] == case[field]);
    let told: Vec<_> = cases().iter().filter(same).map(who).filter(|who| who != "unknown").collect();
    if told.is_empty() { "saas_vendor".to_owned() } else { told.join("; ") }
}

/// Whether the case's words for who acts name the cause's actor. What the app's owner mends is the admin's where
/// the customer owns the app, if the playbook says so.
fn acts(cause: &Cause, who: &str) -> bool {
    let customers = |vendor: &Playbook| {
        vendor.branches.iter().any(|branch| branch.question == "Does the customer own the app?")
    };
    match cause.actor {
        Actor::EndUser => who.contains("end_user"),
        Actor::Admin => who.contains("salesforce_admin"),
        Actor::Vendor => {
            who.contains("saas_vendor")
                || who.contains("salesforce_admin") && cause.vendor.as_ref().is_some_and(customers)
        }
        Actor::Wait => who.contains("wait"),
    }
}

#[test]
fn every_case_on_record_is_among_the_first_two() {
    for case in cases() {
        let (surface, stage) = place(&case);
        let evidence = evidence::observed(surface, text(&case, "code"), text(&case, "description"), None);
        let diagnosis = diagnose(&evidence, &context(stage, kind(&case)));
        let first_two = || diagnosis.ranked.iter().take(2).map(|candidate| candidate.cause);
        let found = first_two().any(|cause| case["expect"] == cause.id);
        assert!(found, "{case}\n→ {:?}", ids(&diagnosis));
        let who = who_acts(&case);
        assert!(first_two().any(|cause| acts(cause, &who)), "{case}\n→ {:?}, not {who}", ids(&diagnosis));
    }
}

#[test]
fn every_case_on_record_can_be_pasted() {
    for case in cases() {
        let (_, stage) = place(&case);
        let context = context(stage, kind(&case));
        let code = text(&case, "code").unwrap_or_default();
        let description = text(&case, "description").unwrap_or_default();
        let plus = description.replace(' ', "+");
        let forms = [
            format!(
                "https://acme.my.salesforce.com/setup/secur/RemoteAccessErrorPage.apexp?error={code}&error_description={plus}"
            ),
            format!("error={code}&error_description={}", description.replace(' ', "%20")),
            format!(r#"{{"error":"{code}","error_description":"{description}"}}"#),
            format!("Hallo, beim Verbinden kam {code}: {description}\nWas nun? Danke, Jo"),
            format!("{} / {}", code.to_lowercase(), description.to_uppercase()),
        ];
        for form in forms {
            let Some(evidence) = read_paste(&form) else {
                assert_eq!(case["expect"], "unknown", "not recognised: {form}");
                continue;
            };
            let ids = ids(&diagnose(&evidence, &context));
            let expected = case["expect"].as_str().unwrap();
            // Some cases stand on their surface alone, which a paste does not always show.
            let near = ids.iter().take(3).any(|id| *id == expected);
            assert!(near || expected == "unknown", "{form}\n{evidence:?}\n→ {ids:?}, not {expected}");
        }
    }
}

#[test]
fn the_bare_page_is_read_by_what_is_known_and_asks_one_question() {
    let evidence = evidence::observed(
        Surface::HostedPage,
        Some("OAUTH_APPROVAL_ERROR_GENERIC"),
        Some("An unexpected error has occurred during authentication. Please try again."),
        None,
    );
    let read = |app_kind, connected_before| {
        diagnose(&evidence, &Context { stage: Stage::Lost, app_kind, environment: None, connected_before })
    };

    let never = read(AppKind::ConnectedApp, Some(false));
    assert_eq!(never.cause().id, "app_not_installed");
    assert_eq!(never.ranked[1].cause.id, "generic_approval_error");
    assert!(never.question().unwrap().contains("address"));

    let before = read(AppKind::ConnectedApp, Some(true));
    assert_eq!(before.cause().id, "generic_approval_error");
    assert_eq!(before.ranked[1].cause.id, "app_not_installed");

    let external = read(AppKind::ExternalClientApp, None);
    assert_eq!(external.cause().id, "generic_approval_error");
    assert_eq!(external.ranked[1].cause.id, "scope_not_allowed");
}

#[test]
fn the_bare_code_leaves_the_admin_and_then_the_vendor_and_asks_the_same_question() {
    let evidence = evidence::observed(Surface::HostedPage, Some("OAUTH_APPROVAL_ERROR_GENERIC"), None, None);
    for connected_before in [None, Some(false)] {
        let context = Context { connected_before, ..context(Stage::Lost, AppKind::ConnectedApp) };
        let diagnosis = diagnose(&evidence, &context);
        assert_eq!(ids(&diagnosis)[..2], ["app_not_installed", "pkce_missing"]);
        assert!(diagnosis.question().unwrap().contains("address"));
    }
}

#[test]
fn what_salesforce_says_and_nobody_understands_is_said_to_be_unknown() {
    let said = Some("activation secret invalid");
    for (surface, stage, code, description) in [
        (Surface::TokenEndpoint, Stage::Refresh, Some("invalid_grant"), said),
        (Surface::Unknown, Stage::Refresh, None, said),
        (Surface::LoginHistory, Stage::Lost, Some("LOGIN_OAUTH_INVALID_DS"), None),
    ] {
        let evidence = evidence::observed(surface, code, description, None);
        let diagnosis = diagnose(&evidence, &context(stage, AppKind::ConnectedApp));
        assert_eq!(ids(&diagnosis)[..2], ["grant_expired_or_revoked", "unknown"]);
    }
}

#[test]
fn what_is_sure_is_not_diluted_and_asks_nothing() {
    let evidence =
        evidence::callback("OAUTH_APP_ACCESS_DENIED", Some("user is not admin approved to access this app"));
    let diagnosis = diagnose(&evidence, &context(Stage::Callback, AppKind::ConnectedApp));
    assert_eq!(ids(&diagnosis), ["user_not_approved"]);
    assert_eq!(diagnosis.ranked[0].confidence, Confidence::Sure);
    assert_eq!(diagnosis.question(), None);
}

#[test]
fn a_code_is_one_code_in_any_dress() {
    for code in ["access_denied", "access-denied", "ACCESS_DENIED", "Access-Denied", "access_denied "] {
        let diagnosis =
            diagnose(&evidence::callback(code, None), &context(Stage::Callback, AppKind::ConnectedApp));
        assert_eq!(diagnosis.cause().id, "user_denied", "{code}");
    }
}

#[test]
fn the_same_code_means_different_things_in_different_places() {
    let read = |surface, stage, code, description| {
        let evidence = evidence::observed(surface, Some(code), description, None);
        diagnose(&evidence, &context(stage, AppKind::ConnectedApp)).cause().id
    };
    let spent = Some("expired authorization code");
    assert_eq!(read(Surface::TokenEndpoint, Stage::Refresh, "invalid_grant", spent), "concurrent_refresh");
    assert_eq!(
        read(Surface::TokenEndpoint, Stage::Exchange, "invalid_grant", spent),
        "code_expired_or_reused"
    );
    assert_eq!(
        read(Surface::TokenEndpoint, Stage::Exchange, "invalid_client", None),
        "client_credentials_invalid"
    );
    assert_eq!(read(Surface::HostedPage, Stage::Lost, "invalid_client", None), "app_not_installed");
    let by_developer = Some("ip restricted by app developer");
    assert_eq!(
        read(Surface::TokenEndpoint, Stage::Refresh, "invalid_grant", by_developer),
        "ip_restricted_by_developer"
    );
}

#[test]
fn a_server_error_is_never_a_revocation() {
    for (code, description) in [
        ("invalid_grant", Some("expired access/refresh token")),
        ("invalid_grant", Some("ip restricted")),
        ("unexpected_answer", None),
    ] {
        let evidence = evidence::token_endpoint(Some(code), description, Some(503));
        let diagnosis = diagnose(&evidence, &context(Stage::Refresh, AppKind::ConnectedApp));
        assert_eq!(diagnosis.cause().id, "salesforce_unavailable", "{code} {description:?}");
    }
}

#[test]
fn refusal_at_the_edge_leads_to_our_addresses() {
    let of = |status| evidence::token_endpoint(Some("unexpected_answer"), Some("HTML"), Some(status));
    let read = |status| diagnose(&of(status), &context(Stage::Refresh, AppKind::ConnectedApp));
    let refused = read(403);
    assert_eq!(refused.cause().id, "unexpected_answer");
    assert!(refused.ranked[0].reason.contains("the address that we call from"), "{refused:?}");
    assert!(!read(400).ranked[0].reason.contains("address"));
    let steps = format!("{:?}", refused.cause());
    assert!(steps.contains("egress addresses"), "{steps}");
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    let evidence = evidence::callback("brand_new_code", Some("something nobody has seen"));
    let diagnosis = diagnose(&evidence, &context(Stage::Callback, AppKind::ConnectedApp));
    assert_eq!(ids(&diagnosis), ["unknown"]);
    assert_eq!(diagnosis.ranked[0].confidence, Confidence::Possible);
    assert_eq!(diagnosis.cause().actor, Actor::Vendor);
}

#[test]
fn a_session_that_never_came_back_is_guessed_from_the_app_and_its_history() {
    let evidence = evidence::observed(Surface::Unknown, None, None, None);
    let read = |app_kind, connected_before| {
        let context = Context {
            stage: Stage::Lost,
            app_kind,
            environment: Some(Environment::Production),
            connected_before,
        };
        diagnose(&evidence, &context).cause().id
    };
    assert_eq!(read(AppKind::ConnectedApp, Some(false)), "app_not_installed");
    assert_eq!(read(AppKind::ConnectedApp, None), "app_not_installed");
    assert_eq!(read(AppKind::ConnectedApp, Some(true)), "no_answer");
    assert_eq!(read(AppKind::ExternalClientApp, None), "no_answer");
}

#[test]
fn a_choice_of_screen_alone_picks_a_page() {
    let read = |surface| {
        let evidence = evidence::observed(surface, None, None, None);
        diagnose(&evidence, &context(Stage::Authorize, AppKind::ExternalClientApp)).cause().id
    };
    assert_eq!(read(Surface::RawBody), "redirect_uri_mismatch");
    assert_eq!(read(Surface::OtherPage), "authentication_failure");
    assert_eq!(read(Surface::Unknown), "no_answer");
}

#[test]
fn our_own_causes_are_named_by_their_ids() {
    for id in [
        "attempt_expired",
        "attempt_used",
        "callback_interrupted",
        "other_browser",
        "signature_mismatch",
        "answer_malformed",
        "host_moved",
        "instance_unknown",
        "refresh_token_missing",
        "unexpected_answer",
        "internal",
        "receipt_refused",
        "reconnect_overtaken",
        "ended_by_revoke",
        "answer_lost",
    ] {
        for stage in [Stage::Callback, Stage::Exchange, Stage::Refresh] {
            let evidence = evidence::observed(Surface::Callback, Some(id), None, None);
            let diagnosis = diagnose(&evidence, &context(stage, AppKind::ExternalClientApp));
            assert_eq!(diagnosis.cause().id, id);
            assert_eq!(diagnosis.ranked[0].confidence, Confidence::Sure);
        }
    }
}

#[test]
fn another_identity_is_one_cause_whether_it_was_refused_or_nobody_answered() {
    for code in ["other_identity_refused", "other_identity_unanswered"] {
        let evidence = evidence::our_own(Surface::Callback, code, None);
        let diagnosis = diagnose(&evidence, &context(Stage::Callback, AppKind::ConnectedApp));
        assert_eq!(diagnosis.cause().id, "other_identity");
        assert_eq!(diagnosis.ranked[0].confidence, Confidence::Sure);
    }
}
