//! Refreshing: rotation, replay, two at once, and the ways in which a grant is over.

use std::time::Duration;

use super::{super::*, *};

const DEAD: (u16, &str, &str) = (400, "invalid_grant", "expired access/refresh token");

#[tokio::test]
async fn a_rotated_token_that_comes_back_ends_the_grant() {
    let stage = Stage::start().await;
    let first = stage.connect("acme", "uma@acme.example").await;

    let (_, second) = stage.refresh("acme", text(&first, "refresh_token")).await;
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_ne!(second["access_token"], first["access_token"]);

    assert_eq!(error(&stage.refresh("acme", text(&first, "refresh_token")).await), DEAD);
    assert_eq!(stage.salesforce.grants()[0].ended, Some(Ending::Replayed));
    assert_eq!(error(&stage.refresh("acme", text(&second, "refresh_token")).await), DEAD);
    let url = format!("{}/services/data/v62.0/limits", stage.salesforce.my_domain("acme"));
    assert_eq!(stage.api(&url, text(&second, "access_token")).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_rotation_the_token_stays_until_the_org_switches_it_on() {
    let stage = Stage::start().await;
    stage.salesforce.change(|state| state.apps.iter_mut().for_each(|app| app.refresh_token_rotation = false));
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let refresh_token = text(&tokens, "refresh_token");
    for _ in 0..2 {
        let (status, renewed) = stage.refresh("acme", refresh_token).await;
        assert_eq!((status, renewed.get("refresh_token")), (StatusCode::OK, None));
    }

    stage.salesforce.change_org("acme", |org| org.rotate_refresh_tokens = true);

    assert!(stage.refresh("acme", refresh_token).await.1.get("refresh_token").is_some());
    assert_eq!(error(&stage.refresh("acme", refresh_token).await), DEAD);
}

#[tokio::test]
async fn of_two_refreshes_at_once_one_is_already_being_processed() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    stage.salesforce.set_token_latency(Duration::from_millis(400));
    let refresh = || stage.refresh("acme", text(&tokens, "refresh_token"));

    let (one, two) = tokio::join!(refresh(), refresh());

    let (won, lost) = if one.0 == StatusCode::OK { (one, two) } else { (two, one) };
    assert_eq!(won.0, StatusCode::OK);
    assert_eq!(error(&lost), (400, "invalid_grant", "token request is already being processed"));
    assert!(stage.salesforce.grants()[0].is_live(), "losing that race is no replay");
    assert_eq!(stage.refresh("acme", text(&won.1, "refresh_token")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_scope_on_refresh_fails_and_spends_nothing() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let mut form = refresh_form(text(&tokens, "refresh_token")).to_vec();
    form.push(("scope", "api"));

    let answer = stage.token("acme", &form).await;

    assert_eq!(error(&answer), (400, "invalid_request", "scope parameter not supported"));
    assert_eq!(stage.refresh("acme", text(&tokens, "refresh_token")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_refresh_token_that_idles_for_thirty_days_is_dead() {
    let stage = Stage::start().await;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    stage.salesforce.pass(SignedDuration::from_hours(30 * 24 - 1));
    let (status, kept_alive) = stage.refresh("acme", text(&tokens, "refresh_token")).await;
    assert_eq!(status, StatusCode::OK);

    stage.salesforce.pass(SignedDuration::from_hours(30 * 24));

    assert_eq!(error(&stage.refresh("acme", text(&kept_alive, "refresh_token")).await), DEAD);
    assert_eq!(stage.salesforce.grants()[0].ended, Some(Ending::Idle));
}

#[tokio::test]
async fn what_an_admin_does_shows_at_the_next_refresh() {
    let stage = Stage::start().await;
    let salesforce = &stage.salesforce;
    let tokens = stage.connect("acme", "uma@acme.example").await;
    let mut refresh_token = text(&tokens, "refresh_token").to_owned();

    salesforce.block("acme", KEY);
    assert_eq!(error(&stage.refresh("acme", &refresh_token).await), DEAD);
    salesforce.unblock("acme", KEY);
    salesforce.set_permitted_users("acme", KEY, PermittedUsers::AdminApprovedPreAuthorized);
    assert_eq!(
        error(&stage.refresh("acme", &refresh_token).await),
        (400, "invalid_app_access", "user is not admin approved to access this app")
    );
    salesforce.set_permitted_users("acme", KEY, PermittedUsers::AllSelfAuthorize);
    salesforce.change_org("acme", |org| org.user_mut("uma@acme.example").expect("uma").active = false);
    assert_eq!(error(&stage.refresh("acme", &refresh_token).await), (400, "invalid_grant", "inactive user"));
    salesforce.change_org("acme", |org| org.user_mut("uma@acme.example").expect("uma").active = true);

    let (status, renewed) = stage.refresh("acme", &refresh_token).await;
    assert_eq!(status, StatusCode::OK, "none of that ended the grant");
    text(&renewed, "refresh_token").clone_into(&mut refresh_token);
    salesforce.uninstall("acme", KEY);
    assert_eq!(error(&stage.refresh("acme", &refresh_token).await), DEAD);
    assert_eq!(salesforce.grants()[0].ended, Some(Ending::Uninstalled));
}

#[tokio::test]
async fn revoking_a_users_grants_leaves_the_others() {
    let stage = Stage::start().await;
    let uma = stage.connect("acme", "uma@acme.example").await;
    let sam = stage.connect("acme", "sam@acme.example").await;

    stage.salesforce.revoke_grants("acme", "uma@acme.example");

    assert_eq!(error(&stage.refresh("acme", text(&uma, "refresh_token")).await), DEAD);
    assert_eq!(stage.refresh("acme", text(&sam, "refresh_token")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn replay_spares_the_grant_on_request() {
    let stage = Stage::start().await;
    stage.salesforce.change(|state| state.other_behavior.replay_spares_the_grant = true);
    let first = stage.connect("acme", "uma@acme.example").await;
    let (_, second) = stage.refresh("acme", text(&first, "refresh_token")).await;
    assert_eq!(error(&stage.refresh("acme", text(&first, "refresh_token")).await), DEAD);
    assert!(stage.salesforce.grants()[0].is_live());
    assert_eq!(stage.refresh("acme", text(&second, "refresh_token")).await.0, StatusCode::OK);
}
