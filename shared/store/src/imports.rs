//! Imports: the refresh tokens that a product held before. Each is journalled before it is sent, under its mark
//! ([`RefreshToken::import_mark`]), so that none is imported twice, and none sent twice at once: who may send holds
//! an [`Import`] in a [`Sender`], which has no public constructor.
//!
//! [`RefreshToken::import_mark`]: domain::secret::RefreshToken::import_mark

use aws_sdk_dynamodb::types::{
    Put, ReturnValuesOnConditionCheckFailure as OnFailure, TransactWriteItem, builders::UpdateBuilder,
};
use domain::{
    AppId, ConnectionId, EventType, Failure, FailureId, ProductId, SaturatingTime as _, secret::Hash,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    N, S, Store, StoreError, clocks,
    connections::ConnectionRecord,
    item::{from_item, to_item},
    keys,
    leases::RECOVERY_AFTER,
    millis,
    unique::{Unique, held_by},
    write::{SendWrite, built, conditional},
};

/// What a product wants imported, but for the token.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whose it is.
    pub product: &'a ProductId,
    /// The token's mark.
    pub mark: &'a Hash,
    /// The app that the token was granted to.
    pub app: &'a AppId,
    /// The customer's id.
    pub customer: &'a str,
    /// The origin where the token is refreshed.
    pub login_host: &'a str,
}

/// An import as the journal has it.
#[derive(Debug, Clone)]
pub struct Import {
    /// The connection that it makes, or has made.
    pub connection: ConnectionId,
    /// The app.
    pub app: AppId,
    /// The customer's id.
    pub customer: String,
    /// The origin that the token was sent to.
    pub login_host: String,
    /// How far it has come.
    pub state: ImportState,
    /// When the token was sent last.
    pub began_at: Timestamp,
    /// When that was found to be unanswered, by the clock of whoever found it.
    pub looked_at: Option<Timestamp>,
    /// Since when Salesforce answers questions about the token and does not say what it knows of it.
    pub unsaid_since: Option<Timestamp>,
    pub(crate) product: ProductId,
    pub(crate) mark: Hash,
    tries: u32,
    pub(crate) sender: String,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportState {
    /// The token was about to be sent, and no answer is stored.
    Begun,
    /// The token was not sent: there was no time left for it.
    Unsent,
    /// The connection is stored.
    Done,
    /// Salesforce refused the token, which spent nothing.
    Refused(FailureId),
    /// The token may be spent, and what it was spent on is lost.
    Lost(FailureId),
    /// The answer fails a check and is in quarantine: an operator decides.
    Quarantined(FailureId),
}

/// The right to send an import's token once.
#[derive(Debug)]
pub struct Sender(Import);

/// What became of storing an import.
#[derive(Debug, PartialEq, Eq)]
pub enum Imported {
    /// The connection is stored.
    Yes,
    /// The import was done before.
    Before,
    /// The uniqueness item is this other connection's.
    Held(ConnectionId),
}

/// What became of asking to send an import's token.
#[derive(Debug)]
pub enum MaySend {
    /// It may be sent, by this caller alone.
    Yes(Sender),
    /// Somebody came first; this is how far the import has come.
    No(Import),
}

#[derive(Debug, Serialize, Deserialize)]
struct ImportRow {
    product: ProductId,
    mark: Hash,
    connection: ConnectionId,
    app: AppId,
    customer: String,
    login_host: String,
    state: String,
    began_at: i64,
    tries: u32,
    sender: String,
    failure: Option<FailureId>,
    unsaid_since: Option<i64>,
    looked_at: Option<i64>,
}

impl ImportRow {
    fn read(self, pk: &str) -> Result<Import, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        let failure = || self.failure.clone().ok_or_else(|| corrupt("no failure"));
        let state = match self.state.as_str() {
            "begun" => ImportState::Begun,
            "unsent" => ImportState::Unsent,
            "done" => ImportState::Done,
            "refused" => ImportState::Refused(failure()?),
            "lost" => ImportState::Lost(failure()?),
            "quarantined" => ImportState::Quarantined(failure()?),
            other => return Err(corrupt(&format!("unknown import state {other}"))),
        };
        let time = |at: Option<i64>| at.and_then(|at| Timestamp::from_millisecond(at).ok());
        Ok(Import {
            connection: self.connection,
            app: self.app,
            customer: self.customer,
            login_host: self.login_host,
            state,
            began_at: Timestamp::from_millisecond(self.began_at).map_err(|_| corrupt("began_at"))?,
            looked_at: time(self.looked_at),
            unsaid_since: time(self.unsaid_since),
            product: self.product,
            mark: self.mark,
            tries: self.tries,
            sender: self.sender,
        })
    }
}

