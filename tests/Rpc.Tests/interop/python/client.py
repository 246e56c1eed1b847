"""The client of the public gRPC interoperability tests on grpcio. It prints a line a case: its name, a tab, and "ok" or the failure."""

import threading
import traceback

import grpc

from messages import KINDS, SETTINGS, message, methods, zeros

REQUEST_SIZES = (27182, 8, 1828, 45904)
RESPONSE_SIZES = (31415, 9, 2653, 58979)
ECHO = (("x-grpc-test-echo-initial", "test_initial_metadata_value"), ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"))

# Over a Unix socket the C core would name the percent-encoded path as the authority.
CHANNEL = grpc.insecure_channel(SETTINGS["connect"], options=(("grpc.default_authority", "localhost"),))


def stub(service):
    return {
        name: getattr(CHANNEL, KINDS[name])(path, request.SerializeToString, response.FromString)
        for name, path, request, response in methods(service)
    }


CLIENT = stub("TestService")
UNIMPLEMENTED = stub("UnimplementedService")


def ping(request_size, response_size):
    request = message("StreamingOutputCallRequest")(payload=zeros(request_size))
    request.response_parameters.add(size=response_size)
    return request


def large_request():
    return message("SimpleRequest")(response_size=314159, payload=zeros(271828))


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def expect_size(response, size):
    expect(response.payload.body == bytes(size), f"{size} zeros were expected, not {len(response.payload.body)} bytes")


def expect_failure(code, call, details=None):
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code() == code, f"{code} was expected, not {error.code()}: {error.details()}")
        expect(details is None or error.details() == details, f"details {error.details()!r}")
        return
    raise AssertionError(f"{code} was expected")


def expect_echo(call):
    expect(ECHO[0] in [tuple(entry) for entry in call.initial_metadata()], f"headers {call.initial_metadata()}")
    expect(ECHO[1] in [tuple(entry) for entry in call.trailing_metadata()], f"trailers {call.trailing_metadata()}")


class Requests:
    """A request stream that is written from outside."""

    def __init__(self, *first):
        self._items = list(first)
        self._open = True
        self._changed = threading.Condition()

    def add(self, item):
        with self._changed:
            self._items.append(item)
            self._changed.notify()

    def close(self):
        with self._changed:
            self._open = False
            self._changed.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self._changed:
            self._changed.wait_for(lambda: self._items or not self._open)
            if self._items:
                return self._items.pop(0)
            raise StopIteration


def empty_unary():
    expect(CLIENT["EmptyCall"](message("Empty")()) == message("Empty")(), "an empty message was expected")


def large_unary():
    expect_size(CLIENT["UnaryCall"](large_request()), 314159)


def client_streaming():
    requests = (message("StreamingInputCallRequest")(payload=zeros(size)) for size in REQUEST_SIZES)
    expect(CLIENT["StreamingInputCall"](requests).aggregated_payload_size == 74922, "the sum is wrong")


def server_streaming():
    request = message("StreamingOutputCallRequest")()
    for size in RESPONSE_SIZES:
        request.response_parameters.add(size=size)
    responses = list(CLIENT["StreamingOutputCall"](request))
    expect(len(responses) == len(RESPONSE_SIZES), f"{len(responses)} responses")
    for response, size in zip(responses, RESPONSE_SIZES):
        expect_size(response, size)


def ping_pong():
    requests = Requests()
    call = CLIENT["FullDuplexCall"](requests)
    for request_size, response_size in zip(REQUEST_SIZES, RESPONSE_SIZES):
        requests.add(ping(request_size, response_size))
        expect_size(next(call), response_size)
    requests.close()
    expect(list(call) == [], "no further response was expected")


def empty_stream():
    expect(list(CLIENT["FullDuplexCall"](iter(()))) == [], "no response was expected")


def custom_metadata():
    _, call = CLIENT["UnaryCall"].with_call(large_request(), metadata=ECHO)
    expect_echo(call)
    call = CLIENT["FullDuplexCall"](iter((ping(271828, 314159),)), metadata=ECHO)
    for response in call:
        expect_size(response, 314159)
    expect_echo(call)


def status_code_and_message():
    text = "test status message"
    request = message("SimpleRequest")()
    request.response_status.code = 2
    request.response_status.message = text
    expect_failure(grpc.StatusCode.UNKNOWN, lambda: CLIENT["UnaryCall"](request), text)
    request = message("StreamingOutputCallRequest")()
    request.response_status.code = 2
    request.response_status.message = text
    expect_failure(grpc.StatusCode.UNKNOWN, lambda: list(CLIENT["FullDuplexCall"](iter((request,)))), text)


def special_status_message():
    request = message("SimpleRequest")()
    request.response_status.code = 2
    request.response_status.message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
    expect_failure(grpc.StatusCode.UNKNOWN, lambda: CLIENT["UnaryCall"](request), request.response_status.message)


def unimplemented_method():
    expect_failure(grpc.StatusCode.UNIMPLEMENTED, lambda: CLIENT["UnimplementedCall"](message("Empty")()))


def unimplemented_service():
    expect_failure(grpc.StatusCode.UNIMPLEMENTED, lambda: UNIMPLEMENTED["UnimplementedCall"](message("Empty")()))


def cancel_after_begin():
    requests = Requests()
    call = CLIENT["StreamingInputCall"].future(requests)
    call.cancel()
    expect(call.cancelled() and call.code() == grpc.StatusCode.CANCELLED, f"code {call.code()}")
    requests.close()


def cancel_after_first_response():
    requests = Requests(ping(27182, 31415))
    call = CLIENT["FullDuplexCall"](requests)
    expect_size(next(call), 31415)
    call.cancel()
    expect_failure(grpc.StatusCode.CANCELLED, lambda: next(call))
    requests.close()


def timeout_on_sleeping_server():
    requests = Requests(message("StreamingOutputCallRequest")(payload=zeros(27182)))
    expect_failure(grpc.StatusCode.DEADLINE_EXCEEDED, lambda: next(CLIENT["FullDuplexCall"](requests, timeout=0.001)))
    requests.close()


for case in SETTINGS["cases"]:
    try:
        globals()[case]()
        print(f"{case}\tok", flush=True)
    except Exception:  # whatever went wrong is the outcome of this case
        print(case, " ".join(traceback.format_exc().split()), sep="\t", flush=True)
