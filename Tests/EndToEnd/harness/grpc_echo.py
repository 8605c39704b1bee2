"""A grpcio server and client for echo.proto."""
import pathlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from .ports import free_port

# grpcio-tools finds the file on sys.path.
_here = str(pathlib.Path(__file__).parent)
sys.path.insert(0, _here)
messages, services = grpc.protos_and_services("echo.proto")
sys.path.remove(_here)
Request, Reply = messages.Request, messages.Reply
LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Servicer(services.EchoServicer):
    def __init__(self):
        self.calls, self.cancelled, self.metadata, self.remaining = [], threading.Event(), {}, None

    def _begin(self, context, method):
        self.calls.append(method)
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()
        context.add_callback(lambda: self.cancelled.set() if not context.code() else None)
        context.send_initial_metadata((("x-initial", "one"), ("x-binary-bin", b"\x00\x01\xff")))
        context.set_trailing_metadata((("x-trailing", "two"),))

    def _reply(self, request, context, number=0):
        if request.delay:
            deadline = time.monotonic() + request.delay
            while time.monotonic() < deadline and context.is_active():
                time.sleep(0.02)
            if not context.is_active():
                self.cancelled.set()
        if request.status:
            context.abort(next(code for code in grpc.StatusCode if code.value[0] == request.status), request.details)
        return Reply(payload=request.payload, number=number)

    def Unary(self, request, context):
        self._begin(context, "Unary")
        return self._reply(request, context)

    def ClientStream(self, requests, context):
        self._begin(context, "ClientStream")
        payload, count = b"", 0
        for request in requests:
            payload, count = payload + request.payload, count + 1
        return Reply(payload=payload, number=count)

    def ServerStream(self, request, context):
        self._begin(context, "ServerStream")
        for number in range(request.count):
            yield self._reply(request, context, number)

    def Bidirectional(self, requests, context):
        self._begin(context, "Bidirectional")
        for number, request in enumerate(requests):
            yield self._reply(request, context, number)


class EchoServer:
    def __init__(self, port=None):
        self.port = port or free_port()
        self.servicer = Servicer()
        self._server = grpc.server(ThreadPoolExecutor(32), options=LARGE)
        services.add_EchoServicer_to_server(self.servicer, self._server)
        assert self._server.add_insecure_port(f"127.0.0.1:{self.port}") == self.port
        self._server.start()

    def close(self):
        self._server.stop(0).wait(5)


def channel(port, credentials=None, **options):
    """A channel of its own: grpcio shares connections between equal channels otherwise."""
    arguments = [*LARGE, ("grpc.use_local_subchannel_pool", 1), *options.items()]
    if credentials:
        return grpc.secure_channel(f"localhost:{port}", credentials, arguments)
    return grpc.insecure_channel(f"127.0.0.1:{port}", arguments)


def stub(made):
    return services.EchoStub(made)
