//! A product needs a working token: refreshes, imports, checks, and a Salesforce or a table that fails.

mod check;
mod hostile;
mod import;
mod lifetime;
mod salesforce_fails;
mod sealing;
mod storm;
mod table_fails;
mod tokens;
