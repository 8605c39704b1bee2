import MeshCore
import MeshModel
import Testing

@testable import MeshDiscovery

/// Client and session against each other, in random order, with streams that break at any point: after every schedule
/// the client has exactly what its scope says, and on the way it never had a reference to what was not there.
@Suite struct ConvergenceTests {
    /// A mesh that changes, a client, and what is on its way between client and session.
    private struct World {
        var random: Random
        var client = DiscoveryClient()
        var session = DiscoverySession()
        var responses: [DiscoveryDeltaDiscoveryResponse] = []
        var requests: [DiscoveryDeltaDiscoveryRequest] = []
        var updates: [DiscoveryUpdate] = []
        var resources: [MeshResource] = []
        /// Routes with this age are refused.
        let refused: Int64 = 13
        var refusals = 0

        init(seed: UInt64) {
            random = Random(seed: seed)
            change()
            connect()
        }

        /// Routes to some backends, the backends, and some policies.
        mutating func change() {
            resources = (0..<Int.random(in: 0...3, using: &random)).map {
                .accessPolicy(AccessPolicy(name: "n/p\($0)", action: Bool.random(using: &random) ? .allow : .deny))
            }
            var backends: Set<String> = []
            for number in 0..<Int.random(in: 0...4, using: &random) {
                let backend = "n/b\(Int.random(in: 0...5, using: &random))"
                backends.insert(backend)
                let age: Int64 =
                    Int.random(in: 0...9, using: &random) == 0 ? refused : .random(in: 0...3, using: &random)
                resources.append(.route(Fixture.route("n/r\(number)", to: "n/s", age: age, backends: [backend])))
            }
            for backend in backends {
                resources.append(Fixture.backend(backend))
                let weight = Int.random(in: 1...3, using: &random)
                resources.append(
                    Fixture.endpoints(backend, [Endpoint(.ip("10.0.0.1", port: 1), weight: weight)]))
            }
            update()
        }

        mutating func update() {
            let encoded = resources.compactMap { try? VersionedResource($0) }.map { EncodedResource($0) }
            session.update(DiscoveryScope(encoded))
        }

        /// A new stream; what was under way is lost.
        mutating func connect() {
            session = DiscoverySession(maxResponseBytes: Int.random(in: 1...400, using: &random))
            update()
            (responses, updates) = ([], [])
            requests = client.start()
        }

        mutating func deliverRequest() throws {
            guard !requests.isEmpty else { return }
            _ = try session.receive(requests.removeFirst())
        }

        mutating func send() {
            if let response = session.next() { responses.append(response) }
        }

        mutating func deliverResponse() {
            guard !responses.isEmpty else { return }
            updates.append(client.receive(responses.removeFirst()))
        }

        mutating func decide() {
            guard !updates.isEmpty else { return }
            let update = updates.removeFirst()
            let isRefused = update.upserts.contains { resource in
                if case .route(let route) = resource { route.age == refused } else { false }
            }
            refusals += isRefused ? 1 : 0
            let answer = isRefused ? client.reject(update, reason: "13") : client.accept(update)
            if let answer { requests.append(answer) }
        }

        mutating func step() throws {
            switch Int.random(in: 0...40, using: &random) {
            case 0: change()
            case 1 where Bool.random(using: &random): connect()
            case 2...11: try deliverRequest()
            case 12...21: send()
            case 22...31: deliverResponse()
            default: decide()
            }
        }

        /// Without changes and losses, until nothing happens any more.
        mutating func settle() throws {
            for _ in 0..<10_000 {
                let response = session.next()
                if let response { responses.append(response) }
                if response == nil, requests.isEmpty, responses.isEmpty, updates.isEmpty { return }
                while !responses.isEmpty { deliverResponse() }
                while !updates.isEmpty { decide() }
                while !requests.isEmpty { try deliverRequest() }
            }
            Issue.record("it does not end")
        }

        /// Backends that accepted routes refer to and that are not there.
        var dangling: [String] {
            client.resources.routes.values.flatMap { route -> [String] in
                guard case .requests(let requests) = route.content else { return [] }
                return requests.rules.flatMap(\.backends).compactMap { backend in
                    guard case .backend(let name) = backend.target else { return nil }
                    let isThere = client.resources.backends[name] != nil && client.resources.endpoints[name] != nil
                    return isThere ? nil : name
                }
            }
        }
    }

    @Test(arguments: 0..<200) func theClientGetsWhatItsScopeSays(seed: Int) throws {
        var world = World(seed: UInt64(seed))
        for step in 0..<400 {
            try world.step()
            #expect(world.dangling == [], "step \(step)")
        }
        try world.settle()
        let refused = Set(
            world.resources.compactMap { resource -> String? in
                if case .route(let route) = resource, route.age == world.refused { resource.name } else { nil }
            })
        #expect(Set(world.session.rejections.map(\.name)) == refused)
        // Without what is refused there is nothing in the way.
        world.resources.removeAll { $0.type == .route && refused.contains($0.name) }
        world.update()
        try world.settle()
        #expect(world.client.resources == ResourceSet(world.resources))
        #expect(world.session.isSettled)
        #expect(world.session.rejections.isEmpty)
        for type in MeshResourceType.allCases {
            let versions = world.client.versions.filter { $0.type == type }.map { ($0.name, $0.version) }
            let acked = world.session.acked(type.url).mapValues(\.description)
            #expect(acked == Dictionary(uniqueKeysWithValues: versions))
        }
    }

    /// The stream breaks once, after every possible number of steps of the first exchange.
    @Test func aStreamMayBreakAtEveryPoint() throws {
        for lost in 0..<80 {
            var world = World(seed: 5)
            for step in 0..<200 {
                if step == lost { world.connect() }
                switch step % 4 {
                case 0: try world.deliverRequest()
                case 1: world.send()
                case 2: world.deliverResponse()
                default: world.decide()
                }
            }
            try world.settle()
            #expect(world.dangling == [])
            let refused = Set(world.session.rejections.map(\.name))
            let wanted = world.resources.filter { !refused.contains($0.name) }
            #expect(world.client.resources == ResourceSet(wanted), "lost at \(lost)")
        }
    }

    /// The same schedule, the same end.
    @Test func schedulesRepeat() throws {
        var worlds = [World(seed: 3), World(seed: 3)]
        for index in worlds.indices { for _ in 0..<300 { try worlds[index].step() } }
        #expect(worlds[0].client.resources == worlds[1].client.resources)
        #expect(worlds[0].refusals == worlds[1].refusals)
    }
}