impl ImportState {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Unsent => "unsent",
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Lost(_) => "lost",
            Self::Quarantined(_) => "quarantined",
        }
    }
}

impl Import {
    /// When the token was last sent, or was found to be unanswered: the later one that can be true. `None`: neither can.
    pub fn last_sent(&self, now: Timestamp) -> Option<Timestamp> {
        clocks::latest([Some(self.began_at), self.looked_at], now)
    }

    /// Until when whoever sent the token may still be alive and store its answer.
    pub fn under_way_until(&self, now: Timestamp) -> Timestamp {
        self.last_sent(now).map_or(now, |at| at.later_by(RECOVERY_AFTER))
    }

    /// Whether the token was sent again already, after a first answer that never came.
    pub fn was_tried_again(&self) -> bool {
        self.tries > 1
    }
}

impl Sender {
    /// The import.
    pub fn import(&self) -> &Import {
        &self.0
    }
}

impl Store {
    /// The import of the token of that mark, if the product ever brought it.
    pub async fn import(&self, product: &ProductId, mark: &Hash) -> Result<Option<Import>, StoreError> {
        let key = keys::import(product, mark);
        let item = self.get(&key, true).await?;
        item.map(|item| from_item::<ImportRow>(&key.pk, item)?.read(&key.pk)).transpose()
    }

