//! Asking Salesforce whether it knows a refresh token (RFC 7662), which spends nothing.
//!
//! RFC 7662 §2.2 gives `active: false` to an app that may not ask as well. So a *no* counts only if the product file says
//! that the app may ask, or if Salesforce has said *yes* to it before.

use domain::{App, ProductId, secret::ConsumerSecret};
use platform::{Platform, log::internal};
use salesforce::{LoginHost, Registration, SalesforceError};
use store::AppAt;

/// What Salesforce says of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenWord {
    /// It knows it.
    Known,
    /// It does not know it, and the app may ask.
    Ended,
    /// It answers, and does not say.
    Unsaid,
}

/// Whether Salesforce answers, and will not say what it knows of a token. That it refuses the app itself is ours to fix
/// and says nothing.
fn is_kept_silent(error: &SalesforceError) -> bool {
    matches!(error, SalesforceError::Refused { status: 400..=403, .. }) && !error.is_invalid_client()
}

/// Asks about a refresh token of the app. An error means that there is no answer.
pub(crate) async fn ask_about(
    platform: &Platform,
    (product, app): (&ProductId, &App),
    host: &LoginHost,
    secret: &ConsumerSecret,
    token: &str,
) -> Result<TokenWord, SalesforceError> {
    let registration = Registration { consumer_key: &app.consumer_key, secret };
    let at = AppAt { product, app: &app.id, consumer_key: &app.consumer_key };
    match platform.salesforce.knows(host, registration, token).await {
        Ok(true) => {
            if !app.introspect
                && let Err(error) = platform.store.note_introspects(at).await
            {
                internal(&error);
            }
            Ok(TokenWord::Known)
        }
        Ok(false) => {
            let may_ask = app.introspect || was_told(platform, at, host).await;
            Ok(if may_ask { TokenWord::Ended } else { TokenWord::Unsaid })
        }
        Err(error) if is_kept_silent(&error) => {
            internal(&error);
            Ok(TokenWord::Unsaid)
        }
        Err(error) => Err(error),
    }
}

/// Whether Salesforce has ever said of a token of the app that it is active.
async fn was_told(platform: &Platform, at: AppAt<'_>, host: &LoginHost) -> bool {
    match platform.store.health(at, host.origin()).await {
        Ok(health) => health.app.introspects,
        Err(error) => {
            internal(&error);
            false
        }
    }
}
