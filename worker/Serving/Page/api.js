// Talks with the server that this page comes from, and with no other.

/** A request that the server refused, or an answer that broke off: `message` is for the user, `code` is OpenAI's. */
export class ApiError extends Error {
  constructor(message, status = 0, code = null) {
    super(message);
    Object.assign(this, { status, code });
  }
}

const headers = (key) => (key ? { Authorization: `Bearer ${key}` } : {});

async function failure(response) {
  const body = await response.json().catch(() => null);
  const wait = response.headers.get('Retry-After');
  const text = body?.error?.message ?? `The server answered ${response.status}.`;
  return new ApiError(wait && response.status !== 401 ? `${text} Try again in ${wait} s.` : text, response.status, body?.error?.code ?? null);
}

async function postJson(path, body, key, signal) {
  const response = await fetch(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers(key) },
    body: JSON.stringify(body),
    signal,
  });
  if (!response.ok) {
    throw await failure(response);
  }
  return response;
}

/** A JSON document of the server. */
export async function getJson(path, key) {
  const response = await fetch(path, { headers: headers(key), cache: 'no-store' });
  if (!response.ok) {
    throw await failure(response);
  }
  return response.json();
}

/** How many tokens a text has, and how many the model's context has room for. */
export async function countTokens(text, key, signal) {
  const { count, max_model_len: most } = await postJson('/tokenize', { content: text }, key, signal).then((response) => response.json());
  return { tokens: count, most };
}

/** The events of one streamed answer, as they come: {text} for each piece, and at the end {finish, usage}. */
export async function* streamAnswer(path, body, key, signal) {
  const response = await postJson(path, { ...body, stream: true, stream_options: { include_usage: true } }, key, signal);
  let [finish, usage] = [null, null];
  for await (const data of events(response.body)) {
    if (data === '[DONE]') {
      yield { finish, usage };
      return;
    }
    const chunk = JSON.parse(data);
    if (chunk.error) {
      throw new ApiError(chunk.error.message, 0, chunk.error.code);
    }
    usage = chunk.usage ?? usage;
    const choice = chunk.choices?.[0];
    finish = choice?.finish_reason ?? finish;
    const text = choice?.delta?.content ?? choice?.text ?? '';
    if (text) {
      yield { text };
    }
  }
  throw new ApiError('The answer broke off; the connection was lost.');
}

// Server-sent events: blocks of lines with an empty one behind; only `data:` matters here, comments are signs of life.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      const blocks = (rest + value).split('\n\n');
      rest = blocks.pop();
      for (const block of blocks) {
        const data = block.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
        if (data) {
          yield data;
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
