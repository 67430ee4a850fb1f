//! `connections = "shared"` is set for an app that has connections, or is taken away again.

use domain::product::Sharing;
use jiff::SignedDuration;
use journeys::{Returning, Story};
use serde_json::json;
use world::browser::Browser;

use crate::same_connection::{Returned, fernway, forget_uniqueness, id};

/// Stores the setting, and waits until every process has read it.
async fn set_sharing(story: &Story, sharing: Sharing) {
    let mut product = fernway(story);
    let app = product.apps.iter_mut().find(|app| app.id.as_str() == "sync").expect("the app");
    app.connections = sharing;
    story.stack.store.put_product(&product).await.expect("the table takes it");
    story.pass(SignedDuration::from_secs(61));
}

/// The id of the connection that this user of Fernway has after connecting as Uma.
async fn connects(story: &Story, browser: &Browser, user: &str) -> String {
    let returned = Returned::from(story, browser, json!({ "user": user })).await;
    id(&returned.redeemed_by(story, user).await)
}

#[tokio::test]
async fn users_keep_their_connections_when_an_app_becomes_shared() {
    for is_old in [false, true] {
        let again = Returning::begin().await;
        let (story, alice) = (&again.story, &again.alice);
        let bobs = connects(story, alice, "u-bob").await;
        assert_ne!(bobs, again.earlier);
        if is_old {
            forget_uniqueness(story).await;
        }
        set_sharing(story, Sharing::Shared).await;

        for _ in 0..2 {
            assert_eq!(connects(story, alice, "u-alice").await, again.earlier, "is_old: {is_old}");
            assert_eq!(connects(story, alice, "u-bob").await, bobs, "is_old: {is_old}");
        }
        // Carol has none of her own.
        let shared = connects(story, alice, "u-carol").await;
        let newest = again.earlier.clone().max(bobs.clone());
        assert_eq!(shared, newest, "Alice has {}, Bob has {bobs}", again.earlier);
        assert_eq!(connects(story, alice, "u-dave").await, shared);
        assert_eq!(connects(story, alice, "u-bob").await, bobs);
        assert_eq!(connects(story, alice, "u-alice").await, again.earlier);

        assert_eq!(story.connections().await.len(), 2, "no second connection of a user");
        assert_eq!(story.stack.salesforce.live_grants().len(), 2);
        again.works(&again.earlier).await;
        again.works(&bobs).await;
        story.nothing_leaked().await;
    }
}

#[tokio::test]
async fn shared_connection_stays_its_last_users_when_sharing_ends() {
    let again = Returning::begin().await;
    let (story, alice) = (&again.story, &again.alice);
    set_sharing(story, Sharing::Shared).await;
    assert_eq!(connects(story, alice, "u-bob").await, again.earlier);
    set_sharing(story, Sharing::PerUser).await;

    let alices = connects(story, alice, "u-alice").await;

    assert_ne!(alices, again.earlier, "Bob connected it last");
    for _ in 0..2 {
        assert_eq!(connects(story, alice, "u-bob").await, again.earlier);
        assert_eq!(connects(story, alice, "u-alice").await, alices);
    }
    assert_eq!(story.connections().await.len(), 2);
    again.works(&again.earlier).await;
    again.works(&alices).await;
    story.nothing_leaked().await;
}
