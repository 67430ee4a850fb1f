"""What each function may do, read from infra/template.yaml.

    rights.py --check    the template keeps the rules below, infra/README.md and infra/events agree with it
    rights.py --write    puts the table into infra/README.md
    rights.py --built    by action: every call to AWS that a built function can make, read from its binary, stands in its
                         role, and no action stands there that the binary cannot call. Keys are not compared: an action
                         that is used on one kind of item may be allowed on another for nothing, and a transaction's
                         writes may be any write of the role. tests/deployed runs the functions under these roles
"""

import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from botocore.session import get_session
from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "infra/README.md"
BEGIN, END = "<!-- rights: written by tests/infra/rights.py -->\n", "<!-- /rights -->\n"

APP_SECRETS = "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:latchkey/${Stage}/apps/*"
WEBHOOK_SECRETS = APP_SECRETS.replace("/apps/*", "/webhooks/*")
QUEUE = "DeliveryQueue"
SENDS, TAKES = {"SendMessage"}, {"ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "ReceiveMessage"}
BY_LAMBDA = {"sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"}  # the mapping does
RESOURCES, DEFAULTS = {}, {}
READS = {"BatchGetItem", "GetItem"}
WRITES = {"DeleteItem", "PutItem", "UpdateItem"}
BUS = {"Ref": "EventBusArn"}
CLIENTS = {"eventbridge": "events"}  # the SDK's crate has another name than the service
SERVICES = {CLIENTS.get(name, name) for name in re.findall(r'^name = "aws-sdk-(.+)"$', (ROOT / "Cargo.lock").read_text(), re.MULTILINE)}
POLLS = {f"dynamodb:{poll}" for poll in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")}  # Lambda does
COLLECTIONS = {"NEEDY#*", "OPEN#*", "TALLY#*", "WAVE#*"}  # kinds of which a partition holds several items
PARTITIONS = {  # of each index, by what they list
    "listing": {"PRODUCT#*#CONNECTIONS", "PRODUCT#*#REFERENCE#*"},
    "customer": {"PRODUCT#*#CUSTOMER#*", "PRODUCT#*#CUSTOMER#*#FAILURES", "PRODUCT#*#CUSTOMER#*#SESSIONS"},
    "failures": {"PRODUCT#*#EVENTS", "PRODUCT#*#FAILURES#*"},
    "grants": {"GRANT#*"},
    "due": {"DUE#*"},
}
STREAM = {poll.split(":")[1] for poll in POLLS}


def load(text):
    """Takes a template. tests/infra/rights_test.py loads broken ones."""
    global RESOURCES, DEFAULTS
    template = yaml_parse(text)
    RESOURCES, DEFAULTS = template["Resources"], template["Globals"]["Function"]


@dataclass
class Function:
    """One function with everything that the template says about it."""

    name: str
    logical_id: str
    properties: dict
    routes: list[str]
    permitted: bool
    statements: list[dict]
    items: dict[tuple[str, ...], set[str]] = field(default_factory=dict)  # leading keys → actions
    queries: dict[str, list[str]] = field(default_factory=dict)  # index → leading keys
    fallback: set[str] = field(default_factory=set)  # actions
    secrets: list[str] = field(default_factory=list)
    stream: bool = False
    queues: list[str] = field(default_factory=list)
    sends: bool = False  # adds webhook attempts to the queue
    takes: bool = False  # takes them from it
    bus: bool = False  # puts events on the bus, where the parameter names one


def of_type(kind):
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


def listed(value):
    return value if isinstance(value, list) else [value]


def logical_id(value):
    """The resource that `!Ref X`, `!Ref X.Alias` or `!GetAtt X.Arn` names; none for anything else."""
    if not isinstance(value, dict):
        return None
    target = value.get("Ref") or value.get("Fn::GetAtt") or ""
    return target[0] if isinstance(target, list) else target.split(".")[0]


def members(value):
    """The value, and all that stands in it."""
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from members(inner)


def behind_alias(value):
    """Whether this is a function's alias: what names the function itself goes past a deployment under way."""
    return isinstance(value, dict) and str(value.get("Ref", "")).endswith("Function.Alias")


def functions():
    integrations = {name: logical_id(p["IntegrationUri"]) for name, p in of_type("AWS::ApiGatewayV2::Integration").items()}
    routes = of_type("AWS::ApiGatewayV2::Route").values()
    permitted = {logical_id(p["FunctionName"]) for p in of_type("AWS::Lambda::Permission").values()}
    for name, properties in of_type("AWS::Serverless::Function").items():
        mine = [r["RouteKey"] for r in routes if integrations[r["Target"]["Fn::Sub"].split("/")[1].strip("${}")] == name]
        role = RESOURCES[logical_id(properties["Role"])]["Properties"]
        require("Policies" not in properties, f"{name}: SAM would add policies to its role")
        trusted = [s["Principal"] for s in role["AssumeRolePolicyDocument"]["Statement"]]
        require(trusted == [{"Service": "lambda.amazonaws.com"}], f"{name}: its role is for {trusted}")
        binary = RESOURCES[name]["Metadata"]["BuildProperties"]["Binary"]
        given = [s for policy in role["Policies"] for s in policy["PolicyDocument"]["Statement"]]
        # A statement that a parameter brings: `!If [condition, statement, nothing]`.
        for statement in given:
            require("Fn::If" not in statement or statement["Fn::If"][2] == {"Ref": "AWS::NoValue"}, f"{name}: a choice of two rights")
        statements = [s["Fn::If"][1] if "Fn::If" in s else s for s in given]
        yield sort_rights(Function(binary, name, properties, mine, name in permitted, statements))


def sort_rights(function):
    """Sorts the statements into rights, and refuses any that is of no known form."""
    for statement in function.statements:
        where = f"{function.name}: {statement['Sid']}"
        actions = listed(statement["Action"])
        services = {action.split(":")[0] for action in actions}
        verbs = {action.split(":")[1] for action in actions}
        require(statement["Effect"] == "Allow" and not any("*" in a for a in actions), f"{where}: a wildcard action")
        if services == {"dynamodb"} and verbs == {"Query"} and "Fn::Sub" in statement["Resource"]:
            prefix, index = statement["Resource"]["Fn::Sub"].split("/index/")
            require(prefix == "${Table.Arn}" and "*" not in index, f"{where}: Query on more than one index")
            keys = leading_keys(statement)
            require(keys and set(keys) <= PARTITIONS[index], f"{where}: {keys} are not partitions of {index}")
            function.queries[index] = sorted({*function.queries.get(index, []), *keys})
        elif services == {"dynamodb"} and verbs & STREAM:
            require(verbs <= STREAM, f"{where}: {sorted(verbs)}")
            require(statement["Resource"] == {"Fn::GetAtt": ["Table", "StreamArn"]}, f"{where}: not the table's stream")
            function.stream = True
        elif services == {"events"}:
            require(verbs == {"PutEvents"} and statement["Resource"] == BUS, f"{where}: {sorted(verbs)} on {statement['Resource']}")
            function.bus = True
        elif services == {"sqs"} and logical_id(statement["Resource"]) == QUEUE:
            require(verbs in (SENDS, TAKES), f"{where}: {sorted(verbs)}")
            function.sends, function.takes = function.sends or verbs == SENDS, function.takes or verbs == TAKES
        elif services == {"sqs"}:
            require(verbs == {"SendMessage"}, f"{where}: {sorted(verbs)}")
            function.queues.append(logical_id(statement["Resource"]))
        elif services == {"dynamodb"} and logical_id(statement["Resource"]) == "FallbackTable":
            require(verbs <= READS | {"PutItem", "UpdateItem", "DeleteItem", "Scan"}, f"{where}: {sorted(verbs)}")
            function.fallback |= verbs
        elif services == {"dynamodb"}:
            require(verbs <= READS | {"PutItem", "UpdateItem", "DeleteItem", "Query"}, f"{where}: {sorted(verbs)}")
            require(statement["Resource"] == {"Fn::GetAtt": ["Table", "Arn"]}, f"{where}: not the table alone")
            keys = leading_keys(statement)
            require(keys and all(key.endswith("#*") for key in keys), f"{where}: {keys} is not a kind of item")
            require("Query" not in verbs or set(keys) <= COLLECTIONS, f"{where}: Query on items that stand alone")
            if wanted := attributes(statement):
                require(verbs <= READS and not any("token" in name for name in wanted), f"{where}: {wanted}")
                keys = [f"{key} ({', '.join(wanted)})" for key in keys]
            function.items[tuple(keys)] = function.items.get(tuple(keys), set()) | verbs
        elif services == {"secretsmanager"}:
            require(verbs == {"GetSecretValue"}, f"{where}: {sorted(verbs)}")
            function.secrets += [secret_of(resource, where) for resource in listed(statement["Resource"])]
        else:
            require(verbs == {"CreateLogStream", "PutLogEvents"}, f"{where}: {sorted(actions)}")
            log_group = function.properties["LoggingConfig"]["LogGroup"]
            require(logical_id(statement["Resource"]) == logical_id(log_group), f"{where}: another function's logs")
    return function


def secret_of(resource, where):
    """The kind of secret that a resource names: the keyring itself, the apps' folder or the webhooks', nothing wider."""
    if resource == {"Ref": "KeyringSecret"}:
        return "keyring"
    if resource == {"Fn::Sub": WEBHOOK_SECRETS}:
        return "webhooks"
    require(resource == {"Fn::Sub": APP_SECRETS}, f"{where}: {resource} is neither the keyring nor the apps' secrets")
    return "apps"


def leading_keys(statement):
    """The leading keys that a statement is bound to, and by nothing else: a second condition would stand unread here.
    ForAllValues holds for a request without the key (a Scan, say); Null rejects that request."""
    condition = statement.get("Condition", {})
    keys = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", [])
    bound = {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": keys}, "Null": {"dynamodb:LeadingKeys": "false"}}
    if named := condition.get("ForAllValues:StringEquals"):
        bound |= {"ForAllValues:StringEquals": {"dynamodb:Attributes": ["pk", "sk", *attributes(statement)]}}
        bound["Null"]["dynamodb:Attributes"] = "false"
        bound |= {"StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}}
        require(set(named) == {"dynamodb:Attributes"}, f"{statement['Sid']}: {named}")
    require(condition == bound, f"{statement['Sid']}: {condition} is not {bound}")
    return keys


def attributes(statement):
    """The attributes beside its key that a statement lets be read of an item; none: all of them."""
    named = statement.get("Condition", {}).get("ForAllValues:StringEquals", {}).get("dynamodb:Attributes", [])
    return [name for name in named if name not in ("pk", "sk")]


def check_policies(functions):
    """What a role may do stands in it, or in one of three policies that several share; there is no other place."""
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::IAM::Role":
            more = set(resource["Properties"]) - {"AssumeRolePolicyDocument", "Policies"}
            require(not more, f"{name}: {sorted(more)}; a role's policies stand in it")
        elif resource["Type"].startswith("AWS::IAM::"):
            require(resource["Type"] == "AWS::IAM::Policy", f"{name}: {resource['Type']}")
    shared = {
        "TableKeyPolicy": functions,
        "SecretsKeyPolicy": [f for f in functions if f.secrets],
        "NetworkPolicy": [f for f in functions if "VpcConfig" in f.properties],
    }
    policies = of_type("AWS::IAM::Policy")
    require(set(policies) == set(shared), f"policies beside the roles' own: {sorted(set(policies) ^ set(shared))}")
    for name, whose in shared.items():
        roles = {logical_id(role) for role in policies[name]["Roles"]}
        wanted = {logical_id(f.properties["Role"]) for f in whose}
        require(roles == wanted, f"{name} and the roles that need it differ: {sorted(roles ^ wanted)}")
        for statement in policies[name]["PolicyDocument"]["Statement"]:
            where, actions = f"{name}: {statement['Sid']}", set(listed(statement["Action"]))
            if statement["Effect"] == "Deny":
                continue
            if name == "NetworkPolicy":
                require(all(re.fullmatch(r"ec2:[A-Za-z]+", action) for action in actions), f"{where}: {sorted(actions)}")
                continue
            bound = {key for members in statement["Condition"].values() for key in members}
            require(actions == {"kms:Decrypt"}, f"{where}: {sorted(actions)}")
            require("kms:ViaService" in bound and len(bound) == 2, f"{where}: bound to {sorted(bound)} alone")


def check_network(functions):
    """Inside the network the endpoint decides as well: it lets through what the functions there may do, and no more. And
    no function is put there before it has a way out."""
    awaited = {logical_id(value) for value in members(RESOURCES["NetworkReady"]["Metadata"])}
    ways = {"NetworkPolicy"} | {
        name for kind in ("Route", "SubnetRouteTableAssociation", "VPCEndpoint") for name in of_type(f"AWS::EC2::{kind}")
    }
    require(ways <= awaited, f"NetworkReady does not wait for {sorted(ways - awaited)}")
    for f in functions:
        waits = RESOURCES[f.logical_id].get("DependsOn") == "NetworkReady"
        require(waits == ("VpcConfig" in f.properties), f"{f.name}: its network and NetworkReady disagree")
    [statement] = RESOURCES["TableEndpoint"]["Properties"]["PolicyDocument"]["Statement"]
    tables = [{"Fn::GetAtt": [table, "Arn"]} for table in ("Table", "FallbackTable")]
    tables.insert(1, {"Fn::Sub": "${Table.Arn}/index/*"})
    require(statement["Resource"] == tables, f"TableEndpoint leads to {statement['Resource']}")
    passed = set(listed(statement["Action"]))
    inside = [s for f in functions if "VpcConfig" in f.properties for s in f.statements]
    used = {action for s in inside for action in listed(s["Action"]) if action.startswith("dynamodb:")}
    require(passed == used, f"TableEndpoint and the functions behind it differ: {sorted(passed ^ used)}")


def check(functions):
    check_policies(functions)
    check_network(functions)
    for f in functions:
        for keys, verbs in f.items.items():
            require("PRODUCT#*" not in keys or verbs <= READS, f"{f.name} may write a product")
            require("CONNECTION#*" not in keys or f.secrets, f"{f.name} may read connections, but opens none")
        variables = f.properties.get("Environment", {}).get("Variables", {})
        require(("KEYRING_SECRET_ID" in variables) == ("keyring" in f.secrets), f"{f.name}: keyring and its setting disagree")
        require(("FALLBACK_TABLE_NAME" in variables) == bool(f.fallback), f"{f.name}: fallback and its setting disagree")
        require(("DELIVERY_QUEUE_URL" in variables) == (f.sends or f.takes), f"{f.name}: queue and its setting disagree")
        require(("EVENT_BUS_NAME" in variables) == f.bus, f"{f.name}: the bus and its setting disagree")
        require(("webhooks" in f.secrets) == f.takes, f"{f.name}: only the function that sends webhooks reads their secrets")
        mappings = [p for p in of_type("AWS::Lambda::EventSourceMapping").values() if logical_id(p["FunctionName"]) == f.logical_id]
        mapped = [p for p in mappings if logical_id(p["EventSourceArn"]) == "Table"]
        taken = [logical_id(p["EventSourceArn"]) for p in mappings if p not in mapped]
        require(taken == [QUEUE] * f.takes, f"{f.name}: its mappings of {taken} and the right to take from a queue disagree")
        require(bool(mapped) == f.stream, f"{f.name}: the stream's mapping and the right to read it disagree")
        given_up = [m for m in mapped if m.get("MaximumRetryAttempts") != -1]  # the others are retried for ever
        failures = [logical_id(m["DestinationConfig"]["OnFailure"]["Destination"]) for m in given_up]
        for m in mapped:
            require(m in given_up or "ReportBatchItemFailures" in m.get("FunctionResponseTypes", []),
                    f"{f.name}: one record that fails would make Lambda retry its whole batch for ever")
        require(failures == f.queues, f"{f.name}: {failures} and the right to send to {f.queues} disagree")
        require(f.permitted == bool(f.routes), f"{f.name}: routes and the gateway's permission disagree")
        require("RetentionInDays" in RESOURCES[logical_id(f.properties["LoggingConfig"]["LogGroup"])]["Properties"],
                f"{f.name}: logs kept for ever")
        require(f.properties.get("AutoPublishAliasAllProperties"), f"{f.name}: AutoPublishAliasAllProperties is missing")
    for kind, member in (("AWS::ApiGatewayV2::Integration", "IntegrationUri"), ("AWS::Lambda::Permission", "FunctionName")):
        for name, properties in of_type(kind).items():
            require(behind_alias(properties[member]), f"{name}: {member} is not a function's alias (!Ref X.Alias)")
    routes = {route for f in functions for route in f.routes}
    require(not any("{proxy+}" in r or "ANY" in r for r in routes), "a catch-all route")
    catch_all = [f.name for f in functions if "$default" in f.routes]
    require(catch_all == ["errors"], f"$default leads to {catch_all}, not to errors, which answers 404 and 405")
    for event in sorted((ROOT / "infra/events").glob("*.json")):
        route = json.loads(event.read_text()).get("routeKey")
        require(route is None or route in routes, f"{event.name}: {route} is not a route")


def callable_actions(binary):
    """The actions that a binary can call. The SDK has a serializer for each operation, and what no code reaches is not
    linked: the serializers' names that stand in the binary are those of the calls that it can make. The longest name
    counts: BatchGetItem's holds GetItem's. Nothing separates the strings of a binary: two names may stand side by side."""
    found = set(re.findall(rb"([A-Za-z]+?)RequestSerializer", binary))
    for service in SERVICES:
        names = sorted(get_session().get_service_model(service).operation_names, key=len, reverse=True)
        for text in found:
            name = next((name for name in names if text.decode().endswith(name)), None)
            if name:
                yield f"{service}:{name}"


def check_built(functions):
    for f in functions:
        bootstrap = ROOT / ".aws-sam/build" / f.logical_id / "bootstrap"
        require(bootstrap.is_file(), f"{f.name} is not built: sam build")
        called = set(callable_actions(bootstrap.read_bytes()))
        # What Lambda does itself: it names a failed batch in a queue, and takes messages from one.
        own = [s for s in f.statements if not (logical_id(s["Resource"]) in f.queues)]
        allowed = {a for s in own for a in listed(s["Action"]) if a.split(":")[0] in SERVICES} - POLLS - BY_LAMBDA
        # A transaction is allowed by the actions of what it writes; which those are, only the code knows.
        transacted = {f"dynamodb:{write}" for write in WRITES} if "dynamodb:TransactWriteItems" in called else set()
        called -= {"dynamodb:TransactWriteItems"}
        # A batch is allowed by the action of its messages.
        called = {"sqs:SendMessage" if call == "sqs:SendMessageBatch" else call for call in called}
        require(called, f"{f.name}: no call to AWS is found in its binary")
        require(called <= allowed, f"{f.name} calls {sorted(called - allowed)}, which its role refuses")
        require(allowed <= called | transacted, f"{f.name} may {sorted(allowed - called - transacted)}, which it never calls")


def table(functions):
    lines = ["| function | invoked by | in the table | in the fallback | queries of indexes | secrets | memory, time-out |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for f in functions:
        by = "<br>".join(f"`{route}`" for route in f.routes) or ("the table's stream" if f.stream else "the queue of webhook attempts" if f.takes else "its schedule, every 5 minutes")
        items = "<br>".join(f"{', '.join(sorted(v))}: {', '.join(f'`{k}`' for k in keys)}" for keys, v in f.items.items())
        indexes = "<br>".join(f"`{index}`: {', '.join(f'`{k}`' for k in keys)}" for index, keys in f.queries.items()) or "–"
        memory = f.properties.get("MemorySize", DEFAULTS["MemorySize"])
        size = f"{memory} MB, {f.properties['Timeout']} s"
        lines.append(f"| **{f.name}** | {by} | {items} | {', '.join(sorted(f.fallback)) or '–'} | {indexes} | {', '.join(f.secrets) or '–'} | {size} |")
    return "\n".join(lines) + "\n"


def require(holds, otherwise):
    if not holds:
        sys.exit(f"infra/template.yaml: {otherwise}")


def main(mode):
    load((ROOT / "infra/template.yaml").read_text())
    found = list(functions())
    check(found)
    if mode == "--built":
        return check_built(found)
    readme = README.read_text()
    before, rest = readme.split(BEGIN)
    current, after = rest.split(END)
    if mode == "--write":
        README.write_text(before + BEGIN + table(found) + END + after)
    elif current != table(found):
        sys.exit("infra/README.md: its table is not the template's; run tests/infra/rights.py --write")


if __name__ == "__main__":
    if sys.argv[1:] not in (["--check"], ["--write"], ["--built"]):
        sys.exit(__doc__)
    main(sys.argv[1])
