//! Every word of the pages that is not the catalogue's. A translation is one more constant of each struct, and
//! the compiler names what it leaves out. Placeholders are those of [`crate::fill`], and where a text has others
//! they stand in its comment. `**x**` is strong.

macro_rules! words {
    ($($(#[$doc:meta])* $page:ident { $($name:ident: $text:literal,)+ })+) => {$(
        $(#[$doc])*
        pub(crate) struct $page {
            $(pub(crate) $name: &'static str,)+
        }

        impl $page {
            pub(crate) const ENGLISH: Self = Self { $($name: $text,)+ };
        }
    )+};
}

words! {
    /// What stands for a name that is not known, and what all pages share. `customer` has `{word}`.
    Common {
        language: "en",
        app: "the app",
        product: "your product",
        customer: "your {word}",
        customer_word: "workspace",
        support: "the support team",
        package_link: "the install link",
        in_production: " (production)",
        in_sandbox: " (sandbox)",
        or: " or ",
        unbranded: "Salesforce connection",
        questions: "Questions? Ask {support}.",
        to_product: "Go back to {product}",
        try_again: "Try again",
    }

    /// The connect page. `fixed_*` have `{host}`, `renews` has `{username}`, `crowded` that and `{grants}`.
    Connect {
        title: "Connect Salesforce to {product}",
        lead: "This connects a Salesforce org to **{customer}** in {product}.",
        app: "Salesforce will ask you to allow the app **{app}**. It shows what the app may do before you agree.",
        error_title: "Check your answer: connect Salesforce to {product}",

        trouble_title: "Welcome back. Did Salesforce stop you?",
        trouble: "Trying again will most likely end in the same place. Tell us what you saw, and we show you who can fix it and how.",
        trouble_button: "Tell us what you saw",
        failure_title: "Your last try did not work",
        failure_button: "See what to do",
        renews: "This renews the connection of **{username}**. Sign in to Salesforce as that user. If you come back as another one, we ask you before anything changes.",
        crowded_title: "Salesforce may end an older connection",
        crowded: "**{username}** has allowed **{app}** {grants} times already.",
        crowded_why: "Salesforce keeps no more than five for each user, and ends the oldest without a word when one more is added: whatever used it stops.",
        crowded_user: "**Best:** sign in as a Salesforce user that is there for this connection alone. Your Salesforce admin can make such an integration user.",
        crowded_less: "**Or first:** disconnect one that is no longer needed, where it was connected.",
        crowded_on: "**Or go on,** and connect again whatever stops.",

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

        session_title: "Salesforce uses the login that this browser already has",
        session: "If you are signed in to Salesforce as another user or in another org, that is what gets connected.",
        fresh: "Ask me to sign in again",
        fresh_help: "Choose this if you use more than one Salesforce org or user.",

        button: "Continue to Salesforce",
        guide: "First connection from this Salesforce org? An admin may have to install the app before.",
        guide_link: "Read the admin’s guide",
        revoke: "You can take the access away in Salesforce at any time.",
    }

    /// The page that asks whether another org or user is meant. `sandbox_lead` has `{username}`, `keep_note` has
    /// `{minutes}`, and `change_*` have `{username}` and `{host}` of the new.
    Confirm {
        user_title: "Another Salesforce user came back. Is that right?",
        org_title: "Another Salesforce org came back. Is that right?",
        sandbox_title: "It looks as if this sandbox was refreshed",
        user_lead: "{customer} was connected by one Salesforce user, and you have just signed in as another. Nothing has been changed yet.",
        org_lead: "{customer} was connected to one Salesforce org, and you have just signed in to another. Nothing has been changed yet.",
        sandbox_lead: "**{username}** is the same user, but the sandbox has a new org id. That is what a refresh from production does: the old copy is gone, and with it the old connection. Nothing has been changed yet.",
        before: "Connected so far",
        after: "Signed in just now",
        username: "User",
        org: "Org",
        org_id: "Org id",
        environment: "Kind",
        production: "Production",
        sandbox: "Sandbox",
        other: "changes",
        then_title: "If you change it",
        change_user: "{product} reads and writes what **{username}** may see in Salesforce, which can be more or less than before.",
        change_org: "{product} works with the org at **{host}** from then on, and no longer with the one from before.",
        change_sandbox: "{product} works with the refreshed sandbox from then on.",
        change_old: "The access of the user from before is given back to Salesforce.",
        yes: "Change it",
        no: "Keep it as it was",
        keep_note: "If you keep it, or do nothing for {minutes} minutes, the new access is given back and all stays as it was.",
    }

    /// The trouble page.
    Trouble {
        title: "What did Salesforce show you?",
        error_title: "Tell us a little more: what did Salesforce show you?",
        lead: "Salesforce stopped before it sent you back to {product}. Choose the page that you saw, or paste its address: either helps to find the reason.",
        seen_title: "Which page was it?",
        generic_error: "A Salesforce page with an OAuth error",
        generic_error_help: "It says OAUTH_APPROVAL_ERROR_GENERIC, and that it can’t authorize you because of an OAuth error.",
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
        paste_title: "Paste the address of that page, or its text",
        paste_label: "Address or text of the page",
        paste_why: "The address says the true reason, also where the page does not.",
        computer: "**On a computer:** click the address bar of that page, copy all of it (Ctrl+C, or ⌘C on a Mac), and paste it here.",
        again: "**Is the page gone?** Your browser’s history still has it. Or go back and try again, and copy the address as soon as Salesforce stops you.",
        phone: "**On a phone:** touch and hold the address bar, choose Copy, then touch and hold here and choose Paste.",
        privacy: "We remove sign-in codes, tokens and passwords from what you paste before we keep anything.",
        nothing_given: "Choose a page, or paste its address or text.",
        button: "Show me what to do",
        back: "Go back and try again",
    }

    /// The help page, for the end user. `message` has `{cause}`, `{goal}`, `{address}` and `{reference}`;
    /// `wait_in` and `propagation` have `{minutes}`, `setup_home` has `{host}`.
    Help {
        resolved_title: "Connected. Nothing more to do.",
        resolved: "Salesforce is connected to {customer} in {product}.",
        resolved_was: "What the problem was",

        acts_end_user: "You can fix this",
        acts_admin: "Your Salesforce admin can fix this",
        acts_vendor: "We have to look into this",
        acts_wait: "This passes by itself",

        calm_end_user: "Nothing is broken in {product} or in Salesforce.",
        calm_admin: "Nothing is broken in {product}, and you did nothing wrong. Only somebody who manages Salesforce at your company can change this, usually in a few minutes.",
        calm_vendor: "We are sorry for the trouble. This is for the team of {product} to look into, not for you or your Salesforce admin.",
        calm_wait: "Nothing is broken in {product} or in Salesforce, and nobody has to fix anything.",
        wave_app: "The same happened to other customers of {product} at about the same time, so the reason may lie outside your Salesforce org.",
        wave_org: "Several connections of your Salesforce org stopped at about the same time. Most likely one change in its Setup is the reason for all of them.",
        not_sure: "This is the likeliest reason by what we know. It is not certain: see “If this does not fit” below.",

        do_title: "What you can do",
        jump: "Are you the Salesforce admin? Go to the steps",

        message_title: "Send this to your Salesforce admin",
        message_title_if: "Need your Salesforce admin? Send this",
        message_subject: "Salesforce: please help me connect {product}",
        message: "Hello,\n\nI tried to connect our Salesforce to {product}, and Salesforce stopped me:\n{cause}\n\nOnly a Salesforce admin can change this. The goal: {goal}\n\nThe steps, with the exact names of menus and buttons, are here:\n{address}\n\nReference: {reference}\n\nThank you!",
        copy: "Copy the message",
        copied: "Copied",
        mail: "Open in e-mail",

        vendor_title: "Tell our support this reference",
        vendor: "Give {support} this reference, and they see at once what happened:",

        wait_until: "You can try again after",
        wait_now: "You can try again now.",
        wait_in: "in about {minutes} min",

        way_title: "The way back",
        way_after: "When it is solved, start again:",
        way_waited: "After that time, start again:",
        way_now: "Trying again can work at once:",
        way_none: "When it is solved, go back to {product} and press Connect again.",
        watching: "This page turns green when the connection works.",

        article: "Salesforce explains it here:",
        setup: "Open in Setup",
        setup_home: "Open Setup in {host}",
        new_tab: "(opens in a new tab)",
        check_title: "How to see that it worked",
        propagation: "After the change, Salesforce can take up to {minutes} minutes before it works.",
        branches_title: "If a step does not go as it should",
        done: "Step done",
        admin_title: "For your Salesforce admin",
        goal: "The goal:",
        why: "Why:",
        admin_steps: "Steps",
        print: "Print these steps",

        others_title: "If this does not fit",
        others: "Other reasons that look much the same:",
        tell_more: "Did Salesforce show something else?",
        tell_more_link: "Tell us what you saw",
        confidence_possible: "possible",
        confidence_likely: "likely",
        confidence_sure: "certain",

        said_title: "What Salesforce said",
        code: "Code",
        description: "Description",
        http_status: "HTTP status",
        surface: "Where",
        host: "Host",
        surface_callback: "In the answer to our sign-in request",
        surface_hosted: "On Salesforce’s own error page",
        surface_raw: "On a bare text page of Salesforce’s",
        surface_other: "On another Salesforce page",
        surface_token: "When we asked for the access token",
        surface_api: "When Salesforce data was read or written",
        surface_history: "In Setup’s Login History",
        surface_unknown: "Not known",
        observed: "We saw this ourselves.",
        reported: "Somebody reported this; we did not see it ourselves.",
        nothing_said: "Salesforce gave no code and no description.",
        facts: "Reference and details",
        when: "When",
        this_page: "This page:",
        guide_title: "The whole setup",
        guide: "For other orgs and sandboxes, and before colleagues connect:",
        guide_link: "Install first: the guide for admins",
        support_title: "Talk to a person",
        support: "Contact {support} and give this reference.",
        no_support: "Contact the support of {product} and give this reference.",
    }

    /// The guides. `message` has `{address}`.
    Guide {
        admin: "Guide for Salesforce admins",
        vendor: "Guide for engineers",
        contents: "On this page",

        user_title: "Not a Salesforce admin? Send this to yours",
        message_subject: "Salesforce: please prepare it for {product}",
        message: "Hello,\n\nI would like to connect our Salesforce to {product}. Before that works, a Salesforce admin has to install the app “{app}” in our org. It takes a few minutes.\n\nThe steps, with the exact names of menus and buttons, are here:\n{address}\n\nThank you!",
        copy: "Copy",
        copied: "Copied",
        mail: "Open in e-mail",

        done: "Step done",
        check: "How to see that it worked",
        branches: "If something is different",
        articles: "Salesforce explains it here:",
        print: "Print this guide",

        app_title: "The app in Salesforce",
        names: "Name in Setup",
        also: "It can also stand there as",
        kind: "Kind",
        connected_app: "Connected app",
        external_client_app: "External client app",
        install: "Install link",
        production: "Production",
        sandbox: "Sandbox",
        others_title: "Not this app?",
        others: "{product} has other apps in Salesforce. Each is installed by itself and has its own guide:",
        counterpart_title: "Other readers",
        to_vendor: "For the engineers of {product}, and for who owns the app",
        to_admin: "For the customer’s Salesforce admin",
        support_title: "Talk to a person",
        support: "Contact {support}.",
        no_support: "Contact the support of {product}.",
        this_page: "This page:",
    }

    /// Pages where a link leads nowhere.
    Notice {
        unknown_link_title: "This link does not work",
        unknown_link: "It may be incomplete, or it is no longer kept. Go back to the product that sent you here and press Connect again.",
        expired_link_title: "This link has expired",
        expired_link: "Links to connect Salesforce work for a short time only. Go back to {product} and press Connect again to get a new one.",
        used_link_title: "This link has been used",
        used_link: "It connects Salesforce once. To connect again, go back to {product} and press Connect.",
        already_connected_title: "Already connected",
        already_connected: "Salesforce is connected to {customer} in {product}. There is nothing more to do here. Should {product} not show it, press Connect there once more.",
        stray_callback_title: "We cannot finish this sign-in",
        stray_callback: "It was started in another browser, too long ago, or is finished already. Go back to your product. If it does not show the connection, press Connect again.",
        other_browser_title: "Please go on where you started",
        other_browser: "This connection was started in another browser. Finish it there, or go back to {product} and press Connect again in this one.",
        not_found_title: "There is no page here",
        not_found: "Check the address. If a link brought you here, go back to where you found it and try again.",
        bad_request_title: "We could not read that",
        bad_request: "Your browser sent something incomplete, or too large. Go back, reload the page and try again.",
        internal_title: "Something went wrong on our side",
        internal: "We are sorry. It has been recorded, and trying again in a minute often works. If it does not, tell {support} this reference:",
    }
}
