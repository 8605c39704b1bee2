"""The orders: gRPC on grpcio. Usage: orders.py PORT"""
import pathlib
import sys
from concurrent import futures

import grpc

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # where grpcio looks for the proto file
messages, services = grpc.protos_and_services("orders.proto")


def receipt(text):
    return messages.Receipt(service="orders", language="Python", text=text)


class Orders(services.OrdersServicer):
    def Place(self, order, context):
        if order.count < 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "order at least one")
        context.set_trailing_metadata((("x-warehouse", "north"),))
        return receipt(f"{order.count} x {order.item}")

    def Pack(self, order, context):
        for number in range(1, order.count + 1):
            yield receipt(f"{order.item} {number} of {order.count}")

    def Negotiate(self, orders, context):
        for order in orders:
            yield receipt(f"{order.count} x {order.item}? agreed")


def main():
    server = grpc.server(futures.ThreadPoolExecutor(8))
    services.add_OrdersServicer_to_server(Orders(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")  # raises if the port is taken
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
