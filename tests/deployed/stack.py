"""What tests/deployed/run does to the local AWS, in a line each. The stack is the one of STAGE.

    stack.py output NAME              an output of the stack
    stack.py here BUILD OUT BINARY SITE ECHO
                                      a build like BUILD, whose functions are BINARY's and talk to the Salesforce at SITE
                                      and the echo at ECHO; as code, it differs from one with another OUT
    stack.py sweep                    has the schedule's target invoked now, and waits until the sweep has logged its run
    stack.py endpoint URL             moves Fernway's webhook endpoint there, past the product file's checks
    stack.py logs                     what the functions logged last
    stack.py shift PRIMARY [BESIDE WEIGHT]
                                      every alias at its first, before (the last) or last version, with a share beside it
    stack.py versions FUNCTION SINCE  the versions that have answered since then (milliseconds)
    stack.py beside                   what an owner brings along, as parameters: a KMS key, an SNS topic that a queue listens to,
                                      an EventBridge bus with a rule for Fernway's tests whose target is a queue
    stack.py passed_on EVENT          waits until the rule has passed this event on
    stack.py kept_under KEY           whether table, keyring and logs of the stack are
    stack.py refuse FUNCTION          takes the table from the function's role
    stack.py told ALARM               waits until the queue has heard that the alarm is on
    stack.py alarms                   the alarms of the stack that are on
    stack.py counted METRIC [NAME=VALUE ...]
                                      what a metric of the last hour adds up to
"""

import json
import os
import shutil
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3

STAGE = os.environ["STAGE"]
STACK = f"latchkey-{STAGE}"
QUEUE = "alarms"
BUS = "latchkey-events"
RULE = {"source": ["latchkey"], "detail-type": ["webhook.test"], "detail": {"data": {"product": ["fernway"]}}}
TALK_TO_SALESFORCE = {"authorize", "callback", "deliver", "errors", "sweep", "token"}  # or know its hosts, or call endpoints
PATIENCE = 60  # seconds


def outputs():
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def functions():
    """The physical name of each function, by its logical one."""
    resources = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    found = [resource for page in resources for resource in page["StackResourceSummaries"]]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found if r["ResourceType"] == "AWS::Lambda::Function"}


def here(build, out, binary, site, echo):
    build, out = Path(build), Path(out)
    out.mkdir()
    shutil.copy(build / "template.yaml", out)
    for bootstrap in build.glob("*Function/bootstrap"):
        folder = out / bootstrap.parent.name
        folder.mkdir()
        name = bootstrap.parent.name.removesuffix("Function").lower()
        ours = folder / "bootstrap"
        if name not in TALK_TO_SALESFORCE:
            shutil.copy(bootstrap, ours)
            continue
        ours.write_text(f"#!/bin/sh\n# {out.name}\nexec {binary} function {name} --salesforce {site} --echo {echo}\n")
        ours.chmod(0o755)


def sweep():
    """By the schedule's own way, sooner: another schedule of its group, with its target and its role."""
    scheduler, logs = boto3.client("scheduler"), boto3.client("logs")
    [known] = scheduler.list_schedules(GroupName=STACK)["Schedules"]
    known = scheduler.get_schedule(Name=known["Name"], GroupName=STACK)
    began = int(time.time() * 1000)
    now = {"Name": f"now-{began}", "GroupName": STACK}
    target = {name: known[name] for name in ("Target", "FlexibleTimeWindow")}
    scheduler.create_schedule(**now, **target, ScheduleExpression=f"at({datetime.now(timezone.utc):%Y-%m-%dT%H:%M:%S})")
    try:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            events = logs.filter_log_events(logGroupName=f"/latchkey/{STAGE}/sweep", startTime=began)["events"]
            messages = [event["message"] for event in events]
            if any('"message":"swept"' in message for message in messages):
                return
            time.sleep(1)
        sys.exit(f"the sweep did not run within {PATIENCE} s of its schedule; it logged {messages}")
    finally:
        scheduler.delete_schedule(**now)


def endpoint(url):
    """Moves Fernway's webhook endpoint to this machine. A product file takes https addresses alone, and so does `latchkey apply`."""
    client, table = boto3.client("dynamodb"), os.environ["TABLE_NAME"]
    items = client.query(
        TableName=table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "PRODUCT#fernway"}},
    )["Items"]
    [item] = items
    config = json.loads(item["config"]["S"])
    config["webhooks"][0]["url"] = url
    client.put_item(TableName=table, Item={**item, "config": {"S": json.dumps(config)}})


def logs():
    client = boto3.client("logs")
    for group in client.describe_log_groups(logGroupNamePrefix="/latchkey/")["logGroups"]:
        print(group["logGroupName"])
        for event in client.filter_log_events(logGroupName=group["logGroupName"])["events"][-20:]:
            print(" ", event["message"].strip())


def shift(primary, beside=None, weight=None):
    """As CodeDeploy does step by step: each alias at one of its versions, with a share for another beside it."""
    client = boto3.client("lambda")
    for name in functions().values():
        versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]]
        versions = sorted((version for version in versions if version != "$LATEST"), key=int)
        # A function that the updates left as it was has one version.
        of = {"first": versions[0], "before": versions[-2:][0], "last": versions[-1]}
        weights = {of[beside]: float(weight)} if beside and of[beside] != of[primary] else {}
        routing = {"AdditionalVersionWeights": weights}
        client.update_alias(FunctionName=name, Name="live", FunctionVersion=of[primary], RoutingConfig=routing)


