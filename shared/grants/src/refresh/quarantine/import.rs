//! Releasing the answer of an import.

use domain::{App, Connection, ConnectionState};
use jiff::Timestamp;
use salesforce::{Distrust, Grant};
use store::{Bringing, ConnectionRecord, Imported, ImportedAs, Quarantined, Tokens, Unique};

use super::exchange::SECOND_LOOK;
use crate::{
    refresh::{RefreshError, Refresher},
    replace::{IfHeld, ReplaceOutcome, TakeoverError, Target, retire, take_over},
};

/// Maximum tries to store a released answer while others connect the same Salesforce user.
const MAX_TRIES: usize = 5;

impl Refresher {
    pub(super) async fn release_import(
        &self,
        quarantined: &Quarantined,
        imported: &ImportedAs,
        app: &App,
        grant: Grant,
        now: Timestamp,
    ) -> Result<Option<String>, RefreshError> {
        let grant = self.at_told_instance(quarantined, grant);
        let told = match grant.instance_url(None) {
            Some(told) => Some(told),
            None => self.platform.salesforce.identity(&grant, SECOND_LOOK).await.instance_url,
        };
        let Some(instance_url) = told else {
            let why = Distrust::InstanceUrl;
            return Ok(Some(format!("{why}: release it with --instance-url and the org's My Domain")));
        };
        let Some(refresh) = &grant.refresh else {
            return Ok(Some(
                "it has no refresh token: the imported one still stands; import it again".to_owned(),
            ));
        };
        let connection = Connection {
            id: quarantined.connection.clone(),
            product: quarantined.product.clone(),
            app: quarantined.app.clone(),
            customer: imported.customer.clone(),
            user: imported.user.clone(),
            session: None,
            identity: grant.identity.clone(),
            login_host: grant.host.origin().to_owned(),
            environment: imported.environment,
            instance_url,
            scopes: grant.granted(&app.scopes),
            state: ConnectionState::Active,
            created_at: now,
        };
        let issued_at = grant.issued_at(quarantined.quarantined_at);
        let tokens = Tokens { access: &grant.access, refresh: Some(refresh), issued_at };
        let record = ConnectionRecord::seal(&self.cipher, connection, tokens, app).await?;
        self.store_released(record, imported, app, now).await
    }

    /// Stores the connection, or gives its grant to the connection of the same Salesforce user that there is, as the
    /// import would have done.
    async fn store_released(
        &self,
        mut record: ConnectionRecord,
        imported: &ImportedAs,
        app: &App,
        now: Timestamp,
    ) -> Result<Option<String>, RefreshError> {
        let (store, sharing) = (&self.platform.store, app.connections);
        let Some(import) = store.import(&record.connection.product, &imported.mark).await? else {
            return Ok(Some("its import is gone; discard it".to_owned()));
        };
        let mut unique = (!imported.another).then(|| Unique::of(&record.connection, sharing));
        record.unique = unique.as_ref().map(|unique| unique.key().to_owned());
        let mut standing = match &unique {
            Some(_) => store.standing(&record, app).await?,
            None => None,
        };
        for _ in 0..MAX_TRIES {
            let other = if let Some(standing) = standing.take() {
                let Connection { id, identity, .. } = &standing.connection;
                let target = Target { id, whose: identity, held: IfHeld::Stop };
                let bringing = Bringing::Import(&import);
                match take_over(&self.platform, &self.cipher, &record, target, bringing, now).await {
                    Ok(ReplaceOutcome::Yes(taken)) => {
                        retire(&self.platform, &self.cipher, &taken, now).await;
                        return Ok(None);
                    }
                    Ok(ReplaceOutcome::Refused(_)) => return Ok(None),
                    Ok(ReplaceOutcome::Overtaken) => continue,
                    Ok(ReplaceOutcome::Held(other)) => other,
                    Err(TakeoverError::Store(error)) => return Err(error.into()),
                    Err(TakeoverError::Secret(error)) => return Err(error.into()),
                    Err(error @ TakeoverError::Busy(_)) => return Ok(Some(error.to_string())),
                }
            } else {
                let due = now + app.keep_alive();
                match store.finish_import(&import, &record, unique.as_ref(), due).await? {
                    Imported::Yes | Imported::Before => return Ok(None),
                    Imported::Held(other) => other,
                }
            };
            let holder = store.connection(&other).await?;
            standing = holder.filter(|holder| holder.is_standing_for(&record.connection, sharing));
            if standing.is_none() {
                unique = unique.map(|unique| unique.replacing(other));
            }
        }
        Ok(Some(
            "the connection of the same user changes all the time; the next sweep tries again".to_owned(),
        ))
    }
}
