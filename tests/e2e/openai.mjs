// SPDX-License-Identifier: MIT
// The clients of npm against weir-mock, as they come: node openai.mjs SCENARIO http://ADDR:PORT
// Started by openai.py, from a copy that lies beside node_modules. Fails by exception; prints what openai.py checks on.
import assert from "node:assert/strict";
import { createParser } from "eventsource-parser";
import OpenAI from "openai";

const [scenario, base] = process.argv.slice(2);
const chat = { model: "llama-13b", messages: [{ role: "user", content: "How are you?" }] };

function client(options = {}) {
    return new OpenAI({ apiKey: "none", baseURL: `${base}/v1`, maxRetries: 0, timeout: 20000, ...options });
}

function keyed(key) {
    return { headers: { "X-Mock-Key": key } };
}

function words(text) {
    assert.match(text, /^[a-zA-Z]+( [a-zA-Z]+)*$/);
    return text.split(" ").length;
}

// A request that one of openai.py's rules is for.
function wanting(what, more = {}) {
    return client().chat.completions.create({ ...chat, ...more }, { headers: { "X-Want": what } });
}

async function collect(stream) {
    const chunks = [];
    for await (const chunk of stream)
        chunks.push(chunk);
    return chunks;
}

// What `promise` is rejected with: an instance of `kind`.
async function rejection(promise, kind) {
    try {
        await promise;
    } catch (error) {
        assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
        return error;
    }
    return assert.fail(`expected ${kind.name}`);
}

