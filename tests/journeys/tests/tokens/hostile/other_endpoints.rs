//! Revocation, introspection and userinfo.

use jiff::SignedDuration;
use world::salesforce::Endpoint;

use crate::hostile::{
    STALE, assert_none_wrong, chosen, connection,
    fate::{Revocation, applies, is_slow, of_revocation},
    installed, works,
};

#[tokio::test]
async fn deleted_grant_is_revoked_once_the_endpoint_confirms_it() {
    let story = installed().await;
    let faults = chosen(|fault| applies(Endpoint::Revoke, fault) && !is_slow(fault));
    let mut believed = 0;
    for (customer, fault) in &faults {
        let connection = connection(&story, customer).await;
        story.stack.salesforce.misbehave(Endpoint::Revoke, &fault.name, None);
        let deleted = story.call("DELETE", &format!("/v1/connections/{connection}"), None).await;
        assert!(deleted.status < 300, "{}: {}", fault.name, deleted.body);
        story.stack.salesforce.behave();
        believed += usize::from(of_revocation(fault) == Revocation::Believed);
        let gone = story.token(&connection).await;
        assert_eq!(gone.status, 404, "{}: a deleted connection gives no token: {}", fault.name, gone.body);
    }
    for _ in 0..4 {
        story.pass(SignedDuration::from_hours(2));
        story.stack.sweep().await;
    }
    assert_eq!(story.connections().await.len(), 0, "a connection waits to be revoked for ever");
    assert_eq!(story.stack.salesforce.live_grants().len(), believed, "a deleted connection's grant lives on");
}

/// How long a token lives, and what a check finds, is asked for; neither ends a connection. A check that cannot ask says
/// so with 503.
#[tokio::test]
async fn faulty_introspection_or_userinfo_ends_no_connection() {
    let story = installed().await;
    let mut product = story.stack.products.iter().find(|one| one.id.as_str() == "fernway").cloned();
    let product = product.as_mut().expect("Fernway");
    product.apps.iter_mut().for_each(|app| app.introspect = true);
    story.stack.store.put_product(product).await.expect("the table takes it");
    let connection = connection(&story, "customer").await;
    let path = format!("/v1/connections/{connection}");
    let mut wrong = Vec::new();
    let faults = chosen(|fault| {
        !is_slow(fault) && [Endpoint::Introspect, Endpoint::Userinfo].iter().any(|at| applies(*at, fault))
    });
    for (_, fault) in &faults {
        story.pass(SignedDuration::from_hours(25));
        for endpoint in [Endpoint::Introspect, Endpoint::Userinfo] {
            story.stack.salesforce.misbehave(endpoint, &fault.name, None);
        }
        let token = story.token(&connection).await;
        let checked = story.call("POST", &format!("{path}/check"), None).await;
        story.stack.salesforce.behave();
        let shown = story.call("GET", &path, None).await;
        let state = shown.text("state");
        if !works(&story, &token).await || ![200, 503].contains(&checked.status) || state != "active" {
            let seen = (token.status, checked.status, state);
            wrong.push(format!("{}: (token, check, state) = {seen:?}", fault.name));
        }
    }
    assert_none_wrong(faults.len(), &wrong);
    story.pass(STALE);
    assert!(works(&story, &story.token(&connection).await).await);
}
