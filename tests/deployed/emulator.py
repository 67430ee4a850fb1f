"""The local AWS of these tests: ministack, with its gaps filled from outside. Each gap is listed in README.md.

It listens on 127.0.0.1 alone, at GATEWAY_PORT, and enforces IAM: a function works with its own role's rights.
"""

import json
import os
import random
import re
import sys
import time
from datetime import datetime, timezone

os.environ |= {
    "AUTH": "true",
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
    "MINISTACK_REGION": os.environ["AWS_DEFAULT_REGION"],
}

from ministack import app  # noqa: E402: it reads the environment as it is imported
from ministack.core import iam_actions  # noqa: E402
from ministack.services import cloudwatch, cloudwatch_logs, lambda_svc, scheduler  # noqa: E402
from ministack.services.cloudformation import provisioners  # noqa: E402

PARTITION_KEYS = {"pk", "listing_pk", "customer_pk", "grants_pk", "failures_pk", "due_shard"}
SHARD = "shardId-00000000000000000000-00000000"  # a stream has one here


def let_stand(kind, attributes=lambda: {}):
    """A resource that is not known here stands as a name, with these attributes, and does nothing."""
    made = {}

    def create(logical_id, properties, stack):
        name = f"{stack}-{logical_id}"
        made[name] = attributes()
        return name, made[name]

    provisioners._RESOURCE_HANDLERS[kind] = {
        "create": create,
        "update": lambda physical_id, old, new, stack: (physical_id, made[physical_id]),
        "delete": lambda physical_id, properties: None,
    }


def let_unknown_resources_stand():
    # CodeDeploy shifts an alias step by step: without it the alias moves at once.
    let_stand("AWS::CodeDeploy::Application")
    let_stand("AWS::CodeDeploy::DeploymentGroup")
    # Fixed egress: functions here share the machine's network.
    addresses = (f"203.0.113.{last}" for last in range(1, 255))  # RFC 5737
    let_stand("AWS::EC2::EIP", lambda: {"AllocationId": "eipalloc-0", "PublicIp": next(addresses)})
    let_stand("AWS::EC2::NatGateway")
    let_stand("AWS::EC2::FlowLog")


def let_alarms_compute():
    """Alarms over metric math are refused: they stand, and never change state."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::CloudWatch::Alarm"]
    known = dict(handler)

    def create(logical_id, properties, stack):
        if "Metrics" not in properties:
            return known["create"](logical_id, properties, stack)
        name = properties.get("AlarmName") or f"{stack}-{logical_id}"
        arn = f"arn:aws:cloudwatch:{os.environ['MINISTACK_REGION']}:000000000000:alarm:{name}"
        return name, {"Arn": arn}

    def update(physical_id, old, new, stack, *rest, **named):
        if "Metrics" not in new:
            return known["update"](physical_id, old, new, stack, *rest, **named)
        return create(physical_id, new | {"AlarmName": physical_id}, stack)

    handler |= {"create": create, "update": update}


def let_log_lines_be_metrics():
    """A log line in CloudWatch's embedded metric format is a log line only: here its metrics are kept too."""
    known = cloudwatch_logs._append_log_events

    def append(stream, events):
        known(stream, events)
        lines = [json.loads(event["message"]) for event in events if '"_aws":' in event["message"]]
        for line in lines:
            keep_metrics(line)
        if lines:
            cloudwatch._evaluate_all_alarms()

    cloudwatch_logs._append_log_events = append


def keep_metrics(line):
    """Each directive's metrics, under each of its sets of dimensions; a number, or a list of them."""
    told = line["_aws"]
    for directive in told["CloudWatchMetrics"]:
        for names in directive["Dimensions"]:
            dimensions = {name: str(line[name]) for name in names}
            for metric in directive["Metrics"]:
                value = line[metric["Name"]]
                value, values = (None, value) if isinstance(value, list) else (value, None)
                place = (directive["Namespace"], metric["Name"], dimensions, told["Timestamp"] / 1000, metric["Unit"])
                cloudwatch._store_datum(*place, value, values, None, None)


def let_alarms_look_at_their_own_metric():
    """An alarm looks at its metric under any dimensions, and not at all where data are missing: here as it is set."""
    compare = {
        "GreaterThanOrEqualToThreshold": lambda value, threshold: value >= threshold,
        "GreaterThanThreshold": lambda value, threshold: value > threshold,
        "LessThanOrEqualToThreshold": lambda value, threshold: value <= threshold,
        "LessThanThreshold": lambda value, threshold: value < threshold,
    }

    def breaches(alarm, points, period):
        """Whether a period, counted back from now, does; none: it says nothing."""
        end = time.time() - period * alarm["Period"]
        inside = [point for point in points if end - alarm["Period"] < point["Timestamp"] <= end]
        if not inside:
            return {"breaching": True, "notBreaching": False}.get(alarm["TreatMissingData"])
        value = cloudwatch._stat_value(cloudwatch._calc_stats(inside), alarm["Statistic"], inside)
        return compare[alarm["ComparisonOperator"]](value, alarm["Threshold"])

    def evaluate(alarm):
        dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm["Dimensions"]))
        points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions)) or []
        periods = [breaches(alarm, points, period) for period in range(alarm["EvaluationPeriods"])]
        if all(period is None for period in periods):
            return
        needed = alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]
        before, after = alarm["StateValue"], "ALARM" if periods.count(True) >= needed else "OK"
        if before != after:
            alarm |= {"StateValue": after, "StateUpdatedTimestamp": int(time.time())}
            cloudwatch._record_history(alarm["AlarmName"], before, after, alarm["StateReason"])
            cloudwatch._dispatch_alarm_actions(alarm, before, after, alarm["StateReason"])

    cloudwatch._evaluate_alarm = evaluate


