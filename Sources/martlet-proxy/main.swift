import Glibc
import MeshCore
import MeshModel
import MeshNet
import MeshProxy

let usage = """
    martlet-proxy: the data plane.

      martlet-proxy --forward LISTEN ENDPOINT [--loops N]

    Serves HTTP/1.1 on LISTEN and forwards every request to ENDPOINT. Addresses are IP:PORT or unix:PATH.

      martlet-proxy --forward 127.0.0.1:8080 127.0.0.1:9000
    """

/// Writes one line at once, also into a pipe.
func say(_ text: String, to descriptor: Int32) {
    let line = Array((text + "\n").utf8)
    _ = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
}

/// Ends the process with one line that says what is wrong.
func fail(_ message: String) -> Never {
    say("martlet-proxy: \(message)", to: 2)
    exit(2)
}

/// The model of `--forward`: one listener, one rule, one backend.
func forwarding(from listen: String, to endpoint: String) -> Model {
    guard let from = SocketAddress(listen) else { fail("--forward: \"\(listen)\" is not IP:PORT") }
    guard let to = SocketAddress(endpoint) else { fail("--forward: \"\(endpoint)\" is not IP:PORT or unix:PATH") }
    var address = EndpointAddress.ip(to.host, port: to.port)
    if case .unix(let path) = to { address = .unix(path: path) }
    let rule = RouteRule(name: "forward/0", backends: [WeightedBackend(.backend("forward"))])
    let section = Section(
        name: "forward", protocol: .http, routes: [Route(name: "forward", rules: [rule])])
    return Model(
        listeners: [Listener(address: .ip(from.host, port: from.port), sections: [section])],
        backends: [Backend(name: "forward", endpoints: [Endpoint(address)])])
}

var arguments = Array(CommandLine.arguments.dropFirst())
if arguments.isEmpty || arguments.contains("--help") || arguments.contains("-h") {
    print(usage)
    exit(arguments.isEmpty ? 2 : 0)
}
var loops = 1
if let index = arguments.firstIndex(of: "--loops") {
    guard index + 1 < arguments.count, let count = Int(arguments[index + 1]), (1...256).contains(count) else {
        fail("--loops wants a number from 1 to 256")
    }
    loops = count
    arguments.removeSubrange(index...index + 1)
}
guard arguments.count == 3, arguments[0] == "--forward" else { fail("unknown arguments; see --help") }
Signals.hold()
ProcessLimits.raiseDescriptors()
do throws(ProxyError) {
    let proxy = try Proxy(forwarding(from: arguments[1], to: arguments[2]), loops: loops)
    say("listening on \(proxy.addresses.map(\.description).joined(separator: ", "))", to: 1)
    while true {
        switch Signals.wait() {
        case SIGHUP: continue
        default: exit(proxy.drain(within: 30) ? 0 : 1)
        }
    }
} catch {
    fail(error.description)
}
