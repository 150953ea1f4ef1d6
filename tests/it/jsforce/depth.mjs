// The rest of what a client of people, companies and deals does to an org: it must work here, and fail as it would there.
import assert from "node:assert/strict";
import { createSign, generateKeyPairSync } from "node:crypto";
import jsforce from "jsforce";

const loginUrl = process.argv[2];
const control = async (what, body) => {
  const answer = await fetch(`${loginUrl}/_sandbox/${what}`, { method: "POST", body: JSON.stringify(body) });
  const told = await answer.text();
  assert.ok(answer.ok, told);
  return JSON.parse(told);
};
async function refused(promise, code) {
  try {
    await promise;
  } catch (err) {
    assert.equal(err.errorCode ?? err.name, code, String(err));
    return err;
  }
  assert.fail(`no ${code}`);
}

// login by name and password, as SOAP has it
const conn = new jsforce.Connection({ loginUrl, version: "62.0", maxRequest: 5 });
await assert.rejects(conn.login("someone@example.com", "wrong"), /INVALID_LOGIN/);
const user = await conn.login("someone@example.com", "any");
assert.equal(conn.instanceUrl, loginUrl);
assert.ok(user.id.startsWith("005"));

// login by a signed assertion, of which a sandbox without a key asks that it is one and has not expired
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const assertion = (claims) => {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString("base64url");
  const signed = `${part({ alg: "RS256" })}.${part({ iss: "app", sub: "someone@example.com", aud: "https://login.salesforce.com", ...claims })}`;
  return `${signed}.${createSign("RSA-SHA256").update(signed).sign(privateKey, "base64url")}`;
};
const byAssertion = new jsforce.Connection({ oauth2: { loginUrl, clientId: "app" }, version: "62.0" });
const authorize = (exp) => byAssertion.authorize({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion: assertion({ exp }) });
const seconds = Math.floor(Date.now() / 1000);
await refused(authorize(seconds - 60), "invalid_grant");
assert.equal((await authorize(seconds + 180)).id, user.id);
assert.equal(byAssertion.instanceUrl, loginUrl);
assert.equal((await byAssertion.limits()).DailyApiRequests.Max, 15000);

// accounts, contacts, opportunities, and who owns them
const [sam, ines] = await Promise.all(
  ["sam.sales@sandbox.example", "ines.former@sandbox.example"].map(async (mail) => (await conn.query(`SELECT Id, IsActive FROM User WHERE Email = '${mail}'`)).records[0]),
);
assert.deepEqual([sam.IsActive, ines.IsActive], [true, false]);
const account = await conn.sobject("Account").create({ Name: "Acme", Website: "https://acme.example", OwnerId: sam.Id });
const contact = await conn.sobject("Contact").create({ LastName: "Lovelace", AccountId: account.id });
const deal = await conn.sobject("Opportunity").create({ Name: "Deal", StageName: "Qualification", CloseDate: "2026-03-31", AccountId: account.id, ContactId: contact.id });
assert.equal((await conn.query(`SELECT ContactId FROM OpportunityContactRole WHERE OpportunityId = '${deal.id}'`)).records[0].ContactId, contact.id);
await refused(conn.sobject("Account").create({ Name: "Other", OwnerId: ines.Id }), "INACTIVE_OWNER_OR_USER");
await refused(conn.sobject("Contact").create({ LastName: "L", AccountId: contact.id }), "MALFORMED_ID");
await refused(conn.sobject("Contact").create({ LastName: "L", AccountId: "001000000000000AAA" }), "INVALID_CROSS_REFERENCE_KEY");
const byKey = await conn.sobject("Account").upsert({ Lead_System_Id__c: "a-1", Name: "By key" }, "Lead_System_Id__c");
const child = await conn.sobject("Contact").create({ LastName: "Child", Account: { Lead_System_Id__c: "a-1" } });
assert.equal((await conn.sobject("Contact").retrieve(child.id)).AccountId, byKey.id);

// composite: parts that refer to each other, one of which fails
const composite = await conn.requestPost("/services/data/v62.0/composite", {
  collateSubrequests: false,
  compositeRequest: [
    { method: "PATCH", url: "/services/data/v62.0/sobjects/Account/Lead_System_Id__c/a-2", referenceId: "a", body: { Name: "Two" } },
    { method: "POST", url: "/services/data/v62.0/sobjects/Contact", referenceId: "c", body: { LastName: "Ref", AccountId: "@{a.id}" } },
    { method: "POST", url: "/services/data/v62.0/sobjects/Contact", referenceId: "f", body: {} },
  ],
});
assert.deepEqual(composite.compositeResponse.map((part) => part.httpStatusCode), [201, 201, 400]);
assert.equal(composite.compositeResponse[2].body[0].errorCode, "REQUIRED_FIELD_MISSING");