    /// Begins the import of a token that was never brought before. It names the connection to come.
    pub async fn begin_import(&self, wanted: Wanted<'_>, now: Timestamp) -> Result<MaySend, StoreError> {
        let key = keys::import(wanted.product, wanted.mark);
        let row = ImportRow {
            product: wanted.product.clone(),
            mark: wanted.mark.clone(),
            connection: ConnectionId::mint(now),
            app: wanted.app.clone(),
            customer: wanted.customer.to_owned(),
            login_host: wanted.login_host.to_owned(),
            state: ImportState::Begun.word().to_owned(),
            began_at: now.as_millisecond(),
            tries: 1,
            sender: domain::id::base32(&domain::secret::random::<16>()),
            failure: None,
            unsaid_since: None,
            looked_at: None,
        };
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(to_item(&key, &row)?))
            .condition_expression("attribute_not_exists(pk)")
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        match conditional("PutItem", put)? {
            Ok(_) => Ok(MaySend::Yes(Sender(row.read(&key.pk)?))),
            Err(before) => {
                let before: ImportRow = from_item(&key.pk, before.unwrap_or_default())?;
                // The SDK tries a write again whose answer was lost: then it is this caller's own that stands.
                let ours = before.sender == row.sender;
                let before = before.read(&key.pk)?;
                Ok(if ours { MaySend::Yes(Sender(before)) } else { MaySend::No(before) })
            }
        }
    }

    /// Begins an import again that Salesforce refused or that was not sent, or, once, one whose first answer never
    /// came. It is granted only if nothing has changed since `seen` was read. Whether the first sender is still alive
    /// is the caller's to ask first ([`Import::under_way_until`]).
    pub async fn begin_import_again(
        &self,
        seen: &Import,
        wanted: Wanted<'_>,
        now: Timestamp,
    ) -> Result<MaySend, StoreError> {
        let key = keys::import(wanted.product, wanted.mark);
        let sender = domain::id::base32(&domain::secret::random::<16>());
        // Only a send that was never answered counts: one that was refused spent nothing. Starting over at 1 would
        // forget the answer that was lost before it, and permit a third send of a token that may be spent.
        let tries = if seen.state == ImportState::Begun { seen.tries + 1 } else { seen.tries };
        let again = self
            .update(&key)
            .update_expression(
                "SET #state = :begun, began_at = :now, tries = :tries, sender = :sender, app = :app, \
                 customer = :customer, login_host = :host REMOVE failure, asked_at, unsaid_since, looked_at",
            )
            .condition_expression("#state = :seen AND sender = :before")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":begun", S(ImportState::Begun.word()))
            .expression_attribute_values(":seen", S(seen.state.word()))
            .expression_attribute_values(":before", S(&seen.sender))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":tries", N(tries))
            .expression_attribute_values(":sender", S(&sender))
            .expression_attribute_values(":app", S(wanted.app.as_str()))
            .expression_attribute_values(":customer", S(wanted.customer))
            .expression_attribute_values(":host", S(wanted.login_host))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        let (item, granted) = match conditional("UpdateItem", again)? {
            Ok(output) => (output.attributes.unwrap_or_default(), true),
            Err(item) => (item.unwrap_or_default(), false),
        };
        let import = from_item::<ImportRow>(&key.pk, item)?.read(&key.pk)?;
        Ok(if granted || import.sender == sender {
            MaySend::Yes(Sender(import))
        } else {
            MaySend::No(import)
        })
    }

    /// Stores an import's connection and its uniqueness item, and marks the import as done, all or nothing. A late
    /// answer is as good as any, for the token is the same; so is one out of quarantine.
    pub async fn finish_import(
        &self,
        import: &Import,
        record: &ConnectionRecord,
        unique: Option<&Unique>,
        due: Timestamp,
    ) -> Result<Imported, StoreError> {
        let mut writes = self.import_writes(&import.product, &import.mark, record, due)?;
        if let Some(unique) = unique {
            writes.push(self.unique_write(unique, &record.connection.id)?);
        }
        let Err(reasons) = self.transact(writes).await? else { return Ok(Imported::Yes) };
        Ok(held_by(reasons.get(3)).map_or(Imported::Before, Imported::Held))
    }

    fn import_writes(
        &self,
        product: &ProductId,
        mark: &Hash,
        record: &ConnectionRecord,
        due: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let created = record.revision.next(EventType::ConnectionCreated, record.connection.created_at);
        let record = &ConnectionRecord { revision: created, ..record.clone() };
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(record.item(due)?))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let done = self.done_write(product, mark).build();
        Ok(vec![built(put)?, built(done)?, self.history_write(&record.connection)?])
    }

    /// The part of a transaction that marks an import as done for a connection that there is.
    pub(crate) fn import_done_write(
        &self,
        import: &Import,
        connection: &ConnectionId,
    ) -> Result<TransactWriteItem, StoreError> {
        let done = self
            .done_write(&import.product, &import.mark)
            .update_expression("SET #state = :done, #connection = :id REMOVE failure")
            .expression_attribute_names("#connection", "connection")
            .expression_attribute_values(":id", S(connection.as_str()));
        built(done.build())
    }

    fn done_write(&self, product: &ProductId, mark: &Hash) -> UpdateBuilder {
        self.update_together(&keys::import(product, mark))
            .update_expression("SET #state = :done REMOVE failure")
            .condition_expression("#state <> :done")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":done", S(ImportState::Done.word()))
    }

    /// Puts an import off whose token was not sent after all. `false`: another sender has come since.
    pub async fn put_off_import(&self, sender: &Sender) -> Result<bool, StoreError> {
        let import = sender.import();
        let put_off = self
            .update(&keys::import(&import.product, &import.mark))
            .update_expression("SET #state = :unsent")
            .condition_expression("#state = :begun AND sender = :sender")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":unsent", S(ImportState::Unsent.word()))
            .expression_attribute_values(":begun", S(ImportState::Begun.word()))
            .expression_attribute_values(":sender", S(&import.sender))
            .send_write()
            .await;
        Ok(conditional("UpdateItem", put_off)?.is_ok())
    }

    /// Ends an import as refused or lost, with the failure that says why, both or neither. `false`: another sender
    /// has come since, or has finished it.
    pub async fn end_import(
        &self,
        import: &Import,
        to: &ImportState,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let ended = self
            .update_together(&keys::import(&import.product, &import.mark))
            .update_expression("SET #state = :to, failure = :failure")
            .condition_expression("#state = :begun AND sender = :sender")
            .expression_attribute_names("#state", "state")
            .expression_attribute_values(":to", S(to.word()))
            .expression_attribute_values(":begun", S(ImportState::Begun.word()))
            .expression_attribute_values(":sender", S(&import.sender))
            .expression_attribute_values(":failure", S(failure.id.as_str()))
            .build();
        Ok(self.transact(vec![self.failure_write(failure)?, built(ended)?]).await?.is_ok())
    }
}