const scenarios = {
    async models() {
        const ids = [];
        for await (const model of client().models.list()) {
            assert.equal(model.object, "model");
            ids.push(model.id);
        }
        assert.deepEqual(ids, ["bitnet-7b", "llama-13b"]);
        assert.equal((await client().models.retrieve("llama-13b")).id, "llama-13b");
        const error = await rejection(client().models.retrieve("nobody/knows"), OpenAI.NotFoundError);
        assert.deepEqual([error.status, error.code, error.param], [404, "model_not_found", "model"]);
    },

    async plain() {
        const { data, response } = await client()
            .chat.completions.create({ ...chat, max_tokens: 7, n: 2 }, keyed("k"))
            .withResponse();
        assert.equal(response.headers.get("x-mock-delay-us"), "1000");
        assert.equal(data.object, "chat.completion");
        assert.deepEqual(data.choices.map(one => [one.index, one.finish_reason, one.message.role]),
                         [[0, "length", "assistant"], [1, "length", "assistant"]]);
        assert.deepEqual(data.choices.map(one => words(one.message.content)), [7, 7]);
        assert.equal(data.usage.completion_tokens, 14);
        assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + 14);
        const whole = await client().chat.completions.create({ ...chat, max_completion_tokens: 7, n: 2 }, keyed("k"));
        assert.deepEqual(whole.choices, data.choices);
        const text = await client().completions.create({ model: "bitnet-7b", prompt: "Once upon" });
        assert.deepEqual([text.object, text.choices[0].finish_reason, words(text.choices[0].text)],
                         ["text_completion", "stop", 100]);
        assert.deepEqual([text.usage.prompt_tokens, text.usage.completion_tokens], [3, 100]);
    },

    async streamed() {
        const asked = { ...chat, max_tokens: 9, stream: true, stream_options: { include_usage: true } };
        const chunks = await collect(await client().chat.completions.create(asked, keyed("k")));
        const last = chunks.pop();
        assert.deepEqual(last.choices, []);
        assert.equal(chunks[0].choices[0].delta.role, "assistant");
        assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
        const tokens = chunks.filter(chunk => chunk.choices[0].delta.content).map(chunk => chunk.choices[0].delta.content);
        assert.equal(tokens.length, 9);
        assert.equal(last.usage.completion_tokens, 9);
        const whole = await client().chat.completions.create({ ...chat, max_tokens: 9 }, keyed("k"));
        assert.equal(tokens.join(""), whole.choices[0].message.content);
        assert.deepEqual(last.usage, whole.usage);
        // The client's own accumulation of a stream is stricter than a loop over its events.
        const final = await client().chat.completions.stream({ ...chat, max_tokens: 9 }, keyed("k")).finalChatCompletion();
        assert.equal(final.choices[0].message.content, whole.choices[0].message.content);
        const texts = await collect(await client().completions.create(
            { model: "llama-13b", prompt: "Once", max_tokens: 5, stream: true }, keyed("k")));
        assert.equal(words(texts.map(chunk => chunk.choices[0].text).join("")), 5);
    },

    // Leaves behind the second event; openai.py looks at what the mock says of it.
    async leaves() {
        const stream = await client().chat.completions.create({ ...chat, max_tokens: 100000, stream: true });
        let count = 0;
        for await (const chunk of stream) {
            assert.equal(chunk.object, "chat.completion.chunk");
            if (++count === 3)
                break;
        }
    },

    async errors() {
        let error = await rejection(client().chat.completions.create({ ...chat, model: "gpt-9" }), OpenAI.NotFoundError);
        assert.deepEqual([error.status, error.code, error.param, error.type],
                         [404, "model_not_found", "model", "invalid_request_error"]);
        error = await rejection(client().chat.completions.create({ ...chat, messages: undefined }), OpenAI.BadRequestError);
        assert.deepEqual([error.status, error.param, error.type], [400, "messages", "invalid_request_error"]);
        error = await rejection(client().chat.completions.create({ ...chat, max_tokens: -1 }), OpenAI.BadRequestError);
        assert.equal(error.param, "max_tokens");
        error = await rejection(wanting("429"), OpenAI.RateLimitError);
        assert.deepEqual([error.status, error.headers.get("retry-after")], [429, "7"]);
        error = await rejection(wanting("500"), OpenAI.InternalServerError);
        assert.equal(error.status, 500);
        error = await rejection(wanting("401"), OpenAI.AuthenticationError);
        assert.equal(error.status, 401);
        await rejection(wanting("reset"), OpenAI.APIConnectionError);
        const broken = await wanting("event", { stream: true });
        error = await rejection(collect(broken), OpenAI.APIError);
        assert.match(error.message, /an error was asked for/);
    },

    // One failure each, and the client's own retry; openai.py looks at when it came.
    async retries() {
        const patient = client({ maxRetries: 2 });
        for (const want of ["429", "500"]) {
            const headers = { "X-Want": want, "X-Mock-Key": `retried-${want}-x` };
            const answer = await patient.chat.completions.create({ ...chat, max_tokens: 3 }, { headers });
            assert.equal(words(answer.choices[0].message.content), 3);
        }
    },

    // eventsource-parser on the bytes as they come, and once more one by one.
    async events() {
        for (const [path, body, count] of [
            ["/api/infer", { model_id: "llama-13b", prompt: "x", max_tokens: 20, stream: true }, 22],
            ["/v1/chat/completions", { ...chat, max_tokens: 20, stream: true, n: 2 }, 45],
            ["/v1/completions", { model: "llama-13b", prompt: "x", max_tokens: 20, stream: true }, 22],
        ]) {
            const response = await fetch(base + path, { method: "POST", body: JSON.stringify(body),
                                                        headers: { "Content-Type": "application/json" } });
            assert.equal(response.headers.get("content-type"), "text/event-stream");
            const found = [[], []];
            const onError = error => { throw error; };
            const parsers = found.map(into => createParser({ onEvent: event => into.push(event), onError }));
            const decoder = new TextDecoder("utf-8", { fatal: true });
            for await (const piece of response.body) {
                const text = decoder.decode(piece, { stream: true });
                parsers[0].feed(text);
                for (const letter of text)
                    parsers[1].feed(letter);
            }
            assert.deepEqual(found[1], found[0]);
            assert.equal(found[0].length, count);
            assert.equal(found[0].pop().data, "[DONE]");
            for (const event of found[0])
                assert.equal(typeof JSON.parse(event.data), "object");
        }
    },
};

await scenarios[scenario]();
console.log(`${scenario} ok`);