def let_aliases_weigh():
    """An alias with weights over two versions leads to the first alone: here each invocation is dealt out by them."""
    known = lambda_svc._effective_func_record_for_qualifier

    def effective(function, qualifier):
        alias = (function or {}).get("aliases", {}).get(qualifier, {})
        for version, weight in alias.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}).items():
            if random.random() < weight:
                return known(function, version)
        return known(function, qualifier)

    lambda_svc._effective_func_record_for_qualifier = effective


def let_windows_tumble():
    """A mapping's tumbling window is dropped: here an invocation of one that has it names shard and window, as Lambda does."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    create, execute = handler["create"], lambda_svc._execute_function

    def create_with_window(logical_id, properties, stack):
        physical_id, attributes = create(logical_id, properties, stack)
        lambda_svc._esms[physical_id]["TumblingWindowInSeconds"] = properties.get("TumblingWindowInSeconds", 0)
        return physical_id, attributes

    def execute_with_window(function, event):
        source = next((record.get("eventSourceARN") for record in records(event)), None)
        name = function.get("config", function)["FunctionName"]
        mine = (m for m in lambda_svc._esms.values() if f":function:{name}" in f"{m['FunctionArn']}")
        mapping = next((m for m in mine if source and m["EventSourceArn"] == source), {})
        if seconds := mapping.get("TumblingWindowInSeconds"):
            begin = time.time() // seconds * seconds
            event = event | {
                "window": {"start": iso(begin), "end": iso(begin + seconds)},
                "state": {},
                "shardId": SHARD,
                "eventSourceARN": source,
                "isFinalInvokeForWindow": False,
                "isWindowTerminatedEarly": False,
            }
        return execute(function, event)

    handler["create"] = create_with_window
    lambda_svc._execute_function = execute_with_window


def iso(at):
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def records(event):
    return event.get("Records", []) if isinstance(event, dict) else []


def let_ref_name_a_secret_by_its_arn():
    """`!Ref` of a secret gives its name; in AWS it is the ARN, which the roles' resources need."""
    handler = provisioners._RESOURCE_HANDLERS["AWS::SecretsManager::Secret"]
    known = dict(handler)

    def create(logical_id, properties, stack):
        _, attributes = known["create"](logical_id, properties, stack)
        return attributes["Arn"], attributes

    def update(physical_id, old, new, stack, logical_id=None):
        _, attributes = known["update"](new["Name"], old, new, stack, logical_id)
        return physical_id, attributes

    handler |= {"create": create, "update": update}


def tell_leading_keys():
    """IAM sees no `dynamodb:LeadingKeys`, which the roles' conditions need: it is told them here."""
    told = iam_actions.dynamodb_service_context

    def with_leading_keys(body):
        keys = sorted(leading_keys(json.loads(body or b"{}")))
        # Without keys the context has no such key, as in AWS: the roles' Null condition rejects that request.
        return told(body) | ({"dynamodb:LeadingKeys": keys} if keys else {})

    iam_actions.dynamodb_service_context = with_leading_keys


def let_batches_be_single_actions():
    """AWS checks SQS's batch calls as the action of one message: there is no `sqs:SendMessageBatch`."""
    known = iam_actions._action_from_target

    def single(headers):
        action = known(headers)
        return action.removesuffix("Batch") if "AmazonSQS." in headers.get("x-amz-target", "") else action

    iam_actions._action_from_target = single


def leading_keys(request):
    """The partition keys that a DynamoDB request names: in any of its items, or of the index that it queries."""
    parts = [request]
    for item in request.get("TransactItems", []):
        parts += item.values()
    for table in request.get("RequestItems", {}).values():
        parts += [{"Key": key} for key in table["Keys"]]
    for part in parts:
        for place in ("Key", "Item"):
            if "S" in part.get(place, {}).get("pk", {}):
                yield part[place]["pk"]["S"]
        # A Query's is the value that its index's, or the table's, partition key equals.
        for name, value in re.findall(r"([#\w]+) = (:\w+)", part.get("KeyConditionExpression", "")):
            if part.get("ExpressionAttributeNames", {}).get(name, name) in PARTITION_KEYS:
                yield part["ExpressionAttributeValues"][value]["S"]


scheduler._SCHEDULE_TICK_INTERVAL = 1  # seconds; else a schedule may be 10 s late
let_unknown_resources_stand()
let_alarms_compute()
let_alarms_look_at_their_own_metric()
let_log_lines_be_metrics()
let_aliases_weigh()
let_windows_tumble()
let_ref_name_a_secret_by_its_arn()
tell_leading_keys()
let_batches_be_single_actions()
sys.argv = sys.argv[:1]
app.main()
