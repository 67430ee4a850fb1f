//! Imports: one sender at a time, one connection for a token, and a journal that no late writer changes.

use domain::{
    ConnectionState, Failure,
    secret::{Hash, RefreshToken},
};
use store::{
    AppAt, Backoff, Imported, ImportsAt,
    imports::{Import, ImportState, MaySend, Sender, Wanted},
    leases::RECOVERY_AFTER,
};

use crate::{Stage, minutes, revisions::refusal};

const HOST: &str = "https://login.salesforce.com";

/// The import of one token of Fernway's.
struct Brought {
    product: domain::ProductId,
    app: domain::AppId,
    mark: Hash,
}

impl Brought {
    fn new() -> Self {
        let product = "fernway".parse().expect("an id");
        let mark = RefreshToken::new("5AepBroughtByTheProduct").import_mark(&product);
        Self { product, app: "sync".parse().expect("an id"), mark }
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted { product: &self.product, mark: &self.mark, app: &self.app, customer: "42", login_host: HOST }
    }

    fn app_at(&self) -> AppAt<'_> {
        AppAt { product: &self.product, app: &self.app, consumer_key: "3MVG9.key" }
    }
}

fn sender(asked: MaySend) -> Option<Sender> {
    match asked {
        MaySend::Yes(sender) => Some(sender),
        MaySend::No(_) => None,
    }
}

async fn begin(stage: &Stage, brought: &Brought) -> Option<Sender> {
    sender(stage.store.begin_import(brought.wanted(), stage.now).await.expect("the table answers"))
}

async fn begin_again(stage: &Stage, brought: &Brought, seen: &Import) -> Option<Sender> {
    let asked = stage.store.begin_import_again(seen, brought.wanted(), stage.now + minutes(2)).await;
    sender(asked.expect("the table answers"))
}

async fn read(stage: &Stage, brought: &Brought) -> Import {
    let read = stage.store.import(&brought.product, &brought.mark).await;
    read.expect("the table answers").expect("it was begun")
}

async fn failure(stage: &Stage) -> Failure {
    let session = stage.session().await;
    refusal(stage, &stage.record(&session, ConnectionState::Active).await)
}

#[tokio::test]
async fn token_is_sent_by_the_one_who_began_its_import() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    assert!(begin(&stage, &brought).await.is_some());
    assert!(begin(&stage, &brought).await.is_none(), "somebody sends it already");
    assert_eq!(read(&stage, &brought).await.state, ImportState::Begun);
}

#[tokio::test]
async fn import_is_begun_again_once_for_each_state_that_was_seen() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    begin(&stage, &brought).await.expect("the first sender");
    let seen = read(&stage, &brought).await;
    assert!(!seen.was_tried_again());
    let second = begin_again(&stage, &brought, &seen).await.expect("the first was not answered");
    assert!(second.import().was_tried_again());
    assert!(begin_again(&stage, &brought, &seen).await.is_none(), "another has sent it since this was read");
}

#[tokio::test]
async fn token_that_was_not_sent_counts_as_no_try() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    let first = begin(&stage, &brought).await.expect("a sender");
    assert!(stage.store.put_off_import(&first).await.expect("the table answers"));
    let seen = read(&stage, &brought).await;
    assert_eq!(seen.state, ImportState::Unsent);
    let second = begin_again(&stage, &brought, &seen).await.expect("nothing was sent");
    assert!(!second.import().was_tried_again());
    assert!(!stage.store.put_off_import(&first).await.expect("the table answers"), "another sender has come");
    assert_eq!(read(&stage, &brought).await.state, ImportState::Begun);
}

