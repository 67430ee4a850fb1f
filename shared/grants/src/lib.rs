//! The life of a grant. A grant is what Salesforce gave: refresh token, access token, scopes, identity.
//!
//! ```text
//!  code                                     token of the product
//!   │ exchange                                     │ import
//!   ▼                                              ▼
//! parked ──confirm──▶ pending ──redeem──▶ ┌─────────────────┐ ◀─────────── replace ───────────┐
//!   │                    │                │     active      │                                 │
//!   │                    │                └─────────────────┘                                 │
//!   │                    │                 │ ▲     │ ▲     │                                  │
//!   │                    │      unanswered │ │     │ │     │ refused: the user must act       │
//!   │                    │                 ▼ │     │ │     └──────────▶ needs_reauth ─────────┘
//!   │                    │    refresh_unknown│     │ │                       ▲
//!   │                    │          │  └─────┘     │ │ works again           │
//!   │                    │          │ recover      ▼ │                       │
//!   │                    │          │             blocked: an admin must act │
//!   │                    │          └────────────── answer lost ─────────────┘
//!   │ not confirmed      │ not redeemed
//!   ▼                    ▼
//! revoking ──revoke──▶ deleted          (every state becomes revoking when the product deletes the connection)
//!
//! An answer that fails a check stays in quarantine until an operator decides:
//! release leads to pending or active, discard to revoked.
//! ```
//!
//! | module | arrows |
//! | --- | --- |
//! | [`exchange`] | code → *pending*, *parked*, quarantine or revoked |
//! | [`import`] | a refresh token that the product holds → *active* |
//! | [`verify`] | the checks of a new grant: no arrow without them |
//! | [`replace`] | *pending* takes the place of a connection's old grant: reconnect, redeem and import of the same user |
//! | [`refresh`] | *active* → *active*, *blocked*, *needs_reauth* or *refresh_unknown*, and back; recovery; quarantine of refreshes |
//! | [`unconfirmed`] | *parked* → *revoking* |
//! | [`revoke`] | *revoking* → deleted |
//! | [`record_failure`] | no arrow: evidence becomes a diagnosed, recorded failure |
//! | `introspection` | no arrow: Salesforce is asked whether it knows a refresh token |
//! | [`incidents`] | no arrow: many connections that stop for the same cause |
//!
//! The arrows *confirm* and *redeem* are one transaction each ([`store::reconnects`], [`store::redemptions`]); the function
//! `callback` decides on them.

#![warn(missing_docs)]

pub mod exchange;
pub mod import;
pub mod incidents;
mod introspection;
pub mod record_failure;
pub mod refresh;
pub mod replace;
pub mod revoke;
pub mod unconfirmed;
pub mod verify;
