//! `latchkey`: the operator's command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is what it prints")]

mod import;
mod webhook_commands;

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use domain::{AppId, ConnectionId, ProductId};
use latchkey::{
    app::{self, Rotation, Subject},
    apply,
    deployment::{Deployment, SecretsManager},
    doctor,
    egress::Egress,
    failures, key, keyring, ops,
    probe::Probe,
    quarantine,
    report::{CommandError, Report, error_json, error_text},
    restore,
};
use platform::clock::now;
use salesforce::{Hosts, Http};
use store::{Decision, Fallback};

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and as it should be
  1  could not be done; standard error says why and what to do (with --json: the member error on standard output)
  2  the command was not understood
  3  done, and something was found that is to be put right (app check, app rotate-secret status, apply,
     doctor, events endpoints, quarantine list, restore)
import has its own: latchkey import --help";

#[derive(Debug, Parser)]
#[command(name = "latchkey", version, about = "Operates a Latchkey deployment", after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    deployment: Deployment,
    /// Print one line of JSON
    #[arg(long, global = true)]
    json: bool,
    /// Say what would be done, and write nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// The folder with the product files
    #[arg(long, global = true, env = "LATCHKEY_PRODUCTS", default_value = "infra/products")]
    products: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring the table in line with the product files: the plan first, then the change
    Apply {
        /// The folder with the product files (in place of --products)
        folder: Option<PathBuf>,
        /// Only check the files
        #[arg(long)]
        check: bool,
        /// End the API keys of products that have no file; their connections stay
        #[arg(long)]
        prune: bool,
    },
    /// Bring the refresh tokens that a product holds, row by row; run again to go on where it stopped
    Import(import::Import),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Apps at Salesforce
    #[command(subcommand)]
    App(AppCommand),
    /// The keys that seal tokens at rest
    #[command(subcommand)]
    Keyring(KeyringCommand),
    /// Failures on record
    #[command(subcommand)]
    Failures(FailuresCommand),
    /// Events, and what became of them at webhook endpoints
    #[command(subcommand)]
    Events(webhook_commands::EventsCommand),
    /// The signing secrets of webhook endpoints
    #[command(subcommand)]
    Webhook(webhook_commands::WebhookCommand),
    /// Token answers that fail a check
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// The operators' page
    #[command(subcommand)]
    Ops(OpsCommand),
    /// Look at the deployment itself: tables, backups, secrets, products, its public name, from where it calls
    /// Salesforce
    Doctor {
        /// An address from which Salesforce is to be called (the stack's output EgressAddresses); repeat it
        #[arg(long = "egress-address", value_delimiter = ' ')]
        addresses: Vec<IpAddr>,
        /// An address that the app's allowlist at Salesforce has; repeat it
        #[arg(long = "allowed-address", value_delimiter = ' ')]
        allowed: Vec<IpAddr>,
    },
    /// Bring connections back from a restored copy of the table (docs/deploy.md, Restore)
    Restore {
        /// The restored copy
        #[arg(long)]
        from: String,
        /// The restored copy of the fallback table
        #[arg(long)]
        fallback_from: Option<String>,
        /// How many connections are recovered a minute: more than 3,600 logins an hour fail at Salesforce
        #[arg(long, default_value_t = 50)]
        per_minute: u32,
    },
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key: it is shown once, and its digest goes into the product's file
    Create {
        /// The product
        product: ProductId,
        /// The key's id, which stands in the key and in logs; made of the time without. An id is never used again
        #[arg(long)]
        id: Option<String>,
    },
    /// The keys of a product: those of its file, and those that work
    List {
        /// The product
        product: ProductId,
    },
    /// End a key, in the product's file and in the table
    Revoke {
        /// The product
        product: ProductId,
        /// The key's id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Ask Salesforce, without a user, whether consumer key, callback URL, PKCE and secret are right
    Check {
        /// The product
        product: ProductId,
        /// The app
        app: AppId,
        #[command(flatten)]
        at: At,
    },
    /// Store the app's consumer secret, from standard input
    SetSecret {
        /// The product
        product: ProductId,
        /// The app
        app: AppId,
        /// Replace the one that is there
        #[arg(long)]
        replace: bool,
    },
    /// Change the consumer secret without a gap: stage, apply it at Salesforce, finish
    RotateSecret {
        /// The step
        #[arg(value_enum)]
        step: Step,
        /// The product
        product: ProductId,
        /// The app
        app: AppId,
        #[command(flatten)]
        at: At,
    },
}

