"""One alarm for each cause that is the vendor's move, in infra/template.yaml; the runbook has a section for each alarm.

    alarms.py --check    template, runbook and docs/costs.md agree with shared/diagnosis/catalogue and with each other
    alarms.py --write    puts the causes' alarms into the template, and their sections into the runbook
"""

import functools
import re
import sys
import tomllib
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE, RUNBOOK, COSTS = ROOT / "infra/template.yaml", ROOT / "docs/runbook.md", ROOT / "docs/costs.md"
BEGIN, END = "  # Alarms of causes: written by tests/infra/alarms.py from shared/diagnosis/catalogue.\n", "  # /alarms of causes\n"

# One of these says little: a text that nobody knows yet, or a code that was used twice by a double click.
FEW = {"unknown": 3, "code_expired_or_reused": 3}
LEAST = 1


CATALOGUE = ROOT / "shared/diagnosis/catalogue"
GROUPS = tomllib.loads((CATALOGUE / "playbooks.toml").read_text())["steps"]
SECTIONS = ("<!-- causes: written by tests/infra/alarms.py from shared/diagnosis/catalogue -->\n", "<!-- /causes -->\n")


def vendor_causes():
    """The causes that the product's own engineers put right, by id."""
    causes = {file.stem: tomllib.loads(file.read_text()) for file in sorted((CATALOGUE / "causes").glob("*.toml"))}
    return {name: cause for name, cause in causes.items() if cause["actor"] == "vendor"}


def alarm(cause):
    name = "".join(word.capitalize() for word in cause.split("_"))
    return f"""\
  Cause{name}Alarm:
    Type: AWS::CloudWatch::Alarm
    Properties:
      AlarmName: !Sub latchkey-${{Stage}}-cause-{cause}
      AlarmDescription: "Observed, and ours to put right: docs/runbook.md#cause-{cause}"
      Namespace: Latchkey
      MetricName: Failures
      Dimensions: [{{Name: Deployment, Value: !Ref Stage}}, {{Name: Cause, Value: {cause}}}]
      Statistic: Sum
      Period: 300
      EvaluationPeriods: 1
      Threshold: {FEW.get(cause, LEAST)}
      ComparisonOperator: GreaterThanOrEqualToThreshold
      TreatMissingData: notBreaching
      AlarmActions: !If [Alarmed, [!Ref AlarmTopicArn], !Ref AWS::NoValue]
      OKActions: !If [Alarmed, [!Ref AlarmTopicArn], !Ref AWS::NoValue]
"""


def flat(steps):
    """Steps with their groups in place."""
    for step in steps:
        if isinstance(step, dict) and "use" in step:
            yield from flat(GROUPS[step["use"]])
        else:
            yield step if isinstance(step, str) else step["text"]


def plain(text):
    for name, word in {"product": "the product", "app": "the app", "customer": "the customer", "support": "support"}.items():
        text = text.replace(f"{{{name}}}", word)
    return text[0].upper() + text[1:]


def runbook(cause, says):
    """What the catalogue says of a cause, for whoever was woken by its alarm."""
    vendor = says["vendor"]
    steps = list(flat(vendor["steps"]))
    for branch in vendor.get("branches", []):
        steps += [f"{branch['question']} {' '.join(flat(branch['steps']))}"]
    done = "\n".join(f"{number}. {plain(step)}" for number, step in enumerate(steps, 1))
    few = FEW.get(cause, LEAST)
    times = "once" if few == 1 else f"{few} times"
    return f"""
### cause-{cause}

**Means:** {plain(says["title"])} {plain(says["why"])} It was observed at least {times} within five minutes.

**Look at:** whom it hits (*One cause*, above, with `{cause}`), and one failure in full by its reference.

**Do:** {plain(vendor["goal"])}

{done}
"""


def section(causes):
    return BEGIN + "\n" + "\n".join(alarm(cause) for cause in causes) + "\n" + END


@functools.cache
def template():
    return yaml_parse(TEMPLATE.read_text())


