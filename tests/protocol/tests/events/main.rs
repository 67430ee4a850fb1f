//! Events and deliveries by seeded schedules.

mod deliveries;
mod events;
mod webhook_schedules;
