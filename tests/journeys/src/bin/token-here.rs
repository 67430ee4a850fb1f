//! The token function as a process of its own, with this machine's Salesforce: what is deployed, but for the hosts
//! that it talks to. A deployed binary has no switch for those.

use salesforce::{Hosts, Http, Salesforce};
use service::{Platform, Settings, platform::Aws};
use token::Token;
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let origin = |name: &str| -> Result<Url, Box<dyn std::error::Error + Send + Sync>> {
        Ok(std::env::var(name)?.parse()?)
    };
    let hosts = Hosts::on_this_machine(
        &origin("SALESFORCE_LOGIN")?,
        &origin("SALESFORCE_TEST")?,
        ".my.salesforce.localhost",
    )?;
    let salesforce = Salesforce::new(Http::on_this_machine(), hosts);
    let platform = Platform::new(Settings::from_env()?, &Aws::from_env()?, salesforce);
    let token: &'static Token = Box::leak(Box::new(Token::new(platform)?));
    service::serve("token", |request, now| token.respond(request, now)).await
}
