//! Log lines for our own failures and for refused requests, and the ids that an invocation's log line names.

use domain::{Attempt, ConnectSession, Connection};
use telemetry::{Fact, about};

/// Logs a failure of our own, once. Returns the reference that finds the log line.
pub fn internal(error: &dyn std::error::Error) -> String {
    let reference = format!("LK-{}", domain::id::base32(&domain::secret::random::<5>()).to_ascii_uppercase());
    about(Fact::Reference, reference.as_str());
    tracing::error!(reference, error = %error, "failed: {error}");
    reference
}

/// Logs why a request was refused, once. `why` must not repeat what was sent: it may be a secret.
pub fn refused(why: impl std::fmt::Display) {
    tracing::info!(refused = %why, "refused: {why}");
}

/// Names the session, its product and its app in the log line of the invocation.
pub fn about_session(session: &ConnectSession) {
    about(Fact::Session, session.id.as_str());
    about(Fact::Product, session.product.as_str());
    about(Fact::App, session.app.as_str());
    if let Some(connection) = &session.reconnects {
        about(Fact::Connection, connection.as_str());
    }
}

/// Names the attempt's session, product and app in the log line of the invocation.
pub fn about_attempt(attempt: &Attempt) {
    about(Fact::Session, attempt.session.as_str());
    about(Fact::Product, attempt.product.as_str());
    about(Fact::App, attempt.app.as_str());
}

/// Names the connection, its product and its app in the log line of the invocation.
pub fn about_connection(connection: &Connection) {
    about(Fact::Connection, connection.id.as_str());
    about(Fact::Product, connection.product.as_str());
    about(Fact::App, connection.app.as_str());
}
