// OpenAI's own client for JavaScript against the server: node client.js URL. Prints a line a case: its name, a tab, "ok" or what went wrong.
import assert from 'node:assert/strict';
import OpenAI from 'openai';

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: process.argv[3], maxRetries: 0 });
const messages = [{ role: 'user', content: 'What does an all-reduce do?' }];
const answer = 'An all-reduce adds the parts from all ranks and gives each rank the sum.';
const endless = { model: 'demo', messages, temperature: 1, max_tokens: 150, logit_bias: { 2: -100 }, stream: true };

const cases = {
  async chat() {
    const whole = await client.chat.completions.create({ model: 'demo', messages, temperature: 0 });
    assert.equal(whole.choices[0].message.content.trim(), answer);
    assert.equal(whole.choices[0].finish_reason, 'stop');
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);
  },
  async stream_and_usage() {
    const stream = await client.chat.completions.create({ model: 'demo', messages, temperature: 0, stream: true, stream_options: { include_usage: true } });
    let text = '';
    const reasons = [];
    let usage = null;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? '';
      reasons.push(chunk.choices[0]?.finish_reason);
      usage = chunk.usage ?? usage;
    }
    assert.equal(text.trim(), answer);
    assert.deepEqual(reasons.filter(reason => reason), ['stop']);
    assert.ok(usage.completion_tokens > 0);
  },
  async streamed_by_the_clients_helper() {
    const runner = client.chat.completions.stream({ model: 'demo', messages, temperature: 0 });
    const final = await runner.finalChatCompletion();
    assert.equal(final.choices[0].message.content.trim(), answer);
  },
  async stop() {
    const whole = await client.chat.completions.create({ model: 'demo', messages, temperature: 0, stop: ['from all'] });
    assert.equal(whole.choices[0].message.content, 'An all-reduce adds the parts ');
  },
  async logprobs() {
    const whole = await client.chat.completions.create({ model: 'demo', messages, temperature: 0, max_tokens: 3, logprobs: true, top_logprobs: 2 });
    assert.equal(whole.choices[0].finish_reason, 'length');
    assert.equal(whole.choices[0].logprobs.content.length, 3);
    assert.ok(whole.choices[0].logprobs.content.every(token => token.top_logprobs.length === 2 && token.logprob <= 0));
  },
  async scored_prompt() {
    const whole = await client.completions.create({ model: 'demo', prompt: 'Once upon a time', max_tokens: 0, echo: true, logprobs: 1 });
    assert.equal(whole.choices[0].text, 'Once upon a time');
    assert.equal(whole.choices[0].logprobs.token_logprobs[0], null);
    assert.equal(whole.choices[0].logprobs.tokens.length, whole.usage.prompt_tokens);
  },
  async choices() {
    const whole = await client.completions.create({ model: 'demo', prompt: ['Once', 'The'], n: 2, max_tokens: 4, seed: 1 });
    assert.deepEqual(whole.choices.map(choice => choice.index), [0, 1, 2, 3]);
  },
  async errors() {
    await assert.rejects(client.chat.completions.create({ model: 'other', messages }), OpenAI.NotFoundError);
    await assert.rejects(client.chat.completions.create({ model: 'demo', messages, temperature: 3 }), error => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
    const stranger = new OpenAI({ baseURL: client.baseURL, apiKey: 'wrong', maxRetries: 0 });
    await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
  },
  async cancel() {
    const stream = await client.chat.completions.create(endless);
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) {
        stream.controller.abort();
      }
    }
  },
  async models() {
    const ids = [];
    for await (const model of client.models.list()) {
      ids.push(model.id);
    }
    assert.deepEqual(ids, ['demo']);
    assert.equal((await client.models.retrieve('demo')).id, 'demo');
  },
};

for (const [name, run] of Object.entries(cases)) {
  try {
    await run();
    console.log(`${name}\tok`);
  } catch (error) {
    console.log(`${name}\t${String(error).replaceAll('\n', ' ')}`);
  }
}