/// Where Salesforce is asked beside the app's own login hosts.
#[derive(Debug, clap::Args)]
struct At {
    /// The My Domain of an org to ask at too, as acme.my.salesforce.com; repeat it
    #[arg(long = "host")]
    hosts: Vec<String>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Step {
    /// Put the next secret, from standard input, beside the current one, if no other stands there
    Stage,
    /// Ask Salesforce which of them it takes
    Status,
    /// Make the next one the current one, if Salesforce takes it
    Finish,
    /// Drop the next one; after finish, go back to the one before. Salesforce is asked first
    BackOut,
}

impl Step {
    fn rotation(self) -> Result<Rotation, CommandError> {
        Ok(match self {
            Self::Stage => Rotation::Stage(app::from_stdin()?),
            Self::Status => Rotation::Status,
            Self::Finish => Rotation::Finish,
            Self::BackOut => Rotation::BackOut,
        })
    }
}

#[derive(Debug, Subcommand)]
enum KeyringCommand {
    /// Add a key that seals from now on; the old ones go on opening
    Rotate,
}

#[derive(Debug, Subcommand)]
enum OpsCommand {
    /// Make a one-time link to the operators' page, for all products; it works for ten minutes
    Link {
        /// For this product alone
        #[arg(long)]
        product: Option<ProductId>,
        /// Who uses the link, as the list of sessions shows it; your user name without
        #[arg(long, env = "LATCHKEY_OWNER")]
        owner: Option<String>,
    },
    /// Sessions in the operators' page
    #[command(subcommand)]
    Sessions(SessionsCommand),
}

#[derive(Debug, Subcommand)]
enum SessionsCommand {
    /// The live sessions: whose they are, what they see, when they were last used
    List,
    /// End sessions at once
    End {
        /// The session's id, as the list shows it
        #[arg(required_unless_present_any = ["owner", "all"])]
        id: Option<String>,
        /// All sessions of this owner
        #[arg(long, conflicts_with = "id")]
        owner: Option<String>,
        /// All sessions
        #[arg(long, conflicts_with_all = ["id", "owner"])]
        all: bool,
    },
}

impl OpsCommand {
    async fn run(self, deployment: &Deployment, dry_run: bool) -> Result<Report, CommandError> {
        let store = deployment.store()?;
        match self {
            Self::Link { product, owner } => {
                let public_url = deployment.public_url()?;
                let user = || ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
                let owner = owner.or_else(user).unwrap_or_default();
                ops::link(&store, public_url.origin(), product, &owner, now(), dry_run).await
            }
            Self::Sessions(SessionsCommand::List) => ops::list_sessions(&store, now()).await,
            Self::Sessions(SessionsCommand::End { id, owner, .. }) => {
                let which = match (id, owner) {
                    (Some(id), _) => ops::Which::One(id),
                    (None, Some(owner)) => ops::Which::Of(owner),
                    (None, None) => ops::Which::All,
                };
                ops::end_sessions(&store, &which, now(), dry_run).await
            }
        }
    }
}

#[derive(Debug, Subcommand)]
enum QuarantineCommand {
    /// List them
    List,
    /// Show one, with the check that it fails
    Show {
        /// The connection
        connection: ConnectionId,
    },
    /// Let the sweep repeat every check, and store the answer if it passes
    Release {
        /// The connection
        connection: ConnectionId,
        /// Where the org's API answers, if the answer does not say: https://acme.my.salesforce.com
        #[arg(long, value_name = "ADDRESS", value_parser = instance_url)]
        instance_url: Option<String>,
    },
    /// Let the sweep revoke what the answer holds; the user has to connect again
    Discard {
        /// The connection
        connection: ConnectionId,
    },
}

#[derive(Debug, Subcommand)]
enum FailuresCommand {
    /// What fails most
    Top {
        /// How far back, in hours
        #[arg(long, default_value_t = 24)]
        hours: u32,
        /// How many causes
        #[arg(long, default_value_t = 20)]
        most: usize,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    let json = arguments.json;
    let done = match arguments.command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "latchkey", &mut std::io::stdout());
            return ExitCode::SUCCESS;
        }
        Command::Import(import) => return import::run(import).await,
        _ => run(arguments).await,
    };
    match done {
        Ok(report) => {
            if json {
                println!("{}", report.json);
            } else {
                println!("{}", report.text);
            }
            if report.wrong { ExitCode::from(3) } else { ExitCode::SUCCESS }
        }
        Err(error) => {
            if json {
                println!("{}", error_json(&error));
            } else {
                eprintln!("{}", error_text(&error));
            }
            ExitCode::FAILURE
        }
    }
}

