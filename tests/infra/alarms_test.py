"""The checker of alarms finds what it is there for: each broken template is refused, with its reason."""

import copy

import alarms
import pytest

TEMPLATE = alarms.template()


def refusal(change):
    template = copy.deepcopy(TEMPLATE)
    change(template["Resources"])
    with pytest.raises(SystemExit) as refused:
        list(alarms.alarms(template))
        if alarms.check_fires(template, alarms.RUNBOOK.read_text()) != alarms.RUNBOOK.read_text():
            raise SystemExit("the runbook says another threshold")
    return str(refused.value)


def of(name):
    """Changes the properties of one alarm."""
    return lambda resources: resources[name]["Properties"]


def test_template_is_accepted():
    assert len(list(alarms.alarms(TEMPLATE))) > 30
    assert alarms.check_fires(TEMPLATE, alarms.RUNBOOK.read_text()) == alarms.RUNBOOK.read_text()


def test_alarm_without_a_name_is_refused():
    assert "no AlarmName" in refusal(lambda r: of("FallbackAlarm")(r).pop("AlarmName"))


def test_alarm_that_takes_a_deployment_back_needs_no_name_and_is_checked():
    assert "none of the metrics" in refusal(lambda r: of("UnansweredAlarm")(r).update(MetricName="Outcome"))


@pytest.mark.parametrize("action", ["AlarmActions", "OKActions"])
def test_alarm_that_tells_nobody_is_refused(action):
    assert "tells nobody" in refusal(lambda r: of("FallbackAlarm")(r).pop(action))
    assert "tells nobody" in refusal(lambda r: of("FallbackAlarm")(r).update({action: [{"Ref": "AlarmTopicArn"}]}))


@pytest.mark.parametrize("threshold", [0, -1])
def test_threshold_that_always_fires_is_refused(threshold):
    assert "rings at" in refusal(lambda r: of("FallbackAlarm")(r).update(Threshold=threshold))


def test_another_threshold_changes_the_runbook():
    assert "another threshold" in refusal(lambda r: of("FallbackAlarm")(r).update(Threshold=100))
    assert "another threshold" in refusal(lambda r: of("FallbackAlarm")(r).update(Period=3600))


@pytest.mark.parametrize("period", [0, 7, 45, 90])
def test_period_that_cloudwatch_refuses_is_refused(period):
    assert "period" in refusal(lambda r: of("FallbackAlarm")(r).update(Period=period))


def test_window_of_more_than_a_day_is_refused():
    assert "looks back" in refusal(lambda r: of("FallbackAlarm")(r).update(EvaluationPeriods=300))


def metric(resources, alarm, query):
    [found] = [q for q in of(alarm)(resources)["Metrics"] if q["Id"] == query]
    return found["MetricStat"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Namespace": "AWS/lambda"}, "no namespace"),
        ({"MetricName": "Error"}, "has no Error"),
        ({"Dimensions": [{"Name": "Function", "Value": {"Ref": "TallyFunction"}}]}, "told apart by FunctionName"),
        ({"Dimensions": [{"Name": "FunctionName", "Value": {"Ref": "TallyFailures"}}]}, "is no AWS::Serverless::Function"),
        ({"Dimensions": []}, "told apart by FunctionName"),
    ],
)
def test_metric_of_aws_that_is_none_is_refused(change, reason):
    assert reason in refusal(lambda r: metric(r, "TallyBehindAlarm", "age")["Metric"].update(change))


def test_statistic_that_says_nothing_is_refused():
    assert "says nothing" in refusal(lambda r: metric(r, "TallyBehindAlarm", "age").update(Stat="Sum"))


def test_mixed_periods_and_unused_metrics_are_refused():
    assert "mixes periods" in refusal(lambda r: metric(r, "TallyBehindAlarm", "age").update(Period=60))
    assert "never uses" in refusal(lambda r: of("TallyBehindAlarm")(r)["Metrics"][0].update(Expression="FILL(age, 0)"))
    assert "which it has not" in refusal(lambda r: of("TallyBehindAlarm")(r)["Metrics"][0].update(Expression="agee + created + age"))


def test_metric_of_every_stage_is_refused():
    assert "every stage" in refusal(lambda r: of("FallbackAlarm")(r).update(Dimensions=[]))
