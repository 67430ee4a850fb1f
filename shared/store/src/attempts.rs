//! The attempts of a session that have no recorded end. `open_attempts` of the session lists them, so that an attempt
//! whose callback was interrupted leaves a trace, whatever happens to the other attempts of its session.
//!
//! Whatever ends an attempt removes it from the list in the same write. The session stays due until the list is empty.

use aws_sdk_dynamodb::types::{
    AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure as OnFailure, Update,
    builders::UpdateBuilder,
};
use domain::{
    AppId, Attempt, AttemptId, ConnectionId, Customer, Environment, Failure, ProductId, SessionId,
    secret::Hash,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    Item, N, S, Store, StoreError,
    expression::{Expression, OPEN},
    item::{from_item, time, to_item},
    keys, millis,
    sessions::{KEPT, last_failure},
    ttl,
    write::{SendWrite, built, conditional},
};

/// Which attempts of a session are open when one of them ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenAttempts {
    /// This one alone, or the session is of an earlier version and lists none.
    This,
    /// This one and others: the session stays due for them.
    Several,
}

impl OpenAttempts {
    /// In the order in which they are tried: most sessions have one attempt.
    pub(crate) const ALL: [Self; 2] = [Self::This, Self::Several];

    /// The end of an update expression: removes these attributes, and this attempt from the list.
    pub(crate) fn without(self, removed: &[&str]) -> String {
        match self {
            Self::This => {
                let removed = [removed, &["due_shard", "due_at", "open_attempts"]].concat();
                format!("REMOVE {}", removed.join(", "))
            }
            Self::Several if removed.is_empty() => "DELETE open_attempts :this".to_owned(),
            Self::Several => format!("REMOVE {} DELETE open_attempts :this", removed.join(", ")),
        }
    }

    /// On condition that the session is open, and lists this attempt alone or none, or whatever it lists.
    pub(crate) fn on_open_session(self, update: UpdateBuilder, attempt: &AttemptId) -> UpdateBuilder {
        let condition = match self {
            Self::This => {
                format!("{OPEN} AND (attribute_not_exists(open_attempts) OR open_attempts = :this)")
            }
            Self::Several => OPEN.to_owned(),
        };
        update.condition_expression(condition).open_states().value(":this", set_of(attempt))
    }

    /// On condition that the session is open and lists this attempt. A session of an earlier version lists none; it
    /// waits for the attempt then.
    fn on_attempt_without_end(self, update: UpdateBuilder, attempt: &AttemptId) -> UpdateBuilder {
        let update = update.open_states().value(":this", set_of(attempt));
        match self {
            Self::This => update.condition_expression(format!(
                "{OPEN} AND (open_attempts = :this \
                 OR (attribute_not_exists(open_attempts) AND #state = :redirected))"
            )),
            Self::Several => {
                update.condition_expression(format!("{OPEN} AND {LISTED}")).value(":id", S(attempt.as_str()))
            }
        }
    }
}

/// That a session lists the attempt `:id`.
const LISTED: &str = "contains(open_attempts, :id)";

/// A list of one attempt.
pub(crate) fn set_of(attempt: &AttemptId) -> AttributeValue {
    AttributeValue::Ss(vec![attempt.as_str().to_owned()])
}

/// How many trips to Salesforce one session may begin: a link that is passed around cannot fill the table.
pub const MAX_ATTEMPTS: u32 = 50;

/// What became of beginning an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Begun {
    /// The browser may go.
    Yes,
    /// The session is over, has succeeded, or has had too many attempts.
    No,
}

/// Whose a callback is.
#[derive(Debug)]
pub enum Claim {
    /// This callback's, from now on and for no other.
    Yours(Box<Attempt>),
    /// Nobody's: there is no such attempt.
    Unknown,
    /// Another browser's.
    OtherBrowser(Box<Attempt>),
    /// It was claimed before.
    Used(Box<Attempt>),
    /// It waited too long at Salesforce.
    Expired(Box<Attempt>),
}