def alarms(resources):
    """Every alarm's name in the template, without the deployment's. Each is checked."""
    watched = taken_back_by(resources)
    for name, resource in resources["Resources"].items():
        if resource["Type"] != "AWS::CloudWatch::Alarm":
            continue
        properties = resource["Properties"]
        check_metrics(name, properties, resources["Resources"])
        check_expressions(name, properties)
        check_window(name, properties)
        if name in watched:
            # A deployment's own: it tells nobody, the deployment goes back.
            require("AlarmName" not in properties, f"{name} is a deployment's, and has a name of its own")
            continue
        require("AlarmName" in properties, f"{name} has no AlarmName, and no deployment looks at it")
        require(told_to(properties) == {"AlarmActions", "OKActions"}, f"{name} tells nobody, or not all: {told_to(properties)}")
        yield properties["AlarmName"]["Fn::Sub"].removeprefix("latchkey-${Stage}-")
        told = properties["AlarmDescription"].partition("docs/runbook.md#")[2]
        require(properties["AlarmName"]["Fn::Sub"] == f"latchkey-${{Stage}}-{told}", f"{name} does not name its runbook section")


def taken_back_by(resources):
    """The alarms that take a deployment back."""
    globals = resources.get("Globals", {}).get("Function", {})
    places = [globals, *(r.get("Properties", {}) for r in resources["Resources"].values())]
    listed = [alarm for place in places for alarm in place.get("DeploymentPreference", {}).get("Alarms", [])]
    return {alarm["Ref"] for alarm in listed}


