"""A stranger's client against the sandbox: what simple-salesforce does to an org must work here, and fail as it would there."""

import json
import sys

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, SalesforceLogin
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

URL, CERTIFICATE = sys.argv[1], sys.argv[2]


class ToSandbox(HTTPAdapter):
    """Leads the one address that the client makes up, a company's own at Salesforce, to the sandbox."""

    def send(self, request, **options):
        request.url = request.url.replace("https://sandbox-org.salesforce.com", URL)
        return super().send(request, **options)


session = requests.Session()
# The machine's own list of authorities would take the certificate's place.
session.trust_env = False
session.verify = CERTIFICATE
session.mount("https://sandbox-org.salesforce.com", ToSandbox())


def control(what, body):
    answer = session.post(f"{URL}/_sandbox/{what}", data=json.dumps(body))
    assert answer.ok, answer.text
    return answer.json()


def refused(kind, code, call):
    try:
        call()
    except kind as err:
        first = err.content[0]
        assert first.get("errorCode") == code, (code, err.content)
        return first
    raise AssertionError(f"no {code}")


# login: by name and password (SOAP), and with the credentials of an app
try:
    SalesforceLogin(username="someone@example.com", password="wrong", security_token="", scratch_url=URL, session=session)
    raise AssertionError("a wrong password opened the org")
except SalesforceAuthenticationFailed as err:
    assert err.code == "INVALID_LOGIN", err
token, instance = SalesforceLogin(
    username="someone@example.com", password="any", security_token="x", scratch_url=URL, session=session
)
assert f"https://{instance}" == URL, instance
sf = Salesforce(instance=instance, session_id=token, session=session, version="62.0")
app = Salesforce(consumer_key="any", consumer_secret="any", domain="sandbox-org", session=session, version="62.0")
assert app.limits()["DailyApiRequests"]["Max"] == 15000
try:
    Salesforce(consumer_key="any", consumer_secret="wrong", domain="sandbox-org", session=session)
    raise AssertionError("a wrong secret opened the org")
except SalesforceAuthenticationFailed as err:
    assert err.code == "invalid_client", err

# login by a signed assertion
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
signed = Salesforce(
    username="someone@example.com", consumer_key="app", privatekey=pem.decode(), domain="sandbox-org", session=session, version="62.0"
)
me = app.restful("query", params={"q": "SELECT Id FROM User WHERE Username = 'integration.user@sandbox.example'"})["records"][0]["Id"]
assert signed.Lead.get(signed.Lead.create({"LastName": "L", "Company": "C"})["id"])["CreatedById"] == me

# describe
assert {"Lead", "Contact", "Account", "Opportunity", "User"} <= {item["name"] for item in sf.describe()["sobjects"]}
for name in ["Lead", "Contact", "Account", "Opportunity"]:
    fields = {field["name"]: field for field in getattr(sf, name).describe()["fields"]}
    assert fields["Lead_System_Id__c"]["externalId"] and fields["Lead_System_Id__c"]["unique"], name
    assert sf.restful(f"sobjects/{name}")["objectDescribe"]["name"] == name

# create, read, update, delete
account = sf.Account.create({"Name": "Acme", "Website": "https://acme.example"})["id"]
contact = sf.Contact.create({"LastName": "Lovelace", "AccountId": account})["id"]
deal = sf.Opportunity.create({"Name": "Deal", "StageName": "Qualification", "CloseDate": "2026-03-31", "AccountId": account})["id"]
assert sf.Opportunity.get(deal)["Probability"] == 10.0
assert sf.Contact.update(contact, {"Title": "Countess"}) == 204
assert sf.Contact.get(contact)["Title"] == "Countess"
lead = {"LastName": "Byron", "Company": "Poems"}
gone = sf.Lead.create(lead)["id"]
assert sf.Lead.delete(gone) == 204
refused(SalesforceResourceNotFound, "ENTITY_IS_DELETED", lambda: sf.Lead.delete(gone))
refused(SalesforceResourceNotFound, "NOT_FOUND", lambda: sf.Lead.get(gone))
missing = refused(SalesforceMalformedRequest, "REQUIRED_FIELD_MISSING", lambda: sf.Lead.create({}))
assert missing["fields"] == ["LastName", "Company"], missing
refused(SalesforceMalformedRequest, "INVALID_FIELD", lambda: sf.Lead.create({**lead, "Nope__c": 1}))
refused(SalesforceMalformedRequest, "STRING_TOO_LONG", lambda: sf.Lead.create({**lead, "LastName": "x" * 81}))
refused(SalesforceMalformedRequest, "MALFORMED_ID", lambda: sf.Contact.create({"LastName": "L", "AccountId": contact}))

