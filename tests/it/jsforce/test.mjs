// A stranger's client against the sandbox: what jsforce does to an org must work here, and fail as it would there.
import assert from "node:assert/strict";
import jsforce from "jsforce";

const instanceUrl = process.argv[2];
const conn = new jsforce.Connection({ instanceUrl, accessToken: "a-strangers-token", version: "62.0", maxRequest: 5 });
const lead = (more) => ({ LastName: "Lovelace", Company: "Analytical", ...more });

async function refused(promise, code) {
  try {
    await promise;
  } catch (err) {
    assert.equal(err.errorCode ?? err.name, code, String(err));
    return err;
  }
  assert.fail(`no ${code}`);
}

// create, retrieve, update
const made = await conn.sobject("Lead").create(lead({ FirstName: "Ada", Email: "ada@analytical.example", Lead_Score__c: 87 }));
assert.equal(made.success, true);
const read = await conn.sobject("Lead").retrieve(made.id);
assert.equal(read.Name, "Ada Lovelace");
assert.equal(read.Lead_Score__c, 87);
assert.equal((await conn.sobject("Lead").update({ Id: made.id, Title: "Countess" })).success, true);
assert.equal((await conn.sobject("Lead").retrieve(made.id)).Title, "Countess");
const missing = await refused(conn.sobject("Lead").create({ FirstName: "Nobody" }), "REQUIRED_FIELD_MISSING");
assert.match(missing.message, /LastName, Company/);

// upsert by external id: created, updated, two matches
const first = await conn.sobject("Lead").upsert(lead({ Lead_System_Id__c: "k-1" }), "Lead_System_Id__c");
assert.equal(first.success, true);
const second = await conn.sobject("Lead").upsert(lead({ Lead_System_Id__c: "k-1", Title: "Again" }), "Lead_System_Id__c");
assert.equal(second.id, first.id);
await conn.sobject("Lead").create(lead({ Email: "two@analytical.example" }));
await conn.sobject("Lead").create(lead({ Email: "two@analytical.example" }));
await refused(conn.sobject("Lead").upsert(lead({ Email: "two@analytical.example" }), "Email"), "MULTIPLE_CHOICES");

// collections with a failing row
const results = await conn.sobject("Lead").create([lead({ Lead_System_Id__c: "c-1" }), { LastName: "No company" }, lead({ Lead_System_Id__c: "k-1" })]);
assert.deepEqual(results.map((result) => result.success), [true, false, false]);
assert.equal(results[1].errors[0].statusCode, "REQUIRED_FIELD_MISSING");
assert.equal(results[2].errors[0].statusCode, "DUPLICATE_VALUE");
const upserted = await conn.sobject("Lead").upsert([lead({ Lead_System_Id__c: "c-1" }), lead({ Lead_System_Id__c: "c-2" })], "Lead_System_Id__c");
assert.deepEqual(upserted.map((result) => result.created), [false, true]);
const several = await conn.sobject("Lead").retrieve(upserted.map((result) => result.id));
assert.deepEqual(several.map((row) => row.Lead_System_Id__c), ["c-1", "c-2"]);
const removed = await conn.sobject("Lead").destroy(upserted.map((result) => result.id));
assert.ok(removed.every((result) => result.success));

// query with paging
for (let chunk = 0; chunk < 3; chunk += 1) {
  const rows = Array.from({ length: 150 }, (_, number) => lead({ LastName: "Page", Lead_System_Id__c: `p-${chunk}-${number}` }));
  assert.ok((await conn.sobject("Lead").create(rows)).every((result) => result.success));
}
const statement = "SELECT Id, Lead_System_Id__c FROM Lead WHERE LastName = 'page'";
let page = await conn.query(statement, { headers: { "Sforce-Query-Options": "batchSize=200" } });
assert.equal(page.totalSize, 450);
const sizes = [page.records.length];
while (!page.done) {
  page = await conn.queryMore(page.nextRecordsUrl);
  sizes.push(page.records.length);
}
assert.deepEqual(sizes, [200, 200, 50]);
const found = await conn.sobject("Lead").find({ LastName: "Page" }, ["Id", "CreatedDate"]).limit(3).sort({ CreatedDate: -1 }).execute();
assert.equal(found.length, 3);
await refused(conn.query("SELECT Nope FROM Lead"), "INVALID_FIELD");

// describe, limits
const described = await conn.sobject("Lead").describe();
assert.equal(described.fields.find((field) => field.name === "Lead_System_Id__c").externalId, true);
const global = await conn.describeGlobal();
const names = global.sobjects.map((object) => object.name);
assert.ok(["Lead", "Contact", "Account", "Opportunity", "User"].every((name) => names.includes(name)), String(names));
const limits = await conn.limits();
assert.equal(limits.DailyApiRequests.Max, conn.limitInfo.apiUsage.limit);
assert.ok(conn.limitInfo.apiUsage.used > 20);

// the token is refused once it has expired
await fetch(`${instanceUrl}/_sandbox/expire_tokens`, { method: "POST" });
await refused(conn.limits(), "INVALID_SESSION_ID");
console.log("jsforce is content");
