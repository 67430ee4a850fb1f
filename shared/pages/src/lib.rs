//! The pages that people see, as structs with a template each: what is true goes in, HTML comes out.
//!
//! | module | holds |
//! | --- | --- |
//! | [`connect`] | before Salesforce: what is connected, for whom, and where the user signs in |
//! | [`confirm`] | a reconnect came back as another org or user: is that meant? |
//! | [`trouble`] | back without an answer: what did you see? |
//! | [`help`] | what went wrong, who can fix it, and the steps, for the end user and for the admin |
//! | [`guide`] | the same steps as standing documentation, for the admin and for the product's engineers |
//! | [`notice`] | where a link leads nowhere, and why |
//! | [`ops`] | what fails, where, why: the operators' page, and the door before it |
//! | `ops_history` | the operators' lists: failures, a customer's history, a search |
//! | [`chart`] | bars and lines as SVG |
//! | [`mod@fill`] | `{app}`, `**Install**`: a text of ours, or of the catalogue's, into plain text or HTML |
//! | [`colour`] | a product's accent, corrected until it can be read |
//! | `words` | every word of the pages |
//! | `playbook` | the catalogue's steps, made ready for one app in one org |
//! | `layout` | what all pages share |
//!
//! A page decides nothing about flows. It carries one inline `<style>` and at most one inline `<script>`, both
//! under the response's nonce, and loads nothing else but the product's logo.

#![warn(missing_docs)]

mod allow;
pub mod chart;
pub mod colour;
pub mod confirm;
pub mod connect;
pub mod fill;
pub mod guide;
pub mod help;
mod layout;
pub mod notice;
pub mod ops;
mod ops_endpoint;
mod ops_history;
mod playbook;
pub mod trouble;
mod words;

pub use confirm::ConfirmPage;
pub use connect::{ConnectPage, HostForm, HostRefusal, LastFailure, SignIn};
pub use fill::{Markup, Names, fill, rich};
pub use guide::GuidePage;
pub use help::{HelpPage, HelpState, PasteNote};
pub use layout::{Page, WayOn};
pub use notice::NoticePage;
pub use ops_endpoint::{MissedEvent, OpsEndpointPage};
pub use trouble::{Seen, TroublePage};
