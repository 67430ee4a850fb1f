//! What a deployment on this machine needs beside AWS: a Salesforce, an echo of addresses, and functions that talk to
//! them. A deployed binary talks to Salesforce's own hosts and AWS's echo and has no switch for others, so these are
//! other binaries, of the same libraries.
#![expect(clippy::print_stdout, reason = "the script that starts it reads where they answer")]

mod inbox;

use std::path::PathBuf;

use clap::Parser;
use local::stack::registration;
use platform::{Aws, Platform, Settings};
use runtime::HttpFunction as _;
use salesforce::{Hosts, Http, Salesforce, egress::Egress};
use url::Url;
use world::{Clock, echo::Echo};

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
enum Arguments {
    /// A Salesforce that knows the apps of a folder's product files, an echo of addresses, and a webhook endpoint: where
    /// they answer, a line each. They end with its standard input
    Salesforce {
        /// The folder with the product files
        #[arg(long)]
        products: PathBuf,
        /// The deployment's callback URL
        #[arg(long)]
        callback: String,
    },
    /// A function, as Lambda starts it
    Function {
        /// Its name
        name: String,
        /// The world: salesforce.localhost and its port
        #[arg(long)]
        salesforce: String,
        /// The echo of addresses
        #[arg(long)]
        echo: Url,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match Arguments::parse() {
        Arguments::Salesforce { products, callback } => be_salesforce(&products, &callback).await,
        Arguments::Function { name, salesforce, echo } => be_function(&name, &salesforce, &echo).await,
    }
}

async fn be_salesforce(products: &std::path::Path, callback: &str) -> Result<(), Error> {
    let salesforce = world::salesforce::Salesforce::new(Clock::running());
    for product in latchkey::read_products(products)? {
        for app in &product.apps {
            salesforce.register_app(registration(&product, app, callback));
        }
    }
    let running = salesforce.serve(0).await?;
    let echo = Echo::start().await;
    println!("{}\n{}\n{}", running.site(), echo.address(), inbox::start().await?);
    // Whoever started it holds the other end: when that is gone, however it went, so are these.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

async fn be_function(name: &str, site: &str, echo: &Url) -> Result<(), Error> {
    let origin = |host: &str| Url::parse(&format!("http://{host}.{site}"));
    let hosts = Hosts::on_this_machine(&origin("login")?, &origin("test")?, ".my.salesforce.localhost")?;
    let salesforce = Salesforce::new(Http::on_this_machine(), hosts);
    let platform = Platform::new(Settings::from_env()?, &Aws::from_env()?, salesforce);
    match name {
        "authorize" => runtime::http::serve(authorize::Authorize::new(platform)?).await,
        "callback" => runtime::http::serve(callback::Callback::new(platform)?).await,
        "token" => runtime::http::serve(token::Token::new(platform)?).await,
        "errors" => runtime::http::serve(errors::Errors::new(platform)?).await,
        "deliver" => {
            let guard = webhooks::AddressGuard::this_machine();
            runtime::queue::serve(deliver::Deliver::with_guard(platform, guard)?).await
        }
        "sweep" => {
            let (sweep, egress) = (sweep::Sweep::new(platform)?, Egress::on_this_machine(echo)?);
            runtime::schedule::serve(sweep::Scheduled::with_egress(sweep, egress)).await
        }
        other => Err(format!("{other} is no function that talks to Salesforce").into()),
    }
}
