//! A product is told what happened: events, the feed, webhooks.

mod events;
mod timed_events;
mod webhooks;
