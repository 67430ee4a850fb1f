//! The attacker is signed in to the operators' page, as an operator of a product of their own.

use domain::secret::Hash;
use world::browser::RawAnswer;

use crate::attacker::{
    scene::Scene,
    send::{Aim, Sender, Shot},
    table::declared,
};

impl Aim<'_> {
    /// An operator of another product asks for what is Fernway's. Signing out would end the session that is tried.
    pub(crate) fn as_other_operator(&self) -> Vec<Shot> {
        let route = self.route.path;
        if !route.starts_with("/ops") || route.starts_with("/ops/sign-") {
            return Vec::new();
        }
        let cookie = self.scene.attacker.operator.cookie_header(self.scene.origin()).expect("a session");
        let send = |path: &str, body: &str, sender| {
            let request = self.own_page(path, body).header("cookie", &cookie);
            self.shot(path, &format!("as another operator {body}"), sender, request)
        };
        let mut shots = Vec::new();
        for target in self.targets() {
            let path = target.path;
            if self.route.method == "POST" {
                let holds = &self.scene.attacker.holds;
                let ids = [&holds.connections[0], &holds.help[0], &target.link.session];
                for text in ids.map(String::as_str).into_iter().chain(["Acme", "c-acme"]) {
                    shots.push(send(&path, &format!("q={text}"), Sender::OtherOperator));
                    shots.push(send(&path, &format!("q={text}&product=fernway"), Sender::Refused));
                }
                continue;
            }
            assert!(declared(self.route).contains(&"product"), "{route}: say how it is asked for Fernway's");
            // A customer of Fernway's is nobody there.
            let own = if path.contains("/customers/") { Sender::Refused } else { Sender::OtherOperator };
            for (query, sender) in [
                ("", own),
                ("?format=csv", own),
                ("?product=tidewater", own),
                ("?product=fernway", Sender::Refused),
                ("?product=fernway&format=csv", Sender::Refused),
            ] {
                shots.push(send(&format!("{path}{query}"), "", sender));
            }
        }
        shots
    }
}

/// What an operator of another product saw of Fernway's.
pub(crate) fn of_another_operator(answer: &RawAnswer) -> Vec<String> {
    let mut wrong = Vec::new();
    for text in ["Acme Corporation", "acme.my.salesforce.localhost", "Fernway", "u-alice"] {
        if answer.body.contains(text) {
            wrong.push(format!("tells another operator {text}"));
        }
    }
    let location = answer.header("location").unwrap_or_default();
    if location.contains("/ops/customers/") || location.contains("ref=") {
        wrong.push(format!("leads another operator to {location}"));
    }
    wrong
}

/// After everything: the attacker's operator is still signed in, and is shown their own product. So the requests were
/// an operator's.
pub(crate) async fn is_an_operator(scene: &Scene) {
    let page = scene.attacker.operator.get(&scene.story().ops()).await;
    assert!(page.status == 200 && page.has("Tidewater"), "{} {}", page.status, page.text());
}

/// M3: an operator's session is the key's that made it, not the key's id's.
pub(crate) async fn m3_session_outlives_its_key(scene: &Scene) {
    let story = scene.story();
    let product = story.stack.products.iter().find(|product| product.id.as_str() == "fernway");
    let mut product = product.expect("Fernway").clone();
    let id = product.api_keys[0].id.clone();
    let new = domain::secret::ApiKey::mint(&product.id, &id);
    product.api_keys = vec![domain::product::ApiKeyDigest { id, hash: new.hash() }];
    story.stack.store.put_product(&product).await.expect("the table takes it");
    story.pass(jiff::SignedDuration::from_secs(61));
    let customer = format!("/customers/{}", Hash::of("c-acme").as_str());
    for path in ["", "?format=csv", "/failures", "/failures?format=csv", &customer] {
        let page = scene.operator.get(&format!("{}{path}", story.ops())).await;
        assert_eq!(page.status, 401, "{path}: the session was the revoked key's");
        assert!(!page.has("Acme") && !page.has("Fernway"), "{path}: {}", page.text());
    }
}
