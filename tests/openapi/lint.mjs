/* Mistakes in an OpenAPI 3.1 document: node lint.mjs FILE
 *
 * Four questions, each a function from the document to a list of problems:
 *
 *      structure    is it OpenAPI at all? (the schema of the specification itself)
 *      references   does each $ref lead somewhere, and is each component led to?
 *      examples     does each example fit its schema, and is each schema a valid one?
 *      style        has each operation what a reader looks for?
 *
 * Whether the document is *true* is not asked here: tests/system/test_openapi.py carries out its
 * operations. */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { Validator } from "@seriousme/openapi-schema-validator";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
const SUMMARY_MAX = 80;
const ROOT = "document:/";

/* ---- places ---- */

const escape = (name) => String(name).replaceAll("~", "~0").replaceAll("/", "~1");
const unescape = (name) => name.replaceAll("~1", "/").replaceAll("~0", "~");

/* Each object in the document with the names that lead to it, outermost first. Examples are data:
 * what looks like a part of a document there is none. */
function* objects(value, names = []) {
    if (value === null || typeof value !== "object") return;
    if (!Array.isArray(value)) yield [value, names];
    for (const [name, member] of Object.entries(value))
        if (name !== "example" && name !== "examples") yield* objects(member, [...names, name]);
}

function at(document, pointer) {
    const names = pointer.split("/").slice(1).map((name) => unescape(decodeURIComponent(name)));
    return names.reduce((found, name) => found?.[name], document);
}

/* What a $ref leads to; undefined if nowhere, or in a circle. */
function resolve(document, value) {
    for (let hops = 0; value?.$ref !== undefined; hops++) {
        if (hops === 10 || !String(value.$ref).startsWith("#/")) return undefined;
        value = at(document, value.$ref);
    }
    return value;
}

function* operations(document) {
    for (const [path, item] of Object.entries(document.paths ?? {}))
        for (const method of METHODS)
            if (item[method] !== undefined)
                yield { path, item, operation: item[method], name: `${method} ${path}` };
}

/* ---- structure ---- */

const specification = new Validator(); /* once: it takes long to make */

async function structure(document) {
    const { valid, errors } = await specification.validate(structuredClone(document));
    if (valid) return [];
    if (typeof errors === "string") return [errors];
    return errors.map(({ instancePath, message, params }) =>
        `${instancePath || "the document"}: ${message} ${JSON.stringify(params)}`);
}

/* ---- references ---- */

function references(document) {
    const problems = [];
    const used = new Set();
    for (const [value, names] of objects(document)) {
        if (value.$ref === undefined) continue;
        used.add(value.$ref);
        if (resolve(document, value) === undefined)
            problems.push(`${names.join("/")}: ${value.$ref} leads nowhere`);
    }
    for (const [kind, components] of Object.entries(document.components ?? {}))
        for (const name of Object.keys(components))
            if (kind !== "securitySchemes" && !used.has(`#/components/${kind}/${escape(name)}`))
                problems.push(`components/${kind}/${name}: nothing leads here`);
    return problems;
}

/* ---- examples ---- */

/* A validator that takes schemas of the document by their place, and no keyword that it does not
 * know. */
function makeAjv(document) {
    const ajv = new Ajv2020({ strict: true, strictTypes: true, allowUnionTypes: true,
        strictRequired: false, allErrors: true, inlineRefs: false,
        code: { optimize: false } }); /* each schema is used once */
    addFormats.default(ajv);
    ajv.addVocabulary(Object.keys(document)); /* its root is no schema, but what schemas are in */
    ajv.addSchema({ ...document, $id: ROOT });
    return ajv;
}

/* [place, values that it must allow] of all that has a schema, and of each schema of its own. */
function* examples(document) {
    for (const [value, names] of objects(document)) {
        if (value.schema !== undefined)
            yield [[...names, "schema"], [
                ...("example" in value ? [value.example] : []),
                ...Object.values(value.examples ?? {}).map((example) => example.value)]];
        if (names.length === 3 && names[0] === "components" && names[1] === "schemas")
            yield [names, value.examples ?? []];
    }
}

