//! Which deployment is operated: the stack's outputs, as options or in the environment, and AWS's own variables.

use platform::{Aws, SettingError, settings::PublicUrl};
use store::{Secrets, Store};

use crate::{
    aws_error::explain,
    lambda::{FunctionArn, NotAFunction},
    report::CommandError,
};

/// The stack's outputs that a command needs.
#[derive(Debug, Clone, clap::Args)]
pub struct Deployment {
    /// The table (the stack's output TableName)
    #[arg(long, env = "TABLE_NAME", global = true)]
    pub table: Option<String>,
    /// The fallback table (FallbackTableName)
    #[arg(long, env = "FALLBACK_TABLE_NAME", global = true)]
    pub fallback_table: Option<String>,
    /// The keyring's secret (KeyringSecretName)
    #[arg(long, env = "KEYRING_SECRET_ID", global = true)]
    pub keyring: Option<String>,
    /// The deployment's origin (PublicUrl)
    #[arg(long, env = "PUBLIC_URL", global = true)]
    pub public_url: Option<String>,
    /// The function that tells from where Salesforce is called (SweepFunction)
    #[arg(long, env = "SWEEP_FUNCTION", global = true)]
    pub sweep: Option<String>,
}

impl Deployment {
    /// The table.
    pub fn store(&self) -> Result<Store, CommandError> {
        Ok(Store::new(aws()?.dynamodb_client(), self.table()?))
    }

    /// The table's name.
    pub fn table(&self) -> Result<&str, CommandError> {
        self.table.as_deref().ok_or_else(|| missing("--table", "TABLE_NAME", "TableName"))
    }

    /// The fallback table's name.
    pub fn fallback_table(&self) -> Result<&str, CommandError> {
        self.fallback_table
            .as_deref()
            .ok_or_else(|| missing("--fallback-table", "FALLBACK_TABLE_NAME", "FallbackTableName"))
    }

    /// The keyring's name.
    pub fn keyring(&self) -> Result<&str, CommandError> {
        self.keyring.as_deref().ok_or_else(|| missing("--keyring", "KEYRING_SECRET_ID", "KeyringSecretName"))
    }

    /// The function that tells from where Salesforce is called, where one is named.
    pub fn sweep(&self) -> Result<Option<FunctionArn>, CommandError> {
        let given = self.sweep.as_deref().filter(|given| !given.is_empty());
        given.map(str::parse).transpose().map_err(|error: NotAFunction| format!("--sweep: {error}").into())
    }

    /// The origin.
    pub fn public_url(&self) -> Result<PublicUrl, CommandError> {
        let given = self.public_url.as_deref();
        let given = given.ok_or_else(|| missing("--public-url", "PUBLIC_URL", "PublicUrl"))?;
        PublicUrl::parse(given)
            .ok_or_else(|| format!("{given} is no https origin such as https://connect.example.com").into())
    }
}

/// AWS, as the environment names it.
pub fn aws() -> Result<Aws, CommandError> {
    Aws::from_env().map_err(|error| {
        let what = match error {
            SettingError::Missing("AWS_REGION") => {
                "AWS_REGION is not set: set it to the deployment's region".into()
            }
            SettingError::Missing(name) => format!("{name} is not set: this command needs AWS credentials"),
            SettingError::Unusable { name, why } => format!("{name} is unusable: {why}"),
        };
        format!(
            "{what}. For example:\n  export AWS_REGION=eu-central-1\n  \
             eval \"$(aws configure export-credentials --format env)\""
        )
        .into()
    })
}

/// An output of the stack that was not given.
pub(crate) fn missing(option: &str, variable: &str, output: &str) -> CommandError {
    format!("{option} (or {variable}) is needed: the stack's {output}").into()
}

/// Secrets Manager, to read and to write.
#[derive(Debug)]
pub struct SecretsManager(aws_sdk_secretsmanager::Client);

impl SecretsManager {
    /// As the environment says.
    pub fn from_env() -> Result<Self, CommandError> {
        Ok(Self::of(&aws()?))
    }

    /// Of this AWS.
    pub fn of(aws: &Aws) -> Self {
        Self(aws.secrets_client())
    }

    /// What reads secrets in their forms.
    pub fn secrets(&self) -> Secrets {
        Secrets::new({
            let client = self.0.clone();
            move || client
        })
    }

    /// The secret's text; `None`: there is no such secret.
    pub async fn read(&self, name: &str) -> Result<Option<String>, CommandError> {
        match self.0.get_secret_value().secret_id(name).send().await {
            Ok(read) => Ok(read.secret_string),
            Err(error) => match error.as_service_error() {
                Some(refusal) if refusal.is_resource_not_found_exception() => Ok(None),
                _ => Err(format!("secret {name}: {}", explain(&error)).into()),
            },
        }
    }

    /// Writes the secret, which is made if there is none.
    pub async fn write(&self, name: &str, text: &str, is_new: bool) -> Result<(), CommandError> {
        let failed = |what: String| CommandError::from(format!("secret {name}: {what}"));
        if is_new {
            let made = self.0.create_secret().name(name).secret_string(text).send().await;
            made.map(drop).map_err(|error| failed(explain(&error)))
        } else {
            let put = self.0.put_secret_value().secret_id(name).secret_string(text).send().await;
            put.map(drop).map_err(|error| failed(explain(&error)))
        }
    }
}