// an update that holds only while nobody else has changed the record
const path = `/services/data/v62.0/sobjects/Contact/${contact.id}`;
const update = (since) => conn.request({ method: "PATCH", url: path, body: JSON.stringify({ Title: "T" }), headers: { "content-type": "application/json", "If-Unmodified-Since": since } });
await refused(update("Thu, 01 Jan 2015 00:00:00 GMT"), "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE");
await update("Thu, 01 Jan 2099 00:00:00 GMT");
assert.equal((await conn.sobject("Contact").retrieve(contact.id)).Title, "T");

// each part of a composite on a condition of its own
const part = (referenceId, id, httpHeaders, fields) => ({ method: "PATCH", url: `/services/data/v62.0/sobjects/Contact/${id}`, referenceId, httpHeaders, body: fields });
const conditional = await conn.requestPost("/services/data/v62.0/composite", {
  collateSubrequests: false,
  compositeRequest: [
    part("late", contact.id, { "If-Unmodified-Since": "Thu, 01 Jan 2015 00:00:00 GMT" }, { Title: "Late" }),
    part("early", child.id, { "If-Unmodified-Since": "Thu, 01 Jan 2099 00:00:00 GMT", "Sforce-Auto-Assign": "FALSE" }, { Title: "Early" }),
  ],
});
assert.deepEqual(conditional.compositeResponse.map((part) => part.httpStatusCode), [412, 204]);
assert.equal(conditional.compositeResponse[0].body[0].errorCode, "ENTITY_FAILED_IFLASTMODIFIED_ON_UPDATE");
assert.deepEqual((await conn.sobject("Contact").retrieve([contact.id, child.id])).map((row) => row.Title), ["T", "Early"]);

// what has not changed since is not said again
const describeUrl = "/services/data/v62.0/sobjects/Lead/describe";
const since = (date) => conn.request({ method: "GET", url: describeUrl, headers: { "If-Modified-Since": date } });
assert.equal((await since("Thu, 01 Jan 2015 00:00:00 GMT")).name, "Lead");
assert.ok(!(await since("Thu, 01 Jan 2099 00:00:00 GMT")));

// conversion, by SOAP and by hand
const lead = (more, options) => conn.sobject("Lead").create({ LastName: "Byron", Company: "Poems", ...more }, options);

// assignment rules run on create, unless told otherwise, of one record and of many
const ownerOf = async (made) => (await conn.sobject("Lead").retrieve(made.id)).OwnerId;
const unassigned = { headers: { "Sforce-Auto-Assign": "FALSE" } };
const queue = (await conn.query("SELECT Id FROM Group WHERE Type = 'Queue'")).records[0].Id;
assert.equal(await ownerOf(await lead({})), queue);
assert.equal(await ownerOf(await lead({}, unassigned)), user.id);
const [ofMany] = await conn.sobject("Lead").create([{ LastName: "L", Company: "C" }], unassigned);
assert.equal(await ownerOf(ofMany), user.id);
const many = (referenceId, httpHeaders, fields) => ({
  method: "POST",
  url: "/services/data/v62.0/composite/sobjects",
  referenceId,
  httpHeaders,
  body: { allOrNone: false, records: [{ attributes: { type: "Lead" }, LastName: "L", Company: "C", ...fields }] },
});
const madeBy = async (...compositeRequest) => {
  const { compositeResponse } = await conn.requestPost("/services/data/v62.0/composite", { collateSubrequests: false, compositeRequest });
  return compositeResponse.map((part) => part.body[0]);
};
const [byRules, byHand] = await madeBy(many("a", { "Sforce-Auto-Assign": "TRUE" }), many("b", { "Sforce-Auto-Assign": "FALSE" }));
assert.deepEqual([await ownerOf(byRules), await ownerOf(byHand)], [queue, user.id]);
const converted = await lead({ Lead_System_Id__c: "l-1" });
const [result] = await conn.soap.convertLead([
  { convertedStatus: "Closed - Converted", doNotCreateOpportunity: true, leadId: converted.id, overwriteLeadSource: false, ownerId: sam.Id, sendNotificationEmail: false },
]);
assert.equal(result.success, true, JSON.stringify(result));
const row = (await conn.query("SELECT IsConverted, ConvertedContactId FROM Lead WHERE Lead_System_Id__c = 'l-1'")).records[0];
assert.deepEqual([row.IsConverted, row.ConvertedContactId], [true, result.contactId]);
await refused(conn.sobject("Lead").update({ Id: converted.id, Title: "x" }), "CANNOT_UPDATE_CONVERTED_LEAD");
const [again] = await conn.soap.convertLead([
  { convertedStatus: "Closed - Converted", doNotCreateOpportunity: true, leadId: converted.id, overwriteLeadSource: false, sendNotificationEmail: false },
]);
assert.equal(again.success, false);
assert.equal([again.errors].flat()[0].statusCode, "CANNOT_UPDATE_CONVERTED_LEAD");
await refused(conn.request("/services/data/v62.0/actions/standard/convertLead"), "NOT_FOUND");

