'use strict';
// The server of the public gRPC interoperability tests on @grpc/grpc-js, as far as the cases of client.js go.

const fs = require('fs');
const { grpc, settings, testing } = require('./settings');

const ECHO_HEADER = 'x-grpc-test-echo-initial';
const ECHO_TRAILER = 'x-grpc-test-echo-trailing-bin';

function echoMetadata(call) {
  const header = call.metadata.get(ECHO_HEADER);
  if (header.length > 0) {
    const headers = new grpc.Metadata();
    headers.set(ECHO_HEADER, header[0]);
    call.sendMetadata(headers);
  }
  const trailers = new grpc.Metadata();
  call.metadata.get(ECHO_TRAILER).forEach((value) => trailers.add(ECHO_TRAILER, value));
  return trailers;
}

const failed = (request) => request.response_status && request.response_status.code !== 0;
const failure = (request, metadata) => ({ code: request.response_status.code, details: request.response_status.message, metadata });
const zeros = (size) => ({ payload: { body: Buffer.alloc(size) } });

async function respond(call, request) {
  for (const { size, interval_us } of request.response_parameters || []) {
    if (interval_us > 0) {
      await new Promise((resolve) => setTimeout(resolve, interval_us / 1000));
    }
    call.write(zeros(size));
  }
}

const handlers = {
  EmptyCall: (call, callback) => callback(null, {}, echoMetadata(call)),

  UnaryCall(call, callback) {
    const trailers = echoMetadata(call);
    if (failed(call.request)) {
      callback(failure(call.request, trailers));
    } else {
      callback(null, zeros(call.request.response_size), trailers);
    }
  },

  StreamingInputCall(call, callback) {
    const trailers = echoMetadata(call);
    let size = 0;
    call.on('data', (request) => { size += request.payload.body.length; });
    call.on('end', () => callback(null, { aggregated_payload_size: size }, trailers));
  },

  async StreamingOutputCall(call) {
    const trailers = echoMetadata(call);
    await respond(call, call.request);
    call.end(trailers);
  },

  FullDuplexCall(call) {
    const trailers = echoMetadata(call);
    let last = Promise.resolve();
    call.on('data', (request) => {
      last = last.then(() => (failed(request) ? call.emit('error', failure(request, trailers)) : respond(call, request)));
    });
    call.on('end', () => last.then(() => call.end(trailers)));
  },
};

const server = new grpc.Server({ 'grpc.max_receive_message_length': -1 });
server.addService(testing.TestService.service, handlers);
const certificate = { cert_chain: fs.readFileSync(settings.certificate), private_key: fs.readFileSync(settings.key) };
server.bindAsync(settings.listen, grpc.ServerCredentials.createSsl(null, [certificate]), (error, port) => {
  if (error) {
    throw error;
  }
  console.log(port);
});
process.stdin.resume().on('end', () => process.exit(0));
