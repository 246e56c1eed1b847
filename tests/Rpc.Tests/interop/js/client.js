'use strict';
// The client of the public gRPC interoperability tests on @grpc/grpc-js. It prints a line a case: its name, a tab, and "ok" or the failure.

const assert = require('assert');
const fs = require('fs');
const { once } = require('events');
const { grpc, settings, testing } = require('./settings');

const credentials = grpc.credentials.createSsl(fs.readFileSync(settings.certificate));
const client = new testing.TestService(settings.connect, credentials);
const unimplemented = new testing.UnimplementedService(settings.connect, credentials);

const REQUEST_SIZES = [27182, 8, 1828, 45904];
const RESPONSE_SIZES = [31415, 9, 2653, 58979];
const zeros = (size) => ({ body: Buffer.alloc(size) });
const ping = (requestSize, responseSize) => ({ response_parameters: [{ size: responseSize }], payload: zeros(requestSize) });
const largeRequest = { response_size: 314159, payload: zeros(271828) };

function unary(method, request, metadata = new grpc.Metadata(), target = client) {
  const outcome = {};
  return new Promise((resolve, reject) => {
    const call = target[method](request, metadata, (error, response) => {
      outcome.response = response;
      return error ? reject(error) : setImmediate(() => resolve(outcome)); // the status follows the response
    });
    call.on('metadata', (headers) => { outcome.headers = headers; });
    call.on('status', (status) => { outcome.trailers = status.metadata; });
  });
}

async function failsWith(code, promise) {
  const error = await promise.then(() => assert.fail(`status ${code} was expected`), (failure) => failure);
  assert.strictEqual(error.code, code, error.message);
  return error;
}

const ended = (call) => new Promise((resolve, reject) => call.on('error', reject).on('end', resolve));
const expectSize = (response, size) => assert.ok(response.payload.body.equals(Buffer.alloc(size)), `${size} zeros were expected`);

function expectEcho(headers, trailers) {
  assert.deepStrictEqual(headers.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value']);
  assert.deepStrictEqual(trailers.get('x-grpc-test-echo-trailing-bin'), [Buffer.from('ababab', 'hex')]);
}

function echoMetadata() {
  const metadata = new grpc.Metadata();
  metadata.set('x-grpc-test-echo-initial', 'test_initial_metadata_value');
  metadata.set('x-grpc-test-echo-trailing-bin', Buffer.from('ababab', 'hex'));
  return metadata;
}

const cases = {
  async empty_unary() {
    assert.deepStrictEqual((await unary('EmptyCall', {})).response, {});
  },

  async large_unary() {
    expectSize((await unary('UnaryCall', largeRequest)).response, 314159);
  },

  async client_streaming() {
    const size = await new Promise((resolve, reject) => {
      const call = client.StreamingInputCall((error, response) => (error ? reject(error) : resolve(response.aggregated_payload_size)));
      REQUEST_SIZES.forEach((length) => call.write({ payload: zeros(length) }));
      call.end();
    });
    assert.strictEqual(size, 74922);
  },

  async server_streaming() {
    const call = client.StreamingOutputCall({ response_parameters: RESPONSE_SIZES.map((size) => ({ size })) });
    const responses = [];
    call.on('data', (response) => responses.push(response));
    await ended(call);
    assert.strictEqual(responses.length, RESPONSE_SIZES.length);
    responses.forEach((response, index) => expectSize(response, RESPONSE_SIZES[index]));
  },

  async ping_pong() {
    const call = client.FullDuplexCall();
    const end = ended(call);
    for (let i = 0; i < REQUEST_SIZES.length; i++) {
      call.write(ping(REQUEST_SIZES[i], RESPONSE_SIZES[i]));
      const [response] = await once(call, 'data');
      expectSize(response, RESPONSE_SIZES[i]);
    }
    call.end();
    await end;
  },

  async empty_stream() {
    const call = client.FullDuplexCall();
    call.on('data', () => assert.fail('no response was expected'));
    call.end();
    await ended(call);
  },

  async custom_metadata() {
    const { headers, trailers } = await unary('UnaryCall', largeRequest, echoMetadata());
    expectEcho(headers, trailers);

    const call = client.FullDuplexCall(echoMetadata());
    const metadata = once(call, 'metadata');
    const status = once(call, 'status');
    call.resume();
    call.write(ping(271828, 314159));
    call.end();
    expectEcho((await metadata)[0], (await status)[0].metadata);
  },

  async status_code_and_message() {
    const response_status = { code: 2, message: 'test status message' };
    assert.strictEqual((await failsWith(2, unary('UnaryCall', { response_status }))).details, response_status.message);

    const call = client.FullDuplexCall().resume();
    const end = ended(call);
    call.write({ response_status });
    call.end();
    assert.strictEqual((await failsWith(2, end)).details, response_status.message);
  },

  async special_status_message() {
    const response_status = { code: 2, message: '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n' };
    assert.strictEqual((await failsWith(2, unary('UnaryCall', { response_status }))).details, response_status.message);
  },

  async unimplemented_method() {
    await failsWith(12, unary('UnimplementedCall', {}));
  },

  async unimplemented_service() {
    await failsWith(12, unary('UnimplementedCall', {}, undefined, unimplemented));
  },

  async cancel_after_begin() {
    await failsWith(1, new Promise((resolve, reject) => {
      const call = client.StreamingInputCall((error, response) => (error ? reject(error) : resolve(response)));
      call.cancel();
    }));
  },

  async cancel_after_first_response() {
    const call = client.FullDuplexCall();
    const end = ended(call);
    call.write(ping(27182, 31415));
    await once(call, 'data');
    call.cancel();
    await failsWith(1, end);
  },

  async timeout_on_sleeping_server() {
    const call = client.FullDuplexCall({ deadline: Date.now() + 1 }).resume();
    const end = ended(call);
    call.write({ payload: zeros(27182) });
    await failsWith(4, end);
  },
};

(async () => {
  for (const name of settings.cases) {
    try {
      await cases[name]();
      console.log(`${name}\tok`);
    } catch (error) {
      console.log(`${name}\t${String(error.stack).replace(/\s+/g, ' ')}`);
    }
  }
  process.exit(0);
})();
