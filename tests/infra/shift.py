"""How an update reaches the traffic, read from infra/template.yaml as SAM's translator expands it.

    shift.py    with GradualDeployment each function's alias is shifted by a CodeDeploy deployment group that goes back
                on failure and on two alarms: one looks at the errors of every function that is shifted step by step,
                the other at what all of them answer; without it no alias is shifted
"""

import os
import sys
from copy import deepcopy
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

TEMPLATE = yaml_parse((Path(__file__).resolve().parents[2] / "infra/template.yaml").read_text())
STEP_BY_STEP = "Canary10Percent5Minutes"
AT_ONCE = {"SweepFunction": "AllAtOnce"}  # runs one at a time have no traffic to shift
ERRORS, UNANSWERED = "FunctionErrorsAlarm", "UnansweredAlarm"
LONGEST = 60  # seconds of an alarm's period: a shift has to see it within its five minutes
GOES_BACK_ON = {"DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"}


def expanded(gradual):
    template = deepcopy(TEMPLATE)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"]["CodeUri"] = "s3://bucket/built"
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/built"
    translator = Translator(managed_policy_map={}, sam_parser=Parser())
    return translator.translate(template, {"GradualDeployment": gradual})["Resources"]


def of_type(resources, kind):
    return {name: resource for name, resource in resources.items() if resource["Type"] == kind}


def group_of(alias, resources):
    """The deployment group that CloudFormation has an alias shifted by."""
    update = alias.get("UpdatePolicy", {}).get("CodeDeployLambdaAliasUpdate")
    return update and resources[update["DeploymentGroupName"]["Ref"]]["Properties"]


def check_gradual(resources):
    aliases = of_type(resources, "AWS::Lambda::Alias")
    functions = {alias["Properties"]["FunctionName"]["Ref"] for alias in aliases.values()}
    require(functions == set(of_type(resources, "AWS::Lambda::Function")), "a function without an alias")
    for name, alias in aliases.items():
        function = alias["Properties"]["FunctionName"]["Ref"]
        group = group_of(alias, resources)
        require(group, f"{name}: moved at once")
        steps = group["DeploymentConfigName"]["Fn::Sub"][1]["ConfigName"]
        require(steps == AT_ONCE.get(function, STEP_BY_STEP), f"{name}: shifted by {steps}")
        style = {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"}
        require(group["DeploymentStyle"] == style, f"{name}: {group['DeploymentStyle']}")
        back = group["AutoRollbackConfiguration"]
        require(back["Enabled"] and GOES_BACK_ON <= set(back["Events"]), f"{name}: does not go back by itself")
        watched = group.get("AlarmConfiguration", {})
        require(watched.get("Enabled") and watched["Alarms"] == [{"Name": {"Ref": alarm}} for alarm in (ERRORS, UNANSWERED)],
                f"{name}: watched by {watched}")
    stats = [query["MetricStat"] for query in resources[ERRORS]["Properties"]["Metrics"] if "MetricStat" in query]
    looked_at = {dimension["Value"]["Ref"] for stat in stats for dimension in stat["Metric"]["Dimensions"]}
    require(looked_at == functions, f"{ERRORS} looks at {sorted(looked_at)}")
    unanswered = resources[UNANSWERED]["Properties"]
    outcomes = {dimension["Name"]: dimension["Value"] for dimension in unanswered["Dimensions"]}
    require((unanswered["MetricName"], outcomes.get("Outcome")) == ("Outcomes", "unavailable"), f"{UNANSWERED} looks at {outcomes}")
    for alarm, periods in ((ERRORS, [stat["Period"] for stat in stats]), (UNANSWERED, [unanswered["Period"]])):
        require(max(periods) <= LONGEST, f"{alarm} needs {max(periods)} s to be raised")


def check_at_once(resources):
    for name, alias in of_type(resources, "AWS::Lambda::Alias").items():
        require(not group_of(alias, resources), f"{name}: shifted without GradualDeployment")
    require(not of_type(resources, "AWS::CodeDeploy::DeploymentGroup"), "a deployment group without GradualDeployment")


def require(holds, otherwise):
    if not holds:
        sys.exit(f"infra/template.yaml: {otherwise}")


if __name__ == "__main__":
    os.environ.setdefault("AWS_DEFAULT_REGION", "eu-central-1")
    check_gradual(expanded("true"))
    check_at_once(expanded("false"))