TOPIC = {"Fn::If": ["Alarmed", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}


def told_to(properties):
    """The kinds of news that the operator's topic gets."""
    return {name for name in ("AlarmActions", "OKActions", "InsufficientDataActions") if properties.get(name) == TOPIC}


def metrics_of(properties):
    """Every metric of an alarm, with its statistic and period."""
    if "MetricName" in properties:
        return [(properties, properties.get("Statistic", properties.get("ExtendedStatistic")), properties.get("Period"))]
    stats = [query["MetricStat"] for query in properties["Metrics"] if "MetricStat" in query]
    return [(stat["Metric"], stat["Stat"], stat["Period"]) for stat in stats]


# What AWS measures of the resources that alarms look at: by which dimension, of which resource, in which metrics with
# which statistics. AWS documents these; a metric that is not here is misspelt, or to be looked up and added.
AWS_METRICS = {
    "AWS/Lambda": (
        "FunctionName",
        "AWS::Serverless::Function",
        {"Errors": {"Sum"}, "Throttles": {"Sum"}, "Invocations": {"Sum"}, "Duration": {"Maximum", "p99"}, "IteratorAge": {"Maximum"}},
    ),
    "AWS/SQS": (
        "QueueName",
        "AWS::SQS::Queue",
        {"ApproximateNumberOfMessagesVisible": {"Maximum"}, "ApproximateAgeOfOldestMessage": {"Maximum"}},
    ),
    "AWS/DynamoDB": ("TableName", "AWS::DynamoDB::Table", {"ThrottledRequests": {"Sum"}, "SystemErrors": {"Sum"}}),
}
# Latchkey's own metrics stand in the runbook; tests/journeys/tests/operators/telemetry.rs compares them with what lines have.
OWN = set(re.findall(r"^\| `([A-Z]\w+)`(?:, `[A-Z]\w+`)* \|", RUNBOOK.read_text(), re.MULTILINE)) | {
    other for row in re.findall(r"^\| (`[A-Z]\w+`(?:, `[A-Z]\w+`)+) \|", RUNBOOK.read_text(), re.MULTILINE) for other in re.findall(r"\w+", row)
}


def check_metrics(name, properties, resources):
    """An alarm looks at what is measured, and of what was observed: never at reports, nor at strangers' callbacks."""
    for metric, statistic, _ in metrics_of(properties):
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        measured, namespace = metric.get("MetricName"), metric.get("Namespace")
        require(measured != "Reported", f"{name} looks at what was reported")
        require(dimensions.get("Outcome") not in {"stray", "reported"}, f"{name} looks at what strangers send")
        if namespace == "Latchkey":
            require(measured in OWN, f"{name}: {measured} is none of the metrics that the runbook lists")
            require(dimensions.get("Deployment") == {"Ref": "Stage"}, f"{name} looks at every stage's {measured}")
            continue
        require(namespace in AWS_METRICS, f"{name}: {namespace} is no namespace that is known here")
        dimension, kind, statistics = AWS_METRICS[namespace]
        require(measured in statistics, f"{name}: {namespace} has no {measured} that is known here")
        require(statistic in statistics[measured], f"{name}: the {statistic} of {measured} says nothing")
        require(set(dimensions) == {dimension}, f"{name}: {namespace} is told apart by {dimension}, not by {sorted(dimensions)}")
        of = dimensions[dimension]
        target = of.get("Ref") or of.get("Fn::GetAtt", "") if isinstance(of, dict) else ""
        target = target[0] if isinstance(target, list) else target.split(".")[0]
        require(resources.get(target, {}).get("Type") == kind, f"{name}: {of} is no {kind} of the template")


def check_expressions(name, properties):
    """What an expression computes with stands beside it: an id that is misspelt makes an alarm that has never data. One
    query alone is the alarm's."""
    queries = properties.get("Metrics", [])
    ids = [query["Id"] for query in queries]
    require(len(ids) == len(set(ids)), f"{name} has two metrics of one id")
    used = {word for query in queries for word in re.findall(r"\b[a-z]\w*", query.get("Expression", ""))}
    used |= {properties["ThresholdMetricId"]} if "ThresholdMetricId" in properties else set()
    require(used <= set(ids), f"{name} computes with {sorted(used - set(ids))}, which it has not")
    returned = [query["Id"] for query in queries if query.get("ReturnData", True) and query["Id"] != properties.get("ThresholdMetricId")]
    require(not queries or len(returned) == 1, f"{name} returns {returned}")
    if not any("METRICS()" in query.get("Expression", "") for query in queries):
        stated = {query["Id"] for query in queries if "MetricStat" in query}
        require(stated <= used | set(returned), f"{name} never uses {sorted(stated - used - set(returned))}")


def check_window(name, properties):
    """CloudWatch refuses other periods; a threshold at or below nothing would ring without cause, or always."""
    periods = {period for *_, period in metrics_of(properties)}
    require(len(periods) == 1, f"{name} mixes periods: {sorted(periods)}")
    [period] = periods
    require(period in {10, 20, 30} or period > 0 and period % 60 == 0, f"{name}: a period of {period} s is none of CloudWatch's")
    evaluated = properties["EvaluationPeriods"]
    longest = 7 * 86400 if period >= 3600 else 86400
    require(1 <= evaluated and evaluated * period <= longest, f"{name} looks back {evaluated} times {period} s")
    require(1 <= properties.get("DatapointsToAlarm", evaluated) <= evaluated, f"{name}: more datapoints than periods")
    require(properties.get("TreatMissingData") in {"notBreaching", "breaching"}, f"{name} does not say what no data means")
    if "ThresholdMetricId" in properties:
        require("Threshold" not in properties, f"{name} has two thresholds")
        return
    threshold, operator = setting(properties["Threshold"]), properties["ComparisonOperator"]
    least = {"GreaterThanOrEqualToThreshold": 1, "GreaterThanThreshold": 0, "LessThanThreshold": 1, "LessThanOrEqualToThreshold": 0}
    require(operator in least, f"{name}: {operator}")
    require(threshold >= least[operator], f"{name} rings at {threshold}, {operator}")


def setting(value):
    """A number, or the default of the parameter that stands for it."""
    return template()["Parameters"][value["Ref"]]["Default"] if isinstance(value, dict) else value


WORDS = {
    "GreaterThanOrEqualToThreshold": "at least",
    "GreaterThanThreshold": "more than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "at most",
}


def minutes(seconds):
    return "1 minute" if seconds == 60 else f"{seconds // 60} minutes" if seconds % 3600 else "1 hour" if seconds == 3600 else f"{seconds // 3600} hours"


def fires(properties):
    """When an alarm fires, in words: its section of the runbook says it, so that no threshold changes unseen."""
    [period] = {period for *_, period in metrics_of(properties)}
    evaluated = properties["EvaluationPeriods"]
    if "MetricName" in properties:
        of = " ".join(f"`{d['Value']}`" for d in properties["Dimensions"] if isinstance(d["Value"], str))
        what = f"the {properties.get('Statistic', properties.get('ExtendedStatistic')).lower()} of `{properties['MetricName']}`{' ' + of if of else ''}"
    else:
        [query] = [q for q in properties["Metrics"] if q.get("ReturnData", True) and q["Id"] != properties.get("ThresholdMetricId")]
        what = f"*{query['Label']}*" if "Label" in query else f"`{query['Id']}`"
    operator = properties["ComparisonOperator"]
    threshold = properties.get("Threshold")
    named = f"`{threshold['Ref']}` ({setting(threshold)})" if isinstance(threshold, dict) else threshold
    bound = f"{WORDS[operator]} {named}" if operator in WORDS else "outside its band"
    times = "" if evaluated == 1 else f", {properties.get('DatapointsToAlarm', evaluated)} of {evaluated} times"
    return f"**Fires:** {what} is {bound} in {minutes(period)}{times}."


def check_fires(resources, runbook):
    """The runbook with what each alarm fires at."""
    for resource in resources["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "AlarmName" in properties:
            heading = f"\n### {properties['AlarmName']['Fn::Sub'].removeprefix('latchkey-${Stage}-')}\n\n"
            require(runbook.count(heading) == 1, f"the runbook has no one section {heading.strip()}")
            before, rest = runbook.split(heading)
            rest = re.sub(r"\A\*\*Fires:\*\*[^\n]*\n\n", "", rest)
            runbook = before + heading + fires(properties) + "\n\n" + rest
    return runbook


def check_costs():
    """docs/costs.md counts what is paid for: every metric of every alarm."""
    alarms = [r["Properties"] for r in template()["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = sum(1 if "MetricName" in a else sum("MetricStat" in q for q in a["Metrics"]) for a in alarms)
    told = f"{len(alarms)} alarms over {metrics} metrics"
    lines = re.findall(rf"(?<![\w.]){told}\b", COSTS.read_text())
    require(lines, f"docs/costs.md does not say {told}")


def require(holds, otherwise):
    if not holds:
        sys.exit(f"infra/template.yaml and its docs: {otherwise}")


def main(mode):
    causes = vendor_causes()
    sections = "".join(runbook(cause, says) for cause, says in causes.items())
    for file, begin, end, wanted in [
        (TEMPLATE, BEGIN, END, section(causes)),
        (RUNBOOK, *SECTIONS, SECTIONS[0] + sections + "\n" + SECTIONS[1]),
    ]:
        text = file.read_text()
        before, rest = text.split(begin)
        _, after = rest.split(end)
        whole = before + wanted + after
        if file == RUNBOOK:
            whole = check_fires(template(), whole)
        if mode == "--write":
            file.write_text(whole)
        require(mode == "--write" or whole == text, f"{file.name} is not the catalogue's and the alarms'; run tests/infra/alarms.py --write")
    check_costs()
    named = set(alarms(template()))
    require({f"cause-{cause}" for cause in causes} <= named, "a cause without its alarm")
    headings = re.findall(r"^### ([\w-]+)$", RUNBOOK.read_text(), re.MULTILINE)
    require(len(headings) == len(set(headings)), "a heading stands twice in the runbook")
    require(named == set(headings), f"alarms and runbook differ: {sorted(named ^ set(headings))}")


if __name__ == "__main__":
    if sys.argv[1:] not in (["--check"], ["--write"]):
        sys.exit(__doc__)
    main(sys.argv[1])
