//! Every word of the pages that is not the catalogue's. A translation is one more constant of each struct, and
//! the compiler names what it leaves out. Placeholders are those of `fill`, and where a text has others
//! they stand in its comment. `**x**` is bold.

macro_rules! words {
    ($($(#[$doc:meta])* $seen:vis $page:ident { $($name:ident: $text:literal,)+ })+) => {$(
        $(#[$doc])*
        $seen struct $page {
            $($seen $name: &'static str,)+
        }

        impl $page {
            pub(crate) const ENGLISH: Self = Self { $($name: $text,)+ };
        }
    )+};
}

mod help;
mod ops;

pub(crate) use help::{Guide, Help};
pub(crate) use ops::{Door, Ops};

words! {
    /// What stands for a name that is not known, and what all pages share. `customer` has `{word}`, `addresses` has
    /// `{product}`.
    pub(crate) Common {
        language: "en",
        app: "the app",
        product: "your product",
        customer: "your {word}",
        customer_word: "workspace",
        support: "the support team",
        package_link: "the install link",
        addresses: "the addresses that {product} calls from (ask its support)",
        in_production: " (production)",
        in_sandbox: " (sandbox)",
        install: "Install the package",
        install_production: "Install in production",
        install_sandbox: "Install in a sandbox",
        or: " or ",
        unbranded: "Salesforce connection",
        questions: "Questions? Ask {support}.",
        to_product: "Go back to {product}",
        try_again: "Try again",
        start_again: "Start again",
    }

    /// The connect page. `fixed_*` have `{host}`. No user is named: anybody
    /// who has the link can open the page.
    pub(crate) Connect {
        title: "Connect Salesforce to {product}",
        title_again: "Reconnect Salesforce to {product}",
        lead: "This connects a Salesforce org to **{customer}** in {product}.",
        app: "Salesforce will ask you to allow the app **{app}**. It shows what the app may do before you agree.",
        error_title: "Check your answer: connect Salesforce to {product}",

        trouble_title: "Did Salesforce stop you?",
        trouble: "Trying again will most likely end in the same place. Tell us what you saw, and we’ll show you who can fix it and how.",
        trouble_button: "Tell us what you saw",
        trouble_other: "I saw something else",
        failure_title: "Your last attempt didn’t work",
        failure_button: "See what to do",
        renews: "This renews an existing connection. Sign in to Salesforce as the same user as before. If you sign in as a different user, we ask you before anything changes.",
        crowded_title: "Salesforce may end an older connection",
        crowded: "A Salesforce user who connected before has allowed **{app}** about as often as Salesforce lets one user.",
        crowded_why: "Salesforce keeps at most five for each user. One more ends the oldest without notice, and the system that used it stops.",
        crowded_user: "**Best:** sign in as a Salesforce user that only this connection uses. Your Salesforce admin can create such an integration user.",
        crowded_less: "**Or first:** disconnect one that is no longer needed, in the product that it connects.",
        crowded_on: "**Or continue,** and reconnect what stops.",

        where_title: "Where do you sign in to Salesforce?",
        production: "Production",
        production_help: "The live org. You sign in at login.salesforce.com.",
        sandbox: "Sandbox",
        sandbox_help: "A copy for testing. You sign in at test.salesforce.com.",
        my_domain: "My Domain",
        my_domain_help: "Your company has a sign-in address of its own, often with single sign-on.",
        my_domain_label: "Your My Domain address",
        my_domain_hint: "For example acme.my.salesforce.com. You see it in the address bar when you are signed in to Salesforce.",
        fixed_production: "You will sign in to your **production** org at **{host}**.",
        fixed_sandbox: "You will sign in to a **sandbox** at **{host}**.",
        fixed_my_domain: "You will sign in at your company’s own address, **{host}**.",

        no_choice: "Choose where you sign in to Salesforce.",
        my_domain_missing: "Enter your My Domain address, or choose another place to sign in.",
        not_my_domain: "That is not a Salesforce My Domain. It ends in .my.salesforce.com, like acme.my.salesforce.com.",
        org_id_not_my_domain: "That is an org ID. Enter the org’s My Domain, which looks like acme.my.salesforce.com.",
        username_not_my_domain: "That is a username or an email address. Enter your My Domain, for example acme.my.salesforce.com.",
        several_my_domains: "Enter one My Domain only, without other words, for example acme.my.salesforce.com.",

        session_title: "Salesforce uses the login that this browser already has",
        session: "If you are signed in to Salesforce as another user or in another org, that is what gets connected.",
        fresh: "Ask me to sign in again",
        fresh_help: "Choose this if you use more than one Salesforce org or user.",

        button: "Continue to Salesforce",
        guide: "First connection from this Salesforce org? An admin may have to install the app first.",
        guide_link: "Read the admin’s guide",
        revoke: "You can take the access away in Salesforce at any time.",
    }

    /// The page that asks whether another org or user is meant. `sandbox_lead` has `{username}`, `keep_note` has
    /// `{minutes}`, and `change_*` have `{username}` and `{host}` of the new, `yes` and `no`
    /// have `{chosen}`: the user or org that the button chooses. `org_*`, `sandbox_*` and `before_*` name no user and no org
    /// of the current connection: the browser may be a stranger's.
    pub(crate) Confirm {
        user_title: "You signed in as a different Salesforce user",
        org_title: "You signed in to a different Salesforce org",
        sandbox_title: "This sandbox was probably refreshed",
        user_lead: "{customer} is connected as one Salesforce user, and you just signed in as another. Nothing has changed yet.",
        org_lead: "{customer} is connected to one Salesforce org, and you just signed in to another. Nothing has changed yet. Used the wrong login? Keep the current connection: the next page lets you sign in again.",
        sandbox_lead: "**{username}** is the same user, but the sandbox has a new org id. That is what a refresh from production does: the old copy is gone, and with it the old connection. Nothing has changed yet.",
        before: "Current connection",
        before_hidden: "Another org than the one you just signed in to. Only people who sign in to that org see its name and user here. To see which org it is, look in {product}.",
        after: "New sign-in",
        username: "User",
        org: "Org",
        org_id: "Org ID",
        environment: "Environment",
        production: "Production",
        sandbox: "Sandbox",
        other: "changes",
        then_title: "If you switch",
        change_user: "{product} reads and writes what **{username}** may see in Salesforce. That can be more or less than now.",
        change_org: "{product} works with the org at **{host}** from now on, and no longer with the current one.",
        change_sandbox: "{product} works with the refreshed sandbox from now on.",
        change_old: "We revoke the previous user’s access.",
        yes: "Switch to {chosen}",
        yes_sandbox: "Use the refreshed sandbox",
        no: "Keep {chosen}",
        no_org: "Keep the current connection",
        no_sandbox: "Keep the old connection",
        keep_note: "If you keep it, or don’t answer within {minutes} minutes, the new sign-in is revoked and nothing changes.",
    }

    /// The trouble page.
    pub(crate) Trouble {
        title: "What did Salesforce show you?",
        error_title: "Tell us a little more: what did Salesforce show you?",
        lead: "Salesforce stopped before it sent you back to {product}. Paste the address of the page that you saw, or choose what it looked like.",
        seen_title: "Can’t copy it? Choose the page that you saw",
        generic_error: "A Salesforce page with an OAuth error",
        generic_error_help: "It shows OAUTH_APPROVAL_ERROR_GENERIC and says that it can’t authorize you.",
        raw_text: "A nearly empty page with a line of text",
        raw_text_help: "Plain text such as error=… and no Salesforce design. Some browsers save it as a file.",
        login_problem: "A sign-in page that goes no further",
        login_problem_help: "The Salesforce sign-in, your single sign-on, or a page that asks to verify who you are.",
        other: "Something else",
        other_help: "A blank page, a message in other words, or nothing at all.",
        screen_generic: "We can’t authorize you because of an OAuth error.",
        screen_generic_code: "OAUTH_APPROVAL_ERROR_GENERIC",
        screen_raw: "error=invalid_client_id &error_description=client identifier invalid",
        screen_login: "Log In",
        paste_title: "Paste the address of that page",
        paste_label: "Address or text of the page",
        paste_why: "The address contains the real reason, even when the page doesn’t show it.",
        how_title: "How to copy it",
        computer: "**On a computer:** click the address bar of that page, copy all of it (Ctrl+C, or ⌘C on a Mac), and paste it here.",
        again: "**Is the page gone?** Your browser’s history still has it. Or go back and try again, and copy the address as soon as Salesforce stops you.",
        phone: "**On a phone:** touch and hold the address bar, choose Copy, then touch and hold here and choose Paste.",
        privacy: "We remove sign-in codes, tokens and passwords from what you paste before we keep anything.",
        nothing_given: "Paste the address or text of the page, or choose one below.",
        button: "Show me what to do",
        back: "Go back and try again",
    }

    /// Pages where a link leads nowhere.
    pub(crate) Notice {
        unknown_link_title: "This link does not work",
        unknown_link: "It may be incomplete or too old. Go back to the product that sent you here and press Connect again.",
        expired_link_title: "This link has expired",
        expired_link: "Links to connect Salesforce work for a short time only. Go back to {product} and press Connect again to get a new one.",
        used_link_title: "This link has been used",
        used_link: "Each link connects Salesforce once. To connect again, go back to {product} and press Connect.",
        already_connected_title: "Already connected",
        already_connected: "Salesforce is connected to {customer} in {product}. There is nothing more to do here. If {product} does not show it, press Connect there again.",
        finish_in_product_title: "Finish in {product}",
        finish_in_product: "Salesforce has answered. Go back to {product} to finish. If {product} doesn't show the connection, press Connect there again.",
        stray_callback_title: "We cannot finish this sign-in",
        stray_callback: "It was started in another browser, too long ago, or is finished already. Go back to your product. If it does not show the connection, press Connect again.",
        other_browser_title: "This isn't the browser you started in",
        other_browser: "Either the sign-in started in another browser, or this browser blocks cookies. Finish in the browser you started in. Or allow cookies for this page and start again.",
        finished_elsewhere_title: "Another browser came back first",
        finished_elsewhere: "Another sign-in with this link has come back from Salesforce, in another tab or browser, and that one counts. This sign-in changed nothing. **Was the other one yours?** Finish there. **If it wasn’t, or if you can’t get back to it,** start again: {product} gives you a new link.",
        foreign_form_title: "This form didn't come from our page",
        foreign_form: "Go back to your product and press Connect again. If you see this page again, update your browser or use another one.",
        not_found_title: "There is no page here",
        not_found: "Check the address. If a link brought you here, go back to where you found it and try again.",
        bad_request_title: "We could not read that",
        bad_request: "Your browser sent something incomplete, or too large. Go back, reload the page and try again.",
        bad_query_title: "This address isn't right",
        bad_query: "Correct the part after the question mark, or open the page without it.",
        internal_title: "Something went wrong on our side",
        internal: "We are sorry. It has been recorded, and trying again in a minute often works. If it does not, tell {support} this reference:",
    }
}