# upsert by external id: created, updated, several
assert sf.Lead.upsert("Lead_System_Id__c/k-1", lead) == 201
assert sf.Lead.upsert("Lead_System_Id__c/k-1", {"Title": "T"}) == 200
assert sf.Lead.get_by_custom_id("Lead_System_Id__c", "k-1")["Title"] == "T"
for _ in range(2):
    sf.Lead.create({**lead, "Email": "two@poems.example"})
try:
    sf.Lead.upsert("Email/two@poems.example", lead)
    raise AssertionError("two records were one")
except SalesforceMoreThanOneRecord as err:
    assert len(err.content) == 2, err.content

# query with paging, and of deleted rows
rows = [{"attributes": {"type": "Lead"}, "LastName": "Page", "Company": "C"} for _ in range(200)]
for _ in range(12):
    items = sf.restful("composite/sobjects", method="POST", json={"records": rows})
    assert all(item["success"] for item in items)
first = sf.query("SELECT Id FROM Lead WHERE LastName = 'Page'")
assert (first["totalSize"], first["done"], len(first["records"])) == (2400, False, 2000)
assert sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)["done"]
assert len(sf.query_all("SELECT Id FROM Lead WHERE LastName = 'Page'")["records"]) == 2400
assert sf.query("SELECT Id FROM Lead WHERE IsDeleted = true", include_deleted=True)["totalSize"] == 1
refused(SalesforceMalformedRequest, "INVALID_FIELD", lambda: sf.query("SELECT Nope FROM Lead"))
refused(SalesforceMalformedRequest, "MALFORMED_QUERY", lambda: sf.query("SELECT FROM"))

# collections with a failing row, composite with references
mixed = [{"attributes": {"type": "Lead"}, **lead}, {"attributes": {"type": "Lead"}, "LastName": "No company"}]
items = sf.restful("composite/sobjects", method="POST", json={"records": mixed})
assert [item["success"] for item in items] == [True, False]
assert items[1]["errors"][0]["statusCode"] == "REQUIRED_FIELD_MISSING"
parts = [
    {"method": "PATCH", "url": "/services/data/v62.0/sobjects/Account/Lead_System_Id__c/a-1", "referenceId": "a", "body": {"Name": "One"}},
    {"method": "POST", "url": "/services/data/v62.0/sobjects/Contact", "referenceId": "c", "body": {"LastName": "L", "AccountId": "@{a.id}"}},
    {"method": "GET", "url": "/services/data/v62.0/sobjects/Contact/@{x.id}", "referenceId": "h"},
]
answer = sf.restful("composite", method="POST", json={"collateSubrequests": False, "compositeRequest": parts})["compositeResponse"]
assert [part["httpStatusCode"] for part in answer] == [201, 201, 400], answer
assert answer[2]["body"][0]["errorCode"] == "PROCESSING_HALTED"

# a converted lead, a merge loser
converted = sf.Lead.create({**lead, "Lead_System_Id__c": "l-1"})["id"]
made = control("convert", {"id": converted})
row = sf.query("SELECT IsConverted, ConvertedContactId FROM Lead WHERE Lead_System_Id__c = 'l-1'")["records"][0]
assert row["IsConverted"] and row["ConvertedContactId"] == made["contact_id"], row
refused(SalesforceMalformedRequest, "CANNOT_UPDATE_CONVERTED_LEAD", lambda: sf.Lead.update(converted, {"Title": "x"}))
winner, loser = sf.Lead.create(lead)["id"], sf.Lead.create(lead)["id"]
control("merge", {"master": winner, "losers": [loser]})
bin_row = sf.query(f"SELECT MasterRecordId FROM Lead WHERE Id = '{loser}'", include_deleted=True)["records"][0]
assert bin_row["MasterRecordId"] == winner, bin_row
refused(SalesforceResourceNotFound, "ENTITY_IS_DELETED", lambda: sf.Lead.update(loser, {"Title": "x"}))

# an update that holds only while nobody else has changed the record
since = {"If-Unmodified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"}
late = refused(
    SalesforceGeneralError, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", lambda: sf.Contact.update(contact, {"Title": "x"}, headers=since)
)
assert sf.Contact.update(contact, {"Title": "x"}, headers={"If-Unmodified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"}) == 204