function fits(document) {
    const problems = [];
    const ajv = makeAjv(document);
    for (const [names, values] of examples(document)) {
        const place = names.join("/");
        const $ref = `${ROOT}#/${names.map((name) => encodeURIComponent(escape(name))).join("/")}`;
        try {
            const validate = ajv.compile({ $ref });
            for (const value of values)
                if (!validate(value))
                    problems.push(`${place}: the example does not fit: ` +
                        ajv.errorsText(validate.errors, { dataVar: "example" }));
        } catch (error) {
            problems.push(`${place}: ${error.message}`);
        }
    }
    return problems;
}

/* ---- style ---- */

function styleOfParameters(document, { path, item, operation, name }) {
    const problems = [];
    const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])]
        .map((parameter) => resolve(document, parameter)).filter((found) => found !== undefined);
    const wanted = [...path.matchAll(/{([^}]*)}/g)].map((match) => match[1]);
    const inPath = parameters.filter((parameter) => parameter.in === "path");
    for (const parameter of parameters) {
        if (!parameter.description) problems.push(`${name}: ${parameter.name} has no description`);
        if (parameter.in === "path" && !wanted.includes(parameter.name))
            problems.push(`${name}: ${parameter.name} does not stand in the path`);
    }
    for (const missing of wanted.filter((one) => !inPath.some((found) => found.name === one)))
        problems.push(`${name}: no parameter {${missing}}`);
    const keys = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
    if (new Set(keys).size !== keys.length)
        problems.push(`${name}: a parameter stands there twice`);
    return problems;
}

function styleOfResponses(document, { operation, name }) {
    const problems = [];
    const codes = Object.keys(operation.responses ?? {});
    if (!codes.some((code) => /^[23]/.test(code))) problems.push(`${name}: never succeeds`);
    if (!codes.some((code) => /^4/.test(code))) problems.push(`${name}: no response 4xx`);
    if (!codes.includes("default")) problems.push(`${name}: no default response`);
    for (const code of codes) {
        const response = resolve(document, operation.responses[code]);
        const kinds = Object.keys(response?.content ?? {});
        if (/^([45]|default)/.test(code) && !kinds.includes("application/problem+json"))
            problems.push(`${name}: ${code} is no problem of RFC 9457`);
        if (code === "204" && kinds.length !== 0) problems.push(`${name}: 204 has a body`);
    }
    return problems;
}

function styleOfTags(document) {
    const problems = [];
    const declared = (document.tags ?? []).map((tag) => tag.name);
    const used = new Set();
    for (const { operation, name } of operations(document)) {
        if (operation.tags?.length !== 1) problems.push(`${name}: not one tag`);
        for (const tag of operation.tags ?? []) {
            used.add(tag);
            if (!declared.includes(tag)) problems.push(`${name}: tag ${tag} is not declared`);
        }
    }
    for (const tag of declared.filter((one) => !used.has(one)))
        problems.push(`tags: nothing has the tag ${tag}`);
    return problems;
}

function style(document) {
    const problems = styleOfTags(document);
    const ids = new Map();
    for (const each of operations(document)) {
        const { operationId, summary } = each.operation;
        if (!/^[a-z][a-zA-Z]*$/.test(operationId ?? ""))
            problems.push(`${each.name}: operationId ${operationId} is none`);
        else if (ids.has(operationId))
            problems.push(`${each.name}: ${operationId} is also ${ids.get(operationId)}`);
        ids.set(operationId, each.name);
        if (!summary) problems.push(`${each.name}: no summary`);
        else if (summary.length > SUMMARY_MAX || summary.endsWith("."))
            problems.push(`${each.name}: the summary is to be a title`);
        problems.push(...styleOfParameters(document, each), ...styleOfResponses(document, each));
    }
    return problems;
}

/* ---- all together ---- */

export async function lint(document) {
    const problems = [...references(document), ...await structure(document)];
    /* What is no OpenAPI has no operations to look at. */
    if (problems.length !== 0) return problems;
    return [...fits(document), ...style(document)];
}

async function main(path) {
    const document = JSON.parse(readFileSync(path, "utf8"));
    const problems = await lint(document);
    for (const problem of problems) console.log(problem);
    return problems.length === 0 ? 0 : 1;
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href)
    process.exitCode = await main(process.argv[2]);
