//! What is deployed, but for the hosts that it talks to: the ground of the binaries in `bin`. A deployed binary has no
//! switch for those.

use platform::{Aws, Platform, Settings};
use salesforce::{Hosts, Http, Salesforce};
use url::Url;

/// The functions' ground with the settings of the environment and this machine's Salesforce: `SALESFORCE_LOGIN` and
/// `SALESFORCE_TEST` are its login hosts. Fails where a setting is missing.
pub fn platform() -> Result<Platform, Box<dyn std::error::Error + Send + Sync>> {
    let origin = |name: &str| -> Result<Url, Box<dyn std::error::Error + Send + Sync>> {
        Ok(std::env::var(name)?.parse()?)
    };
    let hosts = Hosts::on_this_machine(
        &origin("SALESFORCE_LOGIN")?,
        &origin("SALESFORCE_TEST")?,
        ".my.salesforce.localhost",
    )?;
    let salesforce = Salesforce::new(Http::on_this_machine(), hosts);
    Ok(Platform::new(Settings::from_env()?, &Aws::from_env()?, salesforce))
}
