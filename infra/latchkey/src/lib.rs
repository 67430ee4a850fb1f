//! What the operator's command is made of: the product files' format, and applying them to a table.
//!
//! The format is documented in `infra/products/README.md`; `cargo run -p local` applies the same files.

pub mod product_file;

pub use product_file::{FileErrors, read_product, read_products};
