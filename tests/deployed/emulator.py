"""The local AWS of these tests: ministack, with its gaps filled from outside. Each gap is listed in README.md.

It listens on 127.0.0.1 alone, at GATEWAY_PORT, and enforces IAM: a function works with its own role's rights.
"""

import json
import os
import sys

os.environ |= {
    "AUTH": "true",
    "BIND_HOST": "127.0.0.1",
    "IOT_MTLS_ENABLED": "0",
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{os.environ['GATEWAY_PORT']}",
    "MINISTACK_REGION": os.environ["AWS_DEFAULT_REGION"],
}

from ministack import app  # noqa: E402: it reads the environment as it is imported
from ministack.core import iam_actions  # noqa: E402
from ministack.services import scheduler  # noqa: E402
from ministack.services.cloudformation import provisioners  # noqa: E402


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
    """IAM sees no `dynamodb:LeadingKeys`, and a condition on a missing key always holds: it is told them here."""
    told = iam_actions.dynamodb_service_context

    def with_leading_keys(body):
        return told(body) | {"dynamodb:LeadingKeys": sorted(leading_keys(json.loads(body or b"{}")))}

    iam_actions.dynamodb_service_context = with_leading_keys


def leading_keys(request):
    """The partition keys that a DynamoDB request names, in any of its items."""
    parts = [request]
    for item in request.get("TransactItems", []):
        parts += item.values()
    for part in parts:
        for place in ("Key", "Item"):
            if "S" in part.get(place, {}).get("pk", {}):
                yield part[place]["pk"]["S"]
        if "KeyConditionExpression" in part:
            yield from (value["S"] for value in part["ExpressionAttributeValues"].values() if "S" in value)


scheduler._SCHEDULE_TICK_INTERVAL = 1  # seconds; else a schedule may be 10 s late
let_unknown_resources_stand()
let_alarms_compute()
let_ref_name_a_secret_by_its_arn()
tell_leading_keys()
sys.argv = sys.argv[:1]
app.main()
