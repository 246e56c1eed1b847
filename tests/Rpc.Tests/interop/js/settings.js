'use strict';
// What both programs are told by the tests, as one JSON argument: where to find the proto, where to listen or connect, the certificate.

const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const settings = JSON.parse(process.argv[2]);
const definition = loader.loadSync(settings.proto, { keepCase: true });
const testing = grpc.loadPackageDefinition(definition).grpc.testing;

module.exports = { grpc, settings, testing };
