//! The two things that a deployment on this machine needs beside AWS: a Salesforce, and functions that talk to it. A
//! deployed binary talks to Salesforce's own hosts and has no switch for others, so these are other binaries, of the
//! same libraries.
#![expect(clippy::print_stdout, reason = "the script that starts it reads where it answers")]

use std::path::PathBuf;

use clap::Parser;
use lambda_runtime::{LambdaEvent, service_fn};
use local::stack::registration;
use salesforce::{Hosts, Http, Salesforce};
use service::{
    Invocation, Platform, Settings,
    observe::{Observer, print},
    platform::Aws,
};
use url::Url;
use world::Clock;

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
enum Arguments {
    /// A Salesforce that knows the apps of a folder's product files; ends with its standard input
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
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    match Arguments::parse() {
        Arguments::Salesforce { products, callback } => be_salesforce(&products, &callback).await,
        Arguments::Function { name, salesforce } => be_function(&name, &salesforce).await,
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
    println!("{}", running.site());
    // Whoever started it holds the other end: when that is gone, however it went, so is this.
    tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink())).await??;
    Ok(())
}

async fn be_function(name: &str, site: &str) -> Result<(), Error> {
    let origin = |host: &str| Url::parse(&format!("http://{host}.{site}"));
    let hosts = Hosts::on_this_machine(&origin("login")?, &origin("test")?, ".my.salesforce.localhost")?;
    let salesforce = Salesforce::new(Http::on_this_machine(), hosts);
    let platform = Platform::new(Settings::from_env()?, &Aws::from_env()?, salesforce);
    match name {
        "authorize" => {
            let authorize: &'static _ = Box::leak(Box::new(authorize::Authorize::new(platform)));
            service::serve("authorize", |request, now| authorize.respond(request, now)).await
        }
        "callback" => {
            let callback: &'static _ = Box::leak(Box::new(callback::Callback::new(platform)?));
            service::serve("callback", |request, now| callback.respond(request, now)).await
        }
        "token" => {
            let token: &'static _ = Box::leak(Box::new(token::Token::new(platform)?));
            service::serve("token", |request, now| token.respond(request, now)).await
        }
        "errors" => {
            let errors: &'static _ = Box::leak(Box::new(errors::Errors::new(platform)));
            service::serve("errors", |request, now| errors.respond(request, now)).await
        }
        "sweep" => {
            let observer = &Observer::from_env("sweep")?;
            let sweep = &sweep::Sweep::new(platform)?;
            lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| async move {
                let now = service::serve::now();
                let run = Box::pin(sweep.run(Invocation::until(event.context.deadline, now)));
                let (swept, lines) = observer.run(&event.context.request_id, now, run).await;
                print(&lines);
                Ok::<_, Error>(swept?)
            }))
            .await
        }
        other => Err(format!("{other} is no function that talks to Salesforce").into()),
    }
}
