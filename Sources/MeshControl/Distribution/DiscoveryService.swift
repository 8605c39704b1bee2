internal import GRPCCore
import MeshCore
internal import MeshDiscovery

/// Discovery over gRPC, for whoever shows a certificate. What is said in delta discovery of our own types is the
/// ``Distributor``'s affair; a client whose first request is for one of Envoy's types is Envoy or a gRPC library.
struct DiscoveryService: DiscoveryAggregatedDiscoveryService.SimpleServiceProtocol {
    let distributor: Distributor
    /// Who calls; nil: nobody with a certificate.
    let peer: @Sendable (ServerContext) async -> ProxyPeer?

    func streamAggregatedResources(
        request: RPCAsyncSequence<DiscoveryDiscoveryRequest, any Swift.Error>,
        response: RPCWriter<DiscoveryDiscoveryResponse>, context: ServerContext
    ) async throws {
        let peer = try await proven(peer(context))
        let (first, requests) = try await opening(request)
        guard Self.isEnvoys(first.typeURL) else {
            throw RPCError(
                code: .unimplemented,
                message: "\(first.typeURL) is served by DeltaAggregatedResources only: use the incremental protocol")
        }
        try await admitEnvoy(first.node, peer)
        try await EnvoyDiscoveryService(mesh: distributor.envoy)
            .streamAggregatedResources(request: requests, response: response, context: context)
    }

    private static func isEnvoys(_ typeURL: String) -> Bool { typeURL.hasPrefix("type.googleapis.com/envoy.") }

    /// Checks that a client of Envoy's types is who it says, and lets it in.
    private func admitEnvoy(_ node: DiscoveryNode, _ peer: ProxyPeer) async throws {
        do throws(StreamRefusal) {
            try await distributor.admitEnvoy(workload: node.cluster, peer)
        } catch {
            throw RPCError(error)
        }
    }

    func deltaAggregatedResources(
        request: RPCAsyncSequence<DiscoveryDeltaDiscoveryRequest, any Swift.Error>,
        response: RPCWriter<DiscoveryDeltaDiscoveryResponse>, context: ServerContext
    ) async throws {
        let peer = try await proven(peer(context))
        let (first, request) = try await opening(request)
        if Self.isEnvoys(first.typeURL) {
            try await admitEnvoy(first.node, peer)
            return try await EnvoyDiscoveryService(mesh: distributor.envoy)
                .deltaAggregatedResources(request: request, response: response, context: context)
        }
        let distributor = distributor
        let (opened, announce) = AsyncStream.makeStream(of: OpenedStream.self)
        try await untilFirst {
            defer { announce.finish() }
            try await read(request, peer, announce)
        } _: {
            for await stream in opened {
                for await _ in stream.wake {
                    while let message = await distributor.next(stream.number) { try await response.write(message) }
                }
            }
        }
    }

    /// Reads requests until the client ends.
    private func read(
        _ requests: RPCAsyncSequence<DiscoveryDeltaDiscoveryRequest, any Swift.Error>, _ peer: ProxyPeer,
        _ announce: AsyncStream<OpenedStream>.Continuation
    ) async throws {
        var number: UInt64?
        do {
            for try await request in requests {
                if number == nil {
                    let stream = try await open(request, peer)
                    number = stream.number
                    announce.yield(stream)
                }
                if let number { try await distributor.take(request, number) }
            }
        } catch {
            if let number { await distributor.close(number) }
            throw error
        }
        if let number { await distributor.close(number) }
    }

    private func open(_ first: DiscoveryDeltaDiscoveryRequest, _ peer: ProxyPeer) async throws -> OpenedStream {
        guard first.hasNode else {
            throw RPCError(code: .invalidArgument, message: "the first request has no node")
        }
        do throws(StreamRefusal) {
            let (number, wake) = try await distributor.open(first.node.cluster, instance: first.node.id, peer)
            return OpenedStream(number: number, wake: wake)
        } catch {
            throw RPCError(error)
        }
    }
}

/// A discovery stream that was let in.
private struct OpenedStream: Sendable {
    var number: UInt64
    var wake: AsyncStream<Void>
}

extension Distributor {
    /// As ``receive(_:_:)``, with the error that gRPC wants.
    fileprivate func take(_ request: DiscoveryDeltaDiscoveryRequest, _ stream: UInt64) throws(RPCError) {
        do throws(ProxyError) {
            try receive(request, stream)
        } catch {
            throw RPCError(code: .invalidArgument, message: error.description)
        }
    }
}