// merge: the loser is in the recycle bin and names the winner
const [winner, loser] = [await lead({}), await lead({ Lead_System_Id__c: "l-2" })];
await control("merge", { master: winner.id, losers: [loser.id] });
const bin = await conn.query("SELECT Id, MasterRecordId FROM Lead WHERE IsDeleted = true AND MasterRecordId != null", { scanAll: true });
assert.deepEqual([bin.records[0].Id, bin.records[0].MasterRecordId], [loser.id, winner.id]);
await refused(conn.sobject("Lead").update({ Id: loser.id, Title: "x" }), "ENTITY_IS_DELETED");
await refused(conn.sobject("Lead").retrieve(loser.id), "NOT_FOUND");
await refused(conn.sobject("Lead").destroy(loser.id), "ENTITY_IS_DELETED");

// duplicate rules: refused, found, and insisted on
await lead({ Email: "twin@poems.example" });
await control("duplicate-rules", { rules: [{ object: "Lead", match: "email", action: "alert" }] });
const twin = await refused(lead({ Email: "twin@poems.example" }), "DUPLICATES_DETECTED");
assert.equal(twin.data.duplicateResut.allowSave, true);
assert.equal(twin.data.duplicateResut.matchResults[0].matchRecords[0].record.attributes.type, "Lead");
const [item] = await conn.sobject("Lead").create([{ LastName: "L", Company: "C", Email: "twin@poems.example" }]);
assert.equal(item.errors[0].statusCode, "DUPLICATES_DETECTED");
const insisted = await conn.sobject("Lead").create({ LastName: "L", Company: "C", Email: "twin@poems.example" }, { headers: { "Sforce-Duplicate-Rule-Header": "allowSave=true" } });
assert.equal(insisted.success, true);
const third = { Email: "twin@poems.example" };
const [asked, saved] = await madeBy(many("a", {}, third), many("b", { "Sforce-Duplicate-Rule-Header": "allowSave=true" }, third));
assert.deepEqual([asked.success, asked.errors[0].statusCode, saved.success], [false, "DUPLICATES_DETECTED", true]);
assert.equal((await conn.query("SELECT DeveloperName FROM DuplicateRule WHERE IsActive = true")).totalSize, 1);
const [matching] = (await conn.query("SELECT Id, SobjectType, MasterLabel, BooleanFilter FROM MatchingRule WHERE RuleStatus = 'Active'")).records;
const compared = (await conn.query("SELECT MatchingRuleId, SortOrder, Field, MatchingMethod FROM MatchingRuleItem ORDER BY SortOrder")).records;
assert.deepEqual([matching.SobjectType, compared.filter((item) => item.MatchingRuleId === matching.Id).map((item) => item.Field)], ["Lead", ["Email"]]);

// places and dependent values, as describe tells them
await control("features", { state_and_country_picklists: true });
const described = await conn.sobject("Contact").describe();
assert.equal(described.fields.find((field) => field.name === "MailingStateCode").controllerName, "MailingCountryCode");
await refused(conn.sobject("Contact").create({ LastName: "L", MailingCountryCode: "US", MailingState: "Bavaria" }), "FIELD_INTEGRITY_EXCEPTION");

// a field made by the Tooling API, invisible until a permission shows it
const made = await conn.tooling.sobject("CustomField").create({ FullName: "Lead.Shoe_Size__c", Metadata: { type: "Number", label: "Shoe size", precision: 4, scale: 1 } });
assert.equal(made.success, true);
assert.equal((await conn.tooling.query("SELECT Id FROM CustomField WHERE DeveloperName = 'Shoe_Size'")).records[0].Id, made.id);
await refused(conn.tooling.sobject("CustomField").create({ FullName: "Lead.Shoe_Size__c", Metadata: { type: "Date", label: "Again" } }), "DUPLICATE_DEVELOPER_NAME");
await refused(lead({ Shoe_Size__c: 46 }), "INVALID_FIELD");
const assigned = (await conn.query(`SELECT PermissionSetId FROM PermissionSetAssignment WHERE AssigneeId = '${user.id}'`)).records;
const sets = assigned.map((row) => `'${row.PermissionSetId}'`).join(", ");
const [{ Id: set, Name: setName }] = (await conn.query(`SELECT Id, Name FROM PermissionSet WHERE Id IN (${sets}) AND IsOwnedByProfile = false`)).records;
assert.equal(setName, "Integration");
await conn.sobject("FieldPermissions").create({ ParentId: set, SobjectType: "Lead", Field: "Lead.Shoe_Size__c", PermissionsRead: true, PermissionsEdit: true });
assert.equal((await conn.sobject("Lead").retrieve((await lead({ Shoe_Size__c: 46.5 })).id)).Shoe_Size__c, 46.5);

// errors keep their codes, whatever says them
for (const [code, status] of [["STORAGE_LIMIT_EXCEEDED", 400], ["SERVER_UNAVAILABLE", 503], ["REQUEST_LIMIT_EXCEEDED", 403], ["ENTITY_IS_LOCKED", 400]]) {
  await control("faults", { rules: [{ fault: "error", code, status, count: 1 }] });
  await refused(lead({}), code);
}
console.log("jsforce is content with the rest");
