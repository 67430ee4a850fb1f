//! The attempts of a session that have no recorded end. `open_attempts` of the session lists them, so that an attempt
//! whose callback was interrupted leaves a trace, whatever happens to the other attempts of its session.
//!
//! Whatever ends an attempt removes it from the list in the same write. The session stays due until the list is empty.

use aws_sdk_dynamodb::types::{AttributeValue, Update, builders::UpdateBuilder};
use domain::{Attempt, AttemptId, Failure, SessionId};
use jiff::Timestamp;

use crate::{
    S, SendWrite as _, Store, StoreError, conditional,
    expression::{Expression, OPEN},
    keys, millis,
    rows::{AttemptRow, from_item},
    sessions::{built, last_failure},
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

impl Store {
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