/// The time at which an import was found unanswered is written once, of its last sender alone.
#[tokio::test]
async fn import_is_found_unanswered_once_for_each_sender() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    begin(&stage, &brought).await.expect("a sender");
    let seen = read(&stage, &brought).await;
    let note = async |import: &Import, after: i64| {
        let noted = stage.store.note_import_unanswered(import, stage.now + minutes(after)).await;
        noted.expect("the table answers")
    };
    assert!(note(&seen, 1).await);
    assert!(!note(&seen, 2).await, "another has found it");
    let found = read(&stage, &brought).await;
    assert_eq!(found.looked_at, Some(stage.now + minutes(1)));
    let until = found.under_way_until(stage.now + minutes(1));
    assert_eq!(until, stage.now + minutes(1) + RECOVERY_AFTER, "the later of both times");
    assert_eq!(
        found.under_way_until(stage.now - minutes(9)),
        stage.now - minutes(9),
        "times of a wrong clock"
    );

    let second = begin_again(&stage, &brought, &found).await.expect("a sender");
    assert_eq!(second.import().looked_at, None);
    assert!(!note(&seen, 3).await, "another sender has come since");
    assert!(note(second.import(), 4).await);
}

#[tokio::test]
async fn late_refusal_of_an_earlier_sender_changes_nothing() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    let first = begin(&stage, &brought).await.expect("a sender");
    let seen = read(&stage, &brought).await;
    let second = begin_again(&stage, &brought, &seen).await.expect("a sender");
    let failure = failure(&stage).await;
    let to = ImportState::Refused(failure.id.clone());
    let ended = stage.store.end_import(first.import(), &to, &failure).await.expect("the table answers");
    assert!(!ended, "another sender has come since");
    let missing = stage.store.failure(&failure.id, stage.now).await.expect("the table answers");
    assert!(missing.is_none(), "both or neither");
    assert!(stage.store.end_import(second.import(), &to, &failure).await.expect("the table answers"));
    assert_eq!(read(&stage, &brought).await.state, to);
}

#[tokio::test]
async fn import_is_stored_once_and_a_late_answer_is_as_good() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    let first = begin(&stage, &brought).await.expect("a sender");
    let session = stage.session().await;
    let mut record = stage.record(&session, ConnectionState::Active).await;
    record.connection.id = first.import().connection.clone();
    let due = stage.now + minutes(60);
    // The import has been begun again; the token is the same, and so is what it gives.
    let seen = read(&stage, &brought).await;
    begin_again(&stage, &brought, &seen).await.expect("a sender");
    let stored = stage.store.finish_import(first.import(), &record, None, due).await;
    assert_eq!(stored.expect("the table answers"), Imported::Yes);
    assert_eq!(read(&stage, &brought).await.state, ImportState::Done);
    let again = stage.store.finish_import(first.import(), &record, None, due).await;
    assert_eq!(again.expect("the table answers"), Imported::Before);
    let seen = read(&stage, &brought).await;
    let failure = failure(&stage).await;
    let to = ImportState::Lost(failure.id.clone());
    assert!(!stage.store.end_import(&seen, &to, &failure).await.expect("the table answers"), "it is done");
}

#[tokio::test]
async fn one_import_tries_when_a_backoff_is_over() {
    let (stage, brought) = (Stage::start().await, Brought::new());
    let (app, host) = (brought.app_at(), HOST);
    let all = ImportsAt { app, host, customer: None };
    let one = ImportsAt { customer: Some("42"), ..all };
    let backoff = Backoff::after(None, stage.now, (None, 1), 0.0);
    stage.store.hold_imports(all, &backoff, stage.now).await.expect("the table answers");
    let read = async |customer| stage.store.import_health(app, host, customer).await.expect("it answers");
    let health = read("42").await;
    assert_eq!(
        health.of_host.as_ref().map(|held| (held.not_before, held.refusals)),
        Some((backoff.not_before, 1))
    );
    assert_eq!(health.of_customer, None, "the customer's own is another item");
    stage.store.hold_imports(one, &backoff, stage.now).await.expect("the table answers");
    assert!(read("42").await.of_customer.is_some() && read("43").await.of_customer.is_none());

    let later = stage.now + minutes(1);
    let probe = async || stage.store.probe_imports(all, backoff.not_before, later).await.expect("it answers");
    assert!(probe().await, "one tries");
    assert!(!probe().await, "no other does meanwhile");
    stage.store.free_imports(all).await.expect("the table answers");
    assert_eq!(read("42").await.of_host, None);
}