def versions(function, since):
    """The versions of a function that have answered since then: CloudWatch has a stream of logs for each."""
    client = boto3.client("logs")
    events = client.filter_log_events(logGroupName=f"/latchkey/{STAGE}/{function}", startTime=int(since))["events"]
    return sorted({event["logStreamName"].split("[")[1].split("]")[0] for event in events})


def beside():
    """A key, a topic whose messages a queue keeps, and a bus with a rule as docs/webhooks.md has it."""
    sns, sqs, events = boto3.client("sns"), boto3.client("sqs"), boto3.client("events")
    key = boto3.client("kms").create_key()["KeyMetadata"]["Arn"]
    topic, queue = sns.create_topic(Name=QUEUE)["TopicArn"], sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    send = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [send]})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    bus = events.create_event_bus(Name=BUS)["EventBusArn"]
    events.put_rule(Name=BUS, EventBusName=BUS, EventPattern=json.dumps(RULE))
    target = sqs.get_queue_attributes(QueueUrl=sqs.create_queue(QueueName=BUS)["QueueUrl"], AttributeNames=["QueueArn"])
    events.put_targets(Rule=BUS, EventBusName=BUS, Targets=[{"Id": "queue", "Arn": target["Attributes"]["QueueArn"]}])
    return f"KmsKeyArn={key} AlarmTopicArn={topic} EventBusArn={bus}"


def passed_on(event):
    """Waits for the target of the bus's rule to get an event: its detail is what a webhook carries."""
    sqs = boto3.client("sqs")
    queue, seen, deadline = sqs.get_queue_url(QueueName=BUS)["QueueUrl"], [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
            seen.append(json.loads(message["Body"]))
            detail = seen[-1]["detail"]
            if (detail["id"], detail["type"], seen[-1]["source"]) == (event, "webhook.test", "latchkey"):
                return
    sys.exit(f"nobody passed {event} on; the rule's queue has {seen}")


def kept_under(key):
    """The secret and every group of logs; that the table is, the emulator does not tell."""
    logs = boto3.client("logs")
    groups = [g for p in ("/latchkey/", "/aws/vendedlogs/latchkey/") for g in logs.describe_log_groups(logGroupNamePrefix=f"{p}{STAGE}/")["logGroups"]]
    keys = {group["logGroupName"]: group.get("kmsKeyId") for group in groups}
    keys["keyring"] = boto3.client("secretsmanager").describe_secret(SecretId=outputs()["KeyringSecretName"]).get("KmsKeyId")
    others = {what: other for what, other in keys.items() if other != key}
    if others or len(keys) < 8:
        sys.exit(f"not under {key}: {others} of {sorted(keys)}")


def refuse(function):
    """As a role that lost its rights: DynamoDB refuses the function, which answers 503."""
    configuration = boto3.client("lambda").get_function(FunctionName=functions()[f"{function.capitalize()}Function"])["Configuration"]
    statement = {"Effect": "Deny", "Action": "dynamodb:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    role = configuration["Role"].split("/")[-1]
    boto3.client("iam").put_role_policy(RoleName=role, PolicyName="refused", PolicyDocument=document)


def told(alarm):
    """Waits for the topic to be told that an alarm is on."""
    sqs = boto3.client("sqs")
    queue, heard, deadline = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"], [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", []):
            about = json.loads(json.loads(message["Body"])["Message"])
            heard.append((about["AlarmName"], about["NewStateValue"]))
            if heard[-1] == (alarm, "ALARM"):
                return
    sys.exit(f"nobody told the topic of {alarm}; it heard {heard}")


def alarms():
    """The alarms of the stack that are on: by their name, or where they have none, by that in the template."""
    found = boto3.client("cloudwatch").describe_alarms(StateValue="ALARM", AlarmNamePrefix=f"{STACK}-")["MetricAlarms"]
    return sorted(alarm["AlarmName"] for alarm in found)


def counted(metric, *dimensions):
    """What a metric of the last hour adds up to."""
    dimensions = [dict(zip(("Name", "Value"), pair.split("="))) for pair in dimensions]
    now = datetime.now(timezone.utc)
    found = boto3.client("cloudwatch").get_metric_statistics(
        Namespace="Latchkey", MetricName=metric, Dimensions=dimensions, Statistics=["Sum"], Period=3600,
        StartTime=now - timedelta(hours=1), EndTime=now + timedelta(minutes=1),
    )
    return sum(point["Sum"] for point in found["Datapoints"])


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["output", name]:
            print(outputs()[name])
        case ["here", build, out, binary, site, echo]:
            here(build, out, binary, site, echo)
        case ["sweep"]:
            sweep()
        case ["endpoint", url]:
            endpoint(url)
        case ["logs"]:
            logs()
        case ["shift", *shares]:
            shift(*shares)
        case ["versions", function, since]:
            print(*versions(function, since))
        case ["beside"]:
            print(beside())
        case ["passed_on", event]:
            passed_on(event)
        case ["kept_under", key]:
            kept_under(key)
        case ["refuse", function]:
            refuse(function)
        case ["told", alarm]:
            told(alarm)
        case ["alarms"]:
            print(*alarms())
        case ["counted", metric, *dimensions]:
            print(counted(metric, *dimensions))
        case _:
            sys.exit(__doc__)
