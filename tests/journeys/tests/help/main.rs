//! What failed is explained to the user and the admin, in words and steps.

mod causes;
mod failures;
mod help_page;
mod incident;
mod pages;
