"""The messages and methods of test.proto, made from its serialized descriptor: no code generator is needed."""

import base64
import json
import sys

from google.protobuf import descriptor_pool, message_factory

SETTINGS = json.loads(sys.argv[1])
_FILE = descriptor_pool.Default().AddSerializedFile(base64.b64decode(SETTINGS["descriptor"]))
_FACTORY = message_factory.MessageFactory()


def message(name):
    """The class of a message."""
    return _FACTORY.GetPrototype(_FILE.message_types_by_name[name])


def methods(service):
    """The methods of a service: (name, path, request class, response class)."""
    descriptor = _FILE.services_by_name[service]
    for method in descriptor.methods:
        path = f"/{descriptor.full_name}/{method.name}"
        yield method.name, path, _FACTORY.GetPrototype(method.input_type), _FACTORY.GetPrototype(method.output_type)


KINDS = {
    "EmptyCall": "unary_unary",
    "UnaryCall": "unary_unary",
    "UnimplementedCall": "unary_unary",
    "StreamingInputCall": "stream_unary",
    "StreamingOutputCall": "unary_stream",
    "FullDuplexCall": "stream_stream",
}


def zeros(size):
    """A payload."""
    return message("Payload")(body=bytes(size))
