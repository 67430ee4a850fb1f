//! `latchkey`: the operator's command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod import;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use domain::{ProductId, secret::ApiKey};
use latchkey::read_products;
use service::platform::Aws;
use store::Store;

#[derive(Debug, Parser)]
#[command(name = "latchkey", version, about = "Operates a Latchkey deployment")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the product files of a folder, and store them in a deployed table
    Apply {
        /// The folder with the product files
        #[arg(default_value = "infra/products")]
        folder: PathBuf,
        /// The table (the stack's output TableName)
        #[arg(long, env = "TABLE_NAME", required_unless_present = "check")]
        table: Option<String>,
        /// Only check the files
        #[arg(long)]
        check: bool,
    },
    /// Bring the refresh tokens that a product holds, row by row; run again to go on where it stopped
    Import(import::Import),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a new API key: the key is printed once, its digest goes into the product's file
    Mint {
        /// The product
        product: ProductId,
        /// The key's id: it stands in the key and in logs
        #[arg(long, default_value = "k1")]
        id: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Apply { folder, table, check } => apply(&folder, table.filter(|_| !check)).await,
        Command::Import(import) => return import::run(import).await,
        Command::Key(KeyCommand::Mint { product, id }) => mint(&product, &id),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn apply(folder: &std::path::Path, table: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    let products = read_products(folder)?;
    let Some(table) = table else {
        println!("{} product files are good", products.len());
        return Ok(());
    };
    let store = Store::new(Aws::from_env()?.dynamodb_client(), table);
    for product in &products {
        let what = match store.product(&product.id).await? {
            None => "created",
            Some(before) if before == *product => "unchanged",
            Some(_) => "changed",
        };
        if what != "unchanged" {
            store.put_product(product).await?;
        }
        println!("{what:>9}  {}", product.id);
    }
    println!("Functions see a change within 60 s.");
    Ok(())
}

fn mint(product: &ProductId, id: &str) -> Result<(), Box<dyn std::error::Error>> {
    if id.is_empty() || id.contains('_') {
        return Err("a key's id is not empty and has no underscore".into());
    }
    let key = ApiKey::mint(product, id);
    println!(
        "The key, shown this once; put it where the product's backend reads its secrets:\n\n  {}\n",
        key.expose()
    );
    println!(
        "Its digest, for the product's file:\n\n  [[api_keys]]\n  id = \"{id}\"\n  hash = \"{}\"",
        key.hash().as_str()
    );
    Ok(())
}
