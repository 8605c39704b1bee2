import MeshDiscovery
import MeshModel
import MeshNet
import MeshTelemetry
import Synchronization

/// How the proxy stands with its control plane: written by the control loop, read by the admin endpoint.
public final class ControlStatus: Sendable {
    struct Standing: Sendable {
        var facts = ControlFacts()
        var isConfigured = false
        var server = ""
        var address = ""
        /// When the connection became usable, or was lost, in nanoseconds since 1970; 0: never.
        var since: UInt64 = 0
        /// Why there is no connection, or why the last one ended.
        var problem = ""
        var role = ""
        var instance = ""
        var identity: HeldIdentity?
        var renewal: UInt64 = 0
        var versions: [VersionedResource] = []
        var rejection = ""
        var readiness = ""
    }

    private let standing = Mutex(Standing())

    /// Nothing has happened yet.
    public init() {}

    /// A configuration is served.
    var isConfigured: Bool { standing.withLock { $0.isConfigured } }

    /// Why there is no connection.
    var problem: String { standing.withLock { $0.problem } }

    /// What is counted.
    var facts: ControlFacts {
        var facts = standing.withLock { $0.facts }
        facts.demands = demand.all
        return facts
    }

    /// What became of requests for services that nobody here knew.
    let demand = DemandCounts()

    /// Notes what has changed.
    func update(_ change: (inout Standing) -> Void) { standing.withLock { change(&$0) } }

    /// For `/config`: no secret.
    var json: String {
        let standing = standing.withLock { $0 }
        let date = { (nanoseconds: UInt64) in JSON.string(WallTime.text(Int64(nanoseconds / 1_000_000_000))) }
        let versions = standing.versions.map { resource in
            JSON.object([
                ("type", JSON.string("\(resource.type)")), ("name", JSON.string(resource.name)),
                ("version", JSON.string(resource.version)),
            ])
        }
        return JSON.object([
            ("server", JSON.string(standing.server)), ("connected", String(standing.facts.isConnected)),
            ("address", standing.address.isEmpty ? nil : JSON.string(standing.address)),
            ("since", standing.since == 0 ? nil : date(standing.since)),
            ("problem", standing.problem.isEmpty ? nil : JSON.string(standing.problem)),
            ("role", JSON.string(standing.role)), ("instance", JSON.string(standing.instance)),
            ("readiness", JSON.string(standing.readiness)),
            ("identity", standing.identity.map { identity($0, renewal: date(standing.renewal)) }),
            ("acks", String(standing.facts.acks)), ("nacks", String(standing.facts.nacks)),
            ("rejection", standing.rejection.isEmpty ? nil : JSON.string(standing.rejection)),
            ("versions", JSON.array(versions)),
        ])
    }

    private func identity(_ held: HeldIdentity, renewal: String) -> String {
        JSON.object([
            ("name", JSON.string(held.name.description)), ("serial", JSON.string(held.facts.serial)),
            ("issuer", JSON.string(held.facts.issuer)),
            ("notBefore", JSON.string(WallTime.text(held.facts.notBefore))),
            ("notAfter", JSON.string(WallTime.text(held.facts.notAfter))), ("renewal", renewal),
        ])
    }
}
