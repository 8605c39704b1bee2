internal import MeshDiscovery
import MeshModel
import Synchronization

/// The mesh as clients of Envoy's resource types see it, kept up to date by the control plane.
final class EnvoyMesh: Sendable {
    private struct State {
        var view = EnvoyView([])
        var clients: [Int: AsyncStream<Void>.Continuation] = [:]
        var lastClient = 0
        var isServed = false
    }

    private let state = Mutex(State())

    /// What the mesh consists of from now on. Clients hear of it once, however often it changes before they look.
    func update(_ resources: some Sequence<MeshResource>) {
        let view = EnvoyView(resources)
        let clients = state.withLock { state in
            state.view = view
            return Array(state.clients.values)
        }
        for client in clients { client.yield() }
    }

    /// True if anybody may ask: else ``update(_:)`` is not worth its while.
    var isServed: Bool {
        get { state.withLock { $0.isServed } }
        set { state.withLock { $0.isServed = newValue } }
    }

    /// The newest view.
    var view: EnvoyView { state.withLock { $0.view } }

    /// Something to read at each change, until the reader goes away.
    func changes() -> AsyncStream<Void> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
            let number = state.withLock { state in
                state.lastClient += 1
                state.clients[state.lastClient] = continuation
                return state.lastClient
            }
            continuation.onTermination = { [self] _ in _ = state.withLock { $0.clients.removeValue(forKey: number) } }
        }
    }
}

/// One client of Envoy's types, as it introduced itself.
struct EnvoyClient: Sendable {
    var flavor: EnvoyFlavor
    /// `namespace/name` of the Workload that it stands beside; empty: it is none of ours.
    var workload: String

    /// What a client may see, given the names that it asks for.
    func scope(_ view: EnvoyView, names: (EnvoyResource.Kind) -> Set<String>) -> DiscoveryScope {
        let resources: [EnvoyResource]
        switch flavor {
        case .grpc:
            resources =
                names(.listener).compactMap(view.channel) + names(.routes).compactMap(view.channelRoutes)
                + names(.cluster).compactMap { view.cluster($0, .grpc) } + names(.endpoints).compactMap(view.assignment)
        case .envoy:
            let own = view.workloads[workload]
            let backends = view.backendNames(calledBy: own)
            resources =
                [view.outbound(own), view.outboundRoutes(own)] + backends.compactMap { view.cluster($0, .envoy) }
                + backends.compactMap(view.assignment)
        }
        return DiscoveryScope(
            resources.map { EncodedResource(typeURL: $0.kind.url, name: $0.name, bytes: $0.bytes) })
    }
}

extension EnvoyView {
    /// Every backend that requests of a workload may go to, sorted.
    func backendNames(calledBy workload: Workload?) -> [String] {
        var names: Set<String> = []
        for service in called(by: workload) {
            names.formUnion(service.ports.map(\.backend))
            for route in routes[service.name] ?? [] {
                guard case .requests(let requests) = route.content else { continue }
                for share in requests.rules.flatMap(\.backends) {
                    if case .backend(let name) = share.target { names.insert(name) }
                }
            }
        }
        return names.sorted()
    }
}
