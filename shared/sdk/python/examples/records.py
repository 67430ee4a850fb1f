"""A Connect button and Salesforce records on screen: `flask --app records run -p 3000`.

LATCHKEY_URL and LATCHKEY_API_KEY are set, and http://localhost:3000/salesforce/return is one of your product's return
addresses. User and customer are those of your own login session.
"""

from typing import Any

from flask import Flask, request

from latchkey_sdk import Latchkey

app, latchkey = Flask(__name__), Latchkey()
query = "/services/data/v62.0/query?q=SELECT+Name+FROM+Account"
wish: dict[str, Any] = {"app": "sync", "user": "u1", "customer": {"id": "c1", "name": "Acme"}}


@app.get("/salesforce/return")
def records():
    session = request.cookies.get("session")
    connection = latchkey.connect_sessions.redeem_return(request.url, session=session, user="u1")
    if connection is None:
        created = latchkey.connect_sessions.create(**wish, return_to=request.base_url)
        cookie = f"session={created.id}; HttpOnly"
        return "", 303, {"Location": created.connect_url, "Set-Cookie": cookie}
    return latchkey.with_salesforce(connection, lambda org: org.get(query).json()["records"])