/// The first of `requests`, and all of them.
private func opening<Request: Sendable>(
    _ requests: RPCAsyncSequence<Request, any Swift.Error>
) async throws -> (Request, RPCAsyncSequence<Request, any Swift.Error>) {
    let reader = RequestReader(requests.makeAsyncIterator())
    guard let first = try await reader.next() else {
        throw RPCError(code: .invalidArgument, message: "the stream ended before its first request")
    }
    return (first, RPCAsyncSequence(wrapping: Reread(first: first, reader: reader)))
}

/// The requests of one stream, for the one who reads them.
private actor RequestReader<Request: Sendable> {
    private var iterator: RPCAsyncSequence<Request, any Swift.Error>.AsyncIterator

    init(_ iterator: sending RPCAsyncSequence<Request, any Swift.Error>.AsyncIterator) { self.iterator = iterator }

    func next() async throws -> Request? {
        var current = iterator
        let request = try await current.next(isolation: self)
        iterator = current
        return request
    }
}

/// A first request that was read, and those that follow it.
private struct Reread<Request: Sendable>: AsyncSequence, Sendable {
    typealias Failure = any Swift.Error

    let first: Request
    let reader: RequestReader<Request>

    struct AsyncIterator: AsyncIteratorProtocol {
        var first: Request?
        let reader: RequestReader<Request>

        mutating func next(isolation actor: isolated (any Actor)?) async throws(any Swift.Error) -> Request? {
            if let request = first {
                first = nil
                return request
            }
            return try await reader.next()
        }

        mutating func next() async throws -> Request? { try await next(isolation: nil) }
    }

    func makeAsyncIterator() -> AsyncIterator { AsyncIterator(first: first, reader: reader) }
}

/// Runs the reading and the writing half of a stream until one of them ends: the other has no purpose then.
private func untilFirst(
    _ reading: @escaping @Sendable () async throws -> Void, _ writing: @escaping @Sendable () async throws -> Void
) async throws {
    try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
            try await reading()
            return true
        }
        group.addTask {
            try await writing()
            return false
        }
        let clientEnded = try await group.next() ?? true
        group.cancelAll()
        while let _ = await group.nextResult() {}
        if !clientEnded {
            throw RPCError(code: .unavailable, message: "the control plane has ended this stream: connect again")
        }
    }
}

/// Reports over gRPC.
struct ReportingService: ControlReporting.SimpleServiceProtocol {
    let distributor: Distributor
    /// Who calls; nil: nobody with a certificate.
    let peer: @Sendable (ServerContext) async -> ProxyPeer?

    func report(
        request: RPCAsyncSequence<ControlReportRequest, any Swift.Error>,
        response: RPCWriter<ControlReportResponse>, context: ServerContext
    ) async throws {
        let peer = try await proven(peer(context))
        let (ended, end) = AsyncStream.makeStream(of: Never.self)
        try await untilFirst {
            try await read(request, response, peer) { end.finish() }
        } _: {
            for await _ in ended {}
        }
    }

    /// Reads reports until the client ends.
    private func read(
        _ messages: RPCAsyncSequence<ControlReportRequest, any Swift.Error>,
        _ response: RPCWriter<ControlReportResponse>, _ peer: ProxyPeer, end: @escaping @Sendable () -> Void
    ) async throws {
        var number: UInt64?
        do {
            for try await message in messages {
                if number == nil {
                    let (stream, answer) = try await connect(message, peer, end: end)
                    number = stream
                    try await response.write(answer)
                }
                if let number { await distributor.report(message, number) }
            }
        } catch {
            if let number { await distributor.disconnect(number) }
            throw error
        }
        if let number { await distributor.disconnect(number) }
    }

    private func connect(
        _ first: ControlReportRequest, _ peer: ProxyPeer, end: @escaping @Sendable () -> Void
    ) async throws -> (UInt64, ControlReportResponse) {
        guard first.hasHello else {
            throw RPCError(code: .failedPrecondition, message: "the first message has no hello")
        }
        do throws(StreamRefusal) {
            return try await distributor.connect(first.hello, peer, end: end)
        } catch {
            throw RPCError(error)
        }
    }
}

/// The caller, who must have shown a certificate.
private func proven(_ peer: ProxyPeer?) throws -> ProxyPeer {
    guard let peer else {
        throw RPCError(code: .unauthenticated, message: "this needs the certificate that Join gives")
    }
    return peer
}

extension RPCError {
    fileprivate init(_ refusal: StreamRefusal) {
        let code: RPCError.Code
        switch refusal.kind {
        case .invalid: code = .invalidArgument
        case .identity: code = .permissionDenied
        case .unknownRole: code = .notFound
        case .taken: code = .alreadyExists
        case .notReady: code = .unavailable
        }
        self.init(code: code, message: refusal.message)
    }
}
