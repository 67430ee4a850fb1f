//! Somebody holds every link, every session's id, every cookie's name, every public page, another product's key, and a
//! login of their own. [`table`] lists what they send to each route; none of it may show an identity, give a receipt,
//! tell a secret, or change an item that is not theirs.

mod bodies;
mod operator;
mod own_login;
mod scene;
mod send;
mod table;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use web::routes::ROUTES;
use world::browser::RawAnswer;

use operator::{is_an_operator, m3_session_outlives_its_key, of_another_operator};
use scene::{Scene, UMA, comes_back_as, part};
use send::{Aim, Sender, Shot};
use table::{Attack, Gives, Row};

/// What the attacker does not hold, and must not find in any answer.
struct Forbidden {
    everywhere: Vec<(String, &'static str)>,
    /// What a few links show to whoever holds them.
    elsewhere: Vec<OnlyOn>,
}

/// A text, and the paths that show it.
struct OnlyOn {
    text: String,
    what: &'static str,
    paths: Vec<String>,
}

impl OnlyOn {
    fn is_shown(&self, answer: &RawAnswer) -> bool {
        answer.body.contains(&self.text) || answer.head.contains(&self.text)
    }

    fn may_be_on(&self, shot: &Shot) -> bool {
        let path = shot.path.split('?').next().unwrap_or_default();
        self.paths.iter().any(|known| known == path)
    }
}

impl Forbidden {
    fn of(scene: &Scene) -> Self {
        let holds = &scene.attacker.holds;
        let own = scene.attacker.browser.cookies().into_iter().map(|cookie| cookie.value);
        let held: Vec<String> = own
            .chain(holds.links.iter().map(|link| link.key.clone()))
            .chain(holds.ops_links.iter().cloned())
            .chain(holds.answers.iter().cloned())
            .chain([holds.receipt.clone(), holds.api_key.clone()])
            .chain([scene.own_answer.to_string(), scene.own_link.clone()])
            .collect();
        let secrets = scene.story().every_secret();
        assert!(secrets.len() > 40, "the story's secrets are known: {}", secrets.len());
        let mut forbidden: Vec<(String, &'static str)> = secrets
            .into_iter()
            .filter(|(secret, _)| !held.iter().any(|text| text.contains(secret)))
            .collect();
        forbidden.extend(scene.identities.iter().map(|text| (text.clone(), "identity at Salesforce")));
        let help = format!("/help/{}", holds.help[0]);
        let user_name = OnlyOn {
            text: holds.user_name.clone(),
            what: "product's name of the user who asked",
            paths: vec![help.clone()],
        };
        let host = OnlyOn {
            text: holds.org_host.clone(),
            what: "host of the org",
            paths: vec![help, format!("/connect/{}", scene.link("reconnect").key)],
        };
        Self { everywhere: forbidden, elsewhere: vec![user_name, host] }
    }

    fn found(&self, shot: &Shot, answer: &RawAnswer) -> Option<&'static str> {
        let stands = |text: &str| answer.body.contains(text) || answer.head.contains(text);
        let secret = self.everywhere.iter().find(|(text, _)| stands(text)).map(|(_, what)| *what);
        let stray = || self.elsewhere.iter().find(|one| one.is_shown(answer) && !one.may_be_on(shot));
        secret.or_else(|| stray().map(|one| one.what))
    }

