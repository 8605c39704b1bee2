"""Calls the orders with grpcio, and prints what came back as JSON. Usage: orders.py PORT [CA-FILE]"""
import json
import pathlib
import sys

import grpc

HOST = "orders.example.com"
SECONDS = 10

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "services"))  # where grpcio looks for the proto file
messages, services = grpc.protos_and_services("orders.proto")


def connect(port, authority_file=None):
    """A channel to the gateway that asks for HOST, with TLS if there is an authority."""
    address = f"127.0.0.1:{port}"
    options = [("grpc.default_authority", HOST)]
    if not authority_file:
        return grpc.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(pathlib.Path(authority_file).read_bytes())
    return grpc.secure_channel(address, credentials, [*options, ("grpc.ssl_target_name_override", HOST)])


def refusal(orders):
    """The status of a call that the service refuses."""
    try:
        orders.Place(messages.Order(item="tea", count=0), timeout=SECONDS)
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return ["OK", ""]


def main():
    with connect(*sys.argv[1:]) as channel:
        orders = services.OrdersStub(channel)
        placed, call = orders.Place.with_call(messages.Order(item="tea", count=3), timeout=SECONDS)
        packed = orders.Pack(messages.Order(item="tea", count=3), timeout=SECONDS)
        talk = (messages.Order(item=item, count=2) for item in ("tea", "milk"))
        negotiated = orders.Negotiate(talk, timeout=SECONDS)
        print(json.dumps({
            "service": placed.service, "language": placed.language, "placed": placed.text,
            "trailers": dict(call.trailing_metadata()),
            "packed": [receipt.text for receipt in packed],
            "negotiated": [receipt.text for receipt in negotiated],
            "refusal": refusal(orders),
        }))


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
