"""grpcio as client and server, messages as plain bytes.

calls.py SERVER-ADDRESS ADDRESS-TO-CALL [AUTHORITY PEM]: with the latter two over TLS, the server's certificate and key in PEM
"""

import sys
from concurrent import futures

import grpc


def unary(request, context):
    meta = dict(context.invocation_metadata())
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing")
    context.set_trailing_metadata((("x-seen", meta.get("x-sent", "")),))
    return b"got " + request


def server_stream(request, context):
    for n in range(int(request)):
        yield str(n).encode() * 1000
    context.set_trailing_metadata((("x-count", request.decode()),))


def client_stream(requests, context):
    return str(sum(len(r) for r in requests)).encode()


def bidi(requests, context):
    for request in requests:
        yield b"echo " + request


class Handlers(grpc.GenericRpcHandler):
    def service(self, call):
        return {
            "/t.T/Unary": grpc.unary_unary_rpc_method_handler(unary),
            "/t.T/ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
            "/t.T/ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
            "/t.T/Bidi": grpc.stream_stream_rpc_method_handler(bidi),
        }.get(call.method)


def main():
    listen, target = sys.argv[1:3]
    server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Handlers()])
    if len(sys.argv) > 4:
        with open(sys.argv[4], "rb") as file:
            pem = file.read()
        assert server.add_secure_port(listen, grpc.ssl_server_credentials([(pem, pem)])), listen
    else:
        assert server.add_insecure_port(listen), listen
    server.start()
    credentials = None
    if len(sys.argv) > 3:
        with open(sys.argv[3], "rb") as file:
            credentials = grpc.ssl_channel_credentials(file.read())
    options = [("grpc.enable_http_proxy", 0), ("grpc.ssl_target_name_override", "localhost")]
    channel = (
        grpc.secure_channel(target, credentials, options)
        if credentials
        else grpc.insecure_channel(target, options)
    )
    answer, call = channel.unary_unary("/t.T/Unary").with_call(b"one", metadata=(("x-sent", "me"),), timeout=30)
    assert answer == b"got one", answer
    assert dict(call.trailing_metadata())["x-seen"] == "me", call.trailing_metadata()
    for request, code in ((b"fail", grpc.StatusCode.NOT_FOUND), (None, grpc.StatusCode.UNIMPLEMENTED)):
        try:
            channel.unary_unary("/t.T/Unary" if request else "/t.T/None")(request or b"", timeout=30)
            raise AssertionError("no error")
        except grpc.RpcError as error:
            assert error.code() == code, error
    big = bytes(2_000_000)
    assert channel.unary_unary("/t.T/Unary")(big, timeout=30) == b"got " + big
    parts = list(channel.unary_stream("/t.T/ServerStream")(b"200", timeout=30))
    assert len(parts) == 200 and parts[7] == b"7" * 1000, len(parts)
    sent = channel.stream_unary("/t.T/ClientStream")((b"z" * 1000 for _ in range(300)), timeout=30)
    assert sent == b"300000", sent
    # One message at a time, each sent when the answer to the last has come.
    import queue

    todo = queue.Queue()
    answers = channel.stream_stream("/t.T/Bidi")(iter(todo.get, None), timeout=30)
    for n in range(20):
        todo.put(str(n).encode())
        assert next(answers) == b"echo " + str(n).encode()
    todo.put(None)
    assert not list(answers)
    calls = [channel.unary_unary("/t.T/Unary").future(str(n).encode(), timeout=30) for n in range(100)]
    assert [c.result() for c in calls] == [b"got " + str(n).encode() for n in range(100)]
    # A call given up is given up at the server too.
    endless = channel.stream_stream("/t.T/Bidi")(iter(queue.Queue().get, None), timeout=30)
    endless.cancel()
    channel.close()
    server.stop(0)
    print("all passed", flush=True)


main()
