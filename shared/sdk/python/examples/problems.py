"""What a product does when a connection does not work: the user, an admin of the customer, or nobody acts."""

import httpx

from latchkey_sdk import Connection, Latchkey, ProblemError, ReauthorizationNeededError


def accounts(salesforce: httpx.Client) -> list[str]:
    answer = salesforce.get("/services/data/v62.0/query?q=SELECT+Name+FROM+Account").raise_for_status()
    return [record["Name"] for record in answer.json()["records"]]


def show(latchkey: Latchkey, connection: Connection) -> str:
    try:
        return ", ".join(latchkey.with_salesforce(connection, accounts))
    except ReauthorizationNeededError as error:
        session = latchkey.connect_sessions.create(**error.reconnect)
        return f"Please connect Salesforce again: {session.connect_url}"
    except ProblemError as error:
        if error.actor == "admin":
            return f"Your Salesforce admin has to act: {error.help_url}"
        return f"Salesforce is not available. If this stays, tell us {error.reference}."