/// Help, a version, or a command that was not understood: with `--json` that is one line of JSON as well.
fn misunderstood(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let (what, usage) = text.split_once("\n\n").unwrap_or((&text, ""));
        let what = what.strip_prefix("error: ").unwrap_or(what).trim();
        println!("{}", serde_json::json!({ "error": what, "usage": usage.trim() }));
    } else {
        // A terminal that is gone has nobody left to be told.
        let _ = error.print();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

async fn run(arguments: Arguments) -> Result<Report, CommandError> {
    let Arguments { deployment, dry_run, products, command, .. } = arguments;
    match command {
        Command::Apply { folder, check: true, .. } => apply::check(&folder.unwrap_or(products)),
        Command::Apply { folder, prune, .. } => {
            apply::run(&folder.unwrap_or(products), &deployment.store()?, prune, dry_run).await
        }
        Command::Key(KeyCommand::Create { product, id }) => {
            key::create(&products, &product, id.as_deref(), now(), dry_run)
        }
        Command::Key(KeyCommand::List { product }) => {
            key::list(&products, &product, &deployment.store()?).await
        }
        Command::Key(KeyCommand::Revoke { product, id }) => {
            key::revoke(&products, &product, &id, &deployment.store()?, dry_run).await
        }
        Command::App(command) => run_app(&deployment, dry_run, command).await,
        Command::Keyring(KeyringCommand::Rotate) => {
            keyring::rotate(&SecretsManager::from_env()?, deployment.keyring()?, dry_run).await
        }
        Command::Quarantine(command) => run_quarantine(&deployment, dry_run, command).await,
        Command::Failures(FailuresCommand::Top { hours, most }) => {
            failures::top(&deployment.store()?, now(), hours, most).await
        }
        Command::Ops(command) => command.run(&deployment, dry_run).await,
        Command::Events(command) => command.run(&deployment, dry_run).await,
        Command::Webhook(command) => command.run(&deployment, dry_run).await,
        Command::Doctor { addresses, allowed } => {
            let egress = Egress { addresses, allowed };
            doctor::run(&deployment, &products, &egress, &Http::new(), now()).await
        }
        Command::Restore { from, fallback_from, per_minute } => {
            let restore = restore::Restore {
                from: &from,
                into: deployment.table()?,
                fallback: fallback_from
                    .as_deref()
                    .map(|from| deployment.fallback_table().map(|into| (from, into)))
                    .transpose()?,
                per_minute,
            };
            restore::run(deployment.store()?.client(), &restore, now, dry_run).await
        }
        Command::Completions { .. } | Command::Import(_) => Err("main has done it".into()),
    }
}

async fn run_quarantine(
    deployment: &Deployment,
    dry_run: bool,
    command: QuarantineCommand,
) -> Result<Report, CommandError> {
    let fallback = Fallback::new(deployment.store()?.client().clone(), deployment.fallback_table()?);
    match command {
        QuarantineCommand::List => quarantine::list(&fallback, now()).await,
        QuarantineCommand::Show { connection } => quarantine::show(&fallback, connection.as_str()).await,
        QuarantineCommand::Release { connection, instance_url } => {
            let told = instance_url.as_deref();
            quarantine::decide(&fallback, connection.as_str(), Decision::Release, told, dry_run).await
        }
        QuarantineCommand::Discard { connection } => {
            quarantine::decide(&fallback, connection.as_str(), Decision::Discard, None, dry_run).await
        }
    }
}

/// The origin of an org's API, if it is one of Salesforce's hosts.
fn instance_url(address: &str) -> Result<String, &'static str> {
    let own = salesforce::Hosts::salesforce().own(address);
    own.map(|own| own.origin().ascii_serialization()).ok_or("not the https address of a Salesforce org")
}

async fn run_app(
    deployment: &Deployment,
    dry_run: bool,
    command: AppCommand,
) -> Result<Report, CommandError> {
    let (store, secrets) = (deployment.store()?, SecretsManager::from_env()?);
    let probe = |at: At| Probe::new(Http::new(), Hosts::salesforce()).and_at(&at.hosts);
    match command {
        AppCommand::Check { product, app, at } => {
            let callback = deployment.public_url()?.callback();
            app::check(&Subject::of(&store, &product, &app).await?, &probe(at)?, &secrets, &callback).await
        }
        AppCommand::SetSecret { product, app, replace } => {
            let subject = Subject::of(&store, &product, &app).await?;
            app::set_secret(&subject, &app::from_stdin()?, &secrets, replace, dry_run).await
        }
        AppCommand::RotateSecret { step, product, app, at } => {
            let subject = Subject::of(&store, &product, &app).await?;
            app::rotate(&subject, step.rotation()?, &probe(at)?, &secrets, dry_run).await
        }
    }
}