impl Store {
    /// Stores an attempt and marks its session as gone to Salesforce, both or neither.
    pub async fn begin_attempt(&self, attempt: &Attempt) -> Result<Begun, StoreError> {
        let (now, key) = (attempt.began_at, keys::attempt(&attempt.id));
        let mut item = to_item(&key, &AttemptRow::new(attempt))?;
        item.insert("ttl".into(), ttl(attempt.expires_at + KEPT));
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression("attribute_not_exists(pk)")
            .build();
        let session = self
            .session_update(&attempt.session)
            .update_expression(
                "SET #state = :redirected, redirected_at = :now, environment = :environment, due_shard = :shard, \
                 due_at = :due, browser = :browser, browser_attempt = :attempt \
                 ADD attempts :one, open_attempts :this",
            )
            .condition_expression(format!("{OPEN} AND expires_at > :now AND attempts < :most"))
            .expression_attribute_values(":shard", S(keys::due_shard(attempt.session.as_str())))
            .expression_attribute_values(":due", millis(attempt.expires_at))
            .expression_attribute_values(":environment", S(attempt.environment.word()))
            .bound_to(&attempt.bound_browser())
            .open_states()
            .expression_attribute_values(":this", set_of(&attempt.id))
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":one", N(1))
            .expression_attribute_values(":most", N(MAX_ATTEMPTS));
        match self.transact(vec![built(put)?, built(session.build())?]).await? {
            Ok(()) => Ok(Begun::Yes),
            Err(_) => Ok(Begun::No),
        }
    }

    /// Claims an attempt for one callback. Of any number of concurrent callbacks exactly one succeeds: the
    /// check and the mark are the same write. Expiry is checked here because DynamoDB may leave an item
    /// readable for days after its `ttl`; the browser is checked here because a state alone opens nothing. Who
    /// claimed is written with it, so that a write that the SDK tries again, because its answer was lost, is
    /// known as this callback's own.
    pub async fn claim(&self, id: &AttemptId, browser: &Hash, now: Timestamp) -> Result<Claim, StoreError> {
        let key = keys::attempt(id);
        let claimant = S(domain::id::base32(&domain::secret::random::<16>()));
        let claimed = self
            .update(&key)
            .update_expression("SET claimed_at = :now, claimed_by = :claimant")
            .condition_expression(
                "attribute_exists(pk) AND attribute_not_exists(claimed_at) AND expires_at > :now AND browser = :browser",
            )
            .expression_attribute_values(":now", millis(now))
            .expression_attribute_values(":browser", S(browser.as_str()))
            .expression_attribute_values(":claimant", claimant.clone())
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(OnFailure::AllOld)
            .send_write()
            .await;
        let read = |item: Item| from_item::<AttemptRow>(&key.pk, item)?.read(&key.pk).map(Box::new);
        match conditional("UpdateItem", claimed)? {
            Ok(output) => read(output.attributes.unwrap_or_default()).map(Claim::Yours),
            Err(None) => Ok(Claim::Unknown),
            Err(Some(item)) if item.get("browser") != Some(&S(browser.as_str())) => {
                read(item).map(Claim::OtherBrowser)
            }
            Err(Some(item)) if item.get("claimed_by") == Some(&claimant) => read(item).map(Claim::Yours),
            Err(Some(item)) if item.contains_key("claimed_at") => read(item).map(Claim::Used),
            Err(Some(item)) => read(item).map(Claim::Expired),
        }
    }

    /// The attempt of that id.
    pub async fn attempt(&self, id: &AttemptId) -> Result<Option<Attempt>, StoreError> {
        let key = keys::attempt(id);
        let found = self.get(&key, true).await?;
        found.map(|item| from_item::<AttemptRow>(&key.pk, item)?.read(&key.pk)).transpose()
    }

    /// Records a failure of a session's attempt, and leaves the session open for another. A session that has succeeded
    /// meanwhile (in another tab) stays as it is; the failure is kept all the same.
    pub async fn fail_session(&self, attempt: &Attempt, failure: &Failure) -> Result<(), StoreError> {
        if self.end_attempt(attempt, failure).await? {
            return Ok(());
        }
        // Another end of the attempt is on record: it came back after the sweep took it to be lost.
        let update = self
            .session_update(&attempt.session)
            .update_expression("SET #state = :failed, last_failure = :failure")
            .condition_expression(OPEN)
            .open_states()
            .value(":failure", last_failure(failure)?);
        if self.end_with(update.build(), failure).await? {
            return Ok(());
        }
        self.record_failure(failure).await
    }

    /// Records the failure if the attempt's end is not on record yet. `false`: it is, and nothing was written.
    pub async fn end_attempt(&self, attempt: &Attempt, failure: &Failure) -> Result<bool, StoreError> {
        let last = last_failure(failure)?;
        for open in OpenAttempts::ALL {
            let update = self
                .session_update(&attempt.session)
                .update_expression(format!(
                    "SET #state = :failed, last_failure = :failure {}",
                    open.without(&[])
                ))
                .value(":failure", last.clone());
            if self.end_with(open.on_attempt_without_end(update, &attempt.id).build(), failure).await? {
                return Ok(true);
            }
        }
        // The session has succeeded, or waits to be confirmed: it stays as it is.
        let update = self
            .session_update(&attempt.session)
            .update_expression(OpenAttempts::Several.without(&[]))
            .condition_expression(LISTED)
            .value(":this", set_of(&attempt.id))
            .value(":id", S(attempt.id.as_str()));
        self.end_with(update.build(), failure).await
    }

    /// Ends an attempt whose grant was revoked because its session has another result: that is no failure.
    pub async fn end_without_result(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let update = self
            .session_update(&attempt.session)
            .update_expression(OpenAttempts::Several.without(&[]))
            .condition_expression(LISTED)
            .value(":this", set_of(&attempt.id))
            .value(":id", S(attempt.id.as_str()));
        self.transact(vec![built(update.build())?]).await.map(drop)
    }

    async fn end_with(
        &self,
        update: Result<Update, aws_sdk_dynamodb::error::BuildError>,
        failure: &Failure,
    ) -> Result<bool, StoreError> {
        let writes = vec![self.failure_write(failure)?, built(update)?];
        Ok(self.transact(writes).await?.is_ok())
    }

    /// Takes a session off the sweep's list: the attempts that it still lists never came back, or are on record. What
    /// has begun since `now` stays.
    pub async fn close_attempts(&self, session: &SessionId, now: Timestamp) -> Result<(), StoreError> {
        let closed = self
            .update(&keys::session(session))
            .update_expression("REMOVE due_shard, due_at, open_attempts")
            .condition_expression("due_at <= :now")
            .expression_attribute_values(":now", millis(now))
            .send_write()
            .await;
        conditional("UpdateItem", closed).map(drop)
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttemptRow {
    id: AttemptId,
    session: SessionId,
    product: ProductId,
    app: AppId,
    customer: Customer,
    user: String,
    login_host: String,
    environment: Environment,
    return_to: Url,
    browser: Hash,
    began_at: i64,
    expires_at: i64,
    claimed_at: Option<i64>,
    reconnects: Option<ConnectionId>,
    // Since v1 was first written, so absent from older items.
    #[serde(default)]
    another: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
}

impl AttemptRow {
    pub(crate) fn new(attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            session: attempt.session.clone(),
            product: attempt.product.clone(),
            app: attempt.app.clone(),
            customer: attempt.customer.clone(),
            user: attempt.user.clone(),
            login_host: attempt.login_host.clone(),
            environment: attempt.environment,
            return_to: attempt.return_to.clone(),
            browser: attempt.browser.clone(),
            began_at: attempt.began_at.as_millisecond(),
            expires_at: attempt.expires_at.as_millisecond(),
            claimed_at: attempt.claimed_at.map(Timestamp::as_millisecond),
            reconnects: attempt.reconnects.clone(),
            another: attempt.another,
            scopes: attempt.scopes.clone(),
        }
    }

    pub(crate) fn read(self, pk: &str) -> Result<Attempt, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt { pk: pk.to_owned(), what: what.to_owned() };
        Ok(Attempt {
            id: self.id,
            session: self.session,
            product: self.product,
            app: self.app,
            customer: self.customer,
            user: self.user,
            login_host: self.login_host,
            environment: self.environment,
            return_to: self.return_to,
            browser: self.browser,
            reconnects: self.reconnects,
            another: self.another,
            scopes: self.scopes,
            began_at: time(Some(self.began_at)).ok_or_else(|| corrupt("began_at"))?,
            expires_at: time(Some(self.expires_at)).ok_or_else(|| corrupt("expires_at"))?,
            claimed_at: time(self.claimed_at),
        })
    }
}
