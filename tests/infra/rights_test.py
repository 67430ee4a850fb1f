"""The checker of rights finds what it is there for: each broken template is refused, with its reason."""

import re

import pytest
import rights

TEMPLATE = (rights.ROOT / "infra/template.yaml").read_text()
GUARD = ', "Null": {dynamodb:LeadingKeys: "false"}'


def refusal(template):
    rights.load(template)
    with pytest.raises(SystemExit) as refused:
        rights.check(list(rights.functions()))
    return str(refused.value)


def mutated(old, new, nth=0):
    parts = TEMPLATE.split(old)
    assert len(parts) > nth + 1, f"the template has no {old}"
    return old.join(parts[: nth + 1]) + new + old.join(parts[nth + 1 :])


def test_template_is_accepted():
    rights.load(TEMPLATE)
    rights.check(list(rights.functions()))


@pytest.mark.parametrize("nth", range(TEMPLATE.count("ForAllValues:StringLike:")))
def test_missing_null_guard_is_refused(nth):
    statement = re.compile(re.escape(GUARD[:-1]) + r"[^}]*}")
    found = list(statement.finditer(TEMPLATE))[nth]
    assert "is not" in refusal(TEMPLATE[: found.start()] + TEMPLATE[found.end() :])


def test_attributes_without_a_null_guard_are_refused():
    assert "is not" in refusal(mutated(', dynamodb:Attributes: "false"', ""))


def test_null_guard_that_allows_the_missing_key_is_refused():
    assert "Null" in refusal(mutated(GUARD, GUARD.replace('"false"', '"true"')))


def test_second_condition_is_refused():
    assert "StringEquals" in refusal(mutated(GUARD, GUARD + ", StringEquals: {a: b}"))


@pytest.mark.parametrize("nth", range(TEMPLATE.count("Action: secretsmanager:GetSecretValue")))
@pytest.mark.parametrize("wider", ["secret:*", "secret:latchkey/*", "secret:latchkey/${Stage}/*", "secret:latchkey/${Stage}/*s/*"])
def test_wider_secret_is_refused(nth, wider):
    before, grant, after = TEMPLATE.partition("Action: secretsmanager:GetSecretValue")
    for _ in range(nth):
        more, grant, after = after.partition("Action: secretsmanager:GetSecretValue")
        before += grant + more
    wide = re.sub(r"secret:latchkey/\$\{Stage}/(apps|webhooks)/\*", lambda _: wider, after, count=1)
    assert "is neither" in refusal(before + grant + wide)


def test_another_secret_by_reference_is_refused():
    # The first place is the key policy's; the next is a role's.
    assert "neither" in refusal(mutated("- !Ref KeyringSecret\n", "- !Ref OtherSecret\n", 1))


def test_catch_all_route_of_another_function_is_refused():
    default = 'RouteKey: "$default", Target: !Sub "integrations/${ErrorsIntegration}"'
    assert "$default" in refusal(mutated(default, default.replace("Errors", "Token")))


def test_action_only_inside_a_longer_name_is_not_called():
    called = set(rights.callable_actions(b"\0xBatchGetItemRequestSerializer\0BatchGetSecretValueRequestSerializer"))
    assert called == {"dynamodb:BatchGetItem", "secretsmanager:BatchGetSecretValue"}
    called = set(rights.callable_actions(b"..BatchGetItemRequestSerializer::GetItemRequestSerializer"))
    assert called == {"dynamodb:BatchGetItem", "dynamodb:GetItem"}


def test_names_that_stand_side_by_side_are_both_called():
    called = set(rights.callable_actions(b"GetItemRequestSerializerBatchGetItemRequestSerializer"))
    assert called == {"dynamodb:BatchGetItem", "dynamodb:GetItem"}


def test_second_statement_of_the_same_keys_is_not_hidden():
    """The later statement of the same keys must not replace the earlier in the checks."""
    statement = """              - Sid: WriteProducts
                Effect: Allow
                Action: dynamodb:PutItem
                Resource: !GetAtt Table.Arn
                Condition: {ForAllValues:StringLike: {dynamodb:LeadingKeys: ["PRODUCT#*"]}, "Null": {dynamodb:LeadingKeys: "false"}}
"""
    place = "              - Sid: ReadProducts\n"
    assert "may write a product" in refusal(mutated(place, statement + place))
