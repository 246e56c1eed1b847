"""The server of the public gRPC interoperability tests on grpcio, as far as the cases of client.py go."""

import sys
import time
from concurrent import futures

import grpc

from messages import KINDS, SETTINGS, message, methods, zeros

ECHO_HEADER = "x-grpc-test-echo-initial"
ECHO_TRAILER = "x-grpc-test-echo-trailing-bin"


def echo_metadata(context):
    for key, value in context.invocation_metadata():
        if key == ECHO_HEADER:
            context.send_initial_metadata(((key, value),))
        elif key == ECHO_TRAILER:
            context.set_trailing_metadata(((key, value),))


def fail_if_asked(request, context):
    if request.response_status.code != 0:
        code = next(code for code in grpc.StatusCode if code.value[0] == request.response_status.code)
        context.abort(code, request.response_status.message)


def respond(request):
    for parameters in request.response_parameters:
        time.sleep(parameters.interval_us / 1e6)
        yield message("StreamingOutputCallResponse")(payload=zeros(parameters.size))


def empty_call(_, context):
    echo_metadata(context)
    return message("Empty")()


def unary_call(request, context):
    echo_metadata(context)
    fail_if_asked(request, context)
    return message("SimpleResponse")(payload=zeros(request.response_size))


def streaming_input_call(requests, context):
    echo_metadata(context)
    return message("StreamingInputCallResponse")(aggregated_payload_size=sum(len(request.payload.body) for request in requests))


def streaming_output_call(request, context):
    echo_metadata(context)
    yield from respond(request)


def full_duplex_call(requests, context):
    echo_metadata(context)
    for request in requests:
        fail_if_asked(request, context)
        yield from respond(request)


BEHAVIOURS = {
    "EmptyCall": empty_call,
    "UnaryCall": unary_call,
    "StreamingInputCall": streaming_input_call,
    "StreamingOutputCall": streaming_output_call,
    "FullDuplexCall": full_duplex_call,
}


def main():
    handlers = {}
    for name, _, request, response in methods("TestService"):
        if name in BEHAVIOURS:
            handler = getattr(grpc, f"{KINDS[name]}_rpc_method_handler")
            handlers[name] = handler(BEHAVIOURS[name], request.FromString, response.SerializeToString)
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.testing.TestService", handlers),))
    print(server.add_insecure_port(SETTINGS["listen"]), flush=True)
    server.start()
    sys.stdin.read()
    server.stop(None)


main()
