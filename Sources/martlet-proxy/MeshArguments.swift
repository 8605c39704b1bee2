import MeshDiscovery
import MeshModel
import MeshNet
import MeshProxy

/// The command line of `martlet-proxy run` and `martlet-proxy identity`.
struct MeshArguments {
    enum Task: Equatable {
        case help
        case run
        /// Joins once, for others that use the certificate.
        case identity
    }

    typealias Problem = Arguments.Problem

    var task: Task
    /// How the proxy takes part in the mesh.
    var control: ControlOptions
    /// Event loops; nil: one for each processor.
    var loops: Int?
    /// Where the admin endpoint listens.
    var admin: SocketAddress?
    /// Milliseconds between the word that the instance drains and the end of its listeners.
    var drainDelay = 1000
    /// The service to start and its arguments; empty: it is started by somebody else.
    var command: [String] = []

    /// Reads the words behind `run` or `identity`: `--name value` and `--name=value`. `token` is MARTLET_TOKEN.
    init(_ task: Task, _ words: [String], token: String?) throws(Problem) {
        self.task = task
        control = ControlOptions(host: "", port: 0, role: .workload("/"), state: "")
        if let token, !token.isEmpty { control.token = .text(token) }
        control.joinsOnly = task == .identity
        var isRoleGiven = false
        var rest = words[...]
        while let word = rest.popFirst() {
            if word == "--", task == .run {
                command = Array(rest)
                guard !command.isEmpty else { throw Problem(text: "-- wants a command to run behind it") }
                break
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            if name == "--help" || name == "-h" {
                self.task = .help
                return
            }
            guard let wants = Self.flags[name], task == .run || Self.identityFlags.contains(name) else {
                throw Problem(
                    text: "unknown argument \"\(word)\"; see martlet-proxy \(task == .run ? "run" : "identity") --help")
            }
            var value = parts.count == 2 ? parts[1] : ""
            if parts.count == 1 {
                guard let next = rest.popFirst(), next != "--" else { throw Problem(text: "\(name) wants \(wants)") }
                value = next
            }
            guard !value.isEmpty else { throw Problem(text: "\(name) wants \(wants)") }
            if name == "--workload" || name == "--gateway" {
                guard !isRoleGiven else { throw Problem(text: "give one of --workload and --gateway, once") }
                isRoleGiven = true
            }
            guard take(name, value) else { throw Problem(text: "\(name) wants \(wants), not \"\(value)\"") }
        }
        let state = task == .run ? "--state DIR" : "--out DIR"
        guard !control.host.isEmpty else { throw Problem(text: "--control HOST:PORT is missing\(seeHelp)") }
        guard isRoleGiven else {
            throw Problem(text: "--workload NAMESPACE/NAME or --gateway NAMESPACE/NAME is missing\(seeHelp)")
        }
        guard !control.state.isEmpty else { throw Problem(text: "\(state) is missing\(seeHelp)") }
    }

    private var seeHelp: String { "; see martlet-proxy \(task == .run ? "run" : "identity") --help" }

    /// Takes the value of a flag; false if it has the wrong form.
    private mutating func take(_ name: String, _ value: String) -> Bool {
        switch name {
        case "--control":
            guard let server = ControlOptions.server(value) else { return false }
            (control.host, control.port) = server
        case "--workload", "--gateway":
            guard let role = ProxyRole("\(name.dropFirst(2)):\(value)") else { return false }
            control.role = role
        case "--instance":
            guard SPIFFEID.isSegment(value), value.utf8.count <= 63 else { return false }
            control.instance = value
        case "--state", "--out": control.state = value
        case "--token-file": control.token = .file(value)
        case "--address":
            guard SocketAddress(ip: value, port: 1) != nil else { return false }
            control.address = value
        case "--zone": control.zone = value
        case "--port":
            guard let port = Self.port(value) else { return false }
            control.overrides.ports.append(port)
        case "--outbound":
            guard let address = Self.listenAddress(value) else { return false }
            control.overrides.outbound = address
        case "--local-port":
            guard let backend = Self.localPort(value) else { return false }
            control.overrides.localPorts.append(backend)
        case "--admin":
            guard let address = SocketAddress(value) else { return false }
            admin = address
        case "--loops":
            guard let count = Int(value), (1...256).contains(count) else { return false }
            loops = count
        case "--drain-delay":
            guard let seconds = Double(value), (0...3600).contains(seconds) else { return false }
            drainDelay = Int(seconds * 1000)
        default: return false
        }
        return true
    }

    /// `PORT=APPLICATION`, `PORT=APPLICATION:INBOUND`, or `PORT=:INBOUND`.
    private static func port(_ text: String) -> InstanceOverrides.Port? {
        let sides = text.split(separator: "=", omittingEmptySubsequences: false)
        guard sides.count == 2, let port = number(sides[0]) else { return nil }
        let parts = sides[1].split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { return nil }
        var made = InstanceOverrides.Port(port: port)
        if !parts[0].isEmpty {
            guard let application = number(parts[0]) else { return nil }
            made.applicationPort = application
        }
        if parts.count == 2 {
            guard let inbound = UInt16(parts[1]) else { return nil }
            made.inboundPort = inbound
        }
        return made.applicationPort == nil && made.inboundPort == nil ? nil : made
    }

    /// `NAMESPACE/SERVICE=PORT` or `NAMESPACE/SERVICE:SERVICEPORT=PORT`.
    private static func localPort(_ text: String) -> WorkloadBackend? {
        let sides = text.split(separator: "=", omittingEmptySubsequences: false)
        guard sides.count == 2, let local = number(sides[1]) else { return nil }
        let parts = sides[0].split(separator: ":", omittingEmptySubsequences: false)
        let segments = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, segments.count == 2, segments.allSatisfy({ SPIFFEID.isSegment(String($0)) }) else {
            return nil
        }
        var servicePort: UInt16?
        if parts.count == 2 {
            guard let number = number(parts[1]) else { return nil }
            servicePort = number
        }
        return WorkloadBackend(service: String(parts[0]), servicePort: servicePort, localPort: local)
    }

    private static func number(_ text: Substring) -> UInt16? { UInt16(text).flatMap { $0 > 0 ? $0 : nil } }

    private static func listenAddress(_ text: String) -> ListenAddress? {
        switch SocketAddress(text) {
        case .unix(let path)?: .unix(path: path)
        case let address?: .ip(address.host, port: address.port)
        case nil: nil
        }
    }
}
