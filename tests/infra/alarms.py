"""One alarm for each cause that is the vendor's move, in infra/template.yaml; the runbook has a section for each alarm.

    alarms.py --check    template, runbook and docs/costs.md agree with shared/domain/catalogue and with each other
    alarms.py --write    puts the causes' alarms into the template, and their sections into the runbook
"""

import re
import sys
import tomllib
from pathlib import Path

from samcli.yamlhelper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE, RUNBOOK, COSTS = ROOT / "infra/template.yaml", ROOT / "docs/runbook.md", ROOT / "docs/costs.md"
BEGIN, END = "  # Alarms of causes: written by tests/infra/alarms.py from shared/domain/catalogue.\n", "  # /alarms of causes\n"

# One of these says little: a text that nobody knows yet, or a code that was used twice by a double click.
FEW = {"unknown": 3, "code_expired_or_reused": 3}
LEAST = 1


CATALOGUE = ROOT / "shared/domain/catalogue"
GROUPS = tomllib.loads((CATALOGUE / "playbooks.toml").read_text())["steps"]
SECTIONS = ("<!-- causes: written by tests/infra/alarms.py from shared/domain/catalogue -->\n", "<!-- /causes -->\n")


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


def alarms():
    """Every alarm's name in the template, without the deployment's."""
    for name, resource in yaml_parse(TEMPLATE.read_text())["Resources"].items():
        properties = resource.get("Properties", {})
        # One without a name is a deployment's own: it tells nobody, it goes back.
        if resource["Type"] == "AWS::CloudWatch::Alarm" and "AlarmName" in properties:
            require("AlarmActions" in properties, f"{name} tells nobody")
            yield properties["AlarmName"]["Fn::Sub"].removeprefix("latchkey-${Stage}-")
            told = properties["AlarmDescription"].partition("docs/runbook.md#")[2]
            require(properties["AlarmName"]["Fn::Sub"].endswith(f"-{told}"), f"{name} does not name its runbook section")
            check_metrics(name, properties)
            check_expressions(name, properties)


def check_metrics(name, properties):
    """An alarm looks at what was observed: never at reports, nor at strangers' callbacks."""
    metrics = [properties, *(m["MetricStat"]["Metric"] for m in properties.get("Metrics", []) if "MetricStat" in m)]
    for metric in metrics:
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        require(metric.get("MetricName") != "Reported", f"{name} looks at what was reported")
        require(dimensions.get("Outcome") not in {"stray", "reported"}, f"{name} looks at what strangers send")


def check_expressions(name, properties):
    """What an expression computes with stands beside it: an id that is misspelt makes an alarm that has never data."""
    queries = properties.get("Metrics", [])
    ids = {query["Id"] for query in queries}
    used = {word for query in queries for word in re.findall(r"\b[a-z]\w*", query.get("Expression", ""))}
    used |= {properties["ThresholdMetricId"]} if "ThresholdMetricId" in properties else set()
    require(used <= ids, f"{name} computes with {sorted(used - ids)}, which it has not")


def check_costs():
    """docs/costs.md counts what is paid for: every metric of every alarm."""
    alarms = [r["Properties"] for r in yaml_parse(TEMPLATE.read_text())["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    metrics = sum(1 if "MetricName" in a else sum("MetricStat" in q for q in a["Metrics"]) for a in alarms)
    told = f"{len(alarms)} alarms over {metrics} metrics"
    require(told in COSTS.read_text(), f"docs/costs.md does not say {told}")


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
        if mode == "--write":
            file.write_text(whole)
        require(mode == "--write" or whole == text, f"{file.name} is not the catalogue's; run tests/infra/alarms.py --write")
    check_costs()
    named = set(alarms())
    require({f"cause-{cause}" for cause in causes} <= named, "a cause without its alarm")
    headings = re.findall(r"^### ([\w-]+)$", RUNBOOK.read_text(), re.MULTILINE)
    require(len(headings) == len(set(headings)), "a heading stands twice in the runbook")
    require(named == set(headings), f"alarms and runbook differ: {sorted(named ^ set(headings))}")


if __name__ == "__main__":
    if sys.argv[1:] not in (["--check"], ["--write"]):
        sys.exit(__doc__)
    main(sys.argv[1])
