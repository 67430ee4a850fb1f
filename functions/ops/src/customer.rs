//! `GET /ops/customers/{digest}`: one customer's history on one timeline. The address has the digest of the customer's id:
//! no log that has addresses learns the id.

use domain::{Environment, Failure, Product, Provenance, secret::Hash};
use http::StatusCode;
use jiff::Timestamp;
use pages::{
    Page,
    ops::{HistoryConnection, HistoryEvent, Link, OpsCustomerPage, WORDS, say},
};
use store::customer_history::{ConnectionOfCustomer, CustomerHistory, SessionSummary, is_cut};
use web::{
    Query, Request, Response, error_pages,
    respond::{self, Forms, page},
    views,
};

use crate::{
    Ops, csv,
    format::{app_name, clock_time, environment_name, label},
    query::DashboardQuery,
    visit::{Format, Refused, Visit},
};

/// An event, and when it was.
type At = (Timestamp, HistoryEvent);

impl Ops {
    pub(crate) async fn customer(
        &self,
        request: &Request,
        digest: &str,
        query: &Query,
        now: Timestamp,
    ) -> Result<Response, Refused> {
        // The page of a customer has all that there is: nothing else is selected.
        let field = |name: &str| matches!(name, "product" | "format").then(|| query.get(name)).flatten();
        let visit = self.visit_with(request, field, now).await?;
        let Visit { product, selected, .. } = &visit;
        let Some(digest) = Hash::parse(digest) else { return Ok(error_pages::not_found()) };
        let history = Box::pin(self.platform.store.customer_history(&product.id, &digest, now)).await?; // boxed: large
        let Some(customer) = history.customer() else { return Ok(error_pages::not_found()) };

        let events = events(&history, product, selected);
        if visit.format == Format::Csv {
            let events: Vec<_> = events.into_iter().map(|(at, event)| (views::time(at), event)).collect();
            return Ok(respond::csv("latchkey-customer.csv", csv::text(&csv::events(&events))));
        }
        let (sessions, failures, connections) =
            (history.sessions.len(), history.failures.len(), history.connections.len());
        let view = OpsCustomerPage {
            frame: visit.frame(&selected.history(&digest)),
            customer: customer.name.clone().unwrap_or_else(|| customer.id.clone()),
            id: customer.id.clone(),
            connections: history
                .connections
                .iter()
                .map(|connection| connection_row(connection, product))
                .collect(),
            events: events.into_iter().map(|(_, event)| event).collect(),
            is_cut: [sessions, failures, connections].into_iter().any(is_cut),
        };
        Ok(page(StatusCode::OK, Forms::Ours, |nonce| view.with_nonce(nonce).html()))
    }
}

/// Everything that happened, the latest first.
fn events(history: &CustomerHistory, product: &Product, selected: &DashboardQuery) -> Vec<At> {
    let mut events = Vec::new();
    for session in &history.sessions {
        of_session(session, product, &mut events);
    }
    for failure in &history.failures {
        of_failure(failure, selected, &mut events);
    }
    for connection in &history.connections {
        let place = place(connection.environment, connection.org.as_str());
        let facts: [(&str, &dyn std::fmt::Display); 4] = [
            ("id", &connection.id),
            ("app", &app_name(connection.app.as_str(), product)),
            ("place", &place),
            ("state", &connection.state.replace('_', " ")),
        ];
        events.push(event(connection.created_at, WORDS.kind_connection, say(WORDS.event_made, &facts)));
    }
    // Stable: of events at the same time, what came first in a session stays below what followed.
    events.sort_by_key(|(at, _)| *at);
    events.reverse();
    events
}

fn event(at: Timestamp, kind: &'static str, text: String) -> At {
    (at, HistoryEvent { at: clock_time(at), kind, text, link: None })
}

fn of_session(session: &SessionSummary, product: &Product, events: &mut Vec<At>) {
    let app = app_name(session.app.as_str(), product);
    let created = match &session.reconnects {
        Some(connection) => {
            say(WORDS.event_reconnects, &[("id", &session.id), ("app", &app), ("connection", connection)])
        }
        None => say(WORDS.event_created, &[("id", &session.id), ("app", &app)]),
    };
    let state = say(WORDS.event_state, &[("state", &session.state)]);
    events.push(event(session.created_at, WORDS.kind_session, format!("{created} {state}")));
    if let Some(at) = session.opened_at {
        events.push(event(at, WORDS.kind_session, WORDS.event_opened.to_owned()));
    }
    if let Some(at) = session.redirected_at {
        let text = say(WORDS.event_sent, &[("attempts", &session.attempts)]);
        events.push(event(at, WORDS.kind_attempt, text));
    }
    if let Some(at) = session.returned_at {
        events.push(event(at, WORDS.kind_attempt, WORDS.event_returned.to_owned()));
    }
}

fn of_failure(failure: &Failure, selected: &DashboardQuery, events: &mut Vec<At>) {
    let text = match failure.evidence.provenance {
        Provenance::Reported => WORDS.event_failed_reported,
        Provenance::Observed => WORDS.event_failed,
    };
    let label = label(&failure.cause);
    let facts: [(&str, &dyn std::fmt::Display); 2] = [("label", &label), ("stage", &failure.stage.word())];
    let link = Link { href: selected.reference(&failure.id), text: failure.id.reference() };
    let (at, event) = self::event(failure.at, WORDS.kind_failure, say(text, &facts));
    events.push((at, HistoryEvent { link: Some(link.clone()), ..event }));
    if let Some(resolved) = &failure.resolved {
        let (kind, text) = match resolved.session {
            Some(_) => (WORDS.kind_connection, WORDS.event_resolved),
            None => (WORDS.kind_refresh, WORDS.event_refreshed),
        };
        let (at, event) = self::event(resolved.at, kind, say(text, &[("label", &label)]));
        events.push((at, HistoryEvent { link: Some(link), ..event }));
    }
}

fn place(environment: Environment, org: &str) -> String {
    format!("{}, {org}", environment_name(Some(environment)))
}

fn connection_row(connection: &ConnectionOfCustomer, product: &Product) -> HistoryConnection {
    let id = &connection.id;
    let app = app_name(connection.app.as_str(), product);
    let needs_user = matches!(connection.state.as_str(), "needs_reauth" | "blocked" | "refresh_unknown");
    let mut actions = vec![(WORDS.action_check, format!("POST /v1/connections/{id}/check"))];
    if needs_user {
        let call = format!("POST /v1/connect-sessions {{\"connection_id\": \"{id}\", …}}");
        actions.push((WORDS.action_reconnect, call));
    }
    actions.push((WORDS.action_logs, format!("filter connection = \"{id}\" | sort @timestamp desc")));
    actions.push((WORDS.action_delete, format!("DELETE /v1/connections/{id}")));
    HistoryConnection {
        id: id.to_string(),
        place: format!("{app}, {}", place(connection.environment, connection.org.as_str())),
        state: connection.state.replace('_', " "),
        since: say(WORDS.since, &[("at", &clock_time(connection.created_at))]),
        actions,
    }
}
