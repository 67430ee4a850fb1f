//! Every metric, and every value that a dimension may have.

/// A metric. Each is written under one set of dimensions, the one that its table row in docs/runbook.md names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// How long the invocation took.
    Duration,
    /// Whether it was its sandbox's first.
    ColdStarts,
    /// How long each call of Salesforce took.
    SalesforceTime,
    /// Calls of Salesforce that brought no answer, or a 5xx.
    SalesforceErrors,
    /// DynamoDB's read units, as it reports them. A condition that is refused is not in them: AWS does not tell.
    ReadUnits,
    /// DynamoDB's write units.
    WriteUnits,
    /// Tries after the first, of calls of AWS and of refreshes.
    Retries,
    /// How long each wait for another's refresh took.
    LeaseWaits,
    /// How much later than it was due the sweep took up what was due longest.
    SweepOverdue,
    /// What the sweep could not deal with.
    SweepPutOff,
    /// Whether the sweep's time ran out.
    SweepCutShort,
    /// Answers that the table did not take: put into the fallback, or found there.
    FallbackAnswers,
    /// Answers that fail a check: put into quarantine, or found there.
    QuarantinedAnswers,
    /// Apps for which nothing is sent, because several answers in a row could not be trusted.
    UntrustedApps,
    /// Items that the sweep found due and could not read.
    UnreadableItems,
    /// Changes of the table that make no event because they cannot be read.
    UnreadableRecords,
    /// Waves that began: many connections that stop for one cause.
    Incidents,
    /// Webhook attempts that failed.
    WebhookFailures,
    /// Webhook endpoints that were disabled.
    DisabledEndpoints,
    /// How long ago the oldest event happened of those whose webhook attempt failed.
    OldestUndelivered,
}

impl Metric {
    /// Every one.
    pub const ALL: [Self; 20] = [
        Self::Duration,
        Self::ColdStarts,
        Self::SalesforceTime,
        Self::SalesforceErrors,
        Self::ReadUnits,
        Self::WriteUnits,
        Self::Retries,
        Self::LeaseWaits,
        Self::SweepOverdue,
        Self::SweepPutOff,
        Self::SweepCutShort,
        Self::FallbackAnswers,
        Self::QuarantinedAnswers,
        Self::UntrustedApps,
        Self::UnreadableItems,
        Self::UnreadableRecords,
        Self::Incidents,
        Self::WebhookFailures,
        Self::DisabledEndpoints,
        Self::OldestUndelivered,
    ];

    /// Its name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Duration => "Duration",
            Self::ColdStarts => "ColdStarts",
            Self::SalesforceTime => "SalesforceTime",
            Self::SalesforceErrors => "SalesforceErrors",
            Self::ReadUnits => "ReadUnits",
            Self::WriteUnits => "WriteUnits",
            Self::Retries => "Retries",
            Self::LeaseWaits => "LeaseWaits",
            Self::SweepOverdue => "SweepOverdue",
            Self::SweepPutOff => "SweepPutOff",
            Self::SweepCutShort => "SweepCutShort",
            Self::FallbackAnswers => "FallbackAnswers",
            Self::QuarantinedAnswers => "QuarantinedAnswers",
            Self::UntrustedApps => "UntrustedApps",
            Self::UnreadableItems => "UnreadableItems",
            Self::UnreadableRecords => "UnreadableRecords",
            Self::Incidents => "Incidents",
            Self::WebhookFailures => "WebhookFailures",
            Self::DisabledEndpoints => "DisabledEndpoints",
            Self::OldestUndelivered => "OldestUndelivered",
        }
    }

    /// Its unit in CloudWatch.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Duration | Self::SalesforceTime | Self::LeaseWaits => "Milliseconds",
            Self::SweepOverdue | Self::OldestUndelivered => "Seconds",
            _ => "Count",
        }
    }
}

