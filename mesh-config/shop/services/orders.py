"""The orders: gRPC on grpcio. Usage: orders.py PORT

Every order is paid first, at the service payments, through the proxy beside it (MARTLET_OUTBOUND).
"""
import http.client
import json
import os
import pathlib
import sys
import threading
from concurrent import futures

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # where grpcio looks for the proto file
messages, services = grpc.protos_and_services("shop.proto")
health_messages, health_services = grpc.protos_and_services("health.proto")
OUTBOUND = os.environ.get("MARTLET_OUTBOUND", "127.0.0.1:15001")
kept = threading.local()


def pay(path):
    """GET on a connection that this thread keeps."""
    if not hasattr(kept, "connection"):
        kept.connection = http.client.HTTPConnection(OUTBOUND, timeout=30)
    try:
        kept.connection.request("GET", path, headers={"host": "payments"})
        response = kept.connection.getresponse()
        text = response.read()
    except (OSError, http.client.HTTPException):
        kept.connection.close()
        raise
    if response.status != 200:
        raise RuntimeError(f"payments: {response.status} {text.decode().strip()}")
    return json.loads(text)


class Orders(services.OrdersServicer):
    def Place(self, order, context):
        try:
            payment = pay(order.item)
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            context.abort(grpc.StatusCode.INTERNAL, str(error))
        answer = {"service": "orders", "language": "Python", "instance": int(sys.argv[1]), "calls": [payment]}
        return messages.Receipt(answer=json.dumps(answer))


class Health(health_services.HealthServicer):
    def Check(self, request, context):
        return health_messages.HealthCheckResponse(status="SERVING")


def main():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    services.add_OrdersServicer_to_server(Orders(), server)
    health_services.add_HealthServicer_to_server(Health(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")  # raises if the port is taken
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
