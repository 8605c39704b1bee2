internal import GRPCCore
import MeshCore
internal import MeshDiscovery

/// Discovery with Envoy's resource types: state of the world, as gRPC libraries speak it, and delta. Read-only, and
/// without secrets: certificates come from the client's own bootstrap.
struct EnvoyDiscoveryService: DiscoveryAggregatedDiscoveryService.SimpleServiceProtocol {
    let mesh: EnvoyMesh

    func streamAggregatedResources(
        request: RPCAsyncSequence<DiscoveryDiscoveryRequest, any Error>,
        response: RPCWriter<DiscoveryDiscoveryResponse>,
        context: ServerContext
    ) async throws {
        try await serve(StateOfTheWorldSession(), request, response)
    }

    func deltaAggregatedResources(
        request: RPCAsyncSequence<DiscoveryDeltaDiscoveryRequest, any Error>,
        response: RPCWriter<DiscoveryDeltaDiscoveryResponse>, context: ServerContext
    ) async throws {
        try await serve(DiscoverySession(order: .envoy), request, response)
    }

    private enum Event<Request: Sendable>: Sendable {
        case request(Request)
        case change
        case end
    }

    /// One stream, from its first request to its end.
    private func serve<Session: EnvoySession>(
        _ session: Session, _ requests: RPCAsyncSequence<Session.Request, any Error>,
        _ writer: RPCWriter<Session.Response>
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let (events, feed) = AsyncStream.makeStream(of: Event<Session.Request>.self)
            group.addTask {
                defer { feed.yield(.end) }
                for try await request in requests { feed.yield(.request(request)) }
            }
            group.addTask { for await _ in mesh.changes() { feed.yield(.change) } }
            defer { group.cancelAll() }
            var session = session
            var client: EnvoyClient?
            for await event in events {
                switch event {
                case .end: return
                case .request(let request):
                    if client == nil { client = Session.client(request) }
                    do throws(ProxyError) {
                        try session.receive(request)
                    } catch {
                        throw RPCError(code: .invalidArgument, message: error.description)
                    }
                case .change: break
                }
                guard let client else { continue }
                session.update(client.scope(mesh.view) { session.names($0.url) })
                while let response = session.next() { try await writer.write(response) }
            }
        }
    }
}

/// What both forms of the protocol have in common.
private protocol EnvoySession: Sendable {
    associatedtype Request: Sendable
    associatedtype Response: Sendable

    static func client(_ request: Request) -> EnvoyClient
    mutating func receive(_ request: Request) throws(ProxyError)
    mutating func update(_ scope: DiscoveryScope)
    mutating func next() -> Response?
    func names(_ typeURL: String) -> Set<String>
}

extension StateOfTheWorldSession: EnvoySession {
    fileprivate static func client(_ request: DiscoveryDiscoveryRequest) -> EnvoyClient { EnvoyClient(request.node) }

    fileprivate mutating func receive(_ request: DiscoveryDiscoveryRequest) throws(ProxyError) {
        let _: DiscoveryEvent = try receive(request)
    }
}

extension DiscoverySession: EnvoySession {
    fileprivate static func client(_ request: DiscoveryDeltaDiscoveryRequest) -> EnvoyClient {
        EnvoyClient(request.node)
    }

    fileprivate mutating func receive(_ request: DiscoveryDeltaDiscoveryRequest) throws(ProxyError) {
        let _: DiscoveryEvent = try receive(request)
    }
}

extension EnvoyClient {
    /// The client that introduces itself so. gRPC libraries call themselves `gRPC C-core`, `gRPC Java`, `gRPC Go` …
    fileprivate init(_ node: DiscoveryNode) {
        self.init(flavor: node.userAgentName.hasPrefix("gRPC") ? .grpc : .envoy, workload: node.cluster)
    }
}
