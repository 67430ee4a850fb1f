//! A user connects an org, once and again: links, browsers, receipts, who it is.

mod ask_again;
mod browser_binding;
mod connect;
mod forged_id_tokens;
mod interrupted;
mod lost;
mod moved_host;
mod products;
mod reconnect;
mod same_connection;
mod unredeemed;
mod upgrade;
