/* Each planted mistake is found, and named where it stands. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { lint } from "./lint.mjs";

const TEXT = readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8");

/* [what is done to the document, what the lint says] */
const MISTAKES = {
    "a word that OpenAPI does not have":
        [(d) => { d.paths["/livez"].get.sumary = "x"; }, /\/paths\/~1livez\/get/],
    "a response without description":
        [(d) => { delete d.components.responses.Done.description; }, /\/responses\/Done: /],
    "another version": [(d) => { d.openapi = "4.0.0"; }, /version/],
    "a reference that leads nowhere":
        [(d) => { d.paths["/livez"].get.responses.default.$ref += "s"; },
            /livez\/get\/responses\/default: .*Problems leads nowhere/],
    "a component that nothing uses":
        [(d) => { d.components.schemas.Left = { type: "null" }; }, /schemas\/Left: nothing leads/],
    "an example of another type":
        [(d) => { d.components.parameters.Lease.example = "x"; },
            /parameters\/Lease\/schema: the example does not fit: .*integer/],
    "an example in a body with a member too many":
        [(d) => { at(d, "/v1/raft/peer_announce", "post").example.port = 1; },
            /peer_announce\/post\/requestBody.*: the example does not fit: .*additional/],
    "an example in an answer that lacks a member":
        [(d) => { delete answer(d, "/v1/kv/{key}", "get").example.key; },
            /v1\/kv\/{key}\/get\/responses\/200.*: the example does not fit/],
    "a keyword that JSON Schema does not have":
        [(d) => { d.components.schemas.Revision.minimun = 1; }, /unknown keyword: "minimun"/],
    "a pattern that is none":
        [(d) => { d.components.headers.ETag.schema.pattern = "("; }, /headers\/ETag\/schema: /],
    "no operationId":
        [(d) => { delete d.paths["/livez"].get.operationId; }, /get \/livez: operationId .* none/],
    "an operationId twice":
        [(d) => { d.paths["/livez"].get.operationId = "readyz"; }, /readyz is also get \/livez/],
    "no summary": [(d) => { delete d.paths["/livez"].get.summary; }, /get \/livez: no summary/],
    "a summary that is a sentence":
        [(d) => { d.paths["/livez"].get.summary += "."; }, /get \/livez: the summary/],
    "a tag that is not declared":
        [(d) => { d.paths["/livez"].get.tags = ["Others"]; }, /tag Others is not declared/],
    "a tag that nothing has":
        [(d) => { d.tags.push({ name: "Others" }); }, /nothing has the tag Others/],
    "no 4xx":
        [(d) => { delete d.paths["/livez"].get.responses["400"]; }, /get \/livez: no response 4xx/],
    "no default response":
        [(d) => { delete d.paths["/livez"].get.responses.default; }, /get \/livez: no default/],
    "nothing but failure":
        [(d) => { delete d.paths["/livez"].get.responses["200"]; }, /get \/livez: never succeeds/],
    "a refusal in words of its own":
        [(d) => { d.paths["/livez"].get.responses["400"] = { description: "no" }; },
            /get \/livez: 400 is no problem/],
    "204 with a body":
        [(d) => { d.paths["/v1/raft/transfer"].post.responses["204"] =
            d.paths["/livez"].get.responses["200"]; }, /transfer: 204 has a body/],
    "a parameter that does not stand in the path":
        [(d) => { d.components.parameters.Lease.name = "leas"; }, /leas does not stand in/],
    "a name in the path that is no parameter":
        [(d) => { d.components.parameters.Lease.name = "leas"; }, /no parameter {lease}/],
    "a parameter twice":
        [(d) => { d.paths["/v1/kv"].get.parameters.push(d.paths["/v1/kv"].get.parameters[0]); },
            /get \/v1\/kv: a parameter stands there twice/],
    "a parameter without a word":
        [(d) => { delete d.components.parameters.Rev.description; }, /: rev has no description/],
};

const at = (document, path, method) =>
    document.paths[path][method].requestBody.content["application/json"];
const answer = (document, path, method) =>
    document.paths[path][method].responses["200"].content["application/json"];

test("the document has no mistakes", async () => {
    assert.deepEqual(await lint(JSON.parse(TEXT)), []);
});

for (const [name, [plant, expected]] of Object.entries(MISTAKES))
    test(`${name} is found`, async () => {
        const document = JSON.parse(TEXT);
        plant(document);
        assert.notDeepEqual(document, JSON.parse(TEXT));

        const problems = await lint(document);

        assert.ok(problems.some((problem) => expected.test(problem)), problems.join("\n"));
    });
