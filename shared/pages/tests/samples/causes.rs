//! A cause for each actor, in the manner of the catalogue's and independent of its wording.

use diagnosis::{Actor, Branch, Cause, Playbook, Step};
use domain::AppKind;

const fn step(text: &'static str) -> Step {
    Step { text, setup: None, only: None, needs_package: false }
}

const fn in_setup(text: &'static str, path: &'static str) -> Step {
    Step { setup: Some(path), ..step(text) }
}

pub(crate) static NOT_INSTALLED: Cause = Cause {
    id: "app_not_installed",
    label: "App not installed",
    title: "Your company’s Salesforce does not let you use {app} yet.",
    why: "Since September 2025 Salesforce lets most users connect only apps that an admin has installed in the org. \
          Until somebody installs **{app}**, everybody but some admins is stopped.",
    article: Some((
        "Prepare for Connected App Usage Restrictions",
        "https://help.salesforce.com/s/articleView?id=005132365&type=1",
    )),
    actor: Actor::Admin,
    end_user: &[step("Send the message below to the person who manages Salesforce at your company.")],
    admin: Some(Playbook {
        goal: "“{app}” is installed in this org, and the right people may use it.",
        steps: &[
            Step {
                only: Some(AppKind::ConnectedApp),
                ..in_setup(
                    "In Setup, type **Connected Apps OAuth Usage** in Quick Find and open it.",
                    "/lightning/setup/ConnectedAppsUsage/home",
                )
            },
            Step {
                only: Some(AppKind::ConnectedApp),
                ..step(
                    "Find **{app}**. Apps that are not installed often stand at the very bottom of the list.",
                )
            },
            Step {
                only: Some(AppKind::ConnectedApp),
                ..step("Press **Install**, and in the window that opens press **Install** again.")
            },
            Step {
                only: Some(AppKind::ExternalClientApp),
                needs_package: true,
                ..step("Open {package_link} and choose **Install for All Users**.")
            },
            step(
                "Press **Manage App Policies**, then **Edit Policies**, and set **Permitted Users**. Press **Save**.",
            ),
            step("Tell the person who sent you here to press Connect in {product} again."),
        ],
        branches: &[
            Branch {
                question: "{app} is not in the list?",
                steps: &[
                    step(
                        "Let a user press Connect in {product} once. It fails, and the app shows in the list.",
                    ),
                    Step {
                        needs_package: true,
                        ..step("Still missing: install the package from {package_link}.")
                    },
                ],
            },
            Branch {
                question: "It already says “Allowed”?",
                steps: &[step("Allowed is not installed. An installed app has **Uninstall** as its action.")],
            },
            Branch {
                question: "You cannot find the menu?",
                steps: &[Step {
                    needs_package: true,
                    ..step("Install the package from {package_link} instead.")
                }],
            },
        ],
        check: &[
            step("The action next to **{app}** now says **Uninstall**."),
            step("The user connects without an error."),
        ],
    }),
    vendor: None,
    owner: None,
    wait_minutes: Some(10),
    retry: false,
    question: Some("Is the page’s address one of Salesforce’s, and what does it say after error=?"),
};

pub(crate) static DENIED: Cause = Cause {
    id: "access_denied",
    label: "Access denied by the user",
    title: "The access was not allowed in Salesforce.",
    why: "Salesforce asks before it lets {app} in. Somebody pressed **Deny**, or the user may not use the app.",
    article: None,
    actor: Actor::EndUser,
    end_user: &[
        step("Start again, and press **Allow** when Salesforce asks."),
        step("You did not press **Deny**? Then ask your admin whether you may use {app}."),
    ],
    admin: Some(Playbook {
        goal: "The user may use “{app}”.",
        steps: &[in_setup(
            "In Setup, open **Manage Connected Apps**, choose **{app}** and press **Manage Profiles**.",
            "/lightning/setup/ConnectedApplication/home",
        )],
        branches: &[],
        check: &[],
    }),
    vendor: None,
    owner: None,
    wait_minutes: None,
    retry: true,
    question: None,
};

pub(crate) static WRONG_SECRET: Cause = Cause {
    id: "invalid_client_credentials",
    label: "Client authentication failed",
    title: "{product} could not prove to Salesforce who it is.",
    why: "The consumer secret is wrong.",
    article: None,
    actor: Actor::Vendor,
    end_user: &[step("There is nothing for you to do. Try again later, or ask {support}.")],
    admin: None,
    vendor: Some(Playbook {
        goal: "VENDOR ONLY: put the right secret in place.",
        steps: &[step("VENDOR ONLY: rotate the secret.")],
        branches: &[],
        check: &[],
    }),
    owner: None,
    wait_minutes: None,
    retry: false,
    question: None,
};

pub(crate) static PROPAGATING: Cause = Cause {
    id: "app_new",
    label: "New app settings not active yet",
    title: "Salesforce has not finished setting {app} up.",
    why: "New settings take up to ten minutes to reach all of Salesforce.",
    article: None,
    actor: Actor::Wait,
    end_user: &[step("Wait ten minutes, then try again.")],
    admin: None,
    vendor: None,
    owner: None,
    wait_minutes: Some(10),
    retry: true,
    question: None,
};