/// How an invocation ended: the dimension `Outcome`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// A connect session was made.
    Created,
    /// A connect link was opened.
    Opened,
    /// A browser was sent to Salesforce.
    Redirected,
    /// Salesforce's answer became a pending connection.
    Returned,
    /// Another org or user came back: the user is asked.
    Parked,
    /// A session became a connection.
    Connected,
    /// An attempt failed, and has a help page.
    Failed,
    /// A callback that belongs to no attempt.
    Stray,
    /// A token was handed out.
    HandedOut,
    /// No token yet: ask again.
    NotReady,
    /// No token before a person acts.
    Stopped,
    /// A product or a person told what was met.
    Reported,
    /// The sweep ran.
    Swept,
    /// A batch of the table's changes was counted.
    Tallied,
    /// A batch of the table's changes was made into events.
    Notified,
    /// A webhook was delivered, or there was nothing to deliver.
    Delivered,
    /// A webhook was not delivered.
    Undelivered,
    /// Anything else that was answered.
    Answered,
    /// The call was refused (4xx).
    Refused,
    /// We could not answer (5xx).
    Unavailable,
}

impl Outcome {
    /// Every one.
    pub const ALL: [Self; 20] = [
        Self::Created,
        Self::Opened,
        Self::Redirected,
        Self::Returned,
        Self::Parked,
        Self::Connected,
        Self::Failed,
        Self::Stray,
        Self::HandedOut,
        Self::NotReady,
        Self::Stopped,
        Self::Reported,
        Self::Swept,
        Self::Tallied,
        Self::Notified,
        Self::Delivered,
        Self::Undelivered,
        Self::Answered,
        Self::Refused,
        Self::Unavailable,
    ];

    /// The outcome of an answer of which nobody has said more.
    pub fn of_status(status: u16) -> Self {
        match status {
            500.. => Self::Unavailable,
            400.. => Self::Refused,
            _ => Self::Answered,
        }
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Opened => "opened",
            Self::Redirected => "redirected",
            Self::Returned => "returned",
            Self::Parked => "parked",
            Self::Connected => "connected",
            Self::Failed => "failed",
            Self::Stray => "stray",
            Self::HandedOut => "handed_out",
            Self::NotReady => "not_ready",
            Self::Stopped => "stopped",
            Self::Reported => "reported",
            Self::Swept => "swept",
            Self::Tallied => "tallied",
            Self::Notified => "notified",
            Self::Delivered => "delivered",
            Self::Undelivered => "undelivered",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of a need for a newer token: the dimension `Refresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refresh {
    /// There is a newer token.
    Fresh,
    /// The old one has to do, and does.
    StillWorks,
    /// There is none yet.
    NotYet,
    /// The user has to connect again.
    Reauthorize,
    /// An admin of the org has to act.
    Blocked,
    /// The app's own set-up is at fault.
    Incident,
    /// Salesforce rejects fresh tokens too.
    Rejected,
    /// The connection is gone.
    Gone,
    /// It could not be tried: the table, a secret.
    Error,
}

impl Refresh {
    /// Every one.
    pub const ALL: [Self; 9] = [
        Self::Fresh,
        Self::StillWorks,
        Self::NotYet,
        Self::Reauthorize,
        Self::Blocked,
        Self::Incident,
        Self::Rejected,
        Self::Gone,
        Self::Error,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::StillWorks => "still_works",
            Self::NotYet => "not_yet",
            Self::Reauthorize => "reauthorize",
            Self::Blocked => "blocked",
            Self::Incident => "incident",
            Self::Rejected => "rejected",
            Self::Gone => "gone",
            Self::Error => "error",
        }
    }
}

/// What an invocation was about: fields of its line, never dimensions, for there is no end to their values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Lambda's id of the invocation.
    RequestId,
    /// The trace that it is a part of.
    TraceId,
    /// API Gateway's id of the request: the `request_id` of the access log.
    GatewayRequestId,
    /// The method.
    Method,
    /// The path's first segment, or the collection behind `v1`: never a key.
    Section,
    /// The status.
    Status,
    /// The product.
    Product,
    /// The app.
    App,
    /// The connect session.
    Session,
    /// The connection.
    Connection,
    /// The reference that a person reads out.
    Reference,
    /// The likeliest cause, by its name in the catalogue.
    Cause,
    /// Where on the way.
    Stage,
    /// The problem's type.
    Problem,
}

impl Fact {
    /// The field's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestId => "request_id",
            Self::TraceId => "trace_id",
            Self::GatewayRequestId => "gateway_request_id",
            Self::Method => "method",
            Self::Section => "section",
            Self::Status => "status",
            Self::Product => "product",
            Self::App => "app",
            Self::Session => "session",
            Self::Connection => "connection",
            Self::Reference => "reference",
            Self::Cause => "cause",
            Self::Stage => "stage",
            Self::Problem => "problem",
        }
    }
}