    /// What this answer shows as it may.
    fn shown(&self, shot: &Shot, answer: &RawAnswer) -> Vec<(&'static str, String)> {
        let shown = self.elsewhere.iter().filter(|one| one.is_shown(answer) && one.may_be_on(shot));
        shown.map(|one| (one.what, shot.path.clone())).collect()
    }
}

/// The keys of the items that differ.
fn changes(before: &Items, after: &Items) -> Vec<String> {
    let changed = after.iter().filter(|(key, item)| before.get(*key) != Some(item)).map(|(key, _)| key);
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    changed.chain(gone).cloned().collect()
}

type Items = BTreeMap<String, serde_json::Value>;

/// What is wrong with an answer; empty: nothing.
fn judge(
    row: &Row,
    shot: &Shot,
    answer: &RawAnswer,
    changed: &[String],
    forbidden: &Forbidden,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let is_refused = (400..500).contains(&answer.status);
    let may_be_answered = match shot.sender {
        Sender::Attacker => !matches!(row.gives, Gives::Nothing | Gives::Counted),
        Sender::VictimsBrowser | Sender::OtherOperator => true,
        Sender::Refused | Sender::CarelessProduct => false,
    };
    if answer.status == 0 || answer.status >= 500 {
        wrong.push(format!("answered {}", answer.status));
    } else if !may_be_answered && !is_refused {
        wrong.push(format!("answered {}, not refused", answer.status));
    }
    let allowed: &[&str] = match (shot.sender, row.gives) {
        (Sender::Attacker, Gives::Writes(kinds)) => kinds,
        (Sender::Attacker | Sender::Refused, Gives::Counted) => &["STRAY#"],
        _ => &[],
    };
    for key in changed.iter().filter(|key| !allowed.iter().any(|kind| key.contains(kind))) {
        wrong.push(format!("wrote {key}"));
    }
    let location = answer.header("location").unwrap_or_default();
    if location.contains("receipt=") {
        wrong.push("gave a receipt".into());
    }
    if location.contains("evil.example") || answer.body.contains("https://evil.example") {
        wrong.push("leads to another site".into());
    }
    if shot.sender != Sender::VictimsBrowser
        && let Some(what) = forbidden.found(shot, answer)
    {
        wrong.push(format!("tells a {what}"));
    }
    wrong
}

/// What a key that is not Fernway's saw or changed of Fernway's.
fn of_another_product(scene: &Scene, answer: &RawAnswer, changed: &[String], after: &Items) -> Vec<String> {
    let mut wrong = Vec::new();
    for text in ["Acme Corporation", "acme.my.salesforce", "Fernway", "LK-"] {
        if answer.body.contains(text) {
            wrong.push(format!("tells {text}"));
        }
    }
    if scene.attacker.holds.connections.iter().any(|id| answer.body.contains(&format!("\"{id}\""))) {
        wrong.push("tells a connection".into());
    }
    for key in changed {
        let product = after.get(key).and_then(|item| item["product"]["S"].as_str());
        if product != Some("tidewater") {
            wrong.push(format!("wrote {key} of {product:?}"));
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
async fn attacker_who_holds_everything_public_gets_nothing() {
    let scene = Scene::set().await;
    let forbidden = Forbidden::of(&scene);
    let (mut wrong, mut sent) = (Vec::new(), 0);
    let mut shown = BTreeSet::new();
    let mut before = scene.items();
    for route in ROUTES {
        let row = table::of(route).unwrap_or_else(|| panic!("{} {} has no row", route.method, route.path));
        for attack in row.attacks {
            let shots = Aim { scene: &scene, route, attack: *attack }.shots();
            let is_told_later = matches!(attack, Attack::M1RedeemAtOnce | Attack::M3SessionOutlivesKey);
            assert_eq!(shots.is_empty(), is_told_later, "{attack:?} on {} {}", route.method, route.path);
            for mut shot in shots {
                let request =
                    std::mem::replace(&mut shot.request, world::browser::RawRequest::new("GET", "/"));
                scene.story().stack.dynamodb.reset_counts();
                let answer = request.send(scene.origin()).await;
                let after = if scene.only_read() { before.clone() } else { scene.items() };
                let changed = changes(&before, &after);
                shown.extend(forbidden.shown(&shot, &answer));
                let mut found = judge(row, &shot, &answer, &changed, &forbidden);
                if matches!(attack, Attack::OtherProductsKey | Attack::ForgedKey) {
                    found.extend(of_another_product(&scene, &answer, &changed, &after));
                }
                if shot.what.contains("as another operator") {
                    found.extend(of_another_operator(&answer));
                }
                wrong.extend(found.into_iter().map(|what| format!("{} -> {what}", shot.what)));
                before = after;
                sent += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {sent}: {:#?}", wrong.len(), &wrong[..wrong.len().min(40)]);
    assert!(sent > 1000, "only {sent} requests");
    for one in &forbidden.elsewhere {
        for path in &one.paths {
            assert!(shown.contains(&(one.what, path.clone())), "{path} does not show the {}", one.what);
        }
    }

    // C1: after all of it the victim's session still waits for the victim.
    let parked = scene.status(&scene.link("parked").session).await;
    assert_eq!(parked.text("status"), "parked", "{}", parked.body);
    let shown = scene.story().call("GET", &format!("/v1/connections/{}", scene.again.earlier), None).await;
    assert_eq!(shown.text("username"), UMA);
    is_an_operator(&scene).await;
    scene.victims_go_on().await;
    m1_redeem_at_once(&scene).await;
    m3_session_outlives_its_key(&scene).await;
}

/// M1: whoever gets 200 keeps a grant that lives, however many wrong users redeem at the same moment. A wrong user who
/// comes first ends the receipt for everybody, so a round may have no 200: the rounds go on until one has.
async fn m1_redeem_at_once(scene: &Scene) {
    let mut receipt = (part(&scene.returned, "connect_session"), part(&scene.returned, "receipt"));
    for _ in 0..12 {
        if m1_round(scene, &receipt.0, &receipt.1).await > 0 {
            return;
        }
        let wish = scene.story().wish(json!({})).await;
        let link = wish.text("connect_url");
        let back = comes_back_as(&scene.again.alice, link, UMA, "/salesforce/return").await;
        let back = back.location().expect("on the way to the product");
        receipt = (part(&back, "connect_session"), part(&back, "receipt"));
    }
    panic!("no round of M1 ended in 200");
}

/// How many of the right user's calls were answered with 200.
async fn m1_round(scene: &Scene, session: &str, receipt: &str) -> usize {
    let by = |user: &'static str| scene.redeem(session, receipt, user);
    let (one, other, two, another, three, third) = tokio::join!(
        by("u-alice"),
        by("u-mallory"),
        by("u-alice"),
        by("u-mallory"),
        by("u-alice"),
        by("u-mallory")
    );
    for wrong in [&other, &another, &third] {
        assert_eq!(wrong.status, 409, "{}", wrong.body);
    }
    let mut redeemed = 0;
    for right in [&one, &two, &three].into_iter().filter(|answer| answer.status == 200) {
        scene.again.works(right.text("id")).await;
        redeemed += 1;
    }
    redeemed
}
