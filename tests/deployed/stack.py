"""What tests/deployed/run does to the local AWS, in a line each.

    stack.py output NAME              an output of the stack
    stack.py here BUILD OUT BINARY SITE
                                      a build like BUILD, whose functions are BINARY's and talk to the Salesforce at SITE
    stack.py sweep                    has the schedule's target invoked now, and waits until the sweep has logged its run
    stack.py logs                     what the functions logged last
    stack.py go-back                  moves every alias to the version before
"""

import shutil
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import boto3

STACK = "latchkey-dev"
TALK_TO_SALESFORCE = {"authorize", "callback", "errors", "sweep", "token"}  # or know its hosts
PATIENCE = 60  # seconds


def outputs():
    stack = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def functions():
    """The physical name of each function, by its logical one."""
    resources = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=STACK)
    found = [resource for page in resources for resource in page["StackResourceSummaries"]]
    return {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in found if r["ResourceType"] == "AWS::Lambda::Function"}


def here(build, out, binary, site):
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
        ours.write_text(f"#!/bin/sh\nexec {binary} function {name} --salesforce {site}\n")
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
            events = logs.filter_log_events(logGroupName="/latchkey/dev/sweep", startTime=began)["events"]
            messages = [event["message"] for event in events]
            if any('"message":"swept"' in message for message in messages):
                return
            time.sleep(1)
        sys.exit(f"the sweep did not run within {PATIENCE} s of its schedule; it logged {messages}")
    finally:
        scheduler.delete_schedule(**now)


def logs():
    client = boto3.client("logs")
    for group in client.describe_log_groups(logGroupNamePrefix="/latchkey/dev/")["logGroups"]:
        print(group["logGroupName"])
        for event in client.filter_log_events(logGroupName=group["logGroupName"])["events"][-20:]:
            print(" ", event["message"].strip())


def go_back():
    client = boto3.client("lambda")
    for name in functions().values():
        versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]]
        versions = sorted(int(version) for version in versions if version != "$LATEST")
        live = int(client.get_alias(FunctionName=name, Name="live")["FunctionVersion"])
        before = [version for version in versions if version < live]
        if before:  # none where the update did not touch it
            client.update_alias(FunctionName=name, Name="live", FunctionVersion=str(before[-1]))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["output", name]:
            print(outputs()[name])
        case ["here", build, out, binary, site]:
            here(build, out, binary, site)
        case ["sweep"]:
            sweep()
        case ["logs"]:
            logs()
        case ["go-back"]:
            go_back()
        case _:
            sys.exit(__doc__)