parts = [
    {
        "method": "PATCH",
        "url": f"/services/data/v62.0/sobjects/Contact/{contact}",
        "referenceId": reference,
        "httpHeaders": {"If-Unmodified-Since": f"Thu, 01 Jan {year} 00:00:00 GMT", "Sforce-Auto-Assign": "FALSE"},
        "body": {"Title": reference},
    }
    for reference, year in [("early", 2099), ("late", 2015)]
]
answer = sf.restful("composite", method="POST", json={"collateSubrequests": False, "compositeRequest": parts})["compositeResponse"]
assert [part["httpStatusCode"] for part in answer] == [204, 412], answer
assert answer[1]["body"][0]["errorCode"] == "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE", answer
assert sf.Contact.get(contact)["Title"] == "early"

# what has not changed since is not said again
assert sf.Lead.describe(headers={"If-Modified-Since": "Thu, 01 Jan 2015 00:00:00 GMT"})["name"] == "Lead"
try:
    sf.Lead.describe(headers={"If-Modified-Since": "Thu, 01 Jan 2099 00:00:00 GMT"})
    raise AssertionError("it was said again")
except SalesforceGeneralError as err:
    assert err.status == 304, err

# assignment rules run on create, unless told otherwise
queue = sf.query("SELECT Id FROM Group WHERE Type = 'Queue'")["records"][0]["Id"]
assert sf.Lead.get(sf.Lead.create(lead)["id"])["OwnerId"] == queue
assert sf.Lead.get(sf.Lead.create(lead, headers={"Sforce-Auto-Assign": "FALSE"})["id"])["OwnerId"] == me

# duplicate rules
sf.Lead.create({**lead, "Email": "twin@poems.example"})
control("duplicate-rules", {"rules": [{"object": "Lead", "match": "email", "action": "alert"}]})
twin = {**lead, "Email": "twin@poems.example"}
found = refused(SalesforceMalformedRequest, "DUPLICATES_DETECTED", lambda: sf.Lead.create(twin))
assert found["duplicateResut"]["allowSave"] is True, found
assert sf.Lead.create(twin, headers={"Sforce-Duplicate-Rule-Header": "allowSave=true"})["success"]
matching = sf.query("SELECT Id, SobjectType FROM MatchingRule WHERE RuleStatus = 'Active'")["records"][0]
items = sf.query("SELECT MatchingRuleId, SortOrder, Field, MatchingMethod FROM MatchingRuleItem ORDER BY SortOrder")["records"]
compared = [item["Field"] for item in items if item["MatchingRuleId"] == matching["Id"]]
assert (matching["SobjectType"], compared) == ("Lead", ["Email"]), items

# a field made by the Tooling API, and the permission that shows it
field = {"FullName": "Lead.Shoe_Size__c", "Metadata": {"type": "Number", "label": "Shoe size", "precision": 4, "scale": 1}}
assert sf.toolingexecute("sobjects/CustomField", method="POST", data=field)["success"]
refused(SalesforceMalformedRequest, "DUPLICATE_DEVELOPER_NAME", lambda: sf.toolingexecute("sobjects/CustomField", method="POST", data=field))
refused(SalesforceMalformedRequest, "INVALID_FIELD", lambda: sf.Lead.create({**lead, "Shoe_Size__c": 46}))
assigned = sf.query(f"SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '{me}'")["records"]
sets = ", ".join(f"'{row['PermissionSetId']}'" for row in assigned)
chosen = sf.query(f"SELECT Id FROM PermissionSet WHERE Id IN ({sets}) AND IsOwnedByProfile = false")["records"][0]["Id"]
sf.FieldPermissions.create(
    {"ParentId": chosen, "SobjectType": "Lead", "Field": "Lead.Shoe_Size__c", "PermissionsRead": True, "PermissionsEdit": True}
)
assert sf.Lead.get(sf.Lead.create({**lead, "Shoe_Size__c": 46.5})["id"])["Shoe_Size__c"] == 46.5

# what else an org says, by the kind of error that the client makes of it
for code, status, kind in [
    ("ENTITY_IS_LOCKED", 400, SalesforceMalformedRequest),
    ("REQUEST_LIMIT_EXCEEDED", 403, SalesforceRefusedRequest),
    ("SERVER_UNAVAILABLE", 503, SalesforceGeneralError),
    ("UNABLE_TO_LOCK_ROW", 500, SalesforceGeneralError),
]:
    control("faults", {"rules": [{"fault": "error", "code": code, "status": status, "count": 1}]})
    refused(kind, code, lambda: sf.Lead.create(lead))
used = sf.api_usage["api-usage"]
assert used.total == 15000 and used.used > 40, used

# the token is refused once it has expired
control("expire_tokens", {})
refused(SalesforceExpiredSession, "INVALID_SESSION_ID", lambda: sf.limits())
print("simple-salesforce is content")
